//! Media: one file a kind. A writer takes the files of a payload and a base, and writes a medium; it decides nothing else.

mod ahead;
pub mod base;
mod beside;
pub mod container;
pub mod dir;
pub mod disk;
pub mod inspect;
pub mod iso;
pub mod label;
pub mod menu;
pub mod pxe;
pub mod seed;
mod staging;
mod stream;
pub mod treeinfo;
pub mod volume;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::blob::Blob;
use crate::digest::Sha256;
use crate::error::{Error, Result};

/// A file that a medium is to carry besides the vendor's.
#[derive(Debug)]
pub struct MediumFile {
    /// Absolute path on the medium: `/kiln/manifest.json`. Same rules as [`crate::tree::NodePath`].
    pub path: String,
    /// Permission bits.
    pub mode: u16,
    /// Content.
    pub content: Content,
}

/// Content of a [`MediumFile`].
#[derive(Debug)]
pub enum Content {
    /// Known now.
    Blob(Blob),
    /// Of known length, made from the digests of the files that were written before it.
    Deferred(Deferred),
}

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Blob(blob) => blob.len(),
            Content::Deferred(deferred) => deferred.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Digests of written files by path on the medium.
pub type Digests = BTreeMap<String, (u64, Sha256)>;

/// Makes the content of a [`Deferred`] file.
pub type Make = Box<dyn FnOnce(&Digests) -> Result<Vec<u8>> + Send>;

/// Content that depends on the digests of the files written before it. Its length is fixed when the layout is planned.
pub struct Deferred {
    /// Exact length in bytes of what `make` returns; a writer fails if it differs.
    pub len: u64,
    /// Called once, after all files before this one in the list were written.
    pub make: Make,
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deferred({} bytes)", self.len)
    }
}

/// Refuses an output that can be no medium: the base itself, a folder, a device;
/// and without `force` a file that kiln did not make.
pub fn check_output(base: &Path, output: &Path, force: bool) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let shown = output.display();
    let there = match std::fs::metadata(output) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("looking at", output, error).hint("choose another output")),
    };
    if let Ok(base) = std::fs::metadata(base)
        && (base.dev(), base.ino()) == (there.dev(), there.ino())
    {
        return Err(Error::input(format!("{shown} is the base itself")).hint("choose another output"));
    }
    if !there.is_file() {
        return Err(Error::input(format!("{shown} is not a regular file")).hint("choose another output"));
    }
    if !force && there.len() > 0 && !made_by_kiln(output) {
        return Err(Error::input(format!("{shown} exists already, and kiln did not make it"))
            .hint("choose another output, or use --force to replace it"));
    }
    Ok(())
}

fn made_by_kiln(path: &Path) -> bool {
    base::made_by_kiln(path) || disk::made_by_kiln(path)
}
