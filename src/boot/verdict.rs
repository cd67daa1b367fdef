//! From what the guest and QEMU said to a verdict. Pure: no process, no clock.

use serde::{Deserialize, Serialize};

use super::spec::{BootSpec, Firmware};
use super::stage::Stage;
use super::watch::Ended;

/// What introduces a verdict on the serial port.
pub const MARKER: &str = "KILN-STANDIN-VERDICT ";
/// Longest verdict, in bytes.
pub const REPORT_LIMIT: usize = 16 << 10;
/// Reports kept; more than two already are one too many.
const REPORTS_KEPT: usize = 8;

/// The guest's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestVerdict {
    /// All that it checked holds.
    Pass,
    /// Something does not.
    Fail,
}

/// The guest's report: one JSON object on one line. Fields unknown here are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestReport {
    /// The guest's word.
    pub verdict: GuestVerdict,
    /// How far it came, in its own words.
    #[serde(default)]
    pub stage: Option<String>,
    /// The node it found itself to be.
    #[serde(default)]
    pub node: Option<String>,
    /// Label of the medium it found.
    #[serde(default)]
    pub label: Option<String>,
    /// Files that it checked.
    #[serde(default)]
    pub files: Option<u64>,
    /// What it has to say.
    #[serde(default)]
    pub message: Option<String>,
    /// `bios` or `uefi`, as the guest sees it.
    #[serde(default)]
    pub firmware: Option<String>,
    /// Whether the guest found Secure Boot enforced.
    #[serde(default)]
    pub secure_boot: Option<bool>,
    /// Device that the medium was found on.
    #[serde(default)]
    pub device: Option<String>,
}

/// Why a boot failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest says so itself.
    Guest,
    /// A known sign of failure was printed.
    Printed,
    /// The host gave QEMU so little time that the kernel found its timer broken.
    Starved,
    /// The whole run took too long.
    Timeout,
    /// Nothing was printed for too long.
    Silent,
    /// The machine went off or was reset without a verdict.
    NoVerdict,
    /// There is a verdict, and it cannot be read.
    BadVerdict,
    /// There are two verdicts, and they differ.
    Contradiction,
    /// It passed and did not power off: it hung, was reset, panicked.
    Ending,
    /// It passed as another node, or on another firmware, than was asked for.
    Mismatch,
    /// QEMU ended by itself, or does not speak QMP.
    Emulator,
    /// The guest printed without end.
    Flood,
    /// A phase ended in another way than it was to.
    Unexpected,
    /// A text that was to be printed was not.
    Unseen,
    /// A disk that was to stay as it is has changed.
    Changed,
}

impl FailureKind {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Guest => "guest",
            FailureKind::Printed => "printed",
            FailureKind::Starved => "starved",
            FailureKind::Timeout => "timeout",
            FailureKind::Silent => "silent",
            FailureKind::NoVerdict => "no-verdict",
            FailureKind::BadVerdict => "bad-verdict",
            FailureKind::Contradiction => "contradiction",
            FailureKind::Ending => "ending",
            FailureKind::Mismatch => "mismatch",
            FailureKind::Emulator => "emulator",
            FailureKind::Flood => "flood",
            FailureKind::Unexpected => "unexpected",
            FailureKind::Unseen => "unseen",
            FailureKind::Changed => "changed",
        }
    }
}

/// A failed boot: kind and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
}

impl Failure {
    /// A failure in words.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What was heard in a run.
#[derive(Debug, Default)]
pub struct Heard {
    /// Reports on the virtio-serial port.
    pub port: Vec<Result<GuestReport, String>>,
    /// Reports after the serial marker.
    pub marked: Vec<Result<GuestReport, String>>,
}

impl Heard {
    /// Takes in one line of the verdict port.
    pub fn port_line(&mut self, line: &str) {
        if self.port.len() < REPORTS_KEPT {
            self.port.push(parse(line));
        }
    }

    /// Takes in one line of the serial port; most hold no verdict.
    pub fn serial_line(&mut self, line: &str) {
        if let Some((_, json)) = line.split_once(MARKER)
            && self.marked.len() < REPORTS_KEPT
        {
            self.marked.push(parse(json));
        }
    }

    /// Whether the guest has said its word, readable or not.
    pub fn has_verdict(&self) -> bool {
        !self.port.is_empty() || self.marked.iter().any(Result::is_ok)
    }

    /// The report that counts: the port's first, else the first readable one on the serial port.
    pub fn report(&self) -> Option<&GuestReport> {
        self.port.iter().chain(&self.marked).find_map(|report| report.as_ref().ok())
    }

