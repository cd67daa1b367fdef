//! A machine through its install: power-on with the medium, reset, power-on from its disk, and so on. A run is a list of phases of
//! one machine, which keeps its disks and its UEFI variables.
//!
//! There is no port `kiln.verdict` here: the verdict of a phase is how it ends, as QEMU's monitor tells it, and what was printed.

mod goal;
pub mod phase;
pub mod report;
mod run;

use std::path::PathBuf;
use std::time::Duration;

pub use self::goal::{Down, Step};
use self::phase::{After, Cut, Ending, Phase};
pub use self::run::{Alone, Company, install};
use super::console::StageTime;
use super::disk::Disk;
use super::hardware::Hardware;
use super::machine::Order;
use super::spec::{Accel, Attach, Limits, check_medium};
use super::verdict::{Failure, FailureKind};
use crate::digest::Sha256;
use crate::error::{Error, Result};

/// Most disks of a machine: the ports of its SATA controller but the medium's.
const DISKS: usize = 5;

/// One machine and its phases.
#[derive(Debug, Clone)]
pub struct InstallSpec {
    /// Its name in reports.
    pub name: String,
    /// The machine.
    pub hardware: Hardware,
    /// The medium; opened read-only. May be missing if no phase has it plugged in.
    pub medium: Option<PathBuf>,
    /// How it is plugged in.
    pub attach: Attach,
    /// The disks, in order.
    pub disks: Vec<Disk>,
    /// The phases, in order. After one that failed, none follows.
    pub phases: Vec<Phase>,
    /// What executes the guest.
    pub accel: Accel,
    /// QEMU's program; found in the usual places if not given.
    pub qemu: Option<PathBuf>,
    /// Where the system's firmware is looked for: `/`, or a test's folder.
    pub system_root: PathBuf,
    /// Longest times of each phase.
    pub limits: Limits,
    /// Folder for this run's files; it is made, and must not exist.
    pub work: PathBuf,
    /// Whether `work` stays when the run is over.
    pub keep: bool,
    /// Where the serial logs are kept, numbered by phase: `FILE-1.log` for `FILE.log`.
    pub log: Option<PathBuf>,
    /// Where pictures of the screen are kept, numbered by phase. The machine has a screen only with it.
    pub screenshot: Option<PathBuf>,
}

impl InstallSpec {
    /// A machine of the usual kind, TCG, without disks or phases.
    pub fn new(name: impl Into<String>, hardware: Hardware, work: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            hardware,
            medium: None,
            attach: Attach::Usb,
            disks: Vec::new(),
            phases: Vec::new(),
            accel: Accel::Tcg,
            qemu: None,
            system_root: PathBuf::from("/"),
            limits: Limits::install(),
            work: work.into(),
            keep: false,
            log: None,
            screenshot: None,
        }
    }

    /// Checks what can be told before anything is started.
    ///
    /// # Errors
    /// With the rule that is broken.
    pub fn check(&self) -> Result<()> {
        self.check_values()?;
        self.medium.as_deref().map_or(Ok(()), |medium| check_medium(medium, self.attach))
    }

    /// The same without a look at any file.
    ///
    /// # Errors
    /// With the rule that is broken.
    pub fn check_values(&self) -> Result<()> {
        self.hardware.check()?;
        let wrong = |what: String| Err(Error::input(format!("machine {}: {what}", self.name)));
        if self.medium.is_none() && self.phases.iter().any(|phase| phase.medium) {
            return wrong("a phase needs a medium, and there is none".to_owned());
        }
        if self.disks.len() > DISKS {
            return wrong(format!("it has {} disks, and can have {DISKS}", self.disks.len()));
        }
        if self.phases.is_empty() || self.phases.iter().any(|phase| phase.expect.is_empty()) {
            return wrong("nothing is expected of it".to_owned());
        }
        for phase in &self.phases {
            if phase.until.iter().any(|text| text.is_empty() || text.chars().any(char::is_control)) {
                return wrong(format!("phase {}: a text that is waited for is one line", phase.name));
            }
        }
        Ok(())
    }
}

