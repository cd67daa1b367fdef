//! Reads what a bill of materials needs from a medium: the manifest, the list of parts, every payload file, and the programs of
//! components out of the archive that all nodes share. Everything is hashed, and what is not as the manifest and the list say is
//! an error: no bill is made of a medium that was changed. Archives of single nodes and pools are hashed whole, never opened.

use std::collections::BTreeMap;
use std::io;

use sha2::Digest as _;

use crate::digest::Sha256;
use crate::error::{Class, Error, Result};
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::{Extent, Kind};
use crate::format::read_at::{ReadAt, Window};
use crate::format::tar::index::Index;
use crate::payload::manifest::{Manifest, ManifestFile};
use crate::payload::{COMMON, MANIFEST, seed};
use crate::progress::Progress;
use crate::sbom::{Bill, Parts, Sums, parts};

/// Largest manifest and list of parts that are read.
const LARGEST: u64 = 16 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// Reads the bill of a medium that kiln made.
pub fn read(source: &impl ReadAt, progress: &dyn Progress) -> Result<Bill> {
    let iso = Iso::open(source)?;
    if iso.tree.find(seed::MANIFEST).is_some() {
        return Err(Error::input("it is a seed: it holds secrets, and no parts")
            .hint("ask for the bill of materials of the medium that it goes with"));
    }
    let json = small(&iso, MANIFEST)?.ok_or_else(|| {
        Error::input("kiln did not make it").hint("only media of kiln say what their parts are")
    })?;
    let manifest = Manifest::from_json(&json, MANIFEST)?;
    let list = small(&iso, parts::PATH)?.filter(|_| manifest.files.contains_key(parts::PATH));
    let list = list.ok_or_else(|| {
        Error::input(format!("there is no {} on it", parts::PATH))
            .hint("a kiln made it that wrote no list of parts: build the medium again")
    })?;
    let parts = Parts::from_json(&list)?;
    let sums = sums(&json.as_slice(), progress)?;
    progress.step("reading the payload");
    progress.total(manifest.files.values().map(|file| file.size).sum());
    let mut files = BTreeMap::from([(MANIFEST.to_owned(), sums)]);
    for (path, file) in &manifest.files {
        let content = Extents::of(&iso, path).ok_or_else(|| changed(path))?;
        files.insert(path.clone(), same(path, &content, file, progress)?);
    }
    let programs = programs(&iso, &parts, progress)?;
    Ok(Bill { manifest, parts, files, programs })
}

/// Files of components, out of the archive that all nodes share.
fn programs(
    iso: &Iso<&impl ReadAt>,
    parts: &Parts,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Sums>> {
    let archive = Extents::of(iso, COMMON).ok_or_else(|| changed(COMMON))?;
    let index = Index::read(&archive)?;
    let mut found = BTreeMap::new();
    for (path, file) in parts.components.values().flat_map(|component| &component.files) {
        let extent = index.file(path.trim_start_matches('/')).ok_or_else(|| changed(path))?;
        let content = Window::new(&archive, extent.offset, extent.len);
        found.insert(path.clone(), same(path, &content, file, progress)?);
    }
    Ok(found)
}

fn small(iso: &Iso<&impl ReadAt>, path: &str) -> Result<Option<Vec<u8>>> {
    iso.read_path(path, LARGEST)
}

/// The sums of a file, which must be what was written down.
fn same(path: &str, content: &impl ReadAt, file: &ManifestFile, progress: &dyn Progress) -> Result<Sums> {
    let sums = sums(content, progress)?;
    let size = content.size().map_err(unreadable)?;
    if sums.sha256 != file.sha256 || size != file.size { Err(changed(path)) } else { Ok(sums) }
}

fn sums(content: &impl ReadAt, progress: &dyn Progress) -> Result<Sums> {
    let size = content.size().map_err(unreadable)?;
    let (mut one, mut two) = (sha1::Sha1::new(), sha2::Sha256::new());
    let mut buffer = vec![0; CHUNK.min(size as usize)];
    let mut at = 0;
    while at < size {
        let now = (size - at).min(buffer.len() as u64) as usize;
        content.read_exact_at(&mut buffer[..now], at).map_err(unreadable)?;
        one.update(&buffer[..now]);
        two.update(&buffer[..now]);
        progress.advance(now as u64);
        at += now as u64;
    }
    Ok(Sums { sha1: one.finalize().into(), sha256: Sha256(two.finalize().into()) })
}

fn changed(path: &str) -> Error {
    Error::input(format!("{} is not what the medium says it is", path.escape_debug()))
        .hint("it is damaged or was changed after it was made: `kiln inspect --check` names all that differs")
}

fn unreadable(error: io::Error) -> Error {
    Error::new(Class::Io, "reading the medium failed").because(error)
}

/// A file of an image, seen as a source of its own: its parts one behind the other.
struct Extents<'a, R> {
    source: &'a R,
    parts: Vec<Extent>,
    start: u64,
}

impl<'a, R: ReadAt> Extents<'a, R> {
    fn of(iso: &'a Iso<R>, path: &str) -> Option<Self> {
        let node = iso.tree.find(path).map(|id| iso.tree.node(id)).filter(|node| node.kind == Kind::File)?;
        let start = u64::from(iso.start()) * SECTOR;
        Some(Self { source: iso.source(), parts: node.extents().collect(), start })
    }
}

impl<R: ReadAt> ReadAt for Extents<'_, R> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut skip, mut done) = (offset, 0);
        for part in &self.parts {
            let len = u64::from(part.len);
            if skip >= len {
                skip -= len;
                continue;
            }
            let now = (len - skip).min((buf.len() - done) as u64) as usize;
            let at = self.start + u64::from(part.block) * SECTOR + skip;
            self.source.read_exact_at(&mut buf[done..done + now], at)?;
            (done, skip) = (done + now, 0);
            if done == buf.len() {
                return Ok(());
            }
        }
        if done == buf.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.parts.iter().map(|part| u64::from(part.len)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file_are_one_source() {
        let bytes: Vec<u8> = (0..4 * SECTOR).map(|at| (at / SECTOR) as u8).collect();
        let parts =
            vec![Extent { block: 3, len: 2 }, Extent { block: 0, len: 0 }, Extent { block: 1, len: 3 }];
        let file = Extents { source: &bytes, parts, start: 0 };
        assert_eq!(file.read_vec_at(0, 5).unwrap(), [3, 3, 1, 1, 1]);
        assert_eq!(file.read_vec_at(1, 2).unwrap(), [3, 1]);
        assert_eq!(file.read_vec_at(5, 0).unwrap(), [0; 0]);
        assert!(file.read_vec_at(4, 2).is_err() && file.read_vec_at(9, 1).is_err());
    }
}
