//! The machine's disks as the kernel (sysfs) and udev's database describe them, and what speaks against each whatever a
//! rule says. Reads, never writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{Disk, bare_wwn};
use crate::cluster::storage::Bus;
use crate::error::{Error, IoContext, Result};
use crate::node::identity::short;

/// How deep partitions, volumes and arrays are followed.
const MAX_HOLDERS: u32 = 6;

/// Names of block devices that are no disks.
const NO_DISKS: [&str; 9] = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock"];

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
    twins(&mut disks);
    Ok(disks)
}

/// Two disks with one world wide name are two ways to one disk that multipath has not put together: which of them an
/// installer would write to is chance.
fn twins(disks: &mut [Disk]) {
    for index in 0..disks.len() {
        let Some(wwn) = disks[index].wwn.clone() else { continue };
        let twin =
            disks.iter().enumerate().find(|(other, disk)| *other != index && disk.wwn.as_ref() == Some(&wwn));
        if let Some((_, twin)) = twin {
            let fault = format!("is another way to the disk {}: both have the WWN {wwn}", twin.name);
            disks[index].fault.get_or_insert(fault);
        }
    }
}

fn look(root: &Path, sys: &Path, name: String, mounts: &Mounts) -> Disk {
    let udev = Udev::read(root, sys);
    let first = |paths: &[&str]| paths.iter().find_map(|path| short(&sys.join(path)));
    let number = |path: &str| short(&sys.join(path)).and_then(|number| number.parse().ok());
    let sectors: u64 = number("size").unwrap_or(0);
    let partitions = names(sys).into_iter().filter(|part| sys.join(part).join("partition").exists());
    let partitions: Vec<String> = partitions.map(|part| device(&part)).collect();
    let fault = fault(root, sys, &name, sectors, mounts);
    let bus = bus(sys, &name, &udev);
    Disk {
        size: sectors.saturating_mul(512),
        sector: number("queue/logical_block_size").unwrap_or(512),
        model: first(&["device/model"]).unwrap_or_default(),
        serial: udev.property("ID_SERIAL_SHORT").or_else(|| first(&["serial", "device/serial"])),
        wwn: udev.property("ID_WWN").or_else(|| first(&["wwid", "device/wwid"])).map(|wwn| bare_wwn(&wwn)),
        by_path: udev.links("disk/by-path/"),
        rotational: number("queue/rotational") == Some(1),
        loose: match bus {
            Some(Bus::Usb) => Some("is on USB".to_owned()),
            _ if first(&["device/type"]).as_deref() == Some("SD") => Some("is an SD card".to_owned()),
            _ => None,
        },
        partitions,
        bus,
        fault,
        name: device(&name),
    }
}

/// The kernel writes `!` for `/` in sysfs: cciss!c0d0 is /dev/cciss/c0d0.
fn device(name: &str) -> String {
    name.replace('!', "/")
}

/// What udev found out about a disk.
struct Udev(String);

impl Udev {
    fn read(root: &Path, sys: &Path) -> Self {
        let number = short(&sys.join("dev"));
        let text = number.and_then(|number| {
            fs::read_to_string(root.join("run/udev/data").join(format!("b{number}"))).ok()
        });
        Self(text.unwrap_or_default())
    }

    fn property(&self, key: &str) -> Option<String> {
        let find =
            |line: &str| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
        self.0.lines().find_map(find).filter(|value| !value.is_empty())
    }

    fn links(&self, below: &str) -> Vec<String> {
        let find = |line: &str| line.strip_prefix("S:")?.strip_prefix(below).map(str::to_owned);
        self.0.lines().filter_map(find).collect()
    }
}

/// What speaks against a disk whatever a rule says.
fn fault(root: &Path, sys: &Path, name: &str, sectors: u64, mounts: &Mounts) -> Option<String> {
    let flag = |name: &str| short(&sys.join(name)).as_deref() == Some("1");
    let mut pieces = Vec::new();
    collect(root, sys, name, MAX_HOLDERS, &mut pieces);
    if sectors == 0 {
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
    } else if let Some(map) = multipath(root, sys) {
        Some(format!("is one way to the multipath device {map}"))
    } else {
        match is_iso(&root.join("dev").join(device(name))) {
            Ok(true) => Some("carries an ISO 9660 file system".to_owned()),
            Ok(false) => None,
            Err(error) => Some(format!("cannot be read: {error}")),
        }
    }
}

/// The multipath map that a disk is a part of; its device mapper id begins with `mpath-`.
fn multipath(root: &Path, sys: &Path) -> Option<String> {
    names(&sys.join("holders")).into_iter().find(|holder| {
        let dm = root.join("sys/block").join(holder).join("dm/uuid");
        short(&dm).is_some_and(|uuid| uuid.starts_with("mpath-"))
    })
}

fn bus(sys: &Path, name: &str, udev: &Udev) -> Option<Bus> {
    let real = fs::canonicalize(sys).unwrap_or_else(|_| sys.to_owned());
    let through = |start: &str| {
        let fits = |part: &str| {
            part.strip_prefix(start).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        real.components().any(|part| part.as_os_str().to_str().is_some_and(fits))
    };
    if udev.property("ID_BUS").as_deref() == Some("usb") || through("usb") {
        return Some(Bus::Usb);
    }
    match name {
        _ if name.starts_with("nvme") => Some(Bus::Nvme),
        _ if name.starts_with("vd") => Some(Bus::Virtio),
        _ if name.starts_with("mmcblk") => Some(Bus::Mmc),
        _ if through("ata") => Some(Bus::Sata),
        _ if name.starts_with("sd") || name.starts_with("cciss") => Some(Bus::Scsi),
        _ => None,
    }
}

/// Names in a folder of sysfs.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Device numbers (`8:1`) of a disk, of its partitions, and of what device mapper and RAID make of them.
fn collect(root: &Path, sys: &Path, name: &str, depth: u32, all: &mut Vec<String>) {
    all.extend(short(&sys.join("dev")));
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

/// What is mounted, in the order of mounting, by proc(5) mountinfo: numbers of devices and mount points.
pub(super) fn mounts(root: &Path) -> Result<Vec<(String, String)>> {
    let path = root.join("proc/self/mountinfo");
    let table = fs::read_to_string(&path).at("reading", &path)?;
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        Some((fields.nth(2)?.to_owned(), fields.nth(1)?.to_owned()))
    };
    Ok(table.lines().filter_map(mount).collect())
}

/// What is mounted where, and the device of the medium.
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
        let table = mounts(root)?;
        let real = fs::canonicalize(media).at("looking at", media)?;
        let mut mounts = Self::default();
        let mut longest = 0;
        for (number, point) in table {
            // The mount that holds the medium has the longest path; of two with one path the last counts.
            if real.starts_with(&point) && point.len() >= longest {
                (longest, mounts.medium) = (point.len(), Some(number.clone()));
            }
            mounts.points.insert(number, point);
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
