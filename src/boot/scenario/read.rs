//! A scenario file → machines. All that can be told without starting anything is told here, with its line.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::raw;
use super::{Entry, Peer, Scenario, check_jobs};
use crate::boot::hardware::{Hardware, Nic, Wire};
use crate::boot::install::phase::{After, Phase};
use crate::boot::install::{InstallSpec, Usual};
use crate::cluster::diag::{Diagnostic, Severity};
use crate::error::{Error, IoContext, Result};

/// Largest file.
const LARGEST: u64 = 1 << 20;
/// Most machines.
const MACHINES: usize = 100;

/// Findings about the file.
struct Findings<'a> {
    file: &'a Path,
    list: Vec<Diagnostic>,
}

impl Findings<'_> {
    fn add(&mut self, span: Option<Range<usize>>, message: impl Into<String>) {
        self.list.push(Diagnostic {
            severity: Severity::Error,
            rule: "scenario",
            message: message.into(),
            key: String::new(),
            file: self.file.to_owned(),
            span,
            related: None,
            hint: Some("docs/boot-testing.md lists all keys".to_owned()),
        });
    }

    fn finish(self) -> Result<()> {
        if self.list.is_empty() {
            return Ok(());
        }
        let message = format!("the scenario {} cannot be used", self.file.display());
        Err(Error::diagnostics(message, self.list))
    }
}

/// Reads and checks a file.
pub fn load(file: &Path) -> Result<Scenario> {
    let length = std::fs::metadata(file).at("reading", file)?.len();
    if length > LARGEST {
        return Err(Error::input(format!(
            "{} is larger than {} KiB; is it a scenario?",
            file.display(),
            LARGEST >> 10
        )));
    }
    let bytes = std::fs::read(file).at("reading", file)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::input(format!("{} is no UTF-8 text", file.display())).hint("save it as UTF-8"))?;
    parse(file, &text)
}

/// Checks the text of a file.
pub fn parse(file: &Path, text: &str) -> Result<Scenario> {
    let mut findings = Findings { file, list: Vec::new() };
    let raw: raw::Scenario = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            findings.add(error.span(), error.message().trim());
            return Err(findings.finish().err().unwrap_or_else(|| Error::internal("a finding was lost")));
        }
    };
    let dir = file.parent().unwrap_or(Path::new(""));
    if raw.machine.is_empty() || raw.machine.len() > MACHINES {
        findings.add(None, format!("a scenario has 1 to {MACHINES} tables [[machine]]"));
    }
    let count = raw.machine.len();
    let mut entries: Vec<Entry> = Vec::new();
    let (timeout, silence, accel) = (raw.timeout, raw.silence, raw.accel);
    for machine in raw.machine {
        let span = machine.span();
        if let Some(mut entry) = entry(machine.into_inner(), span, dir, &entries, &mut findings) {
            let spec = &mut entry.spec;
            spec.accel = accel;
            spec.limits.total = timeout.map_or(spec.limits.total, |time| time.0);
            if let Some(time) = silence {
                (spec.limits.quiet_loader, spec.limits.quiet_system) = (time.0, time.0);
            }
            entries.push(entry);
        }
    }
    let jobs = raw.jobs.map_or(count, usize::from);
    if let Err(why) = check_jobs(jobs, &entries) {
        findings.add(None, why);
    }
    let peers =
        raw.peer.into_iter().map(|peer| Peer { address: peer.address, mac: peer.mac.0, vrrp: peer.vrrp });
    let scenario = Scenario { jobs, entries, peers: peers.collect() };
    findings.finish().map(|()| scenario)
}

fn entry(
    raw: raw::Machine,
    span: Range<usize>,
    dir: &Path,
    earlier: &[Entry],
    findings: &mut Findings<'_>,
) -> Option<Entry> {
    let before = findings.list.len();
    let name = raw.name.get_ref().clone();
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 40 || name.starts_with('.') || !name.chars().all(word) {
        findings.add(Some(raw.name.span()), format!("`{}` is no name for a machine", name.escape_debug()));
    }
    if earlier.iter().any(|entry| entry.spec.name == name) {
        findings.add(Some(raw.name.span()), format!("there are two machines `{name}`"));
    }
    let after = raw.after.as_ref().and_then(|after| {
        let found = earlier.iter().position(|entry| entry.spec.name == *after.get_ref());
        if found.is_none() {
            let message = format!("`{}` is no machine before this one", after.get_ref().escape_debug());
            findings.add(Some(after.span()), message);
        }
        found
    });
    let delay = raw.delay.0;
    let spec = spec(name, raw, span, dir, findings);
    (findings.list.len() == before).then_some(Entry { spec, delay, after })
}

