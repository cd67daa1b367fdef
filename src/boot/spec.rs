//! What to boot, how, and for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hardware::{Cpu, Hardware, Nic};
use super::served::Way;
use crate::cluster::types::{Mac, SystemUuid};
use crate::error::{Error, Result};

/// Firmware of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// SeaBIOS, QEMU's own.
    Bios,
    /// OVMF with an empty variable store: no Secure Boot.
    Uefi,
    /// OVMF with Microsoft's keys enrolled and Secure Boot enforced.
    SecureBoot,
}

impl Firmware {
    /// All of them, in the order of the matrix.
    pub const ALL: [Firmware; 3] = [Firmware::Bios, Firmware::Uefi, Firmware::SecureBoot];

    /// The word on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
            Firmware::SecureBoot => "secure-boot",
        }
    }
}

/// How the medium is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// As a disc in a SATA drive.
    Cd,
    /// As a USB stick.
    Usb,
    /// Not at all: it is a PXE tree, and comes over the first network card. Nobody says this: a folder is such a medium.
    #[value(skip)]
    #[serde(skip)]
    Network,
}

impl Attach {
    /// Those of a medium that is a file.
    pub const ALL: [Attach; 2] = [Attach::Cd, Attach::Usb];

    /// The word on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Attach::Cd => "cd",
            Attach::Usb => "usb",
            Attach::Network => "network",
        }
    }
}

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// QEMU's translator: slower, works everywhere.
    #[default]
    Tcg,
    /// The kernel's virtualisation; fails where it is missing.
    Kvm,
    /// KVM if a tiny machine boots with it, else TCG. `/dev/kvm` alone proves nothing.
    Auto,
}

/// Longest times, in real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the whole run.
    pub total: Duration,
    /// Without a line of output while firmware or loader run.
    pub quiet_loader: Duration,
    /// Without a line of output from the kernel on.
    pub quiet_system: Duration,
    /// From the guest's verdict to its power-off.
    pub power_off: Duration,
    /// What is still read after a sign of failure, so that the log tells more.
    pub linger: Duration,
}

impl Limits {
    /// For a phase of an install: Anaconda takes its time under TCG.
    pub fn install() -> Self {
        Self { total: Duration::from_secs(1800), ..Self::default() }
    }
}

impl Default for Limits {
    /// Four times and more what TCG needs on two busy cores.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            total: seconds(600),
            quiet_loader: seconds(90),
            quiet_system: seconds(240),
            power_off: seconds(90),
            linger: Duration::from_millis(1500),
        }
    }
}

/// One boot of one medium.
#[derive(Debug, Clone)]
pub struct BootSpec {
    /// The medium; opened read-only.
    pub medium: PathBuf,
    /// Firmware of the machine.
    pub firmware: Firmware,
    /// How the medium is plugged in.
    pub attach: Attach,
    /// How a tree is given to the firmware; means nothing for other media.
    pub way: Way,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u8,
    /// Their model.
    pub cpu: Cpu,
    /// Address of the network card; without one there is no card. The card's wire leads nowhere.
    pub mac: Option<Mac>,
    /// SMBIOS system serial number.
    pub serial: Option<String>,
    /// SMBIOS system UUID.
    pub uuid: Option<SystemUuid>,
    /// What executes the guest.
    pub accel: Accel,
    /// QEMU's program; found in the usual places if not given.
    pub qemu: Option<PathBuf>,
    /// Where the system's firmware is looked for: `/`, or a test's folder.
    pub system_root: PathBuf,
    /// Longest times.
    pub limits: Limits,
    /// Folder for this run's files; it is made, and must not exist.
    pub work: PathBuf,
    /// Whether `work` stays when the run is over.
    pub keep: bool,
    /// Where the serial log is kept; within `work` if not given.
    pub log: Option<PathBuf>,
    /// PNG of the screen when the run is given up. The machine gets a VGA card only with it.
    pub screenshot: Option<PathBuf>,
    /// The node that the guest must say it is.
    pub expect_node: Option<String>,
}

impl BootSpec {
    /// A run with the usual machine: 1 GiB, two processors, TCG, no card, no identity.
    pub fn new(
        medium: impl Into<PathBuf>,
        firmware: Firmware,
        attach: Attach,
        work: impl Into<PathBuf>,
    ) -> Self {
        Self {
            medium: medium.into(),
            firmware,
            attach,
            way: Way::Tftp,
            memory: 1024,
            cpus: 2,
            cpu: Cpu::default(),
            mac: None,
            serial: None,
            uuid: None,
            accel: Accel::Tcg,
            qemu: None,
            system_root: PathBuf::from("/"),
            limits: Limits::default(),
            work: work.into(),
            keep: false,
            log: None,
            screenshot: None,
            expect_node: None,
        }
    }

    /// The machine that is meant.
    pub(super) fn hardware(&self) -> Hardware {
        let mut hardware = Hardware::new(self.firmware);
        hardware.memory = self.memory;
        hardware.cpus = self.cpus;
        hardware.cpu.clone_from(&self.cpu);
        hardware.nics = self.mac.map(Nic::new).into_iter().collect();
        hardware.wire(self.attach, self.way);
        hardware.serial.clone_from(&self.serial);
        hardware.uuid.clone_from(&self.uuid);
        hardware
    }

    /// Checks what can be told before anything is started.
    pub(super) fn check(&self) -> Result<()> {
        check_medium(&self.medium, self.attach)?;
        self.hardware().check()
    }
}

/// A medium is a file that is there; one that comes over the network is a folder.
pub(super) fn check_medium(medium: &Path, attach: Attach) -> Result<()> {
    let metadata = std::fs::metadata(medium).map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        if missing {
            Error::input(format!("the medium {} does not exist", medium.display()))
                .hint("name the file that `kiln build` wrote")
        } else {
            Error::io("opening", medium, e)
        }
    })?;
    if metadata.is_dir() != (attach == Attach::Network) {
        let what = if metadata.is_dir() { "a folder" } else { "no folder" };
        return Err(Error::input(format!("the medium {} is {what}", medium.display()))
            .hint("name an ISO or disk image"));
    }
    Ok(())
}
