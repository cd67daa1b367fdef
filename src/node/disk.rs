//! Which disk to install to. A disk is only taken if nothing speaks against it and it is the only one that is left; else
//! the answer is a table of every disk and why it was left out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::identity::short;
use crate::error::{Error, IoContext, Result};
use crate::payload::manifest::ManifestDisk;
use crate::report::human_size;

/// Smaller disks hold no node: system, images and logs need more.
pub const LEAST_SIZE: u64 = 10 << 30;

/// How deep partitions, volumes and arrays are followed.
const MAX_HOLDERS: u32 = 6;

/// Names of block devices that are no disks.
const NO_DISKS: [&str; 9] = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock"];

/// A disk as the kernel and udev describe it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Name the kernel gave it: `sda`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Model, for people.
    pub model: String,
    /// Serial number.
    pub serial: Option<String>,
    /// World wide name, without `0x` or `naa.`.
    pub wwn: Option<String>,
    /// Names below `/dev/disk/by-path`.
    pub by_path: Vec<String>,
    /// Why it is only taken where the rule names it: `is on USB`. External disks say that they are not removable.
    pub loose: Option<String>,
    /// Why it cannot be installed to whatever the rule says.
    pub fault: Option<String>,
}

/// All disks of the machine, by name. `media` is where the medium is mounted.
pub fn list(root: &Path, media: &Path) -> Result<Vec<Disk>> {
    let dir = root.join("sys/block");
    let mounts = Mounts::read(root, media)?;
    let mut disks = Vec::new();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(disks),
        Err(error) => return Err(Error::io("listing", &dir, error)),
    };
    for entry in entries {
        let path = entry.at("listing", &dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !NO_DISKS.iter().any(|no| name.starts_with(no)) {
            disks.push(look(root, &path, name, &mounts));
        }
    }
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(disks)
}

/// The disk that the rule leaves; exactly one must remain.
pub fn choose(disks: &[Disk], rule: &ManifestDisk) -> Result<Disk> {
    let mut reasons: Vec<Option<String>> = disks.iter().map(|disk| objection(disk, rule)).collect();
    let left = || disks.iter().zip(&reasons).filter(|(_, reason)| reason.is_none()).map(|(disk, _)| disk);
    if rule.smallest
        && let Some(least) = left().map(|disk| disk.size).min()
    {
        for (disk, reason) in disks.iter().zip(&mut reasons) {
            if reason.is_none() && disk.size > least {
                *reason = Some("is not the smallest".into());
            }
        }
    }
    let left: Vec<&Disk> =
        disks.iter().zip(&reasons).filter(|(_, reason)| reason.is_none()).map(|(disk, _)| disk).collect();
    let message = match left.as_slice() {
        [one] => return Ok((*one).clone()),
        [] if disks.is_empty() => "this machine has no disk".to_owned(),
        [] => "no disk of this machine may be installed to".to_owned(),
        several => format!("{} disks of this machine fit the rule; exactly one must", several.len()),
    };
    let rows = disks.iter().zip(&reasons);
    let table: String = rows.map(|(disk, reason)| row(disk, reason.as_deref())).collect();
    let hint = "name the disk in cluster.toml: disk = { serial = \"…\" }, wwn, by_path, or a size";
    Err(Error::input(format!("{message} (rule: {})\n{table}", words(rule))).hint(hint))
}

/// Why a disk is not taken; `None` if it may be.
fn objection(disk: &Disk, rule: &ManifestDisk) -> Option<String> {
    if let Some(fault) = &disk.fault {
        return Some(fault.clone());
    }
    let named = rule.serial.is_some() || rule.wwn.is_some() || rule.by_path.is_some();
    if let Some(loose) = disk.loose.as_ref().filter(|_| !named) {
        return Some(format!("{loose}, and is taken only if serial, wwn or by_path names it"));
    }
    if rule.serial.is_some() && rule.serial != disk.serial {
        return Some("has another serial number".into());
    }
    if rule.wwn.is_some() && rule.wwn.as_deref().map(bare_wwn) != disk.wwn.as_deref().map(bare_wwn) {
        return Some("has another WWN".into());
    }
    if rule.by_path.as_ref().is_some_and(|path| !disk.by_path.contains(path)) {
        return Some("has another path".into());
    }
    if disk.size < LEAST_SIZE {
        return Some(format!("is smaller than {}, too small for a node", human_size(LEAST_SIZE)));
    }
    if let Some(least) = rule.min_size.filter(|least| disk.size < *least) {
        return Some(format!("is smaller than {}", human_size(least)));
    }
    let most = rule.max_size.filter(|most| disk.size > *most)?;
    Some(format!("is larger than {}", human_size(most)))
}

