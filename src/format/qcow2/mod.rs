//! QEMU's disk format qcow2, versions 2 and 3 (QEMU `docs/interop/qcow2.rst`): a reader for whatever a vendor gives out, a writer
//! of blank disks, a writer of compressed ones, and an editor that grows a copy and puts data into it.
//!
//! Not here: backing files, encryption, external data files, extended L2 entries, bitmaps and snapshots. Images that need them are
//! refused with the reason. All numbers of the format are big-endian.

mod cache;
mod codec;
mod counts;
mod edit;
mod entry;
mod header;
mod read;
mod write;

pub use codec::Compression;
pub use edit::Edit;
pub use header::{Header, is_qcow2};
pub use read::Qcow2;
pub use write::{blank, write};

use crate::error::Error;

/// Bytes of a sector, the unit of compressed clusters.
const SECTOR: u64 = 512;

/// An image that contradicts itself.
fn damaged(what: impl std::fmt::Display) -> Error {
    Error::input(format!("the qcow2 image is damaged: {what}"))
        .hint("copy or download the image again, and compare its checksum; `qemu-img check` says more")
}

#[cfg(test)]
mod tests;
