//! What came of machines, as JSON and as JUnit cases.

use serde_json::{Value, json};

use super::{InstallOutcome, InstallSpec, PhaseOutcome};
use crate::boot::junit::{self, Case};

fn phase(phase: &PhaseOutcome) -> Value {
    json!({
        "name": phase.name,
        "verdict": if phase.failure.is_none() { "pass" } else { "fail" },
        "ending": phase.ending,
        "failure": phase.failure,
        "down": phase.down,
        "shutdown": phase.shutdown,
        "resets": phase.resets,
        "seconds": phase.seconds,
        "stages": junit::stages(&phase.stages),
        "steps": phase.steps,
        "screenshot": phase.screenshot,
        "last_lines": if phase.failure.is_none() { &[][..] } else { &phase.last_lines[..] },
    })
}

/// The result of one machine.
pub fn json(spec: &InstallSpec, outcome: &InstallOutcome) -> Value {
    let disks = outcome.disks.iter().map(|disk| {
        json!({
            "file": disk.path,
            "before": disk.before,
            "after": disk.after,
            "unchanged": disk.before == disk.after,
        })
    });
    json!({
        "machine": spec.name,
        "medium": spec.medium,
        "firmware": spec.hardware.firmware.as_str(),
        "as": spec.attach.as_str(),
        "verdict": if outcome.passed() { "pass" } else { "fail" },
        "failure": outcome.failure(),
        "seconds": outcome.seconds(),
        "phases": outcome.phases.iter().map(phase).collect::<Vec<_>>(),
        "disks": disks.collect::<Vec<_>>(),
        "accel": outcome.accel,
        "firmware_file": outcome.firmware_file,
    })
}

/// A case for each phase and for each disk that was to stay as it was. A phase that was not reached is skipped.
pub fn cases(spec: &InstallSpec, outcome: &InstallOutcome) -> Vec<Case> {
    let case = |name: &str| Case {
        class: spec.name.clone(),
        name: name.to_owned(),
        seconds: 0.0,
        failure: None,
        skipped: None,
        output: String::new(),
    };
    let phases = spec.phases.iter().enumerate().map(|(n, planned)| match outcome.phases.get(n) {
        Some(run) => Case {
            seconds: run.seconds,
            failure: run.failure.clone(),
            output: run.last_lines.join("\n"),
            ..case(&run.name)
        },
        None => Case { skipped: Some("an earlier phase failed".to_owned()), ..case(&planned.name) },
    });
    let disks = outcome.disks.iter().enumerate().map(|(n, disk)| Case {
        failure: disk.failure(),
        output: disk.path.display().to_string(),
        ..case(&format!("unchanged-{}", n + 1))
    });
    phases.chain(disks).collect()
}
