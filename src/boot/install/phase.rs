//! A phase of an install: one power-on of the machine, and what it is to come to.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boot::machine::Order;

/// How a phase comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The guest reset the machine: an installer that is done.
    Reset,
    /// The guest powered off: an installer that refuses, or failed.
    PoweredOff,
    /// A login prompt, or the texts waited for. Then the machine is powered down.
    Ready,
    /// The power was cut, as it was to be.
    Cut,
}

impl Ending {
    /// What a machine is to do: "be reset".
    pub(super) fn words(self) -> &'static str {
        match self {
            Ending::Reset => "be reset",
            Ending::PoweredOff => "power off",
            Ending::Ready => "come up",
            Ending::Cut => "have its power cut",
        }
    }
}

/// What happens to a machine that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// The power button is pressed; if that does not help in time, the plug is pulled.
    #[default]
    PowerDown,
    /// The plug is pulled.
    PullPlug,
    /// It runs until all other machines are done, then the power button is pressed.
    Stay,
}

/// From when the time to a power cut counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutFrom {
    /// The first sign of the kernel.
    Kernel,
    /// The installer's first step whose name begins so.
    Step(String),
}

/// A power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// From when it counts.
    pub from: CutFrom,
    /// How long after that.
    pub after: Duration,
}

impl FromStr for Cut {
    type Err = String;

    /// `STEP+SECONDS`, where STEP is `kernel` or how the name of an installer's step begins; `+SECONDS` may be left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let (step, after) = match text.rsplit_once('+') {
            Some((step, seconds)) => (step.trim(), duration(seconds.trim())?),
            None => (text.trim(), Duration::ZERO),
        };
        match step {
            "" => Err(format!("`{text}` names no step: write kernel+12 or storage+1.5")),
            "kernel" => Ok(Self { from: CutFrom::Kernel, after }),
            name => Ok(Self { from: CutFrom::Step(name.to_owned()), after }),
        }
    }
}

/// `1.5` → a time.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| *time <= DAY).ok_or_else(|| format!("`{text}` is no number of seconds up to a day"))
}

const DAY: Duration = Duration::from_secs(86_400);

/// One power-on.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Its name in reports.
    pub name: String,
    /// Whether the medium is plugged in.
    pub medium: bool,
    /// What the firmware tries first.
    pub order: Order,
    /// The endings that are right; at least one.
    pub expect: Vec<Ending>,
    /// Texts that must be printed. Where `Ready` is expected they are waited for, else there must be a login prompt.
    pub until: Vec<String>,
    /// How long a machine that is ready is left running before its picture is taken and it goes down.
    pub settle: Duration,
    /// What happens then.
    pub after: After,
    /// Cuts the power.
    pub cut: Option<Cut>,
    /// Whether the network cards are in each other's slots.
    pub swap_nics: bool,
    /// How often the guest may reset the machine on its way, where a reset is not expected.
    pub resets: u32,
    /// Longest time; the machine's limit if not given.
    pub total: Option<Duration>,
}

impl Phase {
    fn new(name: impl Into<String>, expect: Ending) -> Self {
        Self {
            name: name.into(),
            medium: false,
            order: Order::Medium,
            expect: vec![expect],
            until: Vec::new(),
            settle: Duration::from_secs(2),
            after: After::PowerDown,
            cut: None,
            swap_nics: false,
            resets: 0,
            total: None,
        }
    }

    /// With the medium: the installer is to reset the machine.
    pub fn install() -> Self {
        Self { medium: true, ..Self::new("install", Ending::Reset) }
    }

    /// With the medium: the installer is to power the machine off, having printed these texts.
    pub fn refused(until: Vec<String>) -> Self {
        Self { medium: true, until, ..Self::new("refused", Ending::PoweredOff) }
    }

    /// With the medium, until the power is cut.
    pub fn cut(number: usize, cut: Cut) -> Self {
        Self { medium: true, cut: Some(cut), ..Self::new(format!("cut-{number}"), Ending::Cut) }
    }

    /// From the disk, to a login prompt or these texts.
    pub fn boot(number: u32, until: Vec<String>) -> Self {
        Self { until, ..Self::new(format!("boot-{number}"), Ending::Ready) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_steps_and_seconds() {
        let cut = |text: &str| text.parse::<Cut>();
        let step = |name: &str| CutFrom::Step(name.to_owned());
        let seconds = Duration::from_secs_f64;
        assert_eq!(cut("kernel+12"), Ok(Cut { from: CutFrom::Kernel, after: seconds(12.0) }));
        assert_eq!(cut("storage"), Ok(Cut { from: step("storage"), after: seconds(0.0) }));
        assert_eq!(cut("boot loader+1.5"), Ok(Cut { from: step("boot loader"), after: seconds(1.5) }));
        for bad in ["", "+1", "a+", "a+b", "a+-1", "a+1e9", "a+nan", "a+inf"] {
            assert!(cut(bad).is_err(), "{bad}");
        }
    }
}
