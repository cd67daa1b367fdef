//! ISO 9660 (ECMA-119, 4th edition) with SUSP 1.12, Rock Ridge (IEEE P1282) and Joliet: a reader hardened against hostile
//! images, and what the remaster writer needs to write directory trees. Not a general image builder.

pub mod blank;
pub mod content;
pub mod emit;
pub mod names;
pub mod plan;
pub mod read;
pub mod record;
pub mod rock;
pub mod susp;
pub mod tree;
pub mod volume;

/// Bytes of a logical sector and, in every image that kiln accepts, of a logical block (ECMA-119 6.1.2, 6.2.2).
pub const SECTOR: u64 = 2048;

/// Number of whole sectors that hold `bytes`.
pub fn sectors(bytes: u64) -> u64 {
    bytes.div_ceil(SECTOR)
}
