//! The partition table of a master boot record (UEFI 2.10 §5.2). Reads and patches entries; the boot code, which finds
//! isolinux or GRUB by a block number of its own, is never touched.

use super::bytes::{le32, put, u8_at};

/// Bytes of the sector.
pub const LEN: usize = 512;
const TABLE: usize = 446;

/// Partition type of a protective entry (UEFI 2.10 §5.2.3).
pub const PROTECTIVE: u8 = 0xEE;
/// Partition type of an EFI system partition (UEFI 2.10 §5.2.2).
pub const ESP: u8 = 0xEF;

/// An entry in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its place, 0 to 3.
    pub index: usize,
    /// Partition type.
    pub kind: u8,
    /// First 512-byte sector.
    pub start: u32,
    /// Number of 512-byte sectors.
    pub sectors: u32,
}

/// Entries in use; none if the sector has no signature.
pub fn entries(sector: &[u8]) -> Vec<Entry> {
    if sector.get(510..512) != Some(&[0x55, 0xAA]) {
        return Vec::new();
    }
    let entry = |index: usize| {
        let at = TABLE + 16 * index;
        Entry {
            index,
            kind: u8_at(sector, at + 4),
            start: le32(sector, at + 8),
            sectors: le32(sector, at + 12),
        }
    };
    (0..4).map(entry).filter(|entry| entry.sectors > 0).collect()
}

/// Gives an entry another place. The end in cylinders, heads and sectors follows the geometry of the old end where that
/// was cylinder-aligned, as isohybrid's is, and else says "too far to tell".
pub fn place(sector: &mut [u8], index: usize, start: u64, sectors: u64) {
    let at = TABLE + 16 * index;
    let (heads, per_track) = (u32::from(u8_at(sector, at + 5)) + 1, u32::from(u8_at(sector, at + 6) & 0x3F));
    put(sector, at + 8, &u32::try_from(start).unwrap_or(u32::MAX).to_le_bytes());
    put(sector, at + 12, &u32::try_from(sectors).unwrap_or(u32::MAX).to_le_bytes());
    let cylinder = u64::from(heads * per_track);
    let end = start + sectors;
    let chs = if (heads, per_track) == (64, 32) && end.is_multiple_of(cylinder) {
        let last = (end / cylinder).clamp(1, 1024) - 1;
        [63, 32 | ((last >> 8) << 6) as u8, last as u8]
    } else {
        [0xFE, 0xFF, 0xFF]
    };
    put(sector, at + 5, &chs);
}

/// Makes an entry that is not in use one of a partition.
pub fn add(sector: &mut [u8], index: usize, kind: u8, start: u64, sectors: u64) {
    let at = TABLE + 16 * index;
    // Not active; the start in cylinders, heads and sectors is too far to tell.
    put(sector, at, &[0, 0xFE, 0xFF, 0xFF, kind]);
    place(sector, index, start, sectors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placed_entry_is_read_back() {
        let mut sector = [0; LEN];
        (sector[510], sector[511], sector[450]) = (0x55, 0xAA, ESP);
        assert_eq!(entries(&sector), []);
        place(&mut sector, 0, 328, 4096);
        assert_eq!(entries(&sector), [Entry { index: 0, kind: ESP, start: 328, sectors: 4096 }]);
        assert_eq!(sector[451..454], [0xFE, 0xFF, 0xFF]);
    }

    #[test]
    fn isohybrid_geometry_is_kept() {
        let mut sector = [0; LEN];
        (sector[451], sector[452]) = (63, 32);
        place(&mut sector, 0, 0, 2048 * 600);
        assert_eq!(sector[451..454], [63, 32 | (2 << 6), 87]);
        place(&mut sector, 0, 0, 2048 * 4000);
        assert_eq!(sector[451..454], [63, 32 | (3 << 6), 255]);
    }
}
