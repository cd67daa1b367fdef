//! Watches a running machine until its goal is reached, it ends by itself, or it must be ended. What is a success is the goal's to say.

use std::path::Path;
use std::time::{Duration, Instant};

use super::console::{Console, News, StageTime, seconds};
use super::machine::{Machine, Running};
use super::processors;
use super::qmp::{Message, Monitor};
use super::serial::LOG_LIMIT;
use super::spec::Limits;
use super::stage::{self, Course, Stage};
use super::verdict::{Failure, FailureKind};
use crate::error::{Error, IoContext, Result};
use crate::progress::Progress;

/// How often the logs are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long QEMU may take to end when told to, or when its monitor has closed; then it is killed.
const PATIENCE: Duration = Duration::from_secs(4);
/// With a picture to be taken before.
const PATIENCE_PICTURE: Duration = Duration::from_secs(20);

/// What is to be done with the machine now.
#[derive(Debug)]
pub enum Act {
    /// Nothing.
    Watch,
    /// A stage has been reached that no word of the firmware or kernel shows.
    Reach(Stage),
    /// A picture is taken of its screen, now and not at the end.
    Picture,
    /// The power button is pressed.
    PowerDown,
    /// Its power is cut: QEMU is killed, and nothing that it holds in memory is written.
    Cut,
    /// It is ended.
    End,
    /// It has failed, and is ended.
    Fail(Failure),
}

/// How a machine went off, as QEMU's monitor tells it.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// QEMU's reason.
    pub shutdown: Option<String>,
    /// Whether the guest reported a panic to QEMU.
    pub panicked: bool,
}

/// What is minded of a running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heed {
    /// Words that mean failure.
    pub words: bool,
    /// Silence.
    pub silence: bool,
    /// The time for the whole.
    pub total: bool,
}

impl Heed {
    /// Everything.
    pub const ALL: Heed = Heed { words: true, silence: true, total: true };
    /// What matters has been said: a guest may log what it likes on its way down.
    pub const SETTLED: Heed = Heed { words: false, silence: false, total: true };
    /// It runs, and is kept running for others.
    pub const STAYS: Heed = Heed { words: true, silence: false, total: false };
}

/// What a machine is watched for.
pub trait Goal {
    /// A line of the guest's serial port.
    fn serial(&mut self, line: &str);
    /// A line of the port `kiln.verdict`.
    fn port(&mut self, line: &str);
    /// What is to be minded now.
    fn heed(&self) -> Heed;
    /// Looks at the whole; called after each look at the logs.
    fn act(&mut self, console: &Console, ended: &Ended) -> Act;
}

/// How a machine is watched.
#[derive(Debug)]
pub struct Manner<'a> {
    /// Longest times.
    pub limits: Limits,
    /// What the machine may boot.
    pub course: Course,
    /// Where a picture of the screen is put.
    pub screenshot: Option<&'a Path>,
    /// Whether a picture is taken of a success too.
    pub always: bool,
}

/// What was seen.
#[derive(Debug)]
pub struct Watched {
    /// Why it was ended; none if it ended by itself or its goal was reached.
    pub failure: Option<Failure>,
    /// How it went off.
    pub ended: Ended,
    /// The stages, in order.
    pub stages: Vec<StageTime>,
    /// The last of them.
    pub stage: Stage,
    /// From start to end.
    pub seconds: f64,
    /// The last lines that firmware and guest printed.
    pub last_lines: Vec<String>,
}

struct Watch<'a> {
    machine: &'a Machine<'a>,
    manner: &'a Manner<'a>,
    goal: &'a mut dyn Goal,
    progress: &'a dyn Progress,
    console: Console,
    ended: Ended,
    /// A failure that ends the run, and when it was seen.
    failed: Option<(Failure, Instant)>,
    /// Whether a picture has been taken.
    pictured: bool,
    /// Whether QEMU has been killed already.
    cut: bool,
}

/// Watches a started machine to its end.
pub fn watch(
    machine: &Machine<'_>,
    mut running: Running,
    manner: &Manner<'_>,
    goal: &mut dyn Goal,
    progress: &dyn Progress,
) -> Result<Watched> {
    let started = Instant::now();
    let stream = running.monitor.try_clone().at("connecting to QEMU for", &machine.files.stderr)?;
    let mut monitor = Monitor::new(stream);
    let console = Console::new(&machine.files, manner.course);
    let mut watch = Watch {
        machine,
        manner,
        goal,
        progress,
        console,
        ended: Ended::default(),
        failed: None,
        pictured: false,
        cut: false,
    };
    monitor.start();
    while !monitor.closed() {
        watch.messages(monitor.wait(TICK));
        watch.logs()?;
        if machine.hold && watch.ended.shutdown.is_some() {
            break;
        }
        match watch.act() {
            Act::Watch | Act::Reach(_) | Act::Fail(_) => {}
            Act::Picture => watch.picture(&mut monitor)?,
            Act::PowerDown => monitor.power_down(),
            Act::End => break,
            Act::Cut => {
                let _ = running.child.kill();
                watch.cut = true;
                break;
            }
        }
        watch.limits(started);
        if watch.over() {
            break;
        }
    }
    watch.end(&mut running, &mut monitor)?;
    Ok(watch.result(started))
}

