//! Names of FAT folders: the 8.3 name of an entry, and the long name spread over entries before it (FAT specification,
//! "Long File Names").

use super::{ATTR_LONG, ENTRY};

/// UTF-16 units of one long-name entry, and where they lie.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Most units of a long name.
pub const MAX_UNITS: usize = 255;

/// Checksum of an 8.3 name that its long-name entries carry.
pub fn checksum(short: &[u8]) -> u8 {
    short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// Collects the long-name entries in front of a short one. A sequence that is out of order is dropped, as drivers do.
#[derive(Debug, Default)]
pub struct Collector {
    units: Vec<u16>,
    next: u8,
    sum: u8,
}

impl Collector {
    /// Takes a long-name entry. They come last part first.
    pub fn push(&mut self, entry: &[u8; ENTRY]) {
        let order = entry[0] & 0x3f;
        if entry[0] & 0x40 != 0 {
            *self = Self { units: Vec::new(), next: order, sum: entry[13] };
        }
        if order == 0 || order != self.next || entry[13] != self.sum || usize::from(order) > 20 {
            *self = Self::default();
            return;
        }
        let part = UNITS.iter().map(|&at| u16::from_le_bytes([entry[at], entry[at + 1]]));
        self.units = part.chain(std::mem::take(&mut self.units)).collect();
        self.next -= 1;
    }

    /// The long name that belongs to the short one, if the sequence is whole and carries its checksum.
    pub fn take(&mut self, short: &[u8]) -> Option<String> {
        let done = std::mem::take(self);
        if done.units.is_empty() || done.next != 0 || done.sum != checksum(short) {
            return None;
        }
        let end = done.units.iter().position(|&unit| unit == 0).unwrap_or(done.units.len());
        String::from_utf16(&done.units[..end]).ok().filter(|name| !name.is_empty() && end <= MAX_UNITS)
    }
}

/// The 8.3 name of an entry as text. Bytes above 0x7f, whose code page nobody knows, become `_`.
pub fn short_text(entry: &[u8; ENTRY]) -> String {
    let part = |bytes: &[u8], lower: bool| -> String {
        let text: String =
            bytes.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '_' }).collect();
        let text = text.trim_end_matches(' ');
        if lower { text.to_ascii_lowercase() } else { text.to_owned() }
    };
    // Bits 3 and 4 of byte 12: Windows NT's "base name, extension is lower case".
    let base = part(&entry[..8], entry[12] & 0x08 != 0);
    let extension = part(&entry[8..11], entry[12] & 0x10 != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

/// Whether a name can be part of a path on a medium.
pub fn acceptable(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.encode_utf16().count() <= MAX_UNITS
        && !name.chars().any(|c| c.is_control() || "\"*/:<>?\\|".contains(c))
}

/// Whether two names are one on FAT, which keeps case but does not see it.
pub fn same(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// An 8.3 name for `name` that `taken` does not hold, and whether it says all (so that no long name is needed).
pub fn short_for(name: &str, taken: &dyn Fn(&[u8; 11]) -> bool) -> Option<([u8; 11], bool)> {
    let (base, extension) = match name.rsplit_once('.') {
        Some((base, extension)) if !base.is_empty() => (base, extension),
        _ => (name, ""),
    };
    let clean = |text: &str, most: usize| -> String {
        let upper = text.chars().filter(|c| !matches!(c, ' ' | '.')).map(|c| c.to_ascii_uppercase());
        upper
            .map(|c| if c.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(c) { c } else { '_' })
            .take(most)
            .collect()
    };
    let (stem, tail) = (clean(base, 8), clean(extension, 3));
    let pack = |stem: &str| {
        let mut short = [b' '; 11];
        short.iter_mut().zip(stem.bytes().take(8)).for_each(|(slot, byte)| *slot = byte);
        short.iter_mut().skip(8).zip(tail.bytes()).for_each(|(slot, byte)| *slot = byte);
        short
    };
    let plain = pack(&stem);
    let joined = if tail.is_empty() { stem.clone() } else { format!("{stem}.{tail}") };
    if !stem.is_empty() && joined.eq_ignore_ascii_case(name) && !taken(&plain) {
        return Some((plain, joined == name));
    }
    (1..1_000_000u32).find_map(|number| {
        let suffix = format!("~{number}");
        let short = pack(&format!("{}{suffix}", &stem[..stem.len().min(8 - suffix.len())]));
        (!taken(&short)).then_some((short, false))
    })
}

/// The long-name entries of a name, in the order they lie on disk.
pub fn long_entries(name: &str, short: &[u8; 11]) -> Vec<[u8; ENTRY]> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.chunks(UNITS.len()).count();
    let entry = |(index, part): (usize, &[u16])| {
        let mut entry = [0; ENTRY];
        entry[0] = (index + 1) as u8 | if index + 1 == parts { 0x40 } else { 0 };
        entry[11] = ATTR_LONG;
        entry[13] = checksum(short);
        // A terminator after the last unit, then 0xffff.
        let padded = part.iter().copied().chain([0]).chain(std::iter::repeat(0xffff));
        for (&at, unit) in UNITS.iter().zip(padded) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entry
    };
    units.chunks(UNITS.len()).enumerate().rev().map(|(index, part)| entry((index, part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_round_trip() {
        for name in ["grub.cfg", "a name of exactly 26 chars", "thirteen char", "ünïcode-😀.conf", "x"] {
            let (short, _) = short_for(name, &|_| false).unwrap();
            let mut collector = Collector::default();
            long_entries(name, &short).iter().for_each(|entry| collector.push(entry));
            assert_eq!(collector.take(&short).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_foreign_checksum_drops_the_long_name() {
        let mut collector = Collector::default();
        long_entries("grub.cfg", b"GRUB    CFG").iter().for_each(|entry| collector.push(entry));
        assert_eq!(collector.take(b"OTHER   CFG"), None);
    }

    #[test]
    fn short_names_are_made_unique() {
        assert_eq!(short_for("GRUB.CFG", &|_| false), Some((*b"GRUB    CFG", true)));
        assert_eq!(short_for("grub.cfg", &|_| false), Some((*b"GRUB    CFG", false)));
        let taken = |short: &[u8; 11]| short == b"KS-MAS~1CFG";
        assert_eq!(short_for("ks-master one.cfg", &taken), Some((*b"KS-MAS~2CFG", false)));
        assert!(
            acceptable("BOOTX64.EFI") && !acceptable("..") && !acceptable("a/b") && !acceptable("a\u{1b}")
        );
    }
}
