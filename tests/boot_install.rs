//! `kiln boot --install` against QEMUs that are shell scripts: each phase of an install, each way it can end, each limit. No
//! machine is booted here; `tests/boot.rs` does that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/exec.rs"]
mod exec;
#[path = "boot/fake.rs"]
mod fake;

use std::time::{Duration, Instant};

use fake::{Fake, fake};
use kiln::boot::disk::Disk;
use kiln::boot::hardware::Nic;
use kiln::boot::install::phase::{After, Ending, Phase};
use kiln::boot::install::{Down, Usual};
use kiln::boot::{FailureKind, Firmware, Order, Stage};

/// An installer that is done, then a system that comes up and powers off when told to.
const GOOD: &str = r#"greet
case $phase in
"${install:-1}") say 'ISOLINUX 6.04'; say 'Linux version 6.1'; say 'KILN-STANDIN-STEP 1.5 storage'; sleep 0.3
   say 'KILN-STANDIN-STEP 2.5 packages: laying down'; off guest-reset ;;
*) say 'GRUB loading'; say 'Linux version 6.1'; say 'systemd[1]: hello'; printf '\r\nk8s-master1 login: ' >>"$serial"; button ;;
esac"#;

fn usual(change: impl FnOnce(&mut Usual)) -> Vec<Phase> {
    let mut usual = Usual { boots: 1, settle: Some(Duration::ZERO), ..Usual::default() };
    change(&mut usual);
    usual.phases()
}

fn install(script: &str) -> Fake {
    let mut fake = fake(script);
    fake.spec.phases = usual(|_| {});
    fake
}

#[test]
fn an_install_and_two_boots() {
    let mut fake = install(GOOD);
    fake.spec.phases = usual(|usual| usual.boots = 2);
    let outcome = fake.run().unwrap();
    assert_eq!(outcome.failure(), None);
    let endings: Vec<_> = outcome.phases.iter().map(|phase| (&*phase.name, phase.ending.unwrap())).collect();
    assert_eq!(endings, [("install", Ending::Reset), ("boot-1", Ending::Ready), ("boot-2", Ending::Ready)]);
    assert!(outcome.phases[1..].iter().all(|phase| phase.down == Some(Down::PoweredOff)));
    let stages = |n: usize| outcome.phases[n].stages.iter().map(|time| time.stage).collect::<Vec<_>>();
    assert_eq!(stages(0), [Stage::Firmware, Stage::Loader, Stage::Kernel, Stage::Installer]);
    assert_eq!(stages(1), [Stage::Firmware, Stage::Loader, Stage::Kernel, Stage::System, Stage::Login]);
    let steps = &outcome.phases[0].steps;
    assert_eq!((&*steps[0].step, steps[0].guest_seconds), ("storage", 1.5));
    assert!((0.2..10.0).contains(&steps[0].seconds), "{steps:?}");
    assert_eq!(steps[1].step, "packages: laying down");
    // The medium is there for the install only, the disk always, the verdict's port never.
    for (n, medium) in [(1, true), (2, false), (3, false)] {
        let words = fake.words(n);
        assert_eq!(words.contains("drive=medium"), medium, "{words}");
        assert!(words.contains("disk-1.qcow2") && words.contains("-no-shutdown"), "{words}");
        assert!(!words.contains("kiln.verdict"), "{words}");
    }
}

#[test]
fn an_installer_that_powers_off_has_not_installed() {
    let (kind, message, outcome) = install("greet; say 'Linux version 6'; off guest-shutdown").fails();
    assert_eq!(kind, FailureKind::Unexpected);
    assert!(message.contains("powered off at the kernel stage; it was to be reset"), "{message}");
    assert_eq!((outcome.phases.len(), outcome.phases[0].ending), (1, Some(Ending::PoweredOff)));
    let (kind, message, _) = install("greet; echo '{\"event\":\"GUEST_PANICKED\"}'; off guest-panic").fails();
    assert_eq!(kind, FailureKind::Unexpected);
    assert!(message.contains("panicked"), "{message}");
}

#[test]
fn a_refusal_says_its_words_and_powers_off() {
    let refused = |script: &str| {
        let mut fake = fake(script);
        fake.spec.phases = usual(|usual| {
            usual.refused = true;
            usual.until = vec!["two disks".into(), "nothing was written".into()];
        });
        fake
    };
    let good = "greet; say '  two disks fit'; printf 'nothing was written' >>\"$serial\"; sleep 0.2; off guest-shutdown";
    let outcome = refused(good).run().unwrap();
    assert_eq!((outcome.failure(), outcome.phases.len()), (None, 1));
    let (kind, message, _) = refused("greet; say 'two disks'; off guest-shutdown").fails();
    assert_eq!(kind, FailureKind::Unseen);
    assert!(message.contains("\"nothing was written\" was not printed"), "{message}");
    let (kind, ..) = refused("greet; say 'two disks'; say 'nothing was written'; off guest-reset").fails();
    assert_eq!(kind, FailureKind::Unexpected);
    // Having said its words does not end it.
    let mut hangs = refused("greet; say 'two disks'; say 'nothing was written'; hang");
    hangs.spec.limits.total = Duration::from_secs(1);
    assert_eq!(hangs.fails().0, FailureKind::Timeout);
}