fn row(disk: &Disk, reason: Option<&str>) -> String {
    let serial = disk.serial.as_deref().map(|serial| format!(", serial {serial}")).unwrap_or_default();
    let size = human_size(disk.size);
    format!("  {:<8} {size:>10}  {}{serial}: {}\n", disk.name, disk.model, reason.unwrap_or("fits"))
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}

fn words(rule: &ManifestDisk) -> String {
    let mut parts = Vec::new();
    let named = [("serial", &rule.serial), ("wwn", &rule.wwn), ("by_path", &rule.by_path)];
    for (key, value) in named {
        parts.extend(value.as_ref().map(|value| format!("{key} {value}")));
    }
    parts.extend(rule.min_size.map(|size| format!("at least {}", human_size(size))));
    parts.extend(rule.max_size.map(|size| format!("at most {}", human_size(size))));
    if rule.smallest {
        parts.push("the smallest".into());
    }
    if parts.is_empty() { "the only disk".into() } else { parts.join(", ") }
}

fn bare_wwn(wwn: &str) -> String {
    let lower = wwn.to_ascii_lowercase();
    let bare = ["0x", "naa.", "eui.", "wwn-0x"].iter().find_map(|prefix| lower.strip_prefix(prefix));
    bare.unwrap_or(&lower).to_owned()
}

fn look(root: &Path, sys: &Path, name: String, mounts: &Mounts) -> Disk {
    let number = short(&sys.join("dev"));
    let udev = number
        .as_ref()
        .and_then(|number| fs::read_to_string(root.join("run/udev/data").join(format!("b{number}"))).ok());
    let udev = udev.unwrap_or_default();
    let property = |key: &str| {
        let line =
            udev.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('='));
        line.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let first = |paths: &[&str]| paths.iter().find_map(|path| short(&sys.join(path)));
    let flag = |name: &str| short(&sys.join(name)).as_deref() == Some("1");
    let mut pieces = Vec::new();
    collect(root, sys, &name, MAX_HOLDERS, &mut pieces);
    // The kernel writes `!` for `/` in sysfs: cciss!c0d0 is /dev/cciss/c0d0.
    let name = name.replace('!', "/");
    let sectors: u64 = short(&sys.join("size")).and_then(|size| size.parse().ok()).unwrap_or(0);
    let fault = if sectors == 0 {
        Some("has no medium in it".to_owned())
    } else if flag("removable") {
        Some("is removable".to_owned())
    } else if flag("ro") {
        Some("is read-only".to_owned())
    } else if pieces.iter().any(|number| mounts.medium.as_ref() == Some(number)) {
        Some("carries this medium".to_owned())
    } else if let Some(point) = pieces.iter().find_map(|number| mounts.points.get(number)) {
        // An image of the medium lies on it, or whatever else the installer needs.
        Some(format!("is in use: {point} is on it"))
    } else {
        match is_iso(&root.join("dev").join(&name)) {
            Ok(true) => Some("carries an ISO 9660 file system".to_owned()),
            Ok(false) => None,
            Err(error) => Some(format!("cannot be read: {error}")),
        }
    };
    Disk {
        size: sectors.saturating_mul(512),
        model: first(&["device/model"]).unwrap_or_default(),
        serial: property("ID_SERIAL_SHORT").or_else(|| first(&["serial", "device/serial"])),
        wwn: property("ID_WWN").or_else(|| first(&["wwid", "device/wwid"])).map(|wwn| bare_wwn(&wwn)),
        by_path: udev
            .lines()
            .filter_map(|line| line.strip_prefix("S:disk/by-path/"))
            .map(str::to_owned)
            .collect(),
        loose: match property("ID_BUS").as_deref() {
            Some("usb") => Some("is on USB".to_owned()),
            _ if on_usb(sys) => Some("is on USB".to_owned()),
            _ if first(&["device/type"]).as_deref() == Some("SD") => Some("is an SD card".to_owned()),
            _ => None,
        },
        fault,
        name,
    }
}

