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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{Attach, Failure, FailureKind, Firmware, Stage, StageTime};

    fn outcome(failure: Option<Failure>, line: &str) -> BootOutcome {
        BootOutcome {
            failure,
            report: None,
            shutdown: Some("guest-shutdown".to_owned()),
            stages: vec![StageTime { stage: Stage::Firmware, seconds: 1.25 }],
            seconds: 2.5,
            accel: "tcg",
            firmware_file: None,
            last_lines: vec![line.to_owned()],
        }
    }

    #[test]
    fn the_report_counts_and_escapes() {
        let spec = BootSpec::new("/m/<a>&\"b\".iso", Firmware::SecureBoot, Attach::Usb, "/w");
        let good = outcome(None, "ok ]]> \u{1b}[0m \u{0} <x>");
        let bad = outcome(Some(Failure::new(FailureKind::NoVerdict, "said 'no' & <off>")), "");
        let text = junit("kiln <boot>", &[(&spec, &good), (&spec, &bad)]);
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
<testsuite name=\"kiln &lt;boot&gt;\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"5.000\">\n  \
<testcase classname=\"&lt;a&gt;&amp;&quot;b&quot;.iso\" name=\"secure-boot-usb\" time=\"2.500\">\n    \
<system-out>ok ]]&gt; \u{fffd}[0m \u{fffd} &lt;x&gt;</system-out>\n  </testcase>\n  \
<testcase classname=\"&lt;a&gt;&amp;&quot;b&quot;.iso\" name=\"secure-boot-usb\" time=\"2.500\">\n    \
<failure type=\"no-verdict\" message=\"said &apos;no&apos; &amp; &lt;off&gt;\"/>\n    \
<system-out></system-out>\n  </testcase>\n</testsuite>\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_json_result_has_its_fields() {
        let spec = BootSpec::new("/m.iso", Firmware::Bios, Attach::Cd, "/w");
        let value = json(&spec, &outcome(Some(Failure::new(FailureKind::Printed, "panic")), "last"));
        assert_eq!(value["verdict"], "fail");
        assert_eq!((&value["firmware"], &value["as"]), (&json!("bios"), &json!("cd")));
        assert_eq!(value["stages"]["firmware"], 1.25);
        assert_eq!(value["failure"]["kind"], "printed");
        assert_eq!(value["last_lines"][0], "last");
        assert_eq!(value["node"], Value::Null);
    }
}
