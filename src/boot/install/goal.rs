//! The goal of a phase: reads what the machine prints, says when it is ready and when its power is cut, and judges its end.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::phase::{After, CutFrom, Ending, Phase};
use super::run::Company;
use crate::boot::console::{Console, seconds};
use crate::boot::stage::{self, Stage};
use crate::boot::verdict::{Failure, FailureKind, how};
use crate::boot::watch::{Act, Ended, Goal, Heed, Watched};

/// What introduces a step of the installer on the serial port: `KILN-STANDIN-STEP <seconds> <step>`.
const STEP: &str = "KILN-STANDIN-STEP ";
/// Steps kept.
const STEPS_KEPT: usize = 500;

/// A step of the installer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// The seconds that the installer printed with it.
    pub guest_seconds: f64,
    /// How long it took: until the next step, or the phase's end.
    pub seconds: f64,
}

/// How a machine that was ready went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// By itself, when the power button was pressed.
    PoweredOff,
    /// It was killed, as asked for or since it did not go.
    Killed,
}

/// Watches for a phase's end.
pub struct PhaseGoal<'a> {
    phase: &'a Phase,
    power_off: Duration,
    company: &'a dyn Company,
    /// For each text, whether it was printed.
    seen: Vec<bool>,
    login: bool,
    steps: Vec<(String, f64, Instant)>,
    ready: Option<Instant>,
    pictured: bool,
    down: Option<Instant>,
    killed: bool,
    cut: bool,
}

impl<'a> PhaseGoal<'a> {
    /// For one start of the machine.
    pub fn new(phase: &'a Phase, power_off: Duration, company: &'a dyn Company) -> Self {
        Self {
            phase,
            power_off,
            company,
            seen: vec![false; phase.until.len()],
            login: false,
            steps: Vec::new(),
            ready: None,
            pictured: false,
            down: None,
            killed: false,
            cut: false,
        }
    }

    fn look(&mut self, line: &str) {
        for (text, seen) in self.phase.until.iter().zip(&mut self.seen) {
            *seen = *seen || line.contains(text);
        }
        self.login = self.login || stage::login_prompt(line);
    }

    fn cut_due(&self, console: &Console) -> bool {
        let Some(cut) = &self.phase.cut else { return false };
        let since = match &cut.from {
            CutFrom::Kernel => console.since(Stage::Kernel),
            CutFrom::Step(name) => {
                self.steps.iter().find(|(step, ..)| step.starts_with(name)).map(|&(.., at)| at)
            }
        };
        since.is_some_and(|since| since.elapsed() >= cut.after)
    }

    fn is_ready(&self) -> bool {
        let texts = self.seen.iter().all(|&seen| seen);
        self.phase.expect.contains(&Ending::Ready) && texts && (self.login || !self.seen.is_empty())
    }

    /// What is done with a machine that has been ready since.
    fn ready(&mut self, since: Instant) -> Act {
        if let Some(down) = self.down {
            if down.elapsed() < self.power_off {
                return Act::Watch;
            }
            self.killed = true;
            return Act::End;
        }
        if since.elapsed() < self.phase.settle {
            return Act::Watch;
        }
        if !self.pictured {
            self.pictured = true;
            self.company.ready();
            return Act::Picture;
        }
        match self.phase.after {
            After::Stay if !self.company.over() => Act::Watch,
            After::PullPlug => {
                self.killed = true;
                Act::End
            }
            After::Stay | After::PowerDown => {
                self.down = Some(Instant::now());
                Act::PowerDown
            }
        }
    }
}

impl Goal for PhaseGoal<'_> {
    fn serial(&mut self, line: &str) {
        self.look(line);
        let step = line.split_once(STEP).and_then(|(_, rest)| rest.trim().split_once(' '));
        if let Some((time, step)) = step
            && let Ok(time) = time.parse()
            && self.steps.len() < STEPS_KEPT
        {
            self.steps.push((step.trim().to_owned(), time, Instant::now()));
        }
    }

    fn port(&mut self, _line: &str) {}

    fn heed(&self) -> Heed {
        match self.ready {
            None => Heed::ALL,
            Some(_) if self.phase.after == After::Stay && self.down.is_none() => Heed::STAYS,
            Some(_) => Heed::SETTLED,
        }
    }

    fn act(&mut self, console: &Console, ended: &Ended) -> Act {
        self.look(&console.partial());
        if self.login && console.stage() < Stage::Login {
            return Act::Reach(Stage::Login);
        }
        if ended.shutdown.is_some() || ended.panicked {
            return Act::Watch;
        }
        if self.cut_due(console) {
            self.cut = true;
            return Act::Cut;
        }
        if self.ready.is_none() && self.is_ready() {
            self.ready = Some(Instant::now());
        }
        self.ready.map_or(Act::Watch, |since| self.ready(since))
    }
}

