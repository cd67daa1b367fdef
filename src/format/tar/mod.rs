//! Tar archives: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format") with pax extended headers where a name or
//! a size does not fit.
//!
//! [`write`] turns a [`crate::tree::Tree`] into a [`crate::blob::Blob`]: nothing is held in memory but headers, and the
//! length is known before a byte of content is read. [`read::Reader`] reads back what kiln writes, and refuses the rest:
//! hard links, devices, GNU long names, sparse files, paths that climb, members below a link, anything twice.
//! [`index::Index`] finds files in archives of other makers.

pub mod index;
pub mod read;
mod write;

pub use write::write;

/// Size of a block; headers take one, content is padded to a multiple.
pub const BLOCK: u64 = 512;

/// A header's fields as (offset, length), in the order of the standard's table.
mod field {
    pub(super) type Field = (usize, usize);
    pub(super) const NAME: Field = (0, 100);
    pub(super) const MODE: Field = (100, 8);
    pub(super) const UID: Field = (108, 8);
    pub(super) const GID: Field = (116, 8);
    pub(super) const SIZE: Field = (124, 12);
    pub(super) const MTIME: Field = (136, 12);
    pub(super) const CHECKSUM: Field = (148, 8);
    pub(super) const TYPE: Field = (156, 1);
    pub(super) const LINK: Field = (157, 100);
    pub(super) const MAGIC: Field = (257, 8);
    pub(super) const UNAME: Field = (265, 32);
    pub(super) const GNAME: Field = (297, 32);
    pub(super) const DEVMAJOR: Field = (329, 8);
    pub(super) const DEVMINOR: Field = (337, 8);
    pub(super) const PREFIX: Field = (345, 155);
}

/// `ustar`, NUL, version `00`.
const MAGIC: &[u8; 8] = b"ustar\x0000";

/// Greatest size that eleven octal digits hold: 8 GiB less one byte.
const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;

type Header = [u8; BLOCK as usize];

/// The checksum: the sum of all bytes, the checksum's own taken as spaces.
fn checksum(header: &Header) -> u64 {
    let own = field::CHECKSUM.0..field::CHECKSUM.0 + field::CHECKSUM.1;
    let byte = |(at, byte): (usize, &u8)| u64::from(if own.contains(&at) { b' ' } else { *byte });
    header.iter().enumerate().map(byte).sum()
}

/// Whether a user or group name is one that kiln writes: `[a-z_][a-z0-9_-]*`, at most 32 characters.
fn is_account(name: &str) -> bool {
    let inner = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    !name.is_empty()
        && name.len() <= field::UNAME.1
        && name.chars().all(inner)
        && !name.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests;
