//! Entries of first- and second-level tables, judged as they are read.

use super::header::Header;
use super::{SECTOR, damaged};
use crate::error::Result;

/// The cluster is referred to once, so QEMU may write to it in place.
pub const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// Bits 9 to 55: where a cluster lies.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The cluster reads as zeros (version 3).
const ZERO: u64 = 1;

/// Where a cluster of the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nowhere: it reads as zeros.
    Hole,
    /// It reads as zeros, and may have a place of its own all the same.
    Zero(Option<u64>),
    /// At this byte of the file.
    Data(u64),
    /// Compressed, in `len` bytes at most.
    Compressed {
        /// First byte.
        at: u64,
        /// Bytes up to the end of the last sector.
        len: u64,
    },
}

impl Entry {
    /// Reads an entry of a second-level table of a file of `len` bytes.
    pub fn parse(raw: u64, header: &Header, len: u64) -> Result<Self> {
        if raw & COMPRESSED != 0 {
            return Self::compressed(raw, header, len);
        }
        let zero = raw & ZERO != 0;
        let at = raw & OFFSET;
        let allowed = COPIED | OFFSET | if header.version >= 3 { ZERO } else { 0 };
        if raw & !allowed != 0 || !at.is_multiple_of(header.cluster()) || at >= len.max(1) {
            return Err(damaged(format_args!("a second-level entry {raw:#x} points nowhere")));
        }
        Ok(match (zero, at) {
            (true, 0) => Entry::Zero(None),
            (true, at) => Entry::Zero(Some(at)),
            (false, 0) => Entry::Hole,
            (false, at) => Entry::Data(at),
        })
    }

    fn compressed(raw: u64, header: &Header, len: u64) -> Result<Self> {
        let bits = 62 - (header.cluster_bits - 8);
        let at = raw & ((1 << bits) - 1);
        let sectors = (raw & (COMPRESSED - 1)) >> bits;
        let bytes = (sectors + 1) * SECTOR - at % SECTOR;
        if raw & COPIED != 0 || at < header.cluster() || at >= len {
            return Err(damaged(format_args!("a compressed cluster {raw:#x} lies outside the file")));
        }
        Ok(Entry::Compressed { at, len: bytes })
    }

    /// The entry as it is written: a cluster of its own is referred to once.
    pub fn raw(self, header: &Header) -> u64 {
        match self {
            Entry::Hole => 0,
            Entry::Zero(None) => ZERO,
            Entry::Zero(Some(at)) => at | ZERO | COPIED,
            Entry::Data(at) => at | COPIED,
            Entry::Compressed { at, len } => {
                let sectors = (at + len - 1) / SECTOR - at / SECTOR;
                COMPRESSED | sectors << (62 - (header.cluster_bits - 8)) | at
            }
        }
    }
}

/// Where a second-level table lies; `None` if there is none.
pub fn table(raw: u64, header: &Header, len: u64) -> Result<Option<u64>> {
    let at = raw & OFFSET;
    let end = at.checked_add(header.cluster());
    if raw & !(COPIED | OFFSET) != 0
        || !at.is_multiple_of(header.cluster())
        || end.is_none_or(|end| at != 0 && end > len)
    {
        return Err(damaged(format_args!("a first-level entry {raw:#x} points outside the file")));
    }
    Ok((at != 0).then_some(at))
}