/// The usual phases of an install.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    /// Whether the installer is to refuse: then nothing is booted after it.
    pub refused: bool,
    /// Texts that must be printed: by the refusal, else by each boot.
    pub until: Vec<String>,
    /// Boots from the disk after the install.
    pub boots: u32,
    /// Whether the medium is still plugged in when the disk is to be booted.
    pub medium_stays: bool,
    /// What the firmware tries first where the medium is plugged in.
    pub order: Order,
    /// Power cuts before the install that goes through, one power-on each.
    pub cuts: Vec<Cut>,
    /// How long a machine that is ready is left running; two seconds if not given.
    pub settle: Option<Duration>,
    /// Whether the last boot stays until all other machines are done.
    pub stay: bool,
}

impl Usual {
    /// The phases.
    pub fn phases(&self) -> Vec<Phase> {
        let cuts = self.cuts.iter().enumerate().map(|(n, cut)| Phase::cut(n + 1, cut.clone()));
        let mut phases: Vec<Phase> = cuts.collect();
        phases.push(if self.refused { Phase::refused(self.until.clone()) } else { Phase::install() });
        for number in 1..=if self.refused { 0 } else { self.boots } {
            let mut phase = Phase::boot(number, self.until.clone());
            phase.medium = self.medium_stays;
            // An installer that finds its machine installed may hand over to the disk by a reset.
            phase.resets = u32::from(self.medium_stays);
            phases.push(phase);
        }
        for phase in &mut phases {
            phase.order = self.order;
            phase.settle = self.settle.unwrap_or(phase.settle);
        }
        if let Some(last) = phases.last_mut().filter(|last| self.stay && last.expect.contains(&Ending::Ready))
        {
            last.after = After::Stay;
        }
        phases
    }
}

/// What came of a phase.
#[derive(Debug, Clone)]
pub struct PhaseOutcome {
    /// Its name.
    pub name: String,
    /// How it ended; none if it was given up.
    pub ending: Option<Ending>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How a machine that was ready went down.
    pub down: Option<Down>,
    /// QEMU's reason for the machine's end.
    pub shutdown: Option<String>,
    /// How often the guest reset the machine on its way.
    pub resets: u32,
    /// The whole phase in seconds.
    pub seconds: f64,
    /// The stages of its last start.
    pub stages: Vec<StageTime>,
    /// The installer's steps.
    pub steps: Vec<Step>,
    /// The picture that was taken.
    pub screenshot: Option<PathBuf>,
    /// The last lines printed.
    pub last_lines: Vec<String>,
}

/// A disk that was looked at before and after.
#[derive(Debug, Clone)]
pub struct DiskOutcome {
    /// Its file.
    pub path: PathBuf,
    /// Its fingerprint before the first phase.
    pub before: Sha256,
    /// And after the last.
    pub after: Sha256,
}

/// What came of a machine.
#[derive(Debug, Clone)]
pub struct InstallOutcome {
    /// The phases that were run.
    pub phases: Vec<PhaseOutcome>,
    /// The disks that were to stay as they were.
    pub disks: Vec<DiskOutcome>,
    /// `tcg` or `kvm`.
    pub accel: &'static str,
    /// The UEFI code used; none for BIOS.
    pub firmware_file: Option<PathBuf>,
}

impl InstallOutcome {
    /// The first failure.
    pub fn failure(&self) -> Option<Failure> {
        let phase = self.phases.iter().find_map(|phase| phase.failure.clone());
        phase.or_else(|| self.disks.iter().find_map(DiskOutcome::failure))
    }

    /// Whether all went as it was to.
    pub fn passed(&self) -> bool {
        self.failure().is_none()
    }

    /// All phases in seconds.
    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }
}

impl DiskOutcome {
    /// A changed disk is a failure.
    pub fn failure(&self) -> Option<Failure> {
        let message = format!("the disk {} has changed, and was to stay as it was", self.path.display());
        (self.before != self.after).then(|| Failure::new(FailureKind::Changed, message))
    }
}
