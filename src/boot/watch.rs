//! Watches a running machine until it ends or must be ended, then has it judged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::machine::{Machine, Running};
use super::qmp::{Message, Monitor};
use super::serial::{self, LOG_LIMIT, Last, Stage, Tail};
use super::verdict::{Failure, FailureKind, GuestReport, Heard};
use crate::error::{Error, IoContext, Result};
use crate::progress::Progress;

/// How often the logs are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long QEMU may take to end when told to, or when its monitor has closed; then it is killed.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// From its first sign to the next one's, in seconds.
    pub seconds: f64,
}

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

struct Watch<'a> {
    machine: &'a Machine<'a>,
    progress: &'a dyn Progress,
    serial: Tail,
    firmware: Tail,
    port: Tail,
    heard: Heard,
    last: Last,
    stages: Vec<(Stage, Instant)>,
    /// When something was last printed.
    printed: Instant,
    /// When the verdict came.
    verdict: Option<Instant>,
    /// A failure that ends the run, and when it was seen.
    failed: Option<(Failure, Instant)>,
}

/// Watches a started machine to its end.
pub fn watch(machine: &Machine<'_>, mut running: Running, progress: &dyn Progress) -> Result<BootOutcome> {
    let started = Instant::now();
    let stream = running.monitor.try_clone().at("connecting to QEMU for", &machine.spec.medium)?;
    let mut monitor = Monitor::new(stream);
    let mut watch = Watch {
        machine,
        progress,
        serial: Tail::new(&machine.files.serial),
        firmware: Tail::new(&machine.files.firmware),
        port: Tail::new(&machine.files.verdict),
        heard: Heard::default(),
        last: Last::default(),
        stages: vec![(Stage::Firmware, started)],
        printed: started,
        verdict: None,
        failed: None,
    };
    monitor.start();
    while !monitor.closed() {
        watch.messages(monitor.wait(TICK));
        watch.logs()?;
        watch.limits(started);
        if watch.ends() {
            break;
        }
    }
    watch.end(&mut running, &mut monitor)?;
    watch.outcome(started)
}