impl Watch<'_> {
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
                            self.ended.shutdown.get_or_insert(reason);
                        }
                        Message::Panicked => self.ended.panicked = true,
                        Message::Refused(why) => self.progress.warn(&format!("QEMU: {why}")),
                        Message::Greeting | Message::Done | Message::Told(_) | Message::Other(_) => {}
                    }
                }
            }
        }
    }

    fn act(&mut self) -> Act {
        let act = self.goal.act(&self.console, &self.ended);
        match &act {
            Act::Reach(stage) if self.console.reach(*stage) => {
                self.progress.step(&format!("{} reached", stage.as_str()));
            }
            Act::Fail(failure) => self.fail(failure.kind, failure.message.clone()),
            _ => {}
        }
        act
    }

    fn logs(&mut self) -> Result<()> {
        let news = self.console.poll()?;
        self.take(&news);
        let partial = self.console.partial();
        self.signs(&partial);
        if self.console.floods() {
            self.fail(FailureKind::Flood, format!("the guest printed more than {} MiB", LOG_LIMIT >> 20));
        }
        Ok(())
    }

    fn take(&mut self, news: &News) {
        for line in news.firmware.iter().chain(&news.serial) {
            if let Some(stage) = self.console.line(line) {
                self.progress.step(&format!("{} reached", stage.as_str()));
            }
            self.signs(line);
        }
        // SeaBIOS's debug log must not pose as the guest: what counts is taken from the guest's own ports only.
        news.serial.iter().for_each(|line| self.goal.serial(line));
        news.port.iter().for_each(|line| self.goal.port(line));
    }

    fn signs(&mut self, line: &str) {
        if !self.goal.heed().words {
            return;
        }
        if stage::starved(line) {
            let message = "the host was too busy for the guest's timer check (IO-APIC + timer doesn't work)";
            self.fail(FailureKind::Starved, message);
        }
        if let Some(what) = self.console.failure_of(line) {
            self.fail(FailureKind::Printed, what);
        }
    }

    fn limits(&mut self, started: Instant) {
        let limits = self.manner.limits;
        let stage = self.console.stage();
        let quiet = if stage <= Stage::Loader { limits.quiet_loader } else { limits.quiet_system };
        let heed = self.goal.heed();
        if heed.silence && self.console.printed().elapsed() > quiet {
            let message = format!("nothing was printed for {} at the {} stage", whole(quiet), stage.as_str());
            self.fail(FailureKind::Silent, message);
        }
        if heed.total && started.elapsed() > limits.total {
            let message =
                format!("no end after {}; it came to the {} stage", whole(limits.total), stage.as_str());
            self.fail(FailureKind::Timeout, message);
        }
    }

    /// Whether the run must be ended now. A printed sign is given a moment, so that the log tells the rest.
    fn over(&self) -> bool {
        self.failed.as_ref().is_some_and(|(failure, since)| {
            failure.kind != FailureKind::Printed || since.elapsed() > self.manner.limits.linger
        })
    }

    fn picture(&mut self, monitor: &mut Monitor) -> Result<()> {
        self.pictured = true;
        let Some(file) = self.manner.screenshot else { return Ok(()) };
        monitor.screenshot(&std::path::absolute(file).at("finding", file)?);
        Ok(())
    }

    /// Adds to what is said of a machine that says nothing, or does not come to an end, what its processors do.
    fn who_hangs(&mut self, monitor: &mut Monitor) {
        if let Some((failure, _)) = &mut self.failed
            && matches!(failure.kind, FailureKind::Silent | FailureKind::Timeout)
        {
            failure.message = format!("{}; {}", failure.message, processors::ask(monitor));
        }
    }

    /// Takes the picture, ends QEMU, reads what is left.
    fn end(&mut self, running: &mut Running, monitor: &mut Monitor) -> Result<()> {
        let mut patience = PATIENCE;
        if !monitor.closed() && !self.cut {
            self.who_hangs(monitor);
            if self.failed.is_some() || self.manner.always && !self.pictured {
                self.picture(monitor)?;
                // Only a picture takes that long.
                if self.manner.screenshot.is_some() {
                    patience = PATIENCE_PICTURE;
                }
            }
            monitor.quit();
        }
        let until = Instant::now() + patience;
        while running
            .child
            .try_wait()
            .at("waiting for QEMU, which logs to", &self.machine.files.stderr)?
            .is_none()
        {
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
        running.child.wait().at("waiting for QEMU, which logs to", &self.machine.files.stderr)?;
        self.rest()
    }

    /// Reads the logs to their ends, last lines included.
    fn rest(&mut self) -> Result<()> {
        loop {
            let before = self.console.lengths();
            self.logs()?;
            if before == self.console.lengths() {
                break;
            }
        }
        let last = self.console.finish();
        self.take(&last);
        Ok(())
    }

    fn result(self, started: Instant) -> Watched {
        let now = Instant::now();
        let failure = self.failed.map(|(failure, _)| failure);
        let stage = self.console.stage();
        let (stages, last_lines) = self.console.close(now);
        Watched { failure, ended: self.ended, stages, stage, seconds: seconds(now - started), last_lines }
    }
}

impl Watched {
    /// A failure, unless it means that QEMU did not run a machine at all: then what it wrote says why.
    ///
    /// # Errors
    /// With QEMU's words.
    pub fn ran(&self, failure: Option<Failure>, machine: &Machine<'_>) -> Result<Option<Failure>> {
        match failure {
            Some(failure) if failure.kind == FailureKind::Emulator && self.stage == Stage::Firmware => {
                Err(never_ran(&failure.message, &machine.files.stderr))
            }
            failure => Ok(failure),
        }
    }
}

/// A limit as it is shown.
pub fn whole(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64().ceil())
}

fn never_ran(message: &str, stderr: &Path) -> Error {
    let said = std::fs::read(stderr).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).trim().to_owned();
    let error = Error::tool(message.to_owned());
    if said.is_empty() { error } else { error.because(said) }
}
