//! The El Torito boot catalog (El Torito 1.0, section 2): which images firmware boots from a CD. Reads it and tells where
//! the numbers of an entry lie, so that a moved image can be patched in place.

use super::bytes::{le16, le32, u8_at};

/// Platform of an entry (El Torito 1.0, figure 2; UEFI 2.10 §13.3.2.1 for EFI).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// 80x86 with a BIOS.
    Bios,
    /// UEFI.
    Efi,
    /// Something else.
    Other(u8),
}

impl From<u8> for Platform {
    fn from(id: u8) -> Self {
        match id {
            0x00 => Platform::Bios,
            0xEF => Platform::Efi,
            other => Platform::Other(other),
        }
    }
}

/// An entry of the catalog that can be booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootEntry {
    /// Which firmware it is for.
    pub platform: Platform,
    /// First block of the image.
    pub block: u32,
    /// Number of 512-byte sectors to load.
    pub sectors: u16,
    /// Where the 32-byte entry begins in the catalog.
    pub at: usize,
}

/// Reads the bootable entries of a catalog (one sector is enough for 60 of them); `None` if it is no valid catalog.
pub fn parse(catalog: &[u8]) -> Option<Vec<BootEntry>> {
    let validation = catalog.get(..32)?;
    let sum = validation.chunks_exact(2).fold(0_u16, |sum, pair| sum.wrapping_add(le16(pair, 0)));
    if validation[0] != 1 || validation[30..32] != [0x55, 0xAA] || sum != 0 {
        return None;
    }
    let mut entries = Vec::new();
    let mut platform = Platform::from(validation[1]);
    let (mut left, mut last, mut at) = (1_u32, false, 32);
    while let Some(entry) = catalog.get(at..at + 32) {
        match entry[0] {
            // Section header: 0x90, or 0x91 for the last one (2.3).
            0x90 | 0x91 if left == 0 && !last => {
                platform = Platform::from(entry[1]);
                left = u32::from(le16(entry, 2));
                last = entry[0] == 0x91;
            }
            0x44 => {} // extension of the entry before (2.5)
            indicator if left > 0 => {
                left -= 1;
                if indicator == 0x88 {
                    let (block, sectors) = (le32(entry, 8), le16(entry, 6));
                    entries.push(BootEntry { platform, block, sectors, at });
                }
            }
            _ => break,
        }
        at += 32;
    }
    Some(entries)
}

/// Points the entry at `at` of a catalog at another image. A count that does not fit its 16 bits is the largest.
pub fn patch(catalog: &mut [u8], at: usize, block: u32, bytes: u64) {
    let sectors = u16::try_from(bytes.div_ceil(512)).unwrap_or(u16::MAX);
    // Zero and one mean "to the end of the medium" (UEFI 2.10 §13.3.2.1); who wrote that meant it.
    if u8_at(catalog, at + 6) > 1 || u8_at(catalog, at + 7) > 0 {
        super::bytes::put(catalog, at + 6, &sectors.to_le_bytes());
    }
    super::bytes::put(catalog, at + 8, &block.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Vec<u8> {
        let mut c = vec![0; 2048];
        c[0] = 1;
        (c[28], c[29], c[30], c[31]) = (0xAA, 0x55, 0x55, 0xAA);
        let sum = c[..32].chunks(2).fold(0_u16, |sum, pair| sum.wrapping_add(le16(pair, 0)));
        c[28..30].copy_from_slice(&0x55AA_u16.wrapping_sub(sum).to_le_bytes());
        (c[32], c[38], c[40]) = (0x88, 4, 100);
        (c[64], c[65], c[66]) = (0x91, 0xEF, 1);
        (c[96], c[103], c[104]) = (0x88, 16, 200);
        c
    }

    #[test]
    fn entries_of_both_firmwares() {
        let mut c = catalog();
        let entries = parse(&c).unwrap();
        assert_eq!(entries[0], BootEntry { platform: Platform::Bios, block: 100, sectors: 4, at: 32 });
        assert_eq!(entries[1], BootEntry { platform: Platform::Efi, block: 200, sectors: 4096, at: 96 });
        patch(&mut c, 96, 300, 1 << 20);
        assert_eq!(
            parse(&c).unwrap()[1],
            BootEntry { platform: Platform::Efi, block: 300, sectors: 2048, at: 96 }
        );
    }

    #[test]
    fn a_wrong_checksum_is_no_catalog() {
        let mut c = catalog();
        c[5] ^= 1;
        assert!(parse(&c).is_none());
        assert!(parse(&[]).is_none());
    }
}
