//! QEMUs that are shell scripts. Each start has a number, `$phase`; what it was given and what it was told is kept beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kiln::boot::disk::Disk;
use kiln::boot::hardware::Hardware;
use kiln::boot::install::{Alone, InstallOutcome, InstallSpec, install};
use kiln::boot::{Attach, FailureKind, Firmware};
use kiln::error::Error;
use kiln::progress::Silent;

use crate::exec;

/// What every fake starts with.
const HEAD: &str = r#"#!/bin/bash
here=${0%/*}
echo x >>"$here/count"; phase=$(wc -l <"$here/count")
echo "$*" >"$here/words.$phase"; : >"$here/said.$phase"
for a; do case $a in
file,id=serial,path=*) serial=${a#*path=} ;;
if=pflash*unit=1,file=*) vars=${a#*file=} ;;
if=none,id=disk0,*) disk=${a#*file=} ;;
esac; done
heard() { read -r line || exit 0; echo "$line" >>"$here/said.$phase"; }
picture() { f=${line#*filename\":\"}; printf PNG >"${f%%\"*}"; echo '{"return": {}}'; }
registers() { echo '{"return": "RIP=10 HLT=1\r\n"}'; }
greet() { echo '{"QMP": {"version": {}, "capabilities": []}}'; heard; echo '{"return": {}}'; heard; echo '{"return": {}}'; }
say() { printf '%s\r\n' "$*" >>"$serial"; }
off() { echo '{"event": "SHUTDOWN", "data": {"guest": true, "reason": "'"$1"'"}}'; hang; }
hang() { while heard; do case $line in *quit*) exit 0 ;; *screendump*) picture ;; *registers*) registers ;; esac; done; }
button() { while heard; do case $line in *system_powerdown*) off guest-shutdown ;; *quit*) exit 0 ;; *screendump*) picture ;; *registers*) registers ;; esac; done; }
"#;

/// A fake and the machine that it plays.
pub struct Fake {
    /// Everything of it.
    pub dir: tempfile::TempDir,
    /// The machine.
    pub spec: InstallSpec,
}

/// Makes a fake.
pub fn fake(script: &str) -> Fake {
    let dir = tempfile::tempdir().unwrap();
    let qemu = dir.path().join("qemu");
    exec::script(&format!("{HEAD}{script}\n"), &qemu);
    let medium = dir.path().join("m.iso");
    std::fs::write(&medium, b"").unwrap();
    let mut spec = InstallSpec::new("m", Hardware::new(Firmware::Bios), dir.path().join("work"));
    spec.medium = Some(medium);
    spec.attach = Attach::Cd;
    spec.disks = vec![Disk::blank(1 << 30)];
    spec.qemu = Some(qemu);
    spec.limits.total = Duration::from_secs(60);
    spec.limits.linger = Duration::from_millis(200);
    Fake { dir, spec }
}

#[allow(dead_code, reason = "each test program uses some")]
impl Fake {
    /// Runs the machine through its phases.
    pub fn run(&self) -> Result<InstallOutcome, Error> {
        let outcome = install(&self.spec, &Alone, &Silent);
        assert!(!self.spec.work.exists(), "the run's folder must be gone");
        outcome
    }

    /// Runs a machine that must fail.
    pub fn fails(&self) -> (FailureKind, String, InstallOutcome) {
        let outcome = self.run().unwrap();
        let failure = outcome.failure().expect("this install must not pass");
        (failure.kind, failure.message, outcome)
    }

    fn kept(&self, what: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(what)).unwrap_or_default().trim_end().to_owned()
    }

    /// The command line of a start.
    pub fn words(&self, start: usize) -> String {
        self.kept(&format!("words.{start}"))
    }

    /// What a start was told on its monitor.
    pub fn said(&self, start: usize) -> String {
        self.kept(&format!("said.{start}"))
    }

    /// How often it was started.
    pub fn starts(&self) -> usize {
        self.kept("count").lines().count()
    }

    /// Gives it UEFI firmware of its own.
    pub fn firmware(&mut self) {
        let root = self.dir.path().join("root");
        let folder = root.join("usr/share/OVMF");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("OVMF_CODE_4M.fd"), "").unwrap();
        std::fs::write(folder.join("OVMF_VARS_4M.fd"), "VARS\n").unwrap();
        self.spec.system_root = root;
    }

    /// `kiln boot --install` of it.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.args(["boot", "--install", "--firmware", "bios", "--as", "cd", "--qemu"]);
        command.arg(self.spec.qemu.as_ref().unwrap()).arg(self.spec.medium.as_ref().unwrap());
        command.args(more).env("TMPDIR", self.dir.path());
        command
    }
}

/// The cases of a JUnit file and what came of them, read by an XML parser that kiln's authors did not write.
pub fn cases(file: &Path) -> Vec<(String, String)> {
    let script = "
import sys, xml.etree.ElementTree as e
for case in e.parse(sys.argv[1]).getroot():
    kinds = [c.tag + (' ' + c.get('type') if c.get('type') else '') for c in case if c.tag != 'system-out']
    print(case.get('name'), kinds[0] if kinds else 'passed', sep='\\t')
";
    let output = Command::new("python3").args(["-c", script]).arg(PathBuf::from(file)).output();
    let output = output.expect("this test needs python3: apt-get install python3-minimal");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_once('\t').unwrap()).map(|(a, b)| (a.into(), b.into())).collect()
}
