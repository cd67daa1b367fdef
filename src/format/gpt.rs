//! GUID partition tables (UEFI 2.10 §5.3): reads a vendor's, and writes it again for a medium of another size, with numbers,
//! names, types and identifiers kept. The tables of isohybrid overlap on purpose; that is kept, too.

use super::bytes::{le32, le64, put};
use super::guid::Guid;
use super::read_at::ReadAt;

/// Bytes of a sector in all tables that kiln reads.
pub const SECTOR: u64 = 512;
/// Most bytes of entries that are read (128 entries of 128 bytes are the rule).
const MAX_ENTRIES: u32 = 64 << 10;

/// A table: one header and its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    header: Vec<u8>,
    entries: Vec<u8>,
}

/// A partition in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the table, from 0.
    pub index: usize,
    /// First sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
}

impl Gpt {
    /// Reads the table whose header lies in sector `lba`; `None` if there is none or a checksum is wrong.
    pub fn read(source: &impl ReadAt, lba: u64) -> Option<Self> {
        let mut header = source.read_vec_at(lba.checked_mul(SECTOR)?, SECTOR as usize).ok()?;
        let len = le32(&header, 12) as usize;
        if !header.starts_with(b"EFI PART") || !(92..=512).contains(&len) || le64(&header, 24) != lba {
            return None;
        }
        header.truncate(len);
        let (size, count) = (le32(&header, 84), le32(&header, 80));
        let bytes = size.checked_mul(count).filter(|bytes| (1..=MAX_ENTRIES).contains(bytes))?;
        if size < 128 || size % 8 != 0 || checksum(&header) != le32(&header, 16) {
            return None;
        }
        let entries = source.read_vec_at(le64(&header, 72).checked_mul(SECTOR)?, bytes as usize).ok()?;
        (crc32fast::hash(&entries) == le32(&header, 88)).then_some(Self { header, entries })
    }

    /// Sector of the other header.
    pub fn alternate(&self) -> u64 {
        le64(&self.header, 32)
    }

    /// First sector of the entries.
    pub fn entries_lba(&self) -> u64 {
        le64(&self.header, 72)
    }

    /// Last sector that a partition may use.
    pub fn last_usable(&self) -> u64 {
        le64(&self.header, 48)
    }

    /// Bytes of one entry.
    fn entry_size(&self) -> usize {
        le32(&self.header, 84) as usize
    }

    /// Partitions in use.
    pub fn partitions(&self) -> Vec<Partition> {
        let entries = self.entries.chunks_exact(self.entry_size()).enumerate();
        entries
            .filter(|(_, entry)| entry[..16] != [0; 16])
            .map(|(index, entry)| Partition { index, first: le64(entry, 32), last: le64(entry, 40) })
            .collect()
    }

    /// What a partition is for.
    pub fn kind(&self, index: usize) -> Guid {
        let at = index * self.entry_size();
        let mut kind = [0; 16];
        if let Some(bytes) = self.entries.get(at..at + 16) {
            kind.copy_from_slice(bytes);
        }
        Guid(kind)
    }

    /// Adds a partition in the first free entry: its number from 0, or `None` if there is none.
    pub fn add(&mut self, kind: Guid, id: Guid, (first, last): (u64, u64), name: &str) -> Option<usize> {
        let size = self.entry_size();
        let index = self.entries.chunks_exact(size).position(|entry| entry[..16] == [0; 16])?;
        let mut entry = vec![0; size];
        put(&mut entry, 0, &kind.0);
        put(&mut entry, 16, &id.0);
        put(&mut entry, 32, &first.to_le_bytes());
        put(&mut entry, 40, &last.to_le_bytes());
        // 36 units of UTF-16.
        let name: Vec<u8> = name.encode_utf16().take(36).flat_map(u16::to_le_bytes).collect();
        put(&mut entry, 56, &name);
        put(&mut self.entries, index * size, &entry);
        Some(index)
    }

    /// Gives a partition another place.
    pub fn place(&mut self, index: usize, first: u64, last: u64) {
        let at = index * self.entry_size();
        put(&mut self.entries, at + 32, &first.to_le_bytes());
        put(&mut self.entries, at + 40, &last.to_le_bytes());
    }

    /// Takes a partition out of the table.
    pub fn remove(&mut self, index: usize) {
        let size = self.entry_size();
        put(&mut self.entries, index * size, &vec![0; size]);
    }

    /// Number of sectors of the entries.
    pub fn entry_sectors(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(SECTOR)
    }

    /// The entries.
    pub fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// The header sector to be written at `own`, with the other one at `other` and the entries at `entries`.
    pub fn header(&self, own: u64, other: u64, entries: u64, last_usable: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        put(&mut header, 24, &own.to_le_bytes());
        put(&mut header, 32, &other.to_le_bytes());
        put(&mut header, 48, &last_usable.to_le_bytes());
        put(&mut header, 72, &entries.to_le_bytes());
        put(&mut header, 88, &crc32fast::hash(&self.entries).to_le_bytes());
        let sum = checksum(&header);
        put(&mut header, 16, &sum.to_le_bytes());
        header.resize(SECTOR as usize, 0);
        header
    }
}

/// CRC-32 of a header with its own field taken as zero.
fn checksum(header: &[u8]) -> u32 {
    let mut copy = header.to_vec();
    put(&mut copy, 16, &[0; 4]);
    crc32fast::hash(&copy)
}
