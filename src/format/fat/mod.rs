//! FAT12, FAT16 and FAT32 as EFI system partitions use them ("Microsoft Extensible Firmware Initiative FAT32 File System
//! Specification", 1.03; UEFI 13.3): a hardened reader, and a writer that rebuilds an image with some files replaced.
//!
//! Not here: exFAT, partition tables, editing in place.

pub mod name;
pub mod read;
pub mod write;

pub use read::{Fat, Item};
pub use write::rebuild;

use crate::error::{Error, Result};

/// Largest image that is accepted: vendors' EFI images have 5 to 30 MiB, and an image is held in memory.
pub const MAX_IMAGE: usize = 256 << 20;
/// Bytes of a directory entry (FAT specification, "FAT Directory Structure").
pub const ENTRY: usize = 32;
/// Attribute of a volume label.
pub const ATTR_VOLUME: u8 = 0x08;
/// Attribute of a folder.
pub const ATTR_DIR: u8 = 0x10;
/// All attributes of a long-name entry, and the mask to tell one.
pub const ATTR_LONG: u8 = 0x0f;

/// Width of the entries of the file allocation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FatType {
    /// 12 bits, at most 4084 clusters.
    Fat12,
    /// 16 bits, at most 65524 clusters.
    Fat16,
    /// 28 bits of 32; the root folder is a chain of clusters.
    Fat32,
}

impl FatType {
    /// Most clusters that the type may have.
    pub fn max_clusters(self) -> u32 {
        match self {
            FatType::Fat12 => 4084,
            FatType::Fat16 => 65524,
            FatType::Fat32 => 0x0fff_fff4,
        }
    }

    /// Name as `minfo` and `file` print it: `FAT16`.
    pub fn as_str(self) -> &'static str {
        match self {
            FatType::Fat12 => "FAT12",
            FatType::Fat16 => "FAT16",
            FatType::Fat32 => "FAT32",
        }
    }

    /// Bytes of a table for `clusters` clusters, the two reserved entries included.
    pub fn table_bytes(self, clusters: u32) -> u64 {
        let entries = u64::from(clusters) + 2;
        match self {
            FatType::Fat12 => (entries * 3).div_ceil(2),
            FatType::Fat16 => entries * 2,
            FatType::Fat32 => entries * 4,
        }
    }
}

/// What the BIOS parameter block says (FAT specification, "Boot Sector and BPB"), checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width of table entries.
    pub kind: FatType,
    /// Bytes of a sector: 512, 1024, 2048 or 4096.
    pub sector: u32,
    /// Sectors of a cluster, a power of two.
    pub per_cluster: u32,
    /// Sectors before the first table.
    pub reserved: u32,
    /// Number of tables, 1 or 2.
    pub tables: u32,
    /// Sectors of one table.
    pub table_sectors: u32,
    /// Entries of the fixed root folder; 0 for FAT32.
    pub root_entries: u32,
    /// First cluster of the root folder; 0 but for FAT32.
    pub root_cluster: u32,
    /// Sectors of the volume.
    pub sectors: u32,
    /// Clusters of the data area; they are numbered from 2.
    pub clusters: u32,
}

impl Geometry {
    /// Reads and checks the parameter block of an image.
    pub fn parse(image: &[u8]) -> Result<Self> {
        if image.len() > MAX_IMAGE {
            return Err(wrong(format!("it has {} bytes, and at most {MAX_IMAGE} are read", image.len())));
        }
        let boot = image.get(..512).ok_or_else(|| wrong("it is shorter than a boot sector"))?;
        if boot[510..512] != [0x55, 0xaa] {
            return Err(wrong("its boot sector has no signature 55 AA"));
        }
        let sector = u32::from(le16(boot, 11));
        if ![512, 1024, 2048, 4096].contains(&sector) {
            return Err(wrong(format!("a sector cannot have {sector} bytes")));
        }
        let per_cluster = u32::from(boot[13]);
        if !per_cluster.is_power_of_two() || per_cluster * sector > 64 << 10 {
            return Err(wrong(format!("a cluster cannot have {per_cluster} sectors")));
        }
        let (reserved, tables) = (u32::from(le16(boot, 14)), u32::from(boot[16]));
        if reserved == 0 || !(1..=2).contains(&tables) {
            return Err(wrong(format!("{reserved} reserved sectors and {tables} tables cannot be")));
        }
        let either = |short: u16, long: u32| if short != 0 { u32::from(short) } else { long };
        let sectors = either(le16(boot, 19), le32(boot, 32));
        let wide = le16(boot, 22) == 0;
        let table_sectors = either(le16(boot, 22), le32(boot, 36));
        let root_entries = u32::from(le16(boot, 17));
        if wide == (root_entries != 0) {
            return Err(wrong("its root folder fits neither FAT16 nor FAT32"));
        }
        let mut geometry = Self {
            kind: FatType::Fat32,
            sector,
            per_cluster,
            reserved,
            tables,
            table_sectors,
            root_entries,
            root_cluster: if wide { le32(boot, 44) } else { 0 },
            sectors,
            clusters: 0,
        };
        geometry.count_clusters(wide, image.len())?;
        Ok(geometry)
    }

