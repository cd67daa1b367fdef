//! Boots what kiln writes: every layout, firmware and way to plug a medium in, in QEMU, on stand-in bases; then media that
//! must be refused. Run by `make boot-tests`. Needs QEMU and OVMF, no root, no network, about five minutes on two cores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "boot/clock.rs"]
mod clock;
mod common;
#[path = "boot/media.rs"]
mod media;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln::boot::{Attach, BootOutcome, BootSpec, FailureKind, Firmware, junit, matrix};
use kiln::progress::Progress;

/// Boots at once: each takes a core and a half.
const JOBS: usize = 2;

/// One line for a boot that begins or advances is enough here.
struct Quiet;

impl Progress for Quiet {
    fn step(&self, _what: &str) {}
    fn skip(&self, _what: &str, _why: &str) {}
    fn total(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn warn(&self, message: &str) {
        println!("warning: {message}");
    }
}

struct Case {
    name: String,
    spec: BootSpec,
    /// Words of the refusal; none for a boot that must pass.
    refusal: Option<&'static str>,
}

fn case(dir: &Path, name: String, medium: &Path, firmware: Firmware, attach: Attach) -> Case {
    let mut spec = BootSpec::new(medium, firmware, attach, dir.join(format!("{name}.run")));
    spec.mac = Some(media::MAC.parse().unwrap());
    spec.expect_node = Some(media::NODE.to_owned());
    // The machine that tests may be shared: what counts is whether it boots, not how fast.
    spec.limits.total = Duration::from_secs(1200);
    spec.limits.quiet_loader = Duration::from_secs(240);
    spec.limits.quiet_system = Duration::from_secs(480);
    spec.log = Some(dir.join(format!("{name}.log")));
    Case { name, spec, refusal: None }
}

fn cases(dir: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut secure = PathBuf::new();
    for layout in media::LAYOUTS {
        let medium = media::make(layout, dir);
        for (firmware, attach) in matrix::combinations() {
            let name = format!("{}-{}-{}", layout.name, firmware.as_str(), attach.as_str());
            cases.push(case(dir, name, &medium, firmware, attach));
        }
        if layout.name == "el9" {
            secure = medium;
        }
    }
    for (what, path, refusal) in [
        ("kernel", "/images/pxeboot/vmlinuz", "bad shim signature"),
        ("grub", "/EFI/BOOT/grubx64.efi", "Security Violation"),
    ] {
        let medium = dir.join(format!("flipped-{what}.iso"));
        media::flip(&secure, path, &medium);
        let name = format!("flipped-{what}");
        let mut case = case(dir, name, &medium, Firmware::SecureBoot, Attach::Cd);
        case.refusal = Some(refusal);
        cases.push(case);
    }
    cases
}

/// What is wrong with an outcome, if anything is.
fn wrong(case: &Case, outcome: &BootOutcome) -> Option<String> {
    match (&outcome.failure, case.refusal) {
        (None, None) => {
            let files = outcome.report.as_ref().and_then(|report| report.files).unwrap_or(0);
            (files < 5).then(|| format!("only {files} payload files were checked"))
        }
        (Some(failure), Some(words)) => {
            let refused = failure.kind == FailureKind::Printed && failure.message.contains(words);
            (!refused).then(|| format!("failed, but not by {words:?}: {}", failure.message))
        }
        (Some(failure), None) => Some(failure.message.clone()),
        (None, Some(words)) => Some(format!("passed, and must be refused: {words}")),
    }
}

#[test]
fn every_medium_boots_everywhere_and_none_that_was_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let cases = cases(dir.path());
    assert_eq!(cases.len(), 3 * 6 + 2);
    let specs: Vec<BootSpec> = cases.iter().map(|case| case.spec.clone()).collect();
    let results = matrix::run(&specs, JOBS, &Quiet);
    let mut problems = Vec::new();
    let mut runs = Vec::new();
    for (case, result) in cases.iter().zip(&results) {
        let problem = match result {
            Ok(outcome) => {
                runs.push((&case.spec, outcome));
                println!("{:24} {:5.1} s  {}", case.name, outcome.seconds, outcome.node().unwrap_or("-"));
                wrong(case, outcome).map(|why| format!("{why}\n  {}", outcome.last_lines.join("\n  ")))
            }
            Err(error) => Some(format!("{error}; {}", error.hint_text().unwrap_or(""))),
        };
        if let Some(problem) = problem {
            problems.push(format!("{}: {problem}", case.name));
        }
    }
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot-tests.xml");
    std::fs::write(&report, junit::junit("boot", &runs)).unwrap();
    println!("JUnit: {}", report.display());
    assert!(
        problems.is_empty(),
        "{} of {} boots are wrong:\n{}",
        problems.len(),
        cases.len(),
        problems.join("\n\n")
    );
}
