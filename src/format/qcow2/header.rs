//! The header: what is read of it, what is refused, and how it is written.

use super::codec::Compression;
use super::damaged;
use crate::error::{Error, Result};
use crate::format::bytes::{be32, be64, u8_at};
use crate::format::read_at::ReadAt;

const MAGIC: &[u8; 4] = b"QFI\xfb";
/// Length of a version 2 header.
const LEN_2: usize = 72;
/// Length of a version 3 header without what is optional.
const LEN_3: u32 = 104;
/// Length with the type of compression, padded to a multiple of eight.
const LEN_TYPED: u32 = 112;
/// Largest first-level table, as QEMU has it.
const L1_MAX: u64 = (32 << 20) / 8;
/// Largest disk: what a first-level table of that length maps with clusters of 64 KiB is far more.
const SIZE_MAX: u64 = 64 << 40;

/// Incompatible features (QEMU qcow2, "incompatible_features").
const DIRTY: u64 = 1;
const CORRUPT: u64 = 2;
const DATA_FILE: u64 = 4;
const COMPRESSION: u64 = 8;
const EXTENDED_L2: u64 = 16;

/// What is to be known of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Clusters have 2 to this many bytes.
    pub cluster_bits: u32,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Entries of the first-level table.
    pub l1_entries: u32,
    /// Where that table lies.
    pub l1_at: u64,
    /// How clusters are compressed.
    pub compression: Compression,
    /// Whether there are snapshots inside.
    pub snapshots: bool,
}

/// Whether a file begins as a qcow2 image does.
pub fn is_qcow2(source: &impl ReadAt) -> bool {
    source.read_vec_at(0, MAGIC.len()).is_ok_and(|magic| magic == MAGIC)
}

impl Header {
    /// Reads and judges the header of an image.
    ///
    /// # Errors
    /// Of class input: no such image, damaged, or in need of what is not supported.
    pub fn read(source: &impl ReadAt) -> Result<Self> {
        let fixed =
            source.read_vec_at(0, LEN_2).map_err(|error| damaged("it is too short").because(error))?;
        if !fixed.starts_with(MAGIC) {
            return Err(Error::input("it is no qcow2 image"));
        }
        let version = be32(&fixed, 4);
        if !(2..=3).contains(&version) {
            return Err(Error::input(format!(
                "it is a qcow2 image of version {version}, and kiln reads 2 and 3"
            ))
            .hint("convert it: qemu-img convert -O qcow2 OLD NEW"));
        }
        if be64(&fixed, 8) != 0 {
            return Err(flatten("it has a backing file, so it is not the whole disk"));
        }
        if be32(&fixed, 32) != 0 {
            return Err(flatten("it is encrypted"));
        }
        let compression = if version == 3 { features(source)? } else { Compression::Zlib };
        let header = Self {
            version,
            cluster_bits: be32(&fixed, 20),
            size: be64(&fixed, 24),
            l1_entries: be32(&fixed, 36),
            l1_at: be64(&fixed, 40),
            compression,
            snapshots: be32(&fixed, 60) != 0,
        };
        header.check(source)?;
        Ok(header)
    }

