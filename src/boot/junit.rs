//! JUnit XML, as CI systems read it, and the JSON result. Texts come from a guest, so all of them are escaped and what XML 1.0
//! §2.2 does not allow is replaced.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{BootOutcome, BootSpec};

/// One test suite with one case a boot.
pub fn junit(suite: &str, runs: &[(&BootSpec, &BootOutcome)]) -> String {
    let failures = runs.iter().filter(|(_, outcome)| !outcome.passed()).count();
    let seconds: f64 = runs.iter().map(|(_, outcome)| outcome.seconds).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\">",
        escape(suite),
        runs.len()
    );
    for (spec, outcome) in runs {
        let medium = spec.medium.file_name().unwrap_or(spec.medium.as_os_str()).to_string_lossy();
        let _ = writeln!(
            out,
            "  <testcase classname=\"{}\" name=\"{}-{}\" time=\"{:.3}\">",
            escape(&medium),
            spec.firmware.as_str(),
            spec.attach.as_str(),
            outcome.seconds
        );
        if let Some(failure) = &outcome.failure {
            let kind = serde_json::to_value(failure.kind).ok();
            let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            let _ = writeln!(out, "    <failure type=\"{kind}\" message=\"{}\"/>", escape(&failure.message));
        }
        let _ = writeln!(out, "    <system-out>{}</system-out>", escape(&outcome.last_lines.join("\n")));
        out += "  </testcase>\n";
    }
    out += "</testsuite>\n";
    out
}

/// The result of one boot.
pub fn json(spec: &BootSpec, outcome: &BootOutcome) -> Value {
    let stages: serde_json::Map<String, Value> =
        outcome.stages.iter().map(|time| (time.stage.as_str().to_owned(), json!(time.seconds))).collect();
    json!({
        "medium": spec.medium,
        "firmware": spec.firmware.as_str(),
        "as": spec.attach.as_str(),
        "verdict": if outcome.passed() { "pass" } else { "fail" },
        "node": outcome.node(),
        "failure": outcome.failure,
        "report": outcome.report,
        "shutdown": outcome.shutdown,
        "seconds": outcome.seconds,
        "stages": stages,
        "accel": outcome.accel,
        "firmware_file": outcome.firmware_file,
        "last_lines": if outcome.passed() { &[][..] } else { &outcome.last_lines[..] },
    })
}

/// Text for an attribute or an element.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            '\t' | '\n' | '\r' => out.push(c),
            c if c < ' ' || matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}')
            }
            c => out.push(c),
        }
    }
    out
}
