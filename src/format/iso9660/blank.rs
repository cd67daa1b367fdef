//! An ISO 9660 volume that holds nothing, with Rock Ridge (RRIP 1.12): what the tree writer starts from where there is no
//! vendor's volume.

use crate::format::bytes::{put, put_both32};

use super::SECTOR;

/// Blocks of the blank volume: system area, descriptors, the root directory.
pub const BLOCKS: u32 = 20;
/// Block of the primary volume descriptor (ECMA-119 6.7.1).
const PRIMARY: u32 = 16;
/// Block of the root directory.
const ROOT: u32 = 19;
/// The epoch, for the clock must not decide bytes (ECMA-119 9.1.5).
const DATE: [u8; 7] = [70, 1, 1, 0, 0, 0, 0];
/// A date that is not told (ECMA-119 8.4.26.1).
const NO_DATE: &[u8; 17] = b"0000000000000000\0";

/// The blocks of a volume of this name, which is written as it is given.
pub fn volume(label: &str) -> Vec<u8> {
    let mut out = vec![0; BLOCKS as usize * SECTOR as usize];
    let mut set = |block: u32, bytes: &[u8]| put(&mut out, block as usize * SECTOR as usize, bytes);
    set(PRIMARY, &primary(label));
    set(PRIMARY + 1, b"\xffCD001\x01");
    set(ROOT, &root());
    out
}

/// The primary volume descriptor (ECMA-119 8.4).
fn primary(label: &str) -> Vec<u8> {
    let mut raw = vec![0; SECTOR as usize];
    put(&mut raw, 0, b"\x01CD001\x01");
    // Fields of text are padded with blanks (7.4): system, volume, then set to bibliographic file.
    raw[8..72].fill(b' ');
    raw[190..813].fill(b' ');
    put(&mut raw, 40, label.as_bytes().get(..32).unwrap_or(label.as_bytes()));
    put_both32(&mut raw, 80, BLOCKS);
    // Set size 1, sequence number 1, blocks of 2048 bytes (7.2.3).
    put(&mut raw, 120, &[1, 0, 0, 1]);
    put(&mut raw, 124, &[1, 0, 0, 1]);
    put(&mut raw, 128, &[0, 8, 8, 0]);
    put(&mut raw, 156, &record(0, &[]));
    for at in [813, 830, 847, 864] {
        put(&mut raw, at, NO_DATE);
    }
    raw[881] = 1;
    raw
}

/// The root directory: `.` with `SP` and `ER` (P1281 5.3, 5.5; P1282 4.3), and `..`.
fn root() -> Vec<u8> {
    let mut posix = vec![0; 44];
    put(&mut posix, 0, b"PX\x2c\x01");
    for (at, value) in [(4, 0o040_555), (12, 2), (36, 1)] {
        put_both32(&mut posix, at, value);
    }
    let mut times = b"TF\x1a\x01\x0e".to_vec();
    (0..3).for_each(|_| times.extend_from_slice(&DATE));
    let own =
        [b"SP\x07\x01\xbe\xef\0".as_slice(), &posix, &times, b"ER\x11\x01\x09\0\0\x01IEEE_1282"].concat();
    let mut out = record(0, &own);
    out.extend(record(1, &[posix, times].concat()));
    out
}

/// A record of the root directory in itself (ECMA-119 9.1).
fn record(id: u8, more: &[u8]) -> Vec<u8> {
    let mut raw = vec![0; 34];
    put_both32(&mut raw, 2, ROOT);
    put_both32(&mut raw, 10, SECTOR as u32);
    put(&mut raw, 18, &DATE);
    raw[25] = 0x02;
    put(&mut raw, 28, &[1, 0, 0, 1]);
    (raw[32], raw[33]) = (1, id);
    raw.extend_from_slice(more);
    raw.resize(raw.len().next_multiple_of(2), 0);
    raw[0] = raw.len() as u8;
    raw
}
