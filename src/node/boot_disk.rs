//! Starts the system of a machine that is installed already, out of the installer, so that a medium that stays in the drive
//! installs nothing twice.
//!
//! With UEFI the firmware is told to boot the disk's own entry next (`BootNext`, UEFI 2.10 §3.3), so that Secure Boot holds.
//! With BIOS nobody can be told: the installed kernel is started by kexec.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::child;
use super::disk::{Disk, content::Content};
use crate::error::{Error, IoContext, Result};
use crate::kickstart::Word;

/// Variables of the firmware's own vendor GUID.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Non-volatile, and readable at boot and at run time.
const ATTRIBUTES: u32 = 7;
/// Most entries of a partition table that are read.
const MOST_ENTRIES: u32 = 128;
/// Longest boot entry that is read.
const LARGEST_ENTRY: u64 = 64 << 10;
/// Longest time for a program.
const PATIENCE: Duration = Duration::from_secs(60);

/// What starts the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The firmware boots this entry next: a reboot is all that is needed.
    BootNext(u16),
    /// The kernel is loaded: `kexec -e` starts it.
    Kexec,
}

/// Gets everything ready to start `disk`. Nothing is written to a disk.
pub fn ready(root: &Path, disk: &Disk, kernel_args: &[String], scratch: &Path) -> Result<Start> {
    let vars = root.join("sys/firmware/efi/efivars");
    if vars.is_dir() {
        return boot_next(&vars, &root.join("dev").join(&disk.name)).map(Start::BootNext);
    }
    kexec(root, disk, kernel_args, scratch).map(|()| Start::Kexec)
}

fn boot_next(vars: &Path, disk: &Path) -> Result<u16> {
    let partitions = partitions(disk)?;
    let mut entries: Vec<(u16, Vec<u8>)> = Vec::new();
    for entry in fs::read_dir(vars).at("listing", vars)? {
        let path = entry.at("listing", vars)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix("Boot").and_then(|rest| rest.strip_suffix(GLOBAL)?.strip_suffix('-'));
        let number = number.filter(|digits| digits.len() == 4).and_then(|d| u16::from_str_radix(d, 16).ok());
        if let Some(number) = number
            && fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= LARGEST_ENTRY)
        {
            entries.push((number, fs::read(&path).at("reading", &path)?));
        }
    }
    entries.sort();
    // An entry of a disk names the partition of its loader by GUID (UEFI 2.10 §10.3.5.1).
    let names = |entry: &[u8]| partitions.iter().any(|guid| entry.windows(16).any(|bytes| bytes == guid));
    let (number, _) = entries.iter().find(|(_, entry)| names(entry)).ok_or_else(|| {
        Error::input(format!("the firmware has no boot entry for {}", disk.display()))
            .hint("take the medium out, or choose the disk in the firmware's boot menu")
    })?;
    let mut value = ATTRIBUTES.to_le_bytes().to_vec();
    value.extend_from_slice(&number.to_le_bytes());
    let path = vars.join(format!("BootNext-{GLOBAL}"));
    fs::write(&path, value).at("writing", &path)?;
    Ok(*number)
}

/// GUIDs of a disk's partitions, as they lie in its table.
fn partitions(path: &Path) -> Result<Vec<[u8; 16]>> {
    let disk = File::open(path).at("opening", path)?;
    for sector in [512u64, 4096] {
        let mut header = [0; 92];
        if disk.read_exact_at(&mut header, sector).is_err() || !header.starts_with(b"EFI PART") {
            continue;
        }
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (first, count, size) =
            (u64::from(number(72)), number(80).min(MOST_ENTRIES), u64::from(number(84)));
        let entry = |index: u32| {
            let mut entry = [0; 32];
            let at = first.checked_mul(sector)?.checked_add(size.checked_mul(u64::from(index))?)?;
            disk.read_exact_at(&mut entry, at).ok()?;
            let guid: [u8; 16] = entry[16..].try_into().ok()?;
            (guid != [0; 16]).then_some(guid)
        };
        return Ok((0..count).filter_map(entry).collect());
    }
    Err(Error::input(format!("{} has no GUID partition table", path.display())))
}

fn kexec(root: &Path, disk: &Disk, kernel_args: &[String], scratch: &Path) -> Result<()> {
    let content = Content::look(root, disk)?;
    let boot = content.found.iter().find(|found| found.label.as_deref() == Some("kiln-boot"));
    let boot = boot.ok_or_else(|| Error::input(format!("{} has no file system kiln-boot", disk.name)))?;
    fs::create_dir_all(scratch).at("making the folder", scratch)?;
    let mut mount = Command::new("mount");
    // Without recovery nothing is written, not even the log of a system that lost its power.
    mount.args(["-t", "xfs", "-o", "ro,norecovery"]).arg(root.join("dev").join(&boot.device)).arg(scratch);
    run(mount)?;
    let loaded = load(scratch, kernel_args);
    let mut umount = Command::new("umount");
    umount.arg(scratch);
    run(umount)?;
    loaded
}

