//! Is it wise to install this machine? Looked at before the first write to a disk; all findings come at once.
//!
//! Looking is apart from judging: facts of the machine ([`machine`]), of its clock ([`clock`]) and of its network
//! ([`segment`]) are values, and what follows from them is pure. What looking changes (links are raised, a clock is set
//! forward) and whom it asks goes through [`Hands`]. How much a finding weighs is the cluster's policy
//! (`[preflight]` of `cluster.toml`). What can only be measured by writing is in [`super::probe_disk`].

pub mod clock;
pub mod machine;
pub mod segment;

use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;

use super::disk::Disk;
use super::identity::{Found, Machine};
use crate::cluster::preflight::{Check, Level, Policy};
use crate::error::{Error, Result};
use crate::payload::manifest::Manifest;
use crate::progress::Progress;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How much it weighs: `Warn` or `Error`.
    pub level: Level,
    /// What was seen, and which rule it breaks.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// Findings under way: what the policy turns off is dropped.
#[derive(Debug)]
pub struct Findings<'p> {
    policy: &'p Policy,
    list: Vec<Finding>,
}

impl<'p> Findings<'p> {
    /// None yet.
    pub fn new(policy: &'p Policy) -> Self {
        Self { policy, list: Vec::new() }
    }

    /// Whether a check is to be looked at.
    pub fn wants(&self, check: Check) -> bool {
        self.policy.level(check) != Level::Off
    }

    /// Adds a finding at the level of the policy.
    pub fn add(&mut self, check: Check, text: impl Into<String>, hint: impl Into<String>) {
        self.add_at(check, Level::Error, text, hint);
    }

    /// Adds a finding that never stops an installation.
    pub fn note(&mut self, check: Check, text: impl Into<String>, hint: impl Into<String>) {
        self.add_at(check, Level::Warn, text, hint);
    }

    fn add_at(&mut self, check: Check, most: Level, text: impl Into<String>, hint: impl Into<String>) {
        let level = self.policy.level(check).min(most);
        if level != Level::Off {
            let plain = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            self.list.push(Finding { check, level, text: plain(text.into()), hint: plain(hint.into()) });
        }
    }

    /// All of them, errors first.
    pub fn finish(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        self.list
    }
}

/// The machine that is to be installed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Root of the running system: `/`.
    pub root: &'a Path,
    /// The medium's manifest.
    pub manifest: &'a Manifest,
    /// Who the machine is.
    pub found: &'a Found,
    /// Its NICs.
    pub machine: &'a Machine,
    /// The disk of the system, then those of further volumes; empty if none could be chosen.
    pub disks: &'a [&'a Disk],
}

/// What of the machine is asked and changed beyond reading its files.
pub trait Hands: std::fmt::Debug {
    /// What the clock says.
    fn now(&self) -> OffsetDateTime;
    /// Sets the clock, the one of the hardware too if it can be.
    fn set_clock(&self, to: OffsetDateTime) -> Result<()>;
    /// Raises the links, and listens and asks on the segment.
    fn hear(&self, request: &segment::Request) -> segment::Heard;
}

/// Looks at everything that the policy wants, and judges it.
pub fn run(subject: &Subject<'_>, hands: &dyn Hands, progress: &dyn Progress) -> Vec<Finding> {
    let mut findings = Findings::new(&subject.manifest.preflight);
    progress.step("looking at the machine");
    let facts = machine::Facts::look(subject.root, subject.disks);
    machine::judge(&facts, &machine::Needs::of(subject.manifest, subject.found), &mut findings);
    clock::check(subject.manifest.validity.as_ref(), hands, &mut findings);
    let request = segment::Request::of(subject, &findings);
    if let Some(request) = request {
        progress.step("listening and asking on the network");
        let heard = hands.hear(&request);
        segment::judge(&heard, &request, &segment::Who::of(subject), &mut findings);
    }
    findings.finish()
}

/// The findings as lines for a console.
pub fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let (level, check) = (finding.level.as_str(), finding.check.as_str());
        format!("  {level}: {check}: {}\n         {}\n", finding.text, finding.hint)
    };
    findings.iter().map(line).collect()
}

/// The findings as JSON, for the record.
pub fn json(findings: &[Finding]) -> Result<String> {
    let json = serde_json::to_string_pretty(findings);
    Ok(json.map_err(|error| Error::internal("writing the findings").because(error))? + "\n")
}

/// Passes on what came of the medium, if no finding is an error; the error tells all findings, and the medium's with them.
pub fn settle<T>(name: &str, findings: &[Finding], medium: Result<T>) -> Result<T> {
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    if errors == 0 {
        return medium;
    }
    let medium = medium.err().map(|error| format!("\nand {error}")).unwrap_or_default();
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let warnings = findings.len() - errors;
    Err(Error::input(format!(
        "this machine is not fit to become {name} ({errors} error{}, {warnings} warning{})\n{}{medium}",
        s(errors),
        s(warnings),
        lines(findings).trim_end()
    ))
    .hint(
        "mend what is named; what may be as it is can be made a warning in [preflight] of cluster.toml, and the medium \
         built again",
    ))
}

/// What of the machine `kiln node prepare` asks and changes.
#[derive(Debug, Clone, Copy)]
pub struct Installer;

impl Hands for Installer {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn set_clock(&self, to: OffsetDateTime) -> Result<()> {
        clock::set(to)
    }

    fn hear(&self, request: &segment::Request) -> segment::Heard {
        segment::hear(request)
    }
}

#[cfg(test)]
pub(crate) mod tests;
