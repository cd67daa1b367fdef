//! The tree that is given out: its list, and files of it opened so that nothing else can be.
//!
//! A file is opened beneath the tree's folder, over no link, and must have the size that the list says; what the list does not name is
//! not there. Not here: who may have a file ([`super::rack`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::error::{Error, IoContext, Result};
use crate::image::pxe::list::{LIST, Listed, MAX_LIST, TreeList, normal};

/// A tree.
#[derive(Debug)]
pub struct Tree {
    folder: OwnedFd,
    /// Where it lies, for messages.
    pub path: PathBuf,
    /// What it holds.
    pub list: TreeList,
}

/// A file of a tree, opened.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Its size.
    pub size: u64,
}

impl Tree {
    /// Opens a tree.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |error: Error| error.hint("`kiln build --format pxe` makes a tree; give its folder");
        let folder = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let folder = folder.map_err(|error| wrong(Error::io("opening the tree", path, error.into())))?;
        let file = beneath(&folder, LIST).at("opening", &path.join(LIST)).map_err(wrong)?;
        let mut json = Vec::new();
        file.take(MAX_LIST + 1).read_to_end(&mut json).at("reading", &path.join(LIST))?;
        if json.len() as u64 > MAX_LIST {
            return Err(Error::input(format!("{} is too long for a list", path.join(LIST).display())));
        }
        let list = TreeList::from_json(&json, &path.join(LIST).display().to_string())?;
        Ok(Self { folder, path: path.to_owned(), list })
    }

    /// The file that a client means, by the tree's own path or by that of its address.
    pub fn find(&self, asked: &str) -> Option<(&str, &Listed)> {
        let path = normal(asked)?;
        let below = path.strip_prefix(self.list.url.path().trim_matches('/'));
        let below = below.and_then(|rest| rest.strip_prefix('/')).unwrap_or(&path);
        let found = self.list.files.get_key_value(below).or_else(|| self.list.files.get_key_value(&path));
        found.map(|(path, listed)| (path.as_str(), listed))
    }

    /// Opens a file of the list.
    ///
    /// # Errors
    /// It is gone, is no file of its own, or has another size: the tree was changed.
    pub fn read(&self, path: &str, listed: &Listed) -> io::Result<Opened> {
        let file = beneath(&self.folder, path)?;
        let stat = fstat(&file)?;
        let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        if !regular || stat.st_size as u64 != listed.size {
            return Err(io::Error::other("it is not what the list of the tree says"));
        }
        Ok(Opened { file, size: listed.size })
    }
}

/// Opens a file below a folder, and by no link or mount out of it (Linux 5.6).
fn beneath(folder: &OwnedFd, path: &str) -> io::Result<File> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // Without O_NONBLOCK a pipe in the file's place would hold the thread for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = openat2(folder, path, flags, Mode::empty(), how)?;
    Ok(File::from(file))
}
