//! Memory, cores, processor, firmware and room on the disk: facts of the machine against what its role needs.

use std::collections::BTreeSet;
use std::path::Path;

use super::Findings;
use crate::cluster::preflight::Check;
use crate::cluster::types::{Distro, Release, Role};
use crate::node::disk::Disk;
use crate::node::identity::{Found, short};
use crate::payload::manifest::Manifest;
use crate::payload::{COMMON, IMAGES};
use crate::report::human_size;

/// Least memory and cores of a role. Memory is what Linux calls its own (`MemTotal`): a machine sold with 2 GiB has about
/// 1900 MiB. Masters: kubeadm's own limits are 1700 MB and 2 cores; the rest is what the lab's machines needed.
const ROLES: [(Role, u64, usize); 3] = [(Role::Master, 1600, 2), (Role::Worker, 1000, 1), (Role::Lb, 700, 1)];
/// Memory of a further etcd member, in MiB: its store is read into memory, 2 GiB at most by its quota.
const ETCD_MEMORY: u64 = 256;
/// Memory that the installer needs by itself, in MiB: Anaconda's own least (320), and its images where they are not read
/// from the medium (350 on EL 7, 750 later).
const INSTALLER: [(u8, u64); 2] = [(7, 700), (8, 1000)];
/// Bytes of an installed system with /boot, logs and room to work: what no file of the medium says.
const SYSTEM: u64 = 6 << 30;
/// Bytes of etcd: its quota (2 GiB), a snapshot of the same size, and its log.
const ETCD: u64 = 5 << 30;
/// How often the bytes of an image archive are on the disk: the archive, the content store, and unpacked.
const IMAGE_COPIES: u64 = 4;
/// Sector size that a BIOS boot loader can read: GRUB's boot sector counts in it, and so do BIOSes.
const BIOS_SECTOR: u64 = 512;

/// Flags of /proc/cpuinfo that x86-64-v2 and v3 ask for (x86-64 psABI, table 3.1).
const V2: [&str; 7] = ["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"];
const V3: [&str; 9] = ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"];

/// What starts the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// BIOS, or UEFI that plays one.
    Bios,
    /// UEFI of 64 bits.
    Uefi,
    /// UEFI of 32 bits.
    Uefi32,
}

/// What a machine is; `None` is what could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Memory in MiB.
    pub memory: Option<u64>,
    /// Logical processors.
    pub cores: Option<usize>,
    /// Flags that all processors have.
    pub flags: Option<BTreeSet<String>>,
    /// What starts it.
    pub firmware: Firmware,
    /// Bytes of a logical sector of the system's disk.
    pub sector: Option<u64>,
    /// Name of the system's disk.
    pub disk: Option<String>,
    /// Bytes of all chosen disks.
    pub room: Option<u64>,
}

impl Facts {
    /// Looks at the machine whose files lie below `root`.
    pub fn look(root: &Path, disks: &[&Disk]) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let memory = text("proc/meminfo").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib / 1024)
        });
        let cpus = text("proc/cpuinfo");
        let field = |name: &'static str| {
            let cpus = cpus.as_deref().unwrap_or_default();
            cpus.lines().filter_map(move |line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        };
        let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let flags = field("flags").map(|(_, flags)| words(flags)).reduce(|all, these| &all & &these);
        let firmware = match short(&root.join("sys/firmware/efi/fw_platform_size")).as_deref() {
            Some("32") => Firmware::Uefi32,
            _ if root.join("sys/firmware/efi").is_dir() => Firmware::Uefi,
            _ => Firmware::Bios,
        };
        let sector = disks.first().and_then(|disk| {
            let folder = root.join("sys/block").join(disk.name.replace('/', "!"));
            short(&folder.join("queue/logical_block_size"))?.parse().ok()
        });
        let room = disks.iter().map(|disk| disk.size).reduce(u64::saturating_add);
        Self {
            memory,
            cores: Some(field("processor").count()).filter(|count| *count > 0),
            flags,
            firmware,
            sector,
            disk: disks.first().map(|disk| disk.name.clone()),
            room,
        }
    }
}

/// What a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Its name, for messages.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The system.
    pub release: Release,
    /// Memory in MiB.
    pub memory: u64,
    /// Cores.
    pub cores: usize,
    /// Bytes of disk.
    pub room: u64,
}

