//! JUnit XML, as CI systems read it, and the JSON result of a boot. Texts come from a guest, so all of them are escaped and what
//! XML 1.0 §2.2 does not allow is replaced.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{BootOutcome, BootSpec, Failure};

/// One test case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its class: a medium or a machine.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it was not run.
    pub skipped: Option<String>,
    /// What was printed last.
    pub output: String,
}

/// A test suite.
pub fn suite(name: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let skipped = cases.iter().filter(|case| case.skipped.is_some()).count();
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        escape(name),
        cases.len()
    );
    for case in cases {
        let _ = writeln!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">",
            escape(&case.class),
            escape(&case.name),
            case.seconds
        );
        if let Some(failure) = &case.failure {
            let (kind, message) = (failure.kind.as_str(), escape(&failure.message));
            let _ = writeln!(out, "    <failure type=\"{kind}\" message=\"{message}\"/>");
        }
        if let Some(why) = &case.skipped {
            let _ = writeln!(out, "    <skipped message=\"{}\"/>", escape(why));
        }
        let _ = writeln!(out, "    <system-out>{}</system-out>", escape(&case.output));
        out += "  </testcase>\n";
    }
    out += "</testsuite>\n";
    out
}

/// One test suite with one case a boot.
pub fn junit(name: &str, runs: &[(&BootSpec, &BootOutcome)]) -> String {
    let case = |(spec, outcome): &(&BootSpec, &BootOutcome)| Case {
        class: spec.medium.file_name().unwrap_or(spec.medium.as_os_str()).to_string_lossy().into_owned(),
        name: format!("{}-{}", spec.firmware.as_str(), spec.attach.as_str()),
        seconds: outcome.seconds,
        failure: outcome.failure.clone(),
        skipped: None,
        output: outcome.last_lines.join("\n"),
    };
    suite(name, &runs.iter().map(case).collect::<Vec<_>>())
}

/// The stages as one object.
pub fn stages(stages: &[super::StageTime]) -> Value {
    stages.iter().map(|time| (time.stage.as_str().to_owned(), json!(time.seconds))).collect()
}

/// The result of one boot.
pub fn json(spec: &BootSpec, outcome: &BootOutcome) -> Value {
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
        "stages": stages(&outcome.stages),
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
