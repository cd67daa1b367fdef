//! Runs a machine through its phases.

use std::path::{Path, PathBuf};

use super::goal::PhaseGoal;
use super::phase::{Ending, Phase};
use super::{DiskOutcome, InstallOutcome, InstallSpec, PhaseOutcome};
use crate::boot::disk::Drive;
use crate::boot::firmware::Image;
use crate::boot::machine::Machine;
use crate::boot::single::TRIES;
use crate::boot::spec::Accel;
use crate::boot::stage::Course;
use crate::boot::verdict::FailureKind;
use crate::boot::watch::{self, Manner};
use crate::boot::work::Work;
use crate::boot::{accel, fingerprint, firmware, machine};
use crate::error::{IoContext, Result};
use crate::progress::Progress;

/// Other machines that run at the same time.
pub trait Company: Sync {
    /// This machine has become ready.
    fn ready(&self);
    /// Whether a machine that stays for the others may go.
    fn over(&self) -> bool;
}

/// No other machine.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Company for Alone {
    fn ready(&self) {}
    fn over(&self) -> bool {
        true
    }
}

/// Runs a machine through its phases.
///
/// # Errors
/// When it could not be tried: no QEMU, no firmware, no medium, no room. A phase that failed is an outcome.
pub fn install(spec: &InstallSpec, company: &dyn Company, progress: &dyn Progress) -> Result<InstallOutcome> {
    spec.check()?;
    let progress = &Named { name: &spec.name, inner: progress };
    let qemu = machine::find_qemu(spec.qemu.as_deref())?;
    let image = firmware::find(spec.hardware.firmware, &spec.system_root)?;
    let work = Work::make(&spec.work, spec.keep)?;
    let accel = accel::choose(spec.accel, &qemu, work.dir());
    let disks = spec.disks.iter().enumerate();
    let drives = disks.map(|(n, disk)| disk.prepare(work.dir(), n + 1)).collect::<Result<Vec<Drive>>>()?;
    let watched = drives.iter().filter(|drive| drive.disk.unchanged);
    let before = watched
        .map(|drive| Ok((drive.path.clone(), fingerprint::of(&drive.path)?)))
        .collect::<Result<Vec<_>>>()?;
    if let Some(image) = &image {
        let vars = work.dir().join("vars.fd");
        std::fs::copy(&image.vars, vars).at("copying the firmware's variables from", &image.vars)?;
    }
    let run =
        Run { spec, qemu, image: image.as_ref(), work: &work, accel, drives: &drives, company, progress };
    let mut phases: Vec<PhaseOutcome> = Vec::new();
    for (n, phase) in spec.phases.iter().enumerate() {
        phases.push(run.phase(n + 1, phase)?);
        if phases.last().is_some_and(|phase| phase.failure.is_some()) {
            break;
        }
    }
    let disks = before
        .into_iter()
        .map(|(path, before)| Ok(DiskOutcome { after: fingerprint::of(&path)?, path, before }))
        .collect::<Result<Vec<_>>>()?;
    let accel = if accel == Accel::Kvm { "kvm" } else { "tcg" };
    Ok(InstallOutcome { phases, disks, accel, firmware_file: image.map(|image| image.code) })
}

struct Run<'a> {
    spec: &'a InstallSpec,
    qemu: PathBuf,
    image: Option<&'a Image>,
    work: &'a Work,
    accel: Accel,
    drives: &'a [Drive],
    company: &'a dyn Company,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    /// One phase: one start, and further ones where the guest resets the machine on its way or the host was too busy.
    fn phase(&self, number: usize, phase: &Phase) -> Result<PhaseOutcome> {
        let (mut tries, mut resets, mut seconds) = (TRIES, 0, 0.0);
        loop {
            let mut outcome = self.start(number, resets, phase)?;
            seconds += outcome.seconds;
            outcome.resets = resets;
            outcome.seconds = seconds;
            let starved = outcome.failure.as_ref().filter(|failure| failure.kind == FailureKind::Starved);
            if let Some(failure) = starved {
                tries -= 1;
                if tries == 0 {
                    return Ok(outcome);
                }
                self.progress.warn(&format!("{}; trying again", failure.message));
            } else if outcome.failure.as_ref().is_some_and(|f| f.kind == FailureKind::Unexpected)
                && outcome.ending == Some(Ending::Reset)
                && resets < phase.resets
            {
                resets += 1;
            } else {
                return Ok(outcome);
            }
        }
    }

    fn start(&self, number: usize, resets: u32, phase: &Phase) -> Result<PhaseOutcome> {
        let spec = self.spec;
        let numbered = |file: &Option<PathBuf>| file.as_ref().map(|file| numbered(file, number, resets));
        let (log, screenshot) = (numbered(&spec.log), numbered(&spec.screenshot));
        let prefix = format!("{number}{}-", again(resets));
        let machine = Machine {
            hardware: &spec.hardware,
            medium: spec.medium.as_deref().filter(|_| phase.medium),
            attach: spec.attach,
            drives: self.drives,
            order: phase.order,
            accel: self.accel,
            image: self.image,
            files: self.work.files(&prefix, log.as_deref())?,
            verdict_port: false,
            vga: spec.screenshot.is_some(),
            hold: true,
            swap_nics: phase.swap_nics,
        };
        if let Some(file) = &screenshot {
            // What an earlier run left must not pass for this one's.
            let _ = std::fs::remove_file(file);
        }
        let course = match phase.medium {
            true if self.drives.is_empty() => Course::Medium,
            true => Course::Either,
            false => Course::Disk,
        };
        let mut limits = spec.limits;
        limits.total = phase.total.unwrap_or(limits.total);
        let manner = Manner { limits, course, screenshot: screenshot.as_deref(), always: true };
        self.progress.step(&format!("{} ({})", phase.name, machine.summary()));
        let mut goal = PhaseGoal::new(phase, limits.power_off, self.company);
        let running = machine.spawn(&self.qemu)?;
        let watched = watch::watch(&machine, running, &manner, &mut goal, self.progress)?;
        let judged = goal.judge(&watched);
        Ok(PhaseOutcome {
            name: phase.name.clone(),
            ending: judged.ending,
            failure: watched.ran(judged.failure, &machine)?,
            down: judged.down,
            steps: judged.steps,
            resets,
            shutdown: watched.ended.shutdown,
            seconds: watched.seconds,
            stages: watched.stages,
            screenshot: screenshot.filter(|file| file.exists()),
            last_lines: watched.last_lines,
        })
    }
}

/// Puts a machine's name before what is told of it.
struct Named<'a> {
    name: &'a str,
    inner: &'a dyn Progress,
}

impl Progress for Named<'_> {
    fn step(&self, what: &str) {
        self.inner.step(&format!("{}: {what}", self.name));
    }
    fn skip(&self, what: &str, why: &str) {
        self.inner.skip(&format!("{}: {what}", self.name), why);
    }
    fn total(&self, bytes: u64) {
        self.inner.total(bytes);
    }
    fn advance(&self, bytes: u64) {
        self.inner.advance(bytes);
    }
    fn warn(&self, message: &str) {
        self.inner.warn(&format!("{}: {message}", self.name));
    }
}

fn again(resets: u32) -> String {
    if resets == 0 { String::new() } else { format!(".{resets}") }
}

/// `console.png` → `console-2.png`, and `console-2.1.png` after a reset on the way.
pub fn numbered(file: &Path, number: usize, resets: u32) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let end = file.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    file.with_file_name(format!("{stem}-{number}{}{end}", again(resets)))
}