/// Whether the path of the device leads through a USB bus: `…/usb2/2-1/…`.
fn on_usb(sys: &Path) -> bool {
    let real = fs::canonicalize(sys).unwrap_or_else(|_| sys.to_owned());
    let is_bus = |part: &str| {
        part.strip_prefix("usb").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    real.components().any(|part| part.as_os_str().to_str().is_some_and(is_bus))
}

/// Device numbers (`8:1`) of a disk, of its partitions, and of what device mapper and RAID make of them.
fn collect(root: &Path, sys: &Path, name: &str, depth: u32, all: &mut Vec<String>) {
    all.extend(short(&sys.join("dev")));
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    if depth == 0 {
        return;
    }
    for holder in names(&sys.join("holders")) {
        collect(root, &root.join("sys/block").join(&holder), &holder, depth - 1, all);
    }
    for part in names(sys).into_iter().filter(|part| part.starts_with(name)) {
        collect(root, &sys.join(&part), &part, depth - 1, all);
    }
}

/// What is mounted, by proc(5) mountinfo.
#[derive(Debug, Default)]
struct Mounts {
    /// Mount points by the number of their device.
    points: BTreeMap<String, String>,
    /// Number of the device that the medium is on.
    medium: Option<String>,
}

impl Mounts {
    /// Without this table the medium itself could be taken for a disk, so it must be there.
    fn read(root: &Path, media: &Path) -> Result<Self> {
        let path = root.join("proc/self/mountinfo");
        let table = fs::read_to_string(&path).at("reading", &path)?;
        let real = fs::canonicalize(media).at("looking at", media)?;
        let mut mounts = Self::default();
        let mut longest = 0;
        for line in table.lines() {
            let mut fields = line.split(' ');
            let (Some(number), Some(point)) = (fields.nth(2), fields.nth(1)) else { continue };
            // The mount that holds the medium has the longest path; of two with one path the last counts.
            if real.starts_with(point) && point.len() >= longest {
                (longest, mounts.medium) = (point.len(), Some(number.to_owned()));
            }
            mounts.points.insert(number.to_owned(), point.to_owned());
        }
        Ok(mounts)
    }
}

/// Whether a disk starts as an ISO 9660 volume does (ECMA-119 §8.1.2), so that it is some install medium.
fn is_iso(device: &Path) -> std::io::Result<bool> {
    let mut file = File::open(device)?;
    file.seek(SeekFrom::Start(32769))?;
    let mut id = [0; 5];
    match file.read_exact(&mut id) {
        Ok(()) => Ok(id == *b"CD001"),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    fn choose_on(fake: &Fake, rule: &ManifestDisk) -> Result<Disk> {
        choose(&list(fake.root(), fake.root()).unwrap(), rule)
    }

    fn refused(fake: &Fake, rule: &ManifestDisk) -> String {
        choose_on(fake, rule).unwrap_err().to_string()
    }

    #[test]
    fn the_only_disk_is_taken() {
        let fake = Fake::new();
        fake.disk("vda", 0, 20).disk("sr0", 1, 20).disk("loop0", 2, 20).disk("dm-0", 3, 20);
        assert_eq!(choose_on(&fake, &ManifestDisk::default()).unwrap().name, "vda");
        fake.disk("vdb", 16, 20);
        let error = refused(&fake, &ManifestDisk::default());
        assert!(error.contains("2 disks of this machine fit the rule"), "{error}");
        assert!(error.contains("vda") && error.contains("20.0 GiB  QEMU HARDDISK: fits"), "{error}");
    }

    #[test]
    fn media_and_what_cannot_be_written_are_never_taken() {
        let fake = Fake::new();
        assert!(refused(&fake, &ManifestDisk::default()).contains("has no disk"));
        for name in ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg"] {
            fake.disk(name, name.as_bytes()[2] - b'a', 20);
        }
        let root = fs::canonicalize(fake.root()).unwrap();
        fake.put("sys/block/sda/removable", "1\n").put("sys/block/sdb/ro", "1\n");
        fake.put("sys/block/sdc/sdc1/dev", "8:33\n");
        fake.put("proc/self/mountinfo", &format!("1 0 8:33 / {} ro - iso9660 x ro\n", root.display()));
        fake.put("dev/sdd", &format!("{}\u{1}CD001", "\0".repeat(32768)));
        fake.put("sys/block/sde/size", "0\n").put("sys/block/sdf/size", "2048\n");
        fs::remove_file(fake.root().join("dev/sdg")).unwrap();
        let error = refused(&fake, &ManifestDisk::default());
        for reason in [
            "no disk of this machine may be installed to",
            "is removable",
            "is read-only",
            "carries this medium",
            "carries an ISO 9660",
            "has no medium in it",
            "too small for a node",
            "cannot be read",
        ] {
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn what_the_installer_uses_is_never_taken() {
        let fake = Fake::new();
        fake.disk("sda", 0, 20).disk("sdb", 16, 20).disk("cciss!c0d0", 32, 20);
        // The image of the medium lies on a logical volume of sda.
        fake.put("sys/block/sda/sda2/dev", "8:2\n").put("sys/block/sda/sda2/holders/dm-3", "");
        fake.put("sys/block/dm-3/dev", "253:3\n");
        fake.put("sys/block/sdb/sdb1/dev", "8:17\n");
        let mounts = "1 0 253:3 / /run/install/isodir ro - xfs /dev/mapper/x ro\n\
                      1 0 7:0 / /run/install/repo ro - iso9660 /dev/loop0 ro\n";
        fake.put("proc/self/mountinfo", mounts).put("dev/cciss/c0d0", "");
        assert!(
            refused(&fake, &ManifestDisk { smallest: true, ..Default::default() })
                .contains("is in use: /run/install/isodir is on it")
        );
        fake.put("proc/self/mountinfo", &(mounts.to_owned() + "1 0 8:17 / /mnt ro - xfs /dev/sdb1 ro\n"));
        assert_eq!(choose_on(&fake, &ManifestDisk::default()).unwrap().name, "cciss/c0d0");
        fs::remove_file(fake.root().join("proc/self/mountinfo")).unwrap();
        assert!(list(fake.root(), fake.root()).unwrap_err().to_string().contains("mountinfo"));
    }

    #[test]
    fn a_disk_on_usb_is_taken_only_by_its_name() {
        let fake = Fake::new();
        fake.disk("sda", 0, 20).disk("mmcblk0", 32, 30);
        fake.put("sys/block/mmcblk0/device/type", "SD\n");
        let bus = fake.root().join("sys/devices/pci0000:00/usb2/2-1/block");
        fs::create_dir_all(&bus).unwrap();
        fs::rename(fake.root().join("sys/block/sda"), bus.join("sda")).unwrap();
        std::os::unix::fs::symlink(bus.join("sda"), fake.root().join("sys/block/sda")).unwrap();
        let error = refused(&fake, &ManifestDisk { smallest: true, ..Default::default() });
        assert!(
            error.contains("is on USB, and is taken only if") && error.contains("is an SD card"),
            "{error}"
        );
        fake.put("run/udev/data/b8:0", "E:ID_SERIAL_SHORT=S3Z\n");
        let named = ManifestDisk { serial: Some("S3Z".into()), ..Default::default() };
        assert_eq!(choose_on(&fake, &named).unwrap().name, "sda");
    }

    #[test]
    fn rules_narrow_the_choice() {
        let fake = Fake::new();
        fake.disk("sda", 0, 20).disk("sdb", 16, 40).disk("sdc", 32, 80);
        fake.put(
            "run/udev/data/b8:16",
            "S:disk/by-path/pci-0000:00:1f.2-ata-2\nE:ID_SERIAL_SHORT=S3Z\nE:ID_WWN=0x5002538\n",
        );
        let taken = |rule: ManifestDisk| choose_on(&fake, &rule).unwrap().name;
        let none = ManifestDisk::default;
        assert_eq!(taken(ManifestDisk { serial: Some("S3Z".into()), ..none() }), "sdb");
        assert_eq!(taken(ManifestDisk { wwn: Some("naa.5002538".into()), ..none() }), "sdb");
        assert_eq!(taken(ManifestDisk { by_path: Some("pci-0000:00:1f.2-ata-2".into()), ..none() }), "sdb");
        assert_eq!(taken(ManifestDisk { min_size: Some(50 << 30), ..none() }), "sdc");
        assert_eq!(taken(ManifestDisk { max_size: Some(20 << 30), ..none() }), "sda");
        assert_eq!(taken(ManifestDisk { smallest: true, min_size: Some(21 << 30), ..none() }), "sdb");
        fake.disk("sdd", 48, 20);
        let error = refused(&fake, &ManifestDisk { smallest: true, ..none() });
        assert!(
            error.contains("2 disks") && error.contains("sdb") && error.contains("is not the smallest"),
            "{error}"
        );
        assert!(
            refused(&fake, &ManifestDisk { serial: Some("X".into()), ..none() }).contains("rule: serial X")
        );
    }
}
