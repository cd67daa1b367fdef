//! Disks that were used before, and media that are not what they were.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes.
const MIB: u64 = 1 << 20;

/// A disk of 20 GiB with a GPT, an LVM volume on the first partition and a member of an MD array on the second.
pub fn lvm_and_md(path: &Path) -> PathBuf {
    File::create(path).unwrap().set_len(20 << 30).unwrap();
    run(Command::new("sgdisk").args(["-n1:2048:+1G", "-t1:8e00", "-n2:0:+1G", "-t2:fd00"]).arg(path));
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&physical_volume(), MIB).unwrap();
    file.write_all_at(&array_member(), 1025 * MIB + 4096).unwrap();
    for (at, kind) in [(MIB, "LVM2_member"), (1025 * MIB, "linux_raid_member")] {
        let mut probe = Command::new("blkid");
        probe.args(["-p", "-o", "value", "-s", "TYPE", "-O", &at.to_string(), "-S", &(1 << 30).to_string()]);
        assert_eq!(run(probe.arg(path)).trim(), kind);
    }
    path.to_owned()
}

/// The label of an LVM2 physical volume, in its second sector (LVM2, `lib/format_text/layout.h`): as much as tells what it is.
fn physical_volume() -> Vec<u8> {
    let mut bytes = vec![0; 2 * 512];
    let label = &mut bytes[512..];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1u64.to_le_bytes());
    label[20..24].copy_from_slice(&32u32.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"abcdefABCDEF0123456789abcdefABCD");
    label[64..72].copy_from_slice(&(1u64 << 30).to_le_bytes());
    let sum = crc(&label[20..512]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// LVM's checksum: CRC-32 with a start of its own and nothing turned round at the end.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

/// The superblock of an MD array's member, version 1.2 (Linux, `include/uapi/linux/raid/md_p.h`), of an array of no devices.
fn array_member() -> Vec<u8> {
    let mut block = vec![0; 256];
    block[..4].copy_from_slice(&0xa92b_4efcu32.to_le_bytes());
    block[4..8].copy_from_slice(&1u32.to_le_bytes());
    block[16..32].copy_from_slice(b"0123456789abcdef");
    // Where the superblock lies, in sectors of its device.
    block[144..152].copy_from_slice(&8u64.to_le_bytes());
    let words = block.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum: u64 = words.sum();
    let sum = (sum & 0xffff_ffff) as u32 + (sum >> 32) as u32;
    block[216..220].copy_from_slice(&sum.to_le_bytes());
    block
}

/// A copy of a medium in which one bit of a file is another.
pub fn flip(medium: &Path, path: &str, output: &Path) {
    let mut find = Command::new("xorriso");
    find.args(["-report_about", "FAILURE", "-indev"]).arg(medium).args([
        "-find",
        path,
        "-exec",
        "report_lba",
    ]);
    let text = run(&mut find);
    // File data lba: extent, block, blocks, size, 'path'
    let line =
        text.lines().find(|line| line.starts_with("File data lba:")).unwrap_or_else(|| panic!("{text}"));
    let block: u64 = line.split(',').nth(1).unwrap().trim().parse().unwrap();
    fs::copy(medium, output).unwrap();
    let file = File::options().read(true).write(true).open(output).unwrap();
    let at = block * 2048 + 700;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// A copy of a medium whose GRUB starts another entry of its menu, with the implanted checksum made anew.
pub fn choose(medium: &Path, entry: char, output: &Path) {
    const DEFAULT: &[u8] = b"set default=\"0\"";
    let mut bytes = fs::read(medium).unwrap();
    let mut menus = 0;
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(DEFAULT.len()).position(|window| window == DEFAULT) {
        at += found + DEFAULT.len();
        bytes[at - 2] = entry as u8;
        menus += 1;
    }
    assert!(menus > 0, "{} has no menu of GRUB", medium.display());
    fs::write(output, bytes).unwrap();
    run(Command::new("implantisomd5").arg("--force").arg(output));
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
