//! The judges are `sgdisk` and `sfdisk`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

const MIB: u64 = 1 << 20;
const ID: Guid = Guid([7; 16]);

/// Runs a program with a script on its standard input; what it says.
fn tool(words: &[&str], file: &Path, script: &str) -> String {
    let mut command = Command::new(words[0]);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command.args(&words[1..]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("this test needs {}: {error}", words[0]));
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words:?}: {said}");
    said
}

/// A disk of `mib` MiB, parted by a script of sfdisk.
fn parted(dir: &Path, mib: u64, script: &str) -> PathBuf {
    let path = dir.join("disk.raw");
    File::create(&path).unwrap().set_len(mib * MIB).unwrap();
    tool(&["sfdisk", "-q"], &path, script);
    path
}

/// Carries a plan out on the file.
fn apply(path: &Path, layout: &Layout) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(layout.size).unwrap();
    layout.writes.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
}

fn sound(path: &Path, gpt: bool) {
    let said = tool(&["sfdisk", "-V"], path, "");
    assert!(said.contains("No errors detected") || said.contains("Remaining"), "{said}");
    if gpt {
        let said = tool(&["sgdisk", "-v"], path, "");
        assert!(said.contains("No problems found"), "{said}");
    }
}

const ALMA: &str = "label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\n\
    size=20MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\nsize=30MiB, type=BC13C2FF-59E6-4262-A352-B275FD6F7172\n\
    type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root\n";

#[test]
fn a_gpt_grows_and_gets_the_payload_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = parted(dir.path(), 200, ALMA);
    let before = tool(&["sfdisk", "-d"], &path, "");
    let disk = Disk::read(&File::open(&path).unwrap()).unwrap();
    assert!(disk.table() == "GPT" && disk.root_grows() && disk.parts.len() == 4);
    let layout = disk.plan(400 * MIB, 50 * MIB, ID).unwrap();
    apply(&path, &layout);
    sound(&path, true);
    let after = tool(&["sfdisk", "-d"], &path, "");
    for line in before.lines().filter(|line| line.contains("start=") || line.contains("label-id")) {
        assert!(after.contains(line), "{line}\n{after}");
    }
    assert!(layout.at >= 348 * MIB && layout.at.is_multiple_of(ALIGN));
    let line = format!("start={:>12}", layout.at / SECTOR);
    let payload = after.lines().find(|text| text.contains("kiln-payload")).unwrap();
    assert!(
        payload.contains(&line) || payload.contains(&format!("start= {}", layout.at / SECTOR)),
        "{payload}"
    );
    // The old backup is gone, and the protective entry tells the new size.
    let file = File::open(&path).unwrap();
    assert_eq!(file.read_vec_at(200 * MIB - 33 * SECTOR, 33 * 512).unwrap(), vec![0; 33 * 512]);
    let entry = mbr::entries(&file.read_vec_at(0, 512).unwrap())[0];
    assert_eq!(u64::from(entry.sectors), 400 * MIB / SECTOR - 1);
    // Up to the payload there is nothing: root may grow.
    let again = Disk::read(&file).unwrap();
    assert_eq!(again.parts[4].first, layout.at / SECTOR);
    assert_eq!(again.parts[3], disk.parts[3]);
}

#[test]
fn an_mbr_grows_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = parted(dir.path(), 100, "label: dos\nlabel-id: 0x12345678\ntype=83, bootable\n");
    let disk = Disk::read(&File::open(&path).unwrap()).unwrap();
    assert!(disk.table() == "MBR" && disk.root_grows());
    let before = tool(&["sfdisk", "-d"], &path, "");
    apply(&path, &disk.plan(disk.least(9 * MIB), 9 * MIB, ID).unwrap());
    sound(&path, false);
    let after = tool(&["sfdisk", "-d"], &path, "");
    let old = before.lines().find(|line| line.contains("start=")).unwrap();
    assert!(after.contains(old) && after.contains("0x12345678") && after.contains("raw2"), "{after}");
    assert!(disk.plan(3 << 40, MIB, ID).unwrap_err().to_string().contains("MBR"));
}

#[test]
fn no_room_is_said_with_what_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let path = parted(dir.path(), 200, ALMA);
    let disk = Disk::read(&File::open(&path).unwrap()).unwrap();
    let least = disk.least(50 * MIB);
    let error = disk.plan(least - ALIGN, 50 * MIB, ID).unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
    assert!(error.hint_text().unwrap().contains(&format!("--size {}M", least / MIB)));
    apply(&path, &disk.plan(least, 50 * MIB, ID).unwrap());
    sound(&path, true);
    let four = "label: dos\n".to_owned() + &"size=4MiB, type=83\n".repeat(4);
    let disk = Disk::read(&File::open(parted(dir.path(), 100, &four)).unwrap()).unwrap();
    assert!(disk.plan(400 * MIB, MIB, ID).unwrap_err().to_string().contains("no free entry"));
}

#[test]
fn what_cannot_be_told_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |script: &str| {
        let path = parted(dir.path(), 64, script);
        Disk::read(&File::open(path).unwrap()).unwrap_err().to_string()
    };
    assert!(refused("label: dos\nsize=8MiB, type=83\ntype=5\n").contains("extended"));
    assert!(refused("label: dos\ntype=a5\n").contains("unknown type 0xa5"));
    let unknown = "label: gpt\ntype=11111111-2222-3333-4444-555555555555\n";
    assert!(refused(unknown).contains("unknown type 11111111-2222-3333-4444-555555555555"));
    let empty = dir.path().join("empty");
    File::create(&empty).unwrap().set_len(MIB).unwrap();
    let read = |path: &Path| Disk::read(&File::open(path).unwrap()).unwrap_err().to_string();
    assert!(read(&empty).contains("no partition table"));
    // Two that overlap, one that leads off the disk.
    let path = parted(dir.path(), 64, "label: dos\nsize=8MiB, type=83\nsize=8MiB, type=83\n");
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut boot = file.read_vec_at(0, 512).unwrap();
    mbr::place(&mut boot, 1, 4096, 16384);
    file.write_all_at(&boot, 0).unwrap();
    assert!(read(&path).contains("partitions 1 and 2 overlap"));
    mbr::place(&mut boot, 1, 100_000, 100_000);
    file.write_all_at(&boot, 0).unwrap();
    assert!(read(&path).contains("does not lie on the disk"));
    // A GPT whose checksum is wrong, and one beside entries of another kind.
    let path = parted(dir.path(), 200, ALMA);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut boot = file.read_vec_at(0, 512).unwrap();
    mbr::add(&mut boot, 2, 0x83, 2048, 2048);
    file.write_all_at(&boot, 0).unwrap();
    assert!(read(&path).contains("hybrid"));
    boot[446 + 32..446 + 48].fill(0);
    file.write_all_at(&boot, 0).unwrap();
    file.write_all_at(b"x", 512 + 60).unwrap();
    assert!(read(&path).contains("GUID partition table is damaged"));
}