    /// Derives the number of clusters and with it the type, and checks that all lies inside of `len` bytes.
    fn count_clusters(&mut self, wide: bool, len: usize) -> Result<()> {
        if u64::from(self.sectors) * u64::from(self.sector) > len as u64 {
            return Err(wrong(format!("it claims {} sectors, and {len} bytes are there", self.sectors)));
        }
        let data = u64::from(self.sectors).checked_sub(self.data_sector());
        let clusters = data.map_or(0, |data| data / u64::from(self.per_cluster)) as u32;
        if clusters == 0 {
            return Err(wrong("there is no room for data after its tables"));
        }
        self.clusters = clusters;
        self.kind = match clusters {
            _ if wide => FatType::Fat32,
            0..=4084 => FatType::Fat12,
            4085..=65524 => FatType::Fat16,
            _ => return Err(wrong(format!("{clusters} clusters are too many for FAT16"))),
        };
        let table = u64::from(self.table_sectors) * u64::from(self.sector);
        if table < self.kind.table_bytes(clusters) {
            return Err(wrong("its table is too short for its clusters"));
        }
        if wide && !(2..clusters + 2).contains(&self.root_cluster) {
            return Err(wrong("its root folder lies outside"));
        }
        Ok(())
    }

    /// Sectors of the fixed root folder.
    pub fn root_sectors(&self) -> u32 {
        (self.root_entries * ENTRY as u32).div_ceil(self.sector)
    }

    /// First sector of cluster 2.
    pub fn data_sector(&self) -> u64 {
        self.root_sector() + u64::from(self.root_sectors())
    }

    /// First sector of the fixed root folder.
    pub fn root_sector(&self) -> u64 {
        u64::from(self.reserved) + u64::from(self.tables) * u64::from(self.table_sectors)
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> usize {
        (self.per_cluster * self.sector) as usize
    }

    /// First byte of a cluster, which must be one of the volume's.
    pub fn offset_of(&self, cluster: u32) -> usize {
        let sector = self.data_sector() + u64::from(cluster.saturating_sub(2)) * u64::from(self.per_cluster);
        (sector * u64::from(self.sector)) as usize
    }

    /// Offset of the extended boot record: the signature 0x29, the serial number, the label.
    pub fn extended(&self) -> usize {
        if self.kind == FatType::Fat32 { 66 } else { 38 }
    }
}

/// Bytes of the volume that a boot sector describes; nothing if it is no boot sector of FAT. Nothing else is checked.
pub fn claimed_size(boot: &[u8]) -> Option<u64> {
    let boot = boot.get(..512).filter(|boot| boot[510..] == [0x55, 0xaa])?;
    let sectors = match le16(boot, 19) {
        0 => le32(boot, 32),
        short => u32::from(short),
    };
    Some(u64::from(sectors) * u64::from(le16(boot, 11))).filter(|size| *size > 0)
}

/// An error about an image that is no FAT file system, or a broken one.
pub(crate) fn wrong(what: impl std::fmt::Display) -> Error {
    Error::input(format!("the FAT image (EFI system partition) cannot be read: {what}"))
        .hint("the base medium may be damaged or truncated; compare its checksum with the vendor's")
}

/// Little-endian number at an offset that the caller has checked.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Little-endian number at an offset that the caller has checked.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}
