//! Blank disks in QEMU's qcow2 format, version 3 (QEMU `docs/interop/qcow2.txt`). A writer only: QEMU reads them.
//!
//! Why blank disks are qcow2: the map from a disk's clusters to the file's is held in QEMU's memory and written when the guest
//! flushes. So when QEMU is killed, a cluster's first write is lost unless the guest flushed it: as on a drive with a write
//! cache that loses its power. A raw file would keep every write, flushed or not.

use std::fs::File;
use std::io::{Result, Seek, SeekFrom, Write};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Length of a version 3 header without what is optional.
const HEADER: u32 = 104;

/// Writes a disk of `size` bytes that reads as zeros.
pub fn write_blank(mut file: &File, size: u64) -> Result<()> {
    // An L2 table is a cluster of 8-byte entries, and so covers 8192 clusters.
    let l1_entries = size.div_ceil(CLUSTER * (CLUSTER / 8)).max(1);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    // Header, refcount table, refcount block (16-bit counts: covers 32768 clusters), L1 table.
    let clusters = 3 + l1_clusters;
    let mut header = Vec::with_capacity(HEADER as usize);
    header.extend_from_slice(b"QFI\xfb");
    put32(&mut header, 3);
    // No backing file.
    put64(&mut header, 0);
    put32(&mut header, 0);
    put32(&mut header, CLUSTER_BITS);
    put64(&mut header, size);
    // No encryption.
    put32(&mut header, 0);
    put32(&mut header, u32::try_from(l1_entries).unwrap_or(u32::MAX));
    put64(&mut header, 3 * CLUSTER);
    put64(&mut header, CLUSTER);
    put32(&mut header, 1);
    // No snapshots.
    put32(&mut header, 0);
    put64(&mut header, 0);
    // Features: incompatible, compatible, autoclear.
    put64(&mut header, 0);
    put64(&mut header, 0);
    put64(&mut header, 0);
    // Refcounts of 2^4 bits.
    put32(&mut header, 4);
    put32(&mut header, HEADER);
    file.set_len(clusters * CLUSTER)?;
    let mut put = |at: u64, bytes: &[u8]| file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
    put(0, &header)?;
    put(CLUSTER, &(2 * CLUSTER).to_be_bytes())?;
    let counts: Vec<u8> = (0..clusters).flat_map(|_| 1u16.to_be_bytes()).collect();
    put(2 * CLUSTER, &counts)
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn qemu_img_finds_blank_disks_sound() {
        let dir = tempfile::tempdir().unwrap();
        for size in [1 << 20, 20 << 30, 3 << 40, 64 << 40] {
            let path = dir.path().join("disk.qcow2");
            write_blank(&File::create(&path).unwrap(), size).unwrap();
            let run = |words: &[&str]| {
                let output = Command::new("qemu-img").args(words).arg(&path).output();
                let output = output.expect("this test needs qemu-img: apt-get install qemu-utils");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap()
            };
            assert!(run(&["check", "-f", "qcow2"]).contains("No errors were found"));
            let info: serde_json::Value =
                serde_json::from_str(&run(&["info", "-f", "qcow2", "--output=json"])).unwrap();
            assert_eq!(info["virtual-size"], size);
        }
    }
}
