//! A repository that is read: where its documents come from, and that each is what `repomd.xml` says.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::compression::unpack;
use super::primary::{self, FilesOf, Offered};
use super::repomd::{Entry, Index};
use super::{Comps, Limits, REPOMD};
use crate::error::{Error, IoContext, Result};

/// Largest `repomd.xml`.
const MAX_INDEX: u64 = 4 << 20;

/// The files that a repository lies in.
pub trait Files {
    /// Opens the file at a path below the repository and tells its length; `None` if there is no such file.
    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, u64)>>;
}

/// A repository in a folder.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Files for Folder {
    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, u64)>> {
        let path: &Path = &self.0.join(path);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.at("opening", path)?,
        };
        let len = file.metadata().at("looking at", path)?.len();
        Ok(Some((Box::new(file), len)))
    }
}

/// An opened repository.
pub struct Repository<'a> {
    files: &'a dyn Files,
    limits: Limits,
    /// What `repomd.xml` names.
    pub index: Index,
}

impl<'a> Repository<'a> {
    /// Opens the repository; `None` if there is no `repomd.xml`.
    pub fn open(files: &'a dyn Files, limits: Limits) -> Result<Option<Self>> {
        let Some((source, len)) = files.open(REPOMD)? else { return Ok(None) };
        if len > MAX_INDEX {
            return Err(Error::input(format!("{REPOMD} has {len} bytes, over {MAX_INDEX}")));
        }
        let index = Index::read(BufReader::new(source.take(MAX_INDEX)), REPOMD)?;
        Ok(Some(Self { files, limits, index }))
    }

    /// Gives every package to `each`.
    pub fn packages(&self, each: &mut dyn FnMut(Offered) -> Result<()>) -> Result<()> {
        let entry = self.index.need("primary")?;
        primary::primary(self.document(entry)?, &entry.location, &self.limits, each)
    }

    /// Gives the files of every package to `each`, as far as they are `wanted`; none if the repository does not list them.
    pub fn filelists(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(FilesOf) -> Result<()>,
    ) -> Result<()> {
        let Some(entry) = self.index.entries.get("filelists") else { return Ok(()) };
        primary::filelists(self.document(entry)?, &entry.location, &self.limits, wanted, each)
    }

    /// Groups and environments; empty if the repository has none.
    pub fn comps(&self) -> Result<Comps> {
        let packed = ["group_gz", "group_xz", "group_zst", "group"];
        match self.index.first(&packed) {
            Some(entry) => Comps::read(self.document(entry)?, &entry.location),
            None => Ok(Comps::default()),
        }
    }

    fn reader(&self, entry: &Entry) -> Result<(Box<dyn Read + '_>, u64)> {
        let found = self.files.open(&entry.location)?;
        found.ok_or_else(|| Error::input(format!("{} is named by {REPOMD} and is not there", entry.location)))
    }

    /// A document, compared with its checksum, and unpacked as it is read.
    fn document(&self, entry: &Entry) -> Result<Box<dyn BufRead + '_>> {
        let broken = |error| Error::input(format!("{} cannot be read", entry.location)).because(error);
        let (source, len) = self.reader(entry)?;
        // All is read before anything is believed; a file that is larger than it should be is not read at all.
        let right = entry.size.is_none_or(|size| size == len)
            && entry.checksum.holds(source).map_err(broken)? == (true, len);
        if !right {
            return Err(Error::input(format!("{} is not what {REPOMD} says: its checksum or size differs", entry.location))
                .hint("the medium is damaged: copy or download it again, and compare its checksum with the vendor's"));
        }
        let (source, _) = self.reader(entry)?;
        unpack(source, len, entry.open_size, &self.limits).map_err(broken)
    }
}