    /// The verdict on a machine that has ended.
    ///
    /// # Errors
    /// The failure.
    pub fn judge(&self, spec: &BootSpec, stage: Stage, ended: &Ended) -> Result<GuestReport, Failure> {
        // The serial port mixes writers, so a garbled line there counts only where the port was silent.
        if let Some(Err(why)) = self.port.iter().find(|report| report.is_err()) {
            return Err(Failure::new(
                FailureKind::BadVerdict,
                format!("the guest's verdict cannot be read: {why}"),
            ));
        }
        let Some(report) = self.report() else {
            return Err(self.silent(stage, ended));
        };
        let words = |r: &GuestReport| (r.verdict, r.node.clone());
        if let Some(other) =
            self.port.iter().chain(&self.marked).flatten().find(|r| words(r) != words(report))
        {
            let show =
                |r: &GuestReport| format!("{:?} as {}", r.verdict, r.node.as_deref().unwrap_or("no node"));
            let message = format!("the guest gave two verdicts: {} and {}", show(report), show(other));
            return Err(Failure::new(FailureKind::Contradiction, message));
        }
        if report.verdict == GuestVerdict::Fail {
            let stage = report.stage.as_deref().unwrap_or("its own checks");
            let message = report.message.as_deref().unwrap_or("no reason given");
            return Err(Failure::new(FailureKind::Guest, format!("the guest failed at {stage}: {message}")));
        }
        ending(ended)?;
        matches_request(report, spec)?;
        Ok(report.clone())
    }

    fn silent(&self, stage: Stage, ended: &Ended) -> Failure {
        if let Some(Err(why)) = self.marked.first() {
            let message = format!("the guest's verdict cannot be read: {why}");
            return Failure::new(FailureKind::BadVerdict, message);
        }
        let Some(end) = how(ended) else {
            let message = format!("QEMU ended by itself at the {} stage", stage.as_str());
            return Failure::new(FailureKind::Emulator, message);
        };
        let message = format!("the machine {end} at the {} stage without a verdict", stage.as_str());
        Failure::new(FailureKind::NoVerdict, message)
    }
}

/// What a machine did in the end; none if QEMU ended by itself.
pub fn how(ended: &Ended) -> Option<&'static str> {
    Some(match ended.shutdown.as_deref() {
        _ if ended.panicked => "panicked",
        Some("guest-shutdown") => "powered off",
        Some("guest-reset") => "was reset",
        Some("guest-panic") => "panicked",
        Some(_) => "was ended from outside",
        None => return None,
    })
}

fn ending(ended: &Ended) -> Result<(), Failure> {
    let fail = |message: &str| Err(Failure::new(FailureKind::Ending, message));
    match ended.shutdown.as_deref() {
        _ if ended.panicked => fail("the guest said pass, and panicked"),
        Some("guest-shutdown") => Ok(()),
        Some("guest-reset") => fail("the guest said pass, and reset the machine instead of powering it off"),
        Some(reason) => fail(&format!("the guest said pass, and ended by {reason}, not by powering off")),
        None => fail("the guest said pass, and QEMU ended without the guest powering off"),
    }
}

fn matches_request(report: &GuestReport, spec: &BootSpec) -> Result<(), Failure> {
    let fail = |message: String| Err(Failure::new(FailureKind::Mismatch, message));
    let node = report.node.as_deref();
    if let Some(expected) = &spec.expect_node
        && node != Some(expected)
    {
        return fail(format!("the guest passed as {}, not as {expected}", node.unwrap_or("no node at all")));
    }
    let wanted = if spec.firmware == Firmware::Bios { "bios" } else { "uefi" };
    if let Some(firmware) = report.firmware.as_deref().filter(|word| *word != wanted) {
        return fail(format!("the guest passed on {firmware}, not on {wanted}"));
    }
    if spec.firmware == Firmware::SecureBoot && report.secure_boot != Some(true) {
        return fail("the guest passed without Secure Boot being on".to_owned());
    }
    Ok(())
}

fn parse(text: &str) -> Result<GuestReport, String> {
    let text = text.trim();
    if text.len() > REPORT_LIMIT {
        return Err(format!("longer than {REPORT_LIMIT} bytes"));
    }
    // Only the first value: on the serial port something may follow on the same line.
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<GuestReport>();
    match values.next() {
        Some(Ok(report)) => Ok(report),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it is empty".to_owned()),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
