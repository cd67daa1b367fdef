//! One digest for all bytes of a disk's file, fast on a sparse one of many terabytes.
//!
//! SHA-256 over the file's length and, for each block of 64 KiB that is not all zeros, its offset and its bytes. So it is not what
//! `sha256sum` prints, and it says the same: two files have one fingerprint only if they have the same bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::SeekFrom;
use sha2::Digest as _;

use crate::digest::Sha256;
use crate::error::{IoContext, Result};

const BLOCK: u64 = 64 << 10;

/// The fingerprint of a file.
///
/// # Errors
/// When it cannot be read.
pub fn of(path: &Path) -> Result<Sha256> {
    let file = File::open(path).at("opening the disk", path)?;
    let length = file.metadata().at("opening the disk", path)?.len();
    fingerprint(&file, length).at("reading the disk", path)
}

fn fingerprint(file: &File, length: u64) -> std::io::Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    hash.update(length.to_le_bytes());
    let zeros = vec![0; BLOCK as usize];
    let mut buffer = zeros.clone();
    let mut at = 0;
    while at < length {
        // Holes are passed over; where the file system does not know any, all is data.
        match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = data / BLOCK * BLOCK,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => {}
        }
        let piece = &mut buffer[..BLOCK.min(length - at) as usize];
        file.read_exact_at(piece, at)?;
        if *piece != zeros[..piece.len()] {
            hash.update(at.to_le_bytes());
            hash.update(&*piece);
        }
        at += BLOCK;
    }
    Ok(Sha256(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_zeros_are_one_and_every_bit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let print = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            of(&path).unwrap()
        };
        let mut bytes = vec![0; 300_000];
        let zeros = print(&bytes);
        File::create(&path).unwrap().set_len(300_000).unwrap();
        assert_eq!(of(&path).unwrap(), zeros);
        File::create(&path).unwrap().set_len(300_001).unwrap();
        assert_ne!(of(&path).unwrap(), zeros);
        let mut seen = std::collections::HashSet::from([zeros.to_string()]);
        for at in [0, 65_535, 65_536, 299_999] {
            bytes[at] ^= 1;
            assert!(seen.insert(print(&bytes).to_string()), "{at}");
            bytes[at] ^= 1;
        }
        // The same block elsewhere is another disk.
        bytes[5] = 1;
        let first = print(&bytes);
        bytes[5] = 0;
        bytes[65_541] = 1;
        assert_ne!(print(&bytes), first);
    }

    #[test]
    fn three_empty_terabytes_take_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let file = File::create(&path).unwrap();
        file.set_len(3 << 40).unwrap();
        let blank = of(&path).unwrap();
        file.write_all_at(b"x", (3 << 40) - 1).unwrap();
        assert_ne!(of(&path).unwrap(), blank);
    }
}
