//! The boot harness against QEMUs that are shell scripts: each speaks QMP on its standard streams and misbehaves in its own
//! way. No machine is booted here; `tests/boot.rs` does that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/exec.rs"]
mod exec;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kiln::boot::{self, Attach, BootOutcome, BootSpec, FailureKind, Firmware, Stage};
use kiln::error::Error;
use kiln::progress::Silent;

/// What every fake starts with: find the files, greet, take the two commands.
const HEAD: &str = r#"#!/bin/bash
for a; do case $a in
file,id=serial,path=*) serial=${a#*path=} ;;
file,id=verdict,path=*) port=${a#*path=} ;;
esac; done
greet() { echo '{"QMP": {"version": {}, "capabilities": []}}'; read -r _; echo '{"return": {}}'; read -r _; echo '{"return": {}}'; }
say() { printf '%s\r\n' "$*" >>"$serial"; }
off() { echo '{"event": "SHUTDOWN", "data": {"guest": true, "reason": "'"$1"'"}}'; exit 0; }
hang() { while read -r line; do case $line in *quit*) exit 0 ;; *registers*) echo '{"return": "RIP=10 HLT=1\r\n"}' ;; esac; done; }
pass='{"verdict":"pass","stage":"done","node":"k8s-master1","files":3,"firmware":"bios"}'
fail='{"verdict":"fail","stage":"payload","node":null,"message":"a file differs"}'
"#;

struct Fake {
    dir: tempfile::TempDir,
    spec: BootSpec,
}

fn fake(script: &str) -> Fake {
    let dir = tempfile::tempdir().unwrap();
    let qemu = dir.path().join("qemu");
    exec::script(&format!("{HEAD}{script}\n"), &qemu);
    let medium = dir.path().join("m,edium.iso");
    std::fs::write(&medium, b"").unwrap();
    let mut spec = BootSpec::new(medium, Firmware::Bios, Attach::Cd, dir.path().join("work"));
    spec.qemu = Some(qemu);
    spec.limits.total = Duration::from_secs(60);
    spec.limits.linger = Duration::from_millis(200);
    Fake { dir, spec }
}

impl Fake {
    fn run(&self) -> Result<BootOutcome, Error> {
        let outcome = boot::run(&self.spec, &Silent);
        assert!(!self.spec.work.exists(), "the run's folder must be gone");
        outcome
    }

    fn fails(&self) -> (FailureKind, String) {
        let failure = self.run().unwrap().failure.expect("this boot must not pass");
        (failure.kind, failure.message)
    }
}

#[test]
fn a_pass_on_the_port_or_on_the_serial_line() {
    for way in [r#"echo "$pass" >>"$port""#, r#"say "[ 1.2] KILN-STANDIN-VERDICT $pass""#] {
        let fake = fake(&format!(
            "greet; say 'ISOLINUX 6.04'; say 'Linux version 6.1'; sleep 0.3; say 'Run /init as init process'; {way}; off guest-shutdown"
        ));
        let outcome = fake.run().unwrap();
        assert_eq!(outcome.failure, None);
        assert_eq!(outcome.node(), Some("k8s-master1"));
        assert_eq!(outcome.shutdown.as_deref(), Some("guest-shutdown"));
        let stages: Vec<Stage> = outcome.stages.iter().map(|time| time.stage).collect();
        assert_eq!(stages.last(), Some(&Stage::Installer));
        assert!(outcome.last_lines.iter().any(|line| line == "ISOLINUX 6.04"), "{:?}", outcome.last_lines);
    }
}