fn load(boot: &Path, kernel_args: &[String]) -> Result<()> {
    let (kernel, initrd) = kernel(boot)?;
    let mut words = vec!["root=LABEL=kiln-root".to_owned(), "ro".to_owned()];
    for arg in kernel_args {
        words.push(Word::new("kernel argument", arg)?.to_string());
    }
    let mut kexec = Command::new("kexec");
    kexec.arg("-l").arg(kernel).arg(format!("--initrd={}", initrd.display()));
    kexec.arg(format!("--command-line={}", words.join(" ")));
    run(kexec)
}

/// The newest kernel, by the time of its file, that has an initramfs; never the rescue kernel.
fn kernel(boot: &Path) -> Result<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(boot).at("listing", boot)? {
        let entry = entry.at("listing", boot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(version) = name.strip_prefix("vmlinuz-").filter(|version| !version.contains("rescue"))
        else {
            continue;
        };
        let names = [format!("initramfs-{version}.img"), format!("initrd.img-{version}")];
        if let Some(initrd) = names.map(|name| boot.join(name)).into_iter().find(|path| path.is_file()) {
            let time =
                entry.metadata().and_then(|metadata| metadata.modified()).at("looking at", &entry.path())?;
            found.push((time, entry.path(), initrd));
        }
    }
    found.sort();
    let newest =
        found.pop().ok_or_else(|| Error::input("the installed system has no kernel with an initramfs"))?;
    Ok((newest.1, newest.2))
}

fn run(command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = child::run(command, b"", PATIENCE)?;
    match ended.success {
        true => Ok(()),
        false => Err(Error::tool(format!("{name} failed: {}", ended.messages.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    /// A disk with a table of two partitions, and the GUID of the second.
    fn disk(fake: &Fake, sector: usize) -> Vec<u8> {
        let mut bytes = vec![0; 16 * sector];
        bytes[sector..sector + 8].copy_from_slice(b"EFI PART");
        bytes[sector + 72] = 2;
        bytes[sector + 80] = 4;
        bytes[sector + 84] = 128;
        bytes[2 * sector + 16..2 * sector + 32].fill(0x11);
        bytes[2 * sector + 128 + 16..2 * sector + 128 + 32].fill(0x22);
        fs::create_dir_all(fake.root().join("dev")).unwrap();
        fs::write(fake.root().join("dev/sda"), &bytes).unwrap();
        vec![0x22; 16]
    }

    #[test]
    fn the_firmware_is_told_the_disks_own_entry() {
        for sector in [512, 4096] {
            let fake = Fake::new();
            let guid = disk(&fake, sector);
            let vars = fake.root().join("sys/firmware/efi/efivars");
            fs::create_dir_all(&vars).unwrap();
            let put =
                |name: &str, value: &[u8]| fs::write(vars.join(format!("{name}-{GLOBAL}")), value).unwrap();
            put("BootOrder", &guid);
            put("Boot0001", b"\x07\0\0\0another disk of 0x33333333333333");
            let disk = Disk { name: "sda".into(), ..Default::default() };
            let start = |fake: &Fake| ready(fake.root(), &disk, &[], Path::new("/nowhere"));
            assert!(start(&fake).unwrap_err().to_string().contains("no boot entry"));
            put("Boot000A", &[b"\x07\0\0\0x".as_slice(), &guid, b"\x7f\xff"].concat());
            assert_eq!(start(&fake).unwrap(), Start::BootNext(10));
            let next = fs::read(vars.join(format!("BootNext-{GLOBAL}"))).unwrap();
            assert_eq!(next, [7, 0, 0, 0, 10, 0]);
        }
    }

    #[test]
    fn the_newest_whole_kernel_is_started_and_no_rescue_one() {
        let boot = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(boot.path().join(name), "x").unwrap();
        assert!(kernel(boot.path()).is_err());
        put("vmlinuz-0-rescue-abc");
        put("initramfs-0-rescue-abc.img");
        put("vmlinuz-6.1");
        assert!(kernel(boot.path()).is_err());
        put("initrd.img-6.1");
        assert!(kernel(boot.path()).unwrap().1.ends_with("initrd.img-6.1"));
    }
}
