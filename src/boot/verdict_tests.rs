use super::super::spec::Attach;
use super::*;

const PASS: &str = r#"{"verdict":"pass","stage":"done","node":"k8s-master1","label":"KILN","files":12,"message":"",
"firmware":"uefi","secure_boot":false,"device":"/dev/sr0","later_field":[1]}"#;
const FAIL: &str = r#"{"verdict":"fail","stage":"payload","node":null,"message":"a file differs"}"#;

fn spec(firmware: Firmware) -> BootSpec {
    BootSpec::new("/m.iso", firmware, Attach::Cd, "/w")
}

struct Run(Heard, Ended);

impl Run {
    fn judge(&self, spec: &BootSpec, stage: Stage) -> Result<GuestReport, Failure> {
        self.0.judge(spec, stage, &self.1)
    }
}

fn heard(port: &[&str], serial: &[&str], shutdown: Option<&str>) -> Run {
    let mut heard = Heard::default();
    port.iter().for_each(|line| heard.port_line(&line.replace('\n', "")));
    serial.iter().for_each(|line| heard.serial_line(&line.replace('\n', "")));
    Run(heard, Ended { shutdown: shutdown.map(str::to_owned), panicked: false })
}

fn kind(run: &Run, spec: &BootSpec) -> FailureKind {
    run.judge(spec, Stage::Kernel).unwrap_err().kind
}

#[test]
fn pass_needs_the_word_and_the_power_off() {
    let uefi = spec(Firmware::Uefi);
    let marked = format!("[  3.2] {MARKER}{PASS} trailing words");
    for (port, serial) in [(&[PASS][..], &[][..]), (&[], &[&*marked]), (&[PASS], &[&*marked])] {
        let report = heard(port, serial, Some("guest-shutdown")).judge(&uefi, Stage::Installer).unwrap();
        assert_eq!((report.node.as_deref(), report.files), (Some("k8s-master1"), Some(12)));
        for end in [Some("guest-reset"), Some("host-qmp-quit"), Some("guest-panic"), None] {
            assert_eq!(kind(&heard(port, serial, end), &uefi), FailureKind::Ending, "{end:?}");
        }
    }
    let mut panicked = heard(&[PASS], &[], Some("guest-shutdown"));
    panicked.1.panicked = true;
    assert_eq!(kind(&panicked, &uefi), FailureKind::Ending);
}

#[test]
fn silence_is_no_pass_however_it_ends() {
    let bios = spec(Firmware::Bios);
    for end in ["guest-shutdown", "guest-reset", "guest-panic", "host-qmp-quit"] {
        assert_eq!(kind(&heard(&[], &["all is well"], Some(end)), &bios), FailureKind::NoVerdict);
    }
    assert_eq!(kind(&heard(&[], &[], None), &bios), FailureKind::Emulator);
}

#[test]
fn the_guest_may_fail() {
    let failure = heard(&[FAIL], &[], Some("guest-shutdown"))
        .judge(&spec(Firmware::Bios), Stage::Installer)
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Guest);
    assert_eq!(failure.message, "the guest failed at payload: a file differs");
}

#[test]
fn verdicts_that_differ_are_none() {
    let other = PASS.replace("k8s-master1", "k8s-master2");
    let uefi = spec(Firmware::Uefi);
    for (port, serial) in [
        (vec![PASS, FAIL], vec![]),
        (vec![PASS], vec![format!("{MARKER}{FAIL}")]),
        (vec![PASS, &other], vec![]),
    ] {
        let serial: Vec<&str> = serial.iter().map(String::as_str).collect();
        assert_eq!(kind(&heard(&port, &serial, Some("guest-shutdown")), &uefi), FailureKind::Contradiction);
    }
    assert!(heard(&[PASS, PASS], &[], Some("guest-shutdown")).judge(&uefi, Stage::Installer).is_ok());
}

#[test]
fn unreadable_verdicts_are_failures_but_for_noise_beside_the_port() {
    let bios = spec(Firmware::Uefi);
    let long = format!(r#"{{"verdict":"pass","message":"{}"}}"#, "x".repeat(REPORT_LIMIT));
    for text in ["pass", "{", "", "[]", r#"{"verdict":"maybe"}"#, r#"{"node":"a"}"#, &long] {
        assert_eq!(
            kind(&heard(&[text], &[], Some("guest-shutdown")), &bios),
            FailureKind::BadVerdict,
            "{text:.40}"
        );
        let marked = format!("{MARKER}{text}");
        assert_eq!(
            kind(&heard(&[], &[&marked], Some("guest-shutdown")), &bios),
            FailureKind::BadVerdict,
            "{text:.40}"
        );
        assert!(
            heard(&[PASS], &[&marked], Some("guest-shutdown")).judge(&bios, Stage::Installer).is_ok(),
            "{text:.40}"
        );
    }
}

#[test]
fn a_pass_must_be_the_one_asked_for() {
    let mut wanted = spec(Firmware::Uefi);
    wanted.expect_node = Some("k8s-master2".to_owned());
    assert_eq!(kind(&heard(&[PASS], &[], Some("guest-shutdown")), &wanted), FailureKind::Mismatch);
    for firmware in [Firmware::Bios, Firmware::SecureBoot] {
        assert_eq!(
            kind(&heard(&[PASS], &[], Some("guest-shutdown")), &spec(firmware)),
            FailureKind::Mismatch
        );
    }
    let secure = PASS.replace("false", "true");
    assert!(
        heard(&[&secure], &[], Some("guest-shutdown"))
            .judge(&spec(Firmware::SecureBoot), Stage::Installer)
            .is_ok()
    );
}

#[test]
fn a_flood_of_verdicts_is_bounded() {
    let mut heard = Heard::default();
    for _ in 0..10_000 {
        heard.port_line(PASS);
        heard.serial_line(&format!("{MARKER}{PASS}"));
    }
    assert!(heard.port.len() + heard.marked.len() <= 2 * REPORTS_KEPT);
}