#[test]
fn a_fail_is_a_fail_and_quotes_the_guest() {
    let (kind, message) = fake(r#"greet; echo "$fail" >>"$port"; off guest-shutdown"#).fails();
    assert_eq!(kind, FailureKind::Guest);
    assert!(message.contains("payload") && message.contains("a file differs"), "{message}");
}

#[test]
fn exit_code_zero_without_a_verdict_is_no_pass() {
    assert_eq!(fake("greet; say hello; off guest-shutdown").fails().0, FailureKind::NoVerdict);
    assert_eq!(fake("greet; say hello; off guest-reset").fails().0, FailureKind::NoVerdict);
}

#[test]
fn a_pass_must_end_in_a_power_off() {
    assert_eq!(fake(r#"greet; echo "$pass" >>"$port"; off guest-reset"#).fails().0, FailureKind::Ending);
    assert_eq!(fake(r#"greet; echo "$pass" >>"$port"; exit 0"#).fails().0, FailureKind::Ending);
    let mut never = fake(r#"greet; echo "$pass" >>"$port"; hang"#);
    never.spec.limits.power_off = Duration::from_secs(1);
    assert_eq!(never.fails().0, FailureKind::Ending);
    // The reason that came first counts, not what follows from it.
    let two = r#"greet; echo "$pass" >>"$port"; echo '{"event":"SHUTDOWN","data":{"reason":"guest-reset"}}'; off guest-shutdown"#;
    assert_eq!(fake(two).fails().0, FailureKind::Ending);
}

#[test]
fn signs_of_failure_end_the_run_early() {
    for words in [
        "error: bad shim signature.",
        "  Verification failed: (0x1A) Security Violation ",
        "BdsDxe: failed to load Boot0001: Access Denied",
        "[ 2.0] Kernel panic - not syncing: Attempted to kill init!",
        "[ 1.0] Initramfs unpacking failed: invalid magic",
        "dracut-initqueue[423]: Warning: dracut-initqueue timeout - starting timeout scripts",
        "No bootable device.",
    ] {
        let started = Instant::now();
        let fake = fake(&format!("greet; say '{words}'; say 'what comes after'; hang"));
        let outcome = fake.run().unwrap();
        assert_eq!(outcome.failure.as_ref().map(|f| f.kind), Some(FailureKind::Printed), "{words}");
        assert!(outcome.last_lines.iter().any(|line| line == "what comes after"));
        assert!(started.elapsed() < Duration::from_secs(20));
    }
    // No newline, cursor jumps, colours: shim's box.
    let boxed =
        r#"greet; printf '\033[2J\033[10;20H\033[0;37;44m Security Violation \033[11;20H' >>"$serial"; hang"#;
    assert_eq!(fake(boxed).fails().0, FailureKind::Printed);
}

#[test]
fn a_starved_host_is_tried_again_and_nothing_else_is() {
    let count = r#"greet; tries=${0%/*}/tries; echo x >>"$tries"; "#;
    let starved = r#"say "[ 0.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!"; hang"#;
    let second = r#"[ "$(wc -l <"$tries")" -ge 2 ] && { echo "$pass" >>"$port"; off guest-shutdown; };"#;
    assert!(fake(&format!("{count}{second}{starved}")).run().unwrap().passed());
    let tries = |fake: &Fake| std::fs::read_to_string(fake.dir.path().join("tries")).unwrap().lines().count();
    let always = fake(&format!("{count}{starved}"));
    assert_eq!(always.fails().0, FailureKind::Starved);
    assert_eq!(tries(&always), 4);
    let panics = fake(&format!("{count}say '[ 1.0] Kernel panic - not syncing: no init'; hang"));
    assert_eq!(panics.fails().0, FailureKind::Printed);
    assert_eq!(tries(&panics), 1);
}

#[test]
fn silence_and_endlessness_are_limited() {
    let mut silent = fake("greet; say 'ISOLINUX 6.04'; hang");
    silent.spec.limits.quiet_loader = Duration::from_secs(1);
    let (kind, message) = silent.fails();
    assert_eq!(kind, FailureKind::Silent);
    assert!(message.contains("loader stage; its processors wait for an interrupt"), "{message}");
    let mut endless = fake("greet; while :; do say tick; sleep 0.1; done");
    endless.spec.limits.total = Duration::from_secs(1);
    let (kind, message) = endless.fails();
    assert_eq!(kind, FailureKind::Timeout);
    assert!(message.ends_with("QEMU's monitor does not answer either"), "{message}");
}

#[test]
fn a_qemu_that_does_not_run_is_a_tool_error_with_its_words() {
    for script in
        ["echo 'qemu: no such machine q35' >&2; exit 1", "echo garbage; echo 'no such machine' >&2; hang"]
    {
        let error = fake(script).run().unwrap_err();
        assert_eq!(error.class().exit_code(), 3);
        let cause = std::error::Error::source(&error).expect("QEMU's words").to_string();
        assert!(cause.contains("no such machine"), "{cause}");
    }
}

#[test]
fn a_qemu_that_dies_under_way_is_no_pass() {
    let (kind, message) = fake("greet; say 'Linux version 6.1'; sleep 0.3; exit 0").fails();
    assert_eq!(kind, FailureKind::Emulator);
    assert!(message.contains("kernel"), "{message}");
}

#[test]
fn garbage_and_floods_are_bounded() {
    let garbage =
        r#"greet; head -c 300000 /dev/urandom >>"$serial"; echo "$pass" >>"$port"; off guest-shutdown"#;
    assert!(fake(garbage).run().unwrap().passed());
    let long = r#"greet; head -c 100000 /dev/zero | tr '\0' x >>"$port"; off guest-shutdown"#;
    assert_eq!(fake(long).fails().0, FailureKind::BadVerdict);
    let flood = r#"greet; head -c 70000000 /dev/zero | tr '\0' 'x' >>"$serial"; hang"#;
    assert_eq!(fake(flood).fails().0, FailureKind::Flood);
    let unending = r#"head -c 1000000 /dev/zero | tr '\0' x; hang"#;
    assert_eq!(fake(unending).run().unwrap_err().class().exit_code(), 3);
}

#[test]
fn two_verdicts_that_differ_are_none() {
    let fake = fake(r#"greet; echo "$pass" >>"$port"; say "KILN-STANDIN-VERDICT $fail"; off guest-shutdown"#);
    assert_eq!(fake.fails().0, FailureKind::Contradiction);
}

#[test]
fn another_node_than_asked_for_is_a_failure() {
    let mut fake = fake(r#"greet; echo "$pass" >>"$port"; off guest-shutdown"#);
    fake.spec.expect_node = Some("k8s-master2".to_owned());
    assert_eq!(fake.fails().0, FailureKind::Mismatch);
}

#[test]
fn the_log_is_kept_where_it_was_asked_for() {
    let mut fake = fake(r#"greet; say hello; echo "$pass" >>"$port"; off guest-shutdown"#);
    let log = fake.dir.path().join("s,erial.log");
    fake.spec.log = Some(log.clone());
    // The script takes everything after path=, so the doubled comma shows what QEMU would undo.
    std::fs::write(&log, "old").unwrap();
    let _ = boot::run(&fake.spec, &Silent);
    assert_ne!(std::fs::read_to_string(&log).unwrap(), "old");
    assert!(fake.dir.path().join("s,,erial.log").exists());
}

/// The program, with signals as a terminal would leave them: who runs the tests in the background may ignore some, and a
/// child inherits that.
fn kiln() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM").arg(env!("CARGO_BIN_EXE_kiln"));
    command
}

fn boot_command(fake: &Fake, more: &[&str]) -> Command {
    let mut command = kiln();
    command
        .args(["boot", "--firmware", "bios", "--as", "cd", "--qemu"])
        .arg(fake.spec.qemu.as_ref().unwrap());
    command.arg(&fake.spec.medium).args(more).env("TMPDIR", fake.dir.path());
    command
}

#[test]
fn the_command_reports_and_exits_by_class() {
    let good = fake(r#"greet; echo "$pass" >>"$port"; off guest-shutdown"#);
    let junit = good.dir.path().join("out.xml");
    let output = boot_command(&good, &["--json", "--junit"]).arg(&junit).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["verdict"], &result["node"]), (&"pass".into(), &"k8s-master1".into()));
    well_formed(&junit);

    let bad = fake(r#"greet; say '<&"]]> \001'; echo "$fail" >>"$port"; off guest-shutdown"#);
    let junit = bad.dir.path().join("out.xml");
    let output = boot_command(&bad, &["--junit"]).arg(&junit).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a file differs"));
    well_formed(&junit);

    let broken = fake("exit 1");
    assert_eq!(boot_command(&broken, &[]).output().unwrap().status.code(), Some(3));
    let mut missing = fake("");
    missing.spec.medium = PathBuf::from("/nonexistent.iso");
    assert_eq!(boot_command(&missing, &[]).output().unwrap().status.code(), Some(2));
}

/// An XML parser that kiln's authors did not write.
fn well_formed(file: &Path) {
    let script = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
    let status = Command::new("python3").args(["-c", script]).arg(file).status();
    assert!(status.expect("this test needs python3: apt-get install python3-minimal").success());
}

fn alive(pid: &str) -> bool {
    // A zombie is dead: its new parent may be slow to notice.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn qemu_dies_with_kiln_and_the_next_run_clears_up() {
    for signal in ["-KILL", "-INT", "-TERM"] {
        let fake = fake(
            "greet; echo $$ >\"${0%/*}/pid.part\"; mv \"${0%/*}/pid.part\" \"${0%/*}/pid\"; exec sleep 300",
        );
        let mut child = boot_command(&fake, &[]).stderr(Stdio::null()).spawn().unwrap();
        let pid_file = fake.dir.path().join("pid");
        wait_until("the fake to start", || pid_file.exists());
        let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
        assert!(alive(&pid));
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        child.wait().unwrap();
        wait_until("QEMU to die", || !alive(&pid));
        let left = || {
            let names = std::fs::read_dir(fake.dir.path()).unwrap().flatten().map(|entry| entry.file_name());
            names.filter(|name| name.to_string_lossy().starts_with("kiln-boot-")).count()
        };
        assert_eq!(left(), 1);
        let _ = boot_command(&fake, &["--timeout", "1"]).output().unwrap();
        assert_eq!(left(), 0);
    }
}