fn spec(
    name: String,
    mut raw: raw::Machine,
    span: Range<usize>,
    dir: &Path,
    findings: &mut Findings<'_>,
) -> InstallSpec {
    let disks = std::mem::take(&mut raw.disk);
    let phases = phases(&mut raw, &span, findings);
    let mut spec = InstallSpec::new(name, hardware(&mut raw), PathBuf::new());
    spec.phases = phases;
    for disk in disks {
        let span = disk.span();
        let disk = disk.into_inner().disk(dir);
        if let Err(why) = disk.check() {
            findings.add(Some(span), why);
        }
        spec.disks.push(disk);
    }
    spec.medium = raw.medium.map(|medium| dir.join(medium));
    spec.attach = raw.attach;
    if let Err(error) = spec.check_values() {
        findings.add(Some(span), error.to_string());
    }
    spec
}

fn hardware(raw: &mut raw::Machine) -> Hardware {
    let segment = || Wire::Segment(PathBuf::new());
    let mut hardware = Hardware::new(raw.firmware);
    hardware.memory = raw.memory.unwrap_or(hardware.memory);
    hardware.cpus = raw.cpus.unwrap_or(hardware.cpus);
    hardware.cpu = raw.cpu.take().map_or(hardware.cpu, |cpu| cpu.0);
    hardware.nics = raw.macs.drain(..).map(|mac| Nic { wire: segment(), ..Nic::new(mac.0) }).collect();
    hardware.nics.extend(raw.nic.drain(..).map(|nic| Nic {
        mac: nic.mac.0,
        model: nic.model,
        wire: if nic.wire == raw::Wire::Segment { segment() } else { Wire::Nowhere },
    }));
    hardware.serial = raw.serial.take();
    hardware.uuid = raw.uuid.take().map(|uuid| uuid.0);
    hardware.asset = raw.asset.take();
    hardware.oem = std::mem::take(&mut raw.oem);
    hardware.fw_cfg = std::mem::take(&mut raw.fw_cfg);
    hardware.rtc = raw.rtc.take().map(|rtc| rtc.0);
    hardware
}

/// The phases that are written, else the usual ones.
fn phases(raw: &mut raw::Machine, span: &Range<usize>, findings: &mut Findings<'_>) -> Vec<Phase> {
    let own = std::mem::take(&mut raw.phase);
    let usual = Usual {
        refused: raw.expect == raw::Expect::Refused,
        until: std::mem::take(&mut raw.until),
        boots: raw.boots.unwrap_or(1),
        medium_stays: raw.medium_stays,
        order: raw.boot_order,
        cuts: raw.power_cuts.drain(..).map(|cut| cut.0).collect(),
        settle: raw.settle.map(|time| time.0),
        stay: raw.stay,
    };
    if own.is_empty() {
        return usual.phases();
    }
    let touched = usual.refused || !usual.until.is_empty() || raw.boots.is_some() || usual.medium_stays;
    if touched || !usual.cuts.is_empty() || usual.stay || usual.settle.is_some() {
        let message = "a machine with phases of its own has no expect, until, boots, medium_stays, power_cuts, settle or stay";
        findings.add(Some(span.clone()), message);
    }
    own.into_iter().enumerate().map(|(n, phase)| one(n + 1, phase)).collect()
}

fn one(number: usize, raw: raw::Phase) -> Phase {
    Phase {
        name: raw.name.unwrap_or_else(|| format!("phase-{number}")),
        medium: raw.medium,
        order: raw.boot_order,
        expect: raw.expect,
        until: raw.until,
        settle: raw.settle.map_or(Duration::from_secs(2), |time| time.0),
        after: raw.then,
        cut: raw.power_cut.map(|cut| cut.0),
        swap_nics: raw.swap_nics,
        resets: raw.resets,
        total: raw.timeout.map(|time| time.0),
    }
}

impl Entry {
    /// Whether it stays until the others are done.
    pub fn stays(&self) -> bool {
        self.spec.phases.iter().any(|phase| phase.after == After::Stay)
    }
}
