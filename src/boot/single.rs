//! One boot of one medium, judged by the guest's own verdict. Not an install: that has phases, and lies in `install`.

use std::path::PathBuf;
use std::time::Instant;

use super::console::{Console, StageTime};
use super::machine::{Machine, Order};
use super::spec::BootSpec;
use super::stage::Course;
use super::verdict::{Failure, FailureKind, GuestReport, Heard};
use super::watch::{self, Act, Ended, Goal, Heed, Manner};
use super::{accel, firmware, machine, work};
use crate::error::{IoContext, Result};
use crate::progress::Progress;

/// What came of a boot.
#[derive(Debug, Clone)]
pub struct BootOutcome {
    /// Why it failed; none means it passed.
    pub failure: Option<Failure>,
    /// The guest's report, if it gave one.
    pub report: Option<GuestReport>,
    /// QEMU's reason for the machine's end.
    pub shutdown: Option<String>,
    /// The stages seen, in order.
    pub stages: Vec<StageTime>,
    /// The whole run in seconds.
    pub seconds: f64,
    /// `tcg` or `kvm`.
    pub accel: &'static str,
    /// The UEFI code used; none for BIOS.
    pub firmware_file: Option<PathBuf>,
    /// The last lines that firmware and guest printed.
    pub last_lines: Vec<String>,
}

impl BootOutcome {
    /// Whether the boot passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }

    /// The node that the guest found itself to be.
    pub fn node(&self) -> Option<&str> {
        self.report.as_ref().and_then(|report| report.node.as_deref())
    }
}

/// How often a boot is tried when the host is too busy for it. No other failure is tried again.
pub(super) const TRIES: u32 = 4;

/// Boots the medium of `spec`; again only where the host was too busy for the guest.
///
/// # Errors
/// When the boot could not be tried: no QEMU, no firmware, no medium, no room. A boot that failed is an outcome.
pub fn run(spec: &BootSpec, progress: &dyn Progress) -> Result<BootOutcome> {
    spec.check()?;
    let qemu = machine::find_qemu(spec.qemu.as_deref())?;
    let image = firmware::find(spec.firmware, &spec.system_root)?;
    let work = work::Work::make(&spec.work, spec.keep)?;
    let accel = accel::choose(spec.accel, &qemu, work.dir());
    let hardware = spec.hardware();
    let mut tries = TRIES;
    loop {
        let machine = Machine {
            hardware: &hardware,
            medium: Some(&spec.medium),
            attach: spec.attach,
            drives: &[],
            order: Order::Medium,
            accel,
            image: image.as_ref(),
            files: work.files("", spec.log.as_deref())?,
            verdict_port: true,
            vga: spec.screenshot.is_some(),
            hold: false,
            swap_nics: false,
        };
        if let Some(image) = &image {
            std::fs::copy(&image.vars, &machine.files.vars)
                .at("copying the firmware's variables from", &image.vars)?;
        }
        progress.step(&format!("booting {} ({})", spec.medium.display(), machine.summary()));
        let outcome = once(spec, &machine, machine.spawn(&qemu)?, progress)?;
        tries -= 1;
        match &outcome.failure {
            Some(failure) if failure.kind == FailureKind::Starved && tries > 0 => {
                progress.warn(&format!("{}; trying again", failure.message));
            }
            _ => return Ok(outcome),
        }
    }
}

fn once(
    spec: &BootSpec,
    machine: &Machine<'_>,
    running: machine::Running,
    progress: &dyn Progress,
) -> Result<BootOutcome> {
    let manner = Manner {
        limits: spec.limits,
        course: Course::Medium,
        screenshot: spec.screenshot.as_deref(),
        always: false,
    };
    let mut goal = Verdict { spec, heard: Heard::default(), since: None };
    let watched = watch::watch(machine, running, &manner, &mut goal, progress)?;
    let judged = || goal.heard.judge(spec, watched.stage, &watched.ended).err();
    let failure = watched.ran(watched.failure.clone().or_else(judged), machine)?;
    Ok(BootOutcome {
        failure,
        report: goal.heard.report().cloned(),
        shutdown: watched.ended.shutdown,
        stages: watched.stages,
        seconds: watched.seconds,
        accel: machine.accel(),
        firmware_file: machine.image.map(|image| image.code.clone()),
        last_lines: watched.last_lines,
    })
}

/// Waits for the guest's verdict and its power-off.
struct Verdict<'a> {
    spec: &'a BootSpec,
    heard: Heard,
    /// When the verdict came.
    since: Option<Instant>,
}

impl Goal for Verdict<'_> {
    fn serial(&mut self, line: &str) {
        self.heard.serial_line(line);
        self.heed();
    }

    fn port(&mut self, line: &str) {
        self.heard.port_line(line);
        self.heed();
    }

    fn heed(&self) -> Heed {
        if self.since.is_some() { Heed::SETTLED } else { Heed::ALL }
    }

    fn act(&mut self, _console: &Console, ended: &Ended) -> Act {
        let limit = self.spec.limits.power_off;
        if self.since.is_some_and(|since| since.elapsed() > limit) && ended.shutdown.is_none() {
            let message =
                format!("the guest gave its verdict and did not power off within {}", watch::whole(limit));
            return Act::Fail(Failure::new(FailureKind::Ending, message));
        }
        Act::Watch
    }
}

impl Verdict<'_> {
    fn heed(&mut self) {
        if self.since.is_none() && self.heard.has_verdict() {
            self.since = Some(Instant::now());
        }
    }
}
