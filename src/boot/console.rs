//! What a machine has printed so far: its logs followed, its stages timed, its last lines kept.

use std::time::Instant;

use serde::Serialize;

use super::serial::{LOG_LIMIT, Last, Tail};
use super::stage::{self, Course, Stage};
use super::work::Files;
use crate::error::{IoContext, Result};

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// From its first sign to the next one's, in seconds.
    pub seconds: f64,
}

/// A time in seconds, to the millisecond.
pub fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Lines that are new.
#[derive(Debug, Default)]
pub struct News {
    /// Of the serial port.
    pub serial: Vec<String>,
    /// Of the firmware's debug port, those that matter.
    pub firmware: Vec<String>,
    /// Of the port `kiln.verdict`.
    pub port: Vec<String>,
}

/// The logs of a machine.
#[derive(Debug)]
pub struct Console {
    files: Files,
    course: Course,
    serial: Tail,
    firmware: Tail,
    port: Tail,
    last: Last,
    stages: Vec<(Stage, Instant)>,
    printed: Instant,
}

impl Console {
    /// Follows the logs of a machine that has just been started.
    pub fn new(files: &Files, course: Course) -> Self {
        let now = Instant::now();
        Self {
            files: files.clone(),
            course,
            serial: Tail::new(&files.serial),
            firmware: Tail::new(&files.firmware),
            port: Tail::new(&files.verdict),
            last: Last::default(),
            stages: vec![(Stage::Firmware, now)],
            printed: now,
        }
    }

    /// What is new. Last lines are not yet among it.
    pub fn poll(&mut self) -> Result<News> {
        let firmware = self.firmware.poll().at("reading", &self.files.firmware)?;
        let serial = self.serial.poll().at("reading", &self.files.serial)?;
        let port = self.port.poll().at("reading", &self.files.verdict)?;
        // SeaBIOS's debug log is long; what it boots from, and that it cannot, is what matters.
        let firmware =
            firmware.into_iter().filter(|line| line.to_ascii_lowercase().contains("boot")).collect();
        Ok(News { serial, firmware, port })
    }

    /// Lines that nothing will complete any more.
    pub fn finish(&mut self) -> News {
        let lines = |tail: &mut Tail| tail.finish().into_iter().collect();
        News { serial: lines(&mut self.serial), firmware: Vec::new(), port: lines(&mut self.port) }
    }

    /// Takes in a line; the stage that it begins, if it begins one.
    pub fn line(&mut self, line: &str) -> Option<Stage> {
        self.printed = Instant::now();
        self.last.push(line);
        stage::stage_of(line, self.course).filter(|&stage| self.reach(stage))
    }

    /// Begins a stage, unless the machine is there or beyond.
    pub fn reach(&mut self, stage: Stage) -> bool {
        let new = stage > self.stage();
        if new {
            self.stages.push((stage, Instant::now()));
        }
        new
    }

    /// What a line says went wrong.
    pub fn failure_of(&self, line: &str) -> Option<&'static str> {
        stage::failure_of(line, self.stage(), self.course)
    }

    /// The stage that the machine is at.
    pub fn stage(&self) -> Stage {
        self.stages.last().map_or(Stage::Firmware, |&(stage, _)| stage)
    }

    /// When a stage began.
    pub fn since(&self, stage: Stage) -> Option<Instant> {
        self.stages.iter().find(|(at, _)| *at >= stage).map(|&(_, since)| since)
    }

    /// When something was last printed.
    pub fn printed(&self) -> Instant {
        self.printed
    }

    /// The line of the serial port that is not complete yet.
    pub fn partial(&self) -> String {
        self.serial.partial()
    }

    /// Bytes read of each log.
    pub fn lengths(&self) -> [u64; 3] {
        [self.serial.length(), self.firmware.length(), self.port.length()]
    }

    /// Whether the machine prints without end.
    pub fn floods(&self) -> bool {
        self.lengths().into_iter().any(|length| length > LOG_LIMIT)
    }

    /// How long each stage took until `ended`, and the last lines.
    pub fn close(self, ended: Instant) -> (Vec<StageTime>, Vec<String>) {
        let ends = self.stages.iter().skip(1).map(|&(_, at)| at).chain([ended]);
        let times = self.stages.iter().zip(ends);
        let times = times.map(|(&(stage, from), to)| StageTime {
            stage,
            seconds: seconds(to.saturating_duration_since(from)),
        });
        (times.collect(), self.last.into_lines())
    }
}