/// A goal's judgement.
#[derive(Debug)]
pub struct Judged {
    /// How the phase ended; none if it was given up, or QEMU died.
    pub ending: Option<Ending>,
    /// Why that is wrong.
    pub failure: Option<Failure>,
    /// How a machine that was ready went down.
    pub down: Option<Down>,
    /// The installer's steps.
    pub steps: Vec<Step>,
}

impl PhaseGoal<'_> {
    /// Judges what was watched.
    pub fn judge(self, watched: &Watched) -> Judged {
        let ended = &watched.ended;
        let reason = ended.shutdown.as_deref();
        let ending = match reason {
            _ if self.cut => Some(Ending::Cut),
            _ if self.ready.is_some() => Some(Ending::Ready),
            _ if ended.panicked || watched.failure.is_some() => None,
            Some("guest-reset") => Some(Ending::Reset),
            Some("guest-shutdown") => Some(Ending::PoweredOff),
            _ => None,
        };
        let clean = !self.killed && reason == Some("guest-shutdown");
        let down = self.ready.map(|_| if clean { Down::PoweredOff } else { Down::Killed });
        let failure = match &watched.failure {
            Some(failure) => Some(self.explain(failure)),
            None => self.failure(ending, watched),
        };
        Judged { ending, failure, down, steps: self.steps() }
    }

    /// A failure by a limit is told with what was waited for.
    fn explain(&self, failure: &Failure) -> Failure {
        let by_limit = matches!(failure.kind, FailureKind::Timeout | FailureKind::Silent);
        match self.missing().filter(|_| by_limit) {
            Some(missing) => Failure::new(failure.kind, format!("{}; {missing}", failure.message)),
            None => failure.clone(),
        }
    }

    fn missing(&self) -> Option<String> {
        let unseen = self.phase.until.iter().zip(&self.seen).find(|(_, seen)| !**seen);
        match unseen {
            Some((text, _)) => Some(format!("{text:?} was not printed")),
            None if self.phase.expect.contains(&Ending::Ready) && self.seen.is_empty() && !self.login => {
                Some("there was no login prompt".to_owned())
            }
            None => None,
        }
    }

    fn failure(&self, ending: Option<Ending>, watched: &Watched) -> Option<Failure> {
        let stage = watched.stage.as_str();
        if let Some(ending) = ending.filter(|ending| self.phase.expect.contains(ending)) {
            let judged = matches!(ending, Ending::Reset | Ending::PoweredOff);
            let did = if ending == Ending::Reset { "was reset" } else { "powered off" };
            return self.missing_text().filter(|_| judged).map(|missing| {
                Failure::new(
                    FailureKind::Unseen,
                    format!("the machine {did} at the {stage} stage, and {missing}"),
                )
            });
        }
        let Some(did) = how(&watched.ended) else {
            return Some(Failure::new(
                FailureKind::Emulator,
                format!("QEMU ended by itself at the {stage} stage"),
            ));
        };
        let wanted: Vec<&str> = self.phase.expect.iter().map(|ending| ending.words()).collect();
        let message = format!("the machine {did} at the {stage} stage; it was to {}", wanted.join(" or to "));
        Some(Failure::new(FailureKind::Unexpected, message))
    }

    fn missing_text(&self) -> Option<String> {
        self.missing().filter(|_| !self.phase.until.is_empty())
    }

    fn steps(&self) -> Vec<Step> {
        let now = Instant::now();
        let ends = self.steps.iter().skip(1).map(|&(.., at)| at).chain([now]);
        let steps = self.steps.iter().zip(ends);
        steps
            .map(|((step, guest, from), to)| Step {
                step: step.clone(),
                guest_seconds: *guest,
                seconds: seconds(to.saturating_duration_since(*from)),
            })
            .collect()
    }
}