    fn check(&self, source: &impl ReadAt) -> Result<()> {
        if !(9..=21).contains(&self.cluster_bits) {
            return Err(damaged(format_args!("clusters of 2^{} bytes", self.cluster_bits)));
        }
        if self.size == 0 || self.size > SIZE_MAX || !self.size.is_multiple_of(super::SECTOR) {
            return Err(damaged(format_args!("a disk of {} bytes", self.size)));
        }
        let (needed, have) = (self.l1_needed(), u64::from(self.l1_entries));
        if have < needed || have > L1_MAX {
            return Err(damaged(format_args!(
                "its first-level table has {have} entries, {needed} are needed"
            )));
        }
        let len = source.size().map_err(|error| Error::input("the image cannot be read").because(error))?;
        let end = self.l1_at.checked_add(have * 8);
        if self.l1_at == 0 || !self.l1_at.is_multiple_of(self.cluster()) || end.is_none_or(|end| end > len) {
            return Err(damaged("its first-level table lies outside the file"));
        }
        Ok(())
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of a second-level table, which is one cluster.
    pub fn l2_entries(&self) -> u64 {
        self.cluster() / 8
    }

    /// Clusters of the disk.
    pub fn clusters(&self) -> u64 {
        self.size.div_ceil(self.cluster())
    }

    /// Entries that the first-level table needs for the size.
    pub fn l1_needed(&self) -> u64 {
        self.clusters().div_ceil(self.l2_entries())
    }

    /// The disk with another size.
    ///
    /// # Errors
    /// When the format cannot hold it.
    pub fn resized(mut self, size: u64) -> Result<Self> {
        self.size = size;
        let entries = self.l1_needed();
        if size == 0 || size > SIZE_MAX || !size.is_multiple_of(super::SECTOR) || entries > L1_MAX {
            let text = format!(
                "a qcow2 image with clusters of {} bytes cannot be a disk of {size} bytes",
                self.cluster()
            );
            return Err(Error::input(text).hint("give a smaller --size"));
        }
        self.l1_entries = entries as u32;
        Ok(self)
    }

    /// The header as bytes, with refcounts of 16 bits and no extensions.
    pub fn to_bytes(self, refcounts_at: u64, refcounts_clusters: u32) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(&self.version.to_be_bytes());
        // No backing file.
        put(&[0; 12]);
        put(&self.cluster_bits.to_be_bytes());
        put(&self.size.to_be_bytes());
        // No encryption.
        put(&[0; 4]);
        put(&self.l1_entries.to_be_bytes());
        put(&self.l1_at.to_be_bytes());
        put(&refcounts_at.to_be_bytes());
        put(&refcounts_clusters.to_be_bytes());
        // No snapshots.
        put(&[0; 12]);
        if self.version == 3 {
            let typed = self.compression != Compression::Zlib;
            put(&(if typed { COMPRESSION } else { 0 }).to_be_bytes());
            // Features: compatible, autoclear.
            put(&[0; 16]);
            // Refcounts of 2^4 bits.
            put(&4_u32.to_be_bytes());
            put(&(if typed { LEN_TYPED } else { LEN_3 }).to_be_bytes());
            if typed {
                put(&[1, 0, 0, 0, 0, 0, 0, 0]);
            }
        }
        // The end of the extensions.
        put(&[0; 8]);
        out
    }
}

/// What version 3 says of itself.
fn features(source: &impl ReadAt) -> Result<Compression> {
    let more = source.read_vec_at(0, LEN_3 as usize);
    let more = more.map_err(|error| damaged("its header is too short").because(error))?;
    let (incompatible, order, len) = (be64(&more, 72), be32(&more, 96), be32(&more, 100));
    if incompatible & DIRTY != 0 {
        return Err(Error::input("the qcow2 image was not closed properly (its dirty bit is set)")
            .hint("repair it: qemu-img check -r all IMAGE"));
    }
    if incompatible & CORRUPT != 0 {
        return Err(damaged("it says so itself (its corrupt bit is set)"));
    }
    if incompatible & DATA_FILE != 0 {
        return Err(flatten("its data is in another file"));
    }
    if incompatible & EXTENDED_L2 != 0 {
        return Err(flatten("it has extended L2 entries (subclusters)"));
    }
    let unknown = incompatible & !COMPRESSION;
    if unknown != 0 {
        return Err(flatten(&format!("it needs features that kiln does not know ({unknown:#x})")));
    }
    if order > 6 || len < LEN_3 || !len.is_multiple_of(8) {
        return Err(damaged(format_args!("a header of {len} bytes, refcounts of 2^{order} bits")));
    }
    let kind = match len > LEN_3 {
        true => u8_at(&source.read_vec_at(u64::from(LEN_3), 1).unwrap_or_default(), 0),
        false => 0,
    };
    match (kind, incompatible & COMPRESSION != 0) {
        (0, _) => Ok(Compression::Zlib),
        (1, true) => Ok(Compression::Zstd),
        _ => Err(flatten(&format!("its compression is of an unknown type ({kind})"))),
    }
}

fn flatten(what: &str) -> Error {
    Error::input(format!("the qcow2 image cannot be used: {what}"))
        .hint("make a plain one of it: qemu-img convert -O qcow2 OLD NEW")
}