#[test]
fn a_boot_is_waited_for_with_its_texts() {
    let boot = |texts: &[&str], script: &str| {
        let mut fake = fake(script);
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        fake.spec.phases = vec![Phase { settle: Duration::ZERO, ..Phase::boot(1, texts) }];
        fake
    };
    let two = "greet; say one; sleep 0.2; printf two >>\"$serial\"; button";
    assert!(boot(&["one", "two"], two).run().unwrap().passed());
    let mut missing = boot(&["one", "three"], two);
    missing.spec.limits.total = Duration::from_secs(1);
    let (kind, message, _) = missing.fails();
    assert_eq!(kind, FailureKind::Timeout);
    assert!(message.contains("\"three\" was not printed"), "{message}");
    let mut silent = boot(&[], "greet; say 'Linux version 6'; hang");
    silent.spec.limits.quiet_system = Duration::from_secs(1);
    let (kind, message, _) = silent.fails();
    assert_eq!(kind, FailureKind::Silent);
    assert!(message.contains("at the kernel stage; its processors wait for an interrupt"), "{message}");
    assert!(message.ends_with("; there was no login prompt"), "{message}");
    for (script, kind) in [
        ("greet; say 'Linux version 6'; off guest-reset", FailureKind::Unexpected),
        ("greet; say 'Linux version 6'; sleep 0.3; exit 0", FailureKind::Emulator),
        ("greet; say 'You are in emergency mode.'; hang", FailureKind::Printed),
        ("greet; say 'No bootable device.'; hang", FailureKind::Printed),
        ("greet; head -c 70000000 /dev/zero | tr '\\0' x >>\"$serial\"; hang", FailureKind::Flood),
    ] {
        assert_eq!(boot(&[], script).fails().0, kind, "{script}");
    }
}

