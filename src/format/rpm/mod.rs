//! Packages of RPM, format 3 and 4 (rpm's `docs/manual/format_lead`, `format_header`, `format_v4`): the lead, the header of
//! signatures, the header.
//!
//! [`read::open`] reads what repodata says of a package, bounded; [`read::verify`] compares the whole file with the digests that it
//! carries; [`payload::files`] reads single files of it. Not here: who signed a package, its scripts, installing, writing. [`Evr`] and [`Dependency`] are what repodata
//! speaks in as well.

mod dep;
mod evr;
mod header;
pub mod payload;
pub mod read;

pub use dep::{Dependency, Sense};
pub use evr::{Evr, compare};

use std::fmt;

/// What a package is and needs, from its header or from repodata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Architecture: `x86_64`, `noarch`.
    pub arch: String,
    /// Version.
    pub evr: Evr,
    /// What it provides, its own name among it.
    pub provides: Vec<Dependency>,
    /// What it requires.
    pub requires: Vec<Dependency>,
    /// What may not be beside it.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// What it would like, in rpm's order: recommends, suggests, supplements, enhances.
    pub weak: [Vec<Dependency>; 4],
    /// Its files; repodata has some of them only.
    pub files: Vec<FileEntry>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Whole path.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
}

/// What a file of a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Laid down with the package.
    File,
    /// A folder.
    Dir,
    /// Of the package, and not in it.
    Ghost,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.evr, self.arch)
    }
}

#[cfg(test)]
pub(crate) mod tests;