impl Needs {
    /// What the node that was found needs.
    pub fn of(manifest: &Manifest, found: &Found) -> Self {
        let (role, release) = (manifest.role, manifest.release);
        let etcd = found.node.as_ref().is_some_and(|node| node.etcd);
        let (_, memory, cores) = ROLES.into_iter().find(|(of, ..)| *of == role).unwrap_or((role, 0, 1));
        let more = if etcd && role != Role::Master { ETCD_MEMORY } else { 0 };
        let installer = INSTALLER.into_iter().rev().find(|(el, _)| *el <= release.el);
        let size = |path: &str| manifest.files.get(path).map_or(0, |file| file.size);
        let images = manifest.files.iter().filter(|(path, _)| path.starts_with(IMAGES));
        let images = images.map(|(_, file)| file.size).fold(0, u64::saturating_add);
        let room = SYSTEM
            .saturating_add(size(COMMON))
            .saturating_add(images.saturating_mul(IMAGE_COPIES))
            .saturating_add(if etcd { ETCD } else { 0 });
        Self {
            name: found.name.to_string(),
            role,
            release,
            memory: (memory + more).max(installer.map_or(0, |(_, memory)| memory)),
            cores,
            room,
        }
    }
}

/// Holds the facts against the needs.
pub fn judge(facts: &Facts, needs: &Needs, findings: &mut Findings<'_>) {
    let Needs { name, role, release, .. } = needs;
    match facts.memory {
        None => findings.note(Check::Memory, "how much memory it has cannot be read", "see /proc/meminfo"),
        Some(is) if is < needs.memory => findings.add(
            Check::Memory,
            format!("{is} MiB of memory; {name}, a {role} on {release}, needs {} MiB", needs.memory),
            "give the machine more memory",
        ),
        Some(_) => {}
    }
    if let Some(is) = facts.cores.filter(|is| *is < needs.cores) {
        let s = if is == 1 { "" } else { "s" };
        findings.add(
            Check::Cores,
            format!("{is} core{s}; {name}, a {role}, needs {}", needs.cores),
            "give the machine more cores; with fewer the control plane is slow to answer",
        );
    }
    processor(facts, *release, findings);
    firmware(facts, *release, findings);
    if let Some(room) = facts.room.filter(|room| *room < needs.room) {
        findings.add(
            Check::Space,
            format!(
                "{} of disk; system, components and images of {name} need {}",
                human_size(room),
                human_size(needs.room)
            ),
            "name a larger disk in cluster.toml, or carry fewer images",
        );
    }
}

fn processor(facts: &Facts, release: Release, findings: &mut Findings<'_>) {
    let Some(flags) = &facts.flags else {
        return findings.note(Check::Cpu, "what the processor can do cannot be read", "see /proc/cpuinfo");
    };
    let wanted: Vec<&str> = match release.el {
        ..=8 => Vec::new(),
        9 => V2.to_vec(),
        _ => [&V2[..], &V3[..]].concat(),
    };
    let lacks = |name: &&str| !flags.contains(*name);
    let missing: Vec<&str> = ["lm"].into_iter().chain(wanted).filter(lacks).collect();
    if missing.is_empty() {
        return;
    }
    let level = match release.el {
        ..=8 => "x86-64",
        9 => "x86-64-v2",
        _ => "x86-64-v3",
    };
    let hint = match release {
        Release { distro: Distro::Almalinux, el: 10.. } => {
            "take an older system; AlmaLinux has a base for x86-64-v2 too, with which cpu = \"warn\" is right. A virtual \
             machine may hide what its host can: give it the host's processor"
        }
        _ => {
            "take an older system or another machine. A virtual machine may hide what its host can: give it the host's \
             processor"
        }
    };
    findings.add(
        Check::Cpu,
        format!("{release} needs {level}; the processor lacks {}", missing.join(" ")),
        hint,
    );
}

fn firmware(facts: &Facts, release: Release, findings: &mut Findings<'_>) {
    let disk = facts.disk.as_deref().unwrap_or("the disk");
    if facts.firmware == Firmware::Uefi32 {
        findings.add(
            Check::Firmware,
            format!("its UEFI is of 32 bits; {release} installs a boot loader of 64 bits"),
            "switch the firmware to BIOS (CSM) if it can be",
        );
    }
    match (facts.firmware, facts.sector) {
        (Firmware::Bios, Some(sector)) if sector != BIOS_SECTOR => findings.add(
            Check::Firmware,
            format!("{disk} has sectors of {sector} bytes, and BIOS boots from sectors of {BIOS_SECTOR} bytes only"),
            "switch the machine to UEFI and boot the medium again, or take another disk",
        ),
        _ => {}
    }
}