#[test]
fn a_system_that_ignores_the_power_button_is_killed() {
    let mut fake = fake("greet; printf 'a login: ' >>\"$serial\"; hang");
    fake.spec.phases = vec![Phase { settle: Duration::ZERO, ..Phase::boot(1, vec![]) }];
    fake.spec.limits.power_off = Duration::from_secs(1);
    let outcome = fake.run().unwrap();
    assert_eq!((outcome.failure(), outcome.phases[0].down), (None, Some(Down::Killed)));
    assert!(fake.said(1).contains("system_powerdown"), "{}", fake.said(1));
    fake.spec.phases[0].after = After::PullPlug;
    let started = Instant::now();
    assert_eq!(fake.run().unwrap().phases[0].down, Some(Down::Killed));
    assert!(!fake.said(2).contains("system_powerdown"), "{}", fake.said(2));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn power_is_cut_when_it_is_to_be() {
    let script = format!(
        "{}\n{GOOD}",
        r#"if [ "$phase" -le 2 ]; then trap 'echo quit >"${0%/*}/quit"' EXIT TERM; greet; say 'Linux version 6.1'; sleep 0.2
say 'KILN-STANDIN-STEP 3 storage: GPT'; sleep 0.2; say 'KILN-STANDIN-STEP 4 packages'; hang; fi
[ "$phase" = 3 ] && install=3"#
    );
    let mut fake = fake(&script);
    fake.spec.phases =
        usual(|usual| usual.cuts = vec!["kernel+0.5".parse().unwrap(), "storage".parse().unwrap()]);
    let outcome = fake.run().unwrap();
    assert_eq!(outcome.failure(), None);
    let names: Vec<_> = outcome.phases.iter().map(|phase| &*phase.name).collect();
    assert_eq!(names, ["cut-1", "cut-2", "install", "boot-1"]);
    assert!(outcome.phases[..2].iter().all(|phase| phase.ending == Some(Ending::Cut)));
    // Nobody was asked to quit, and a killed process does not do its last things.
    assert!(!fake.dir.path().join("quit").exists());
    assert_eq!(fake.said(1).lines().count(), 2, "{}", fake.said(1));
    assert_eq!(outcome.phases[1].steps.len(), 1, "{:?}", outcome.phases[1].steps);

    let mut late = install("greet; say 'Linux version 6.1'; sleep 0.2; off guest-reset");
    late.spec.phases = usual(|usual| usual.cuts = vec!["kernel+60".parse().unwrap()]);
    let (kind, message, _) = late.fails();
    assert_eq!(kind, FailureKind::Unexpected);
    assert!(message.contains("it was to have its power cut"), "{message}");
}

#[test]
fn a_phase_may_end_in_one_of_several_ways() {
    for (script, ending) in [("off guest-shutdown", Ending::PoweredOff), ("off guest-reset", Ending::Reset)] {
        let mut fake = install(&format!("greet; {script}"));
        fake.spec.phases.truncate(1);
        fake.spec.phases[0].expect = vec![Ending::Reset, Ending::PoweredOff];
        let outcome = fake.run().unwrap();
        assert_eq!((outcome.failure(), outcome.phases[0].ending), (None, Some(ending)));
    }
}

#[test]
fn a_medium_that_stays_may_hand_over_by_one_reset() {
    let script = r#"[ "$phase" = 2 ] && { greet; say 'already installed'; off guest-reset; }
[ "$phase" -gt 2 ] && phase=2
"#;
    let mut fake = install(&format!("{script}{GOOD}"));
    fake.spec.phases = usual(|usual| {
        usual.medium_stays = true;
        usual.order = Order::Disk;
    });
    let outcome = fake.run().unwrap();
    assert_eq!(outcome.failure(), None);
    assert_eq!(outcome.phases.iter().map(|phase| phase.resets).collect::<Vec<_>>(), [0, 1]);
    assert!(fake.words(3).contains("drive=medium,bus=ide.5,bootindex=2"), "{}", fake.words(3));
    let mut fake = install(r#"greet; off guest-reset"#);
    fake.spec.phases = usual(|usual| usual.medium_stays = true);
    let (kind, _, outcome) = fake.fails();
    assert_eq!((kind, outcome.phases[1].resets, fake.starts()), (FailureKind::Unexpected, 1, 3));
}

#[test]
fn a_starved_host_gets_another_try_of_the_phase() {
    let script = r#"[ "$phase" = 2 ] && { greet; say "Kernel panic - not syncing: IO-APIC + timer doesn't work!"; hang; }
[ "$phase" -gt 2 ] && phase=2
"#;
    let fake = install(&format!("{script}{GOOD}"));
    let outcome = fake.run().unwrap();
    assert_eq!((outcome.failure(), fake.starts()), (None, 3));
    assert_eq!(outcome.phases.len(), 2);
}

#[test]
fn pictures_are_taken_of_each_phase_and_numbered() {
    let mut fake = install(GOOD);
    let picture = fake.dir.path().join("screen.png");
    let stale = fake.dir.path().join("screen-2.png");
    std::fs::write(&stale, "stale").unwrap();
    fake.spec.screenshot = Some(picture.clone());
    fake.spec.log = Some(fake.dir.path().join("serial.log"));
    let outcome = fake.run().unwrap();
    assert_eq!(outcome.failure(), None);
    for (n, phase) in outcome.phases.iter().enumerate() {
        let file = fake.dir.path().join(format!("screen-{}.png", n + 1));
        assert_eq!(phase.screenshot.as_ref(), Some(&file));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "PNG");
        assert!(fake.words(n + 1).ends_with("-device VGA"));
        assert!(fake.dir.path().join(format!("serial-{}.log", n + 1)).exists());
    }
    // The picture of a system that is up is taken before it goes down.
    let said = fake.said(2);
    let at = |word: &str| said.find(word).unwrap_or_else(|| panic!("{word}: {said}"));
    assert!(at("screendump") < at("system_powerdown") && said.matches("screendump").count() == 1, "{said}");
    // One that is given up has its picture, and one that QEMU refuses has none.
    let mut hung = install("greet; hang");
    hung.spec.screenshot = Some(hung.dir.path().join("x.png"));
    hung.spec.limits.total = Duration::from_secs(1);
    assert!(hung.fails().2.phases[0].screenshot.is_some());
    let mut none = install("greet; while read -r line; do case $line in *quit*) exit 0 ;; esac; done");
    none.spec.screenshot = Some(none.dir.path().join("x.png"));
    none.spec.limits.total = Duration::from_secs(1);
    assert!(none.fails().2.phases[0].screenshot.is_none());
}

#[test]
fn variables_and_disks_are_kept_between_phases() {
    let script = r#"echo "$phase" >>"$vars"; printf "$phase" >>"$disk"; cat "$vars" >"${0%/*}/vars.$phase""#;
    let mut fake = install(&format!("{script}\n{GOOD}"));
    fake.firmware();
    fake.spec.hardware.firmware = Firmware::Uefi;
    let disk = fake.dir.path().join("kept.img");
    fake.spec.disks = vec![Disk { file: Some(disk.clone()), ..Disk::blank(1 << 20) }];
    assert_eq!(fake.run().unwrap().failure(), None);
    assert_eq!(std::fs::read_to_string(fake.dir.path().join("vars.2")).unwrap(), "VARS\n1\n2\n");
    let kept = std::fs::read(disk).unwrap();
    assert_eq!((kept.len(), &kept[1 << 20..]), ((1 << 20) + 2, &b"12"[..]));
}

#[test]
fn a_disk_that_was_to_stay_is_told_from_one_that_changed() {
    for (write, passes) in [("", true), ("printf x >>\"$disk\"", false)] {
        let mut fake = install(&format!("{write}\n{GOOD}"));
        fake.spec.disks = vec![Disk { unchanged: true, ..Disk::blank(1 << 30) }];
        let outcome = fake.run().unwrap();
        assert_eq!(outcome.passed(), passes);
        let kind = outcome.failure().map(|failure| failure.kind);
        assert_eq!(kind, (!passes).then_some(FailureKind::Changed));
        assert_eq!(outcome.disks.len(), 1);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    let refused = |change: fn(&mut Fake)| {
        let mut fake = install(GOOD);
        change(&mut fake);
        assert_eq!(fake.run().unwrap_err().class().exit_code(), 2);
        assert_eq!(fake.starts(), 0);
    };
    refused(|fake| fake.spec.medium = None);
    refused(|fake| fake.spec.medium = Some("/nonexistent.iso".into()));
    refused(|fake| fake.spec.phases.clear());
    refused(|fake| fake.spec.phases[0].expect.clear());
    refused(|fake| fake.spec.phases[0].until = vec![String::new()]);
    refused(|fake| fake.spec.disks = vec![Disk::blank(1 << 30); 6]);
    refused(|fake| {
        fake.spec.disks = vec![Disk { size: None, file: Some("/nonexistent".into()), ..Disk::default() }]
    });
    refused(|fake| fake.spec.hardware.asset = Some("\u{1}".into()));
    assert_eq!(install("echo 'no machine q35' >&2; exit 1").run().unwrap_err().class().exit_code(), 3);
}

#[test]
fn cards_are_swapped_in_the_phase_that_says_so() {
    let mut fake = install(GOOD);
    let card = |last: &str| Nic::new(format!("52:54:00:00:00:0{last}").parse().unwrap());
    fake.spec.hardware.nics = vec![card("1"), card("2")];
    fake.spec.phases[1].swap_nics = true;
    assert!(fake.run().unwrap().passed());
    for (n, first) in [(1, "01"), (2, "02")] {
        let words = fake.words(n);
        let at = words.find("mac=").unwrap();
        assert_eq!(&words[at + 19..at + 21], first, "{words}");
    }
}

#[test]
fn the_command_reports_every_phase() {
    let fake = install(GOOD);
    let junit = fake.dir.path().join("out.xml");
    let output =
        fake.command(&["--disk", "1G", "--settle", "0", "--json", "--junit"]).arg(&junit).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["verdict"], "pass");
    assert_eq!(result["phases"][0]["ending"], "reset");
    assert_eq!(result["phases"][0]["steps"][0]["step"], "storage");
    assert_eq!(
        (&result["phases"][1]["ending"], &result["phases"][1]["down"]),
        (&"ready".into(), &"powered-off".into())
    );
    assert!(result["phases"][1]["stages"]["login"].is_number(), "{result}");
    assert!(fake::cases(&junit).iter().all(|(_, verdict)| verdict == "passed"));

    let fake = install(GOOD);
    let output = fake.command(&["--disk", "1G", "--settle", "0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("pass: m install: reset, ") && text.contains(" s  packages: laying down"),
        "{text}"
    );

    let fake = install("greet; say '<sorry>'; off guest-shutdown");
    let junit = fake.dir.path().join("out.xml");
    let output = fake.command(&["--disk", "1G,unchanged", "--junit"]).arg(&junit).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("it was to be reset") && said.contains("<sorry>"), "{said}");
    let cases = fake::cases(&junit);
    let verdict = |name: &str| cases.iter().find(|(case, _)| case == name).map(|(_, verdict)| &**verdict);
    assert_eq!(verdict("install"), Some("failure unexpected"));
    assert_eq!(verdict("boot-1"), Some("skipped"));
    assert_eq!(verdict("unchanged-1"), Some("passed"));
    for words in [&["--disk", "1"][..], &["--disk", "1G,bus=ide"], &["--power-cut", "x"], &["--rtc", "now"]] {
        assert_eq!(fake.command(words).output().unwrap().status.code(), Some(2), "{words:?}");
    }
}