impl Watch<'_> {
    fn stage(&self) -> Stage {
        self.stages.last().map_or(Stage::Firmware, |&(stage, _)| stage)
    }

    fn fail(&mut self, kind: FailureKind, message: impl Into<String>) {
        if self.failed.is_none() {
            self.failed = Some((Failure::new(kind, message), Instant::now()));
        }
    }

    fn messages(&mut self, messages: Result<Vec<Message>, String>) {
        match messages {
            Err(why) => self.fail(FailureKind::Emulator, format!("QEMU's monitor speaks no QMP: {why}")),
            Ok(messages) => {
                for message in messages {
                    match message {
                        // The first reason counts: what follows is QEMU clearing up.
                        Message::Shutdown(reason) => {
                            self.heard.shutdown.get_or_insert(reason);
                        }
                        Message::Panicked => self.heard.panicked = true,
                        Message::Refused(why) => self.progress.warn(&format!("QEMU: {why}")),
                        Message::Greeting | Message::Done | Message::Other(_) => {}
                    }
                }
            }
        }
    }

    fn logs(&mut self) -> Result<()> {
        let files = &self.machine.files;
        let firmware = self.firmware.poll().at("reading", &files.firmware)?;
        let serial = self.serial.poll().at("reading", &files.serial)?;
        let port = self.port.poll().at("reading", &files.verdict)?;
        // SeaBIOS's debug log is long; what it boots from, and that it cannot, is what matters.
        for line in firmware.iter().filter(|line| line.to_ascii_lowercase().contains("boot")).chain(&serial) {
            self.line(line);
        }
        // SeaBIOS's debug log must not pose as the guest: a verdict is taken from the guest's own ports only.
        serial.iter().for_each(|line| self.heard.serial_line(line));
        port.iter().for_each(|line| self.heard.port_line(line));
        let partial = self.serial.partial();
        self.signs(&partial);
        if self.verdict.is_none() && self.heard.has_verdict() {
            self.verdict = Some(Instant::now());
        }
        if self.serial.length().max(self.firmware.length()).max(self.port.length()) > LOG_LIMIT {
            self.fail(FailureKind::Flood, format!("the guest printed more than {} MiB", LOG_LIMIT >> 20));
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        self.printed = Instant::now();
        self.last.push(line);
        if let Some(stage) = serial::stage_of(line)
            && stage > self.stage()
        {
            self.stages.push((stage, Instant::now()));
            self.progress.step(&format!("{} reached", stage.as_str()));
        }
        self.signs(line);
    }

    /// After the verdict, words no longer matter: a guest may log what it likes on its way down.
    fn signs(&mut self, line: &str) {
        if self.verdict.is_none() && serial::starved(line) {
            let message = "the host was too busy for the guest's timer check (IO-APIC + timer doesn't work)";
            self.fail(FailureKind::Starved, message);
        }
        if self.verdict.is_none()
            && let Some(what) = serial::failure_of(line, self.stage())
        {
            self.fail(FailureKind::Printed, what);
        }
    }

    fn limits(&mut self, started: Instant) {
        let limits = self.machine.spec.limits;
        let stage = self.stage();
        let quiet = if stage <= Stage::Loader { limits.quiet_loader } else { limits.quiet_system };
        let whole = |time: Duration| format!("{:.0} s", time.as_secs_f64().ceil());
        if let Some(verdict) = self.verdict {
            if verdict.elapsed() > limits.power_off && self.heard.shutdown.is_none() {
                let message = format!(
                    "the guest gave its verdict and did not power off within {}",
                    whole(limits.power_off)
                );
                self.fail(FailureKind::Ending, message);
            }
        } else if self.printed.elapsed() > quiet {
            let message = format!("nothing was printed for {} at the {} stage", whole(quiet), stage.as_str());
            self.fail(FailureKind::Silent, message);
        }
        if started.elapsed() > limits.total {
            let message =
                format!("no end after {}; it came to the {} stage", whole(limits.total), stage.as_str());
            self.fail(FailureKind::Timeout, message);
        }
    }

    /// Whether the run must be ended now. A printed sign is given a moment, so that the log tells the rest.
    fn ends(&self) -> bool {
        self.failed.as_ref().is_some_and(|(failure, since)| {
            failure.kind != FailureKind::Printed || since.elapsed() > self.machine.spec.limits.linger
        })
    }

    /// Takes the picture, ends QEMU, reads what is left.
    fn end(&mut self, running: &mut Running, monitor: &mut Monitor) -> Result<()> {
        if !monitor.closed() {
            if let Some(file) = &self.machine.spec.screenshot {
                monitor.screenshot(&std::path::absolute(file).at("finding", file)?);
            }
            monitor.quit();
        }
        let until = Instant::now() + PATIENCE;
        while running.child.try_wait().at("waiting for QEMU to boot", &self.machine.spec.medium)?.is_none() {
            if Instant::now() > until {
                break;
            }
            if self.failed.is_some() {
                // What QEMU says while it is being ended is of our own making.
                let _ = monitor.wait(TICK);
            } else {
                self.messages(monitor.wait(TICK));
            }
            if monitor.closed() {
                std::thread::sleep(TICK);
            }
        }
        let _ = running.child.kill();
        running.child.wait().at("waiting for QEMU to boot", &self.machine.spec.medium)?;
        self.rest()
    }

    /// Reads the logs to their ends, last lines included.
    fn rest(&mut self) -> Result<()> {
        loop {
            let before = (self.serial.length(), self.firmware.length(), self.port.length());
            self.logs()?;
            if before == (self.serial.length(), self.firmware.length(), self.port.length()) {
                break;
            }
        }
        if let Some(line) = self.serial.finish() {
            self.line(&line);
            self.heard.serial_line(&line);
        }
        if let Some(line) = self.port.finish() {
            self.heard.port_line(&line);
        }
        Ok(())
    }

    fn outcome(self, started: Instant) -> Result<BootOutcome> {
        let ended = Instant::now();
        let stage = self.stage();
        let failure = match self.failed {
            Some((failure, _)) => Some(failure),
            None => self.heard.judge(self.machine.spec, stage).err(),
        };
        if let Some(failure) = &failure
            && failure.kind == FailureKind::Emulator
            && self.stages.len() == 1
        {
            return Err(never_ran(&failure.message, &self.machine.files.stderr));
        }
        let ends = self.stages.iter().skip(1).map(|&(_, at)| at).chain([ended]);
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        let times = self.stages.iter().zip(ends);
        let stages = times.map(|(&(stage, from), to)| StageTime { stage, seconds: seconds(to - from) });
        Ok(BootOutcome {
            failure,
            report: self.heard.report().cloned(),
            stages: stages.collect(),
            shutdown: self.heard.shutdown,
            seconds: seconds(ended - started),
            accel: self.machine.accel(),
            firmware_file: self.machine.image.map(|image| image.code.clone()),
            last_lines: self.last.into_lines(),
        })
    }
}

/// QEMU did not run a machine at all; what it wrote says why.
fn never_ran(message: &str, stderr: &Path) -> Error {
    let said = std::fs::read(stderr).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).trim().to_owned();
    let error = Error::tool(message.to_owned());
    if said.is_empty() { error } else { error.because(said) }
}
