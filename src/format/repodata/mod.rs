//! Repositories of packages as createrepo_c writes them and yum and dnf read them: `repodata/repomd.xml`, which names the other
//! documents with their checksums, `primary.xml`, `filelists.xml`, and comps. (There is no standard; the schemas are in
//! createrepo_c's and yum's sources.)
//!
//! [`Repository`] reads, bounded and as a stream: a document is compared with its checksum before it is unpacked, unpacked within
//! limits, and never held as text. [`write()`] writes what the packages of a medium need, the same bytes for the same packages. Not
//! here: modules, updateinfo, deltas, SQLite, zchunk, signatures.

pub(in crate::format) mod compression;
mod comps;
mod primary;
mod read;
mod repomd;
mod write;
mod xml;

pub use comps::Comps;
pub use primary::{FilesOf, Offered};
pub use read::{Files, Folder, Repository};
pub use repomd::{Checksum, Entry, Index};
pub use write::{Listed, write};

/// Path of the document that names all others.
pub const REPOMD: &str = "repodata/repomd.xml";

/// What a reader of a repository may take. The largest repositories of vendors stay an order of magnitude below.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a document, once unpacked.
    pub open: u64,
    /// How many times a document may grow by unpacking, counted from one mebibyte on.
    pub ratio: u64,
    /// Bytes that a decompressor may keep.
    pub window: u64,
    /// Packages.
    pub packages: usize,
    /// Dependencies and files of a package.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open: 2 << 30, ratio: 200, window: 72 << 20, packages: 200_000, entries: 500_000 }
    }
}

#[cfg(test)]
mod tests;
