//! `kiln boot --scenario` against QEMUs that are shell scripts: what a file may say, who starts when, who waits for whom.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/exec.rs"]
mod exec;
#[path = "boot/fake.rs"]
mod fake;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kiln::boot::disk::{Bus, Disk};
use kiln::boot::hardware::Wire;
use kiln::boot::install::phase::{After, Ending};
use kiln::boot::scenario::{Scenario, parse};
use kiln::boot::{Attach, Firmware, Order};

const FILE: &str = r#"
jobs = 2
timeout = 900
silence = 100

[[machine]]
name = "m1"
medium = "out/master.iso"
firmware = "uefi"
macs = ["52:54:00:00:31:71"]
serial = "SN1"
asset = "U7"
rtc = "2020-01-01T00:00:00"
memory = 512
cpu = "core2duo"
stay = true
[[machine.disk]]
size = "20G"
bus = "nvme"
sector = 4096
[[machine.disk]]
file = "old.img"
read_only = true
unchanged = true

[[machine]]
name = "m2"
medium = "/m.iso"
firmware = "bios"
as = "cd"
after = "m1"
delay = 1.5
[[machine.nic]]
mac = "52:54:00:00:31:72"
model = "e1000e"
wire = "nowhere"
[[machine.phase]]
medium = true
boot_order = "disk"
expect = ["reset", "powered-off"]
power_cut = "storage+1.5"
swap_nics = true

[[peer]]
address = "192.168.31.1"
mac = "52:54:00:00:31:01"
vrrp = 51
"#;

fn read(text: &str) -> Result<Scenario, kiln::error::Error> {
    parse(Path::new("dir/s.toml"), text)
}

#[test]
fn a_file_becomes_machines() {
    let scenario = read(FILE).unwrap();
    assert_eq!((scenario.jobs, scenario.entries.len(), scenario.peers[0].vrrp), (2, 2, Some(51)));
    let [first, second] = &scenario.entries[..] else { panic!() };
    assert_eq!(first.spec.medium.as_deref(), Some(Path::new("dir/out/master.iso")));
    assert_eq!((first.spec.hardware.firmware, first.spec.attach), (Firmware::Uefi, Attach::Usb));
    assert_eq!(first.spec.hardware.cpu.as_str(), "core2duo");
    assert_eq!((first.spec.hardware.memory, first.spec.limits.total), (512, Duration::from_secs(900)));
    assert!(matches!(first.spec.hardware.nics[0].wire, Wire::Segment(_)));
    let disk = Disk { bus: Bus::Nvme, sector: Some(4096), ..Disk::blank(20 << 30) };
    assert_eq!(first.spec.disks[0], disk);
    assert_eq!(first.spec.disks[1].file.as_deref(), Some(Path::new("dir/old.img")));
    assert!(first.spec.disks[1].read_only && first.spec.disks[1].unchanged);
    let names: Vec<_> = first.spec.phases.iter().map(|phase| (&*phase.name, phase.after)).collect();
    assert_eq!(names, [("install", After::PowerDown), ("boot-1", After::Stay)]);
    assert_eq!((second.after, second.delay), (Some(0), Duration::from_millis(1500)));
    assert_eq!(second.spec.hardware.nics[0].wire, Wire::Nowhere);
    let phase = &second.spec.phases[0];
    assert_eq!((phase.order, phase.swap_nics), (Order::Disk, true));
    assert_eq!(phase.expect, [Ending::Reset, Ending::PoweredOff]);
    assert_eq!(phase.cut, Some("storage+1.5".parse().unwrap()));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let machine = "[[machine]]\nname = \"a\"\nfirmware = \"bios\"\nmedium = \"/m\"\n";
    for (text, line, words) in [
        (format!("{machine}colour = 1\n"), 5, "colour"),
        ("jobs = \n".into(), 1, ""),
        (format!("{machine}[[machine.disk]]\nsize = \"20\"\n"), 6, "`20`"),
        (format!("{machine}[[machine.disk]]\nsize = \"2G\"\nbus = \"sata\"\nsector = 4096\n"), 5, "SATA"),
        (format!("{machine}macs = [\"52:54\"]\n"), 5, "MAC"),
        (format!("{machine}as = \"floppy\"\n"), 5, "floppy"),
        (format!("{machine}rtc = \"now\"\n"), 5, "now"),
        (format!("{machine}after = \"b\"\n"), 5, "`b` is no machine before"),
        (format!("{machine}{machine}"), 6, "two machines"),
        (machine.replace("\"a\"", "\"a/b\""), 2, "a/b"),
        (format!("{machine}boots = 2\n[[machine.phase]]\nexpect = [\"ready\"]\n"), 1, "phases of its own"),
        (format!("{machine}[[machine.phase]]\nexpect = [\"happy\"]\n"), 6, "happy"),
        (format!("{machine}[[machine.phase]]\nexpect = []\n"), 1, "nothing is expected"),
        (machine.replace("medium = \"/m\"\n", ""), 1, "needs a medium"),
        (format!("{machine}delay = -1\n"), 5, "seconds"),
    ] {
        let error = read(&text).unwrap_err();
        assert_eq!(error.class().exit_code(), 2, "{text}");
        let finding = &error.findings()[0];
        assert!(finding.message.contains(words), "{text}\n{}", finding.message);
        let at = finding.span.as_ref().unwrap_or_else(|| panic!("no place: {text}")).start;
        assert_eq!(text[..at].matches('\n').count() + 1, line, "{text}\n{}", finding.message);
    }
    assert!(read("").unwrap_err().findings()[0].message.contains("[[machine]]"));
    let stays = format!("jobs = 1\n{machine}stay = true\n{}", machine.replace("\"a\"", "\"b\""));
    assert!(read(&stays).unwrap_err().findings()[0].message.contains("at least 2"));
}

/// Each fake says when it started and ended; `m1` comes up and stays, `m2` is installed.
const SCRIPT: &str = r#"for a; do case $a in file,id=firmware,path=*) name=${a%/*}; name=${name##*/m-} ;; esac; done
note() { echo "$name $1" >>"$here/order"; }
case $name in
m1) greet; sleep 0.3; note up; printf 'm1 login: ' >>"$serial"
    while heard; do case $line in *system_powerdown*) note down; off guest-shutdown ;; *quit*) exit 0 ;; esac; done ;;
*) note start; greet; sleep 0.5; note end; off guest-reset ;;
esac"#;

fn machines(fake: &fake::Fake, text: &str) -> Command {
    let file = fake.dir.path().join("s.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.arg("boot").arg("--scenario").arg(file).arg("--qemu").arg(fake.spec.qemu.as_ref().unwrap());
    command.env("TMPDIR", fake.dir.path());
    command
}

const THREE: &str = r#"
[[machine]]
name = "m1"
firmware = "bios"
[[machine.phase]]
expect = ["ready"]
settle = 0.2
then = "stay"
[[machine]]
name = "m2"
firmware = "bios"
medium = "m.iso"
after = "m1"
boots = 0
[[machine]]
name = "m3"
firmware = "bios"
medium = "m.iso"
boots = 0
"#;

#[test]
fn machines_start_in_order_and_one_stays_for_the_others() {
    let fake = fake::fake(SCRIPT);
    let junit = fake.dir.path().join("out.xml");
    let log = fake.dir.path().join("serial.log");
    let mut command = machines(&fake, THREE);
    let output = command
        .args(["--jobs", "2", "--json", "--junit"])
        .arg(&junit)
        .arg("--log")
        .arg(&log)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let order = std::fs::read_to_string(fake.dir.path().join("order")).unwrap();
    let order: Vec<&str> = order.lines().collect();
    // Two at once, and one of them stays: so the others go one after the other.
    assert_eq!(order, ["m1 up", "m2 start", "m2 end", "m3 start", "m3 end", "m1 down"]);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["verdict"], result["machines"].as_array().unwrap().len()), (&"pass".into(), 3));
    assert_eq!(fake::cases(&junit).len(), 3);
    assert!(fake.dir.path().join("serial-m1-1.log").exists());
    assert!(fake.words(1).contains("-chardev"), "{}", fake.words(1));
}

#[test]
fn one_machine_that_fails_fails_the_whole_and_stops_no_other() {
    let script = SCRIPT.replace("m1) greet;", "m3) greet; off guest-shutdown ;;\nm1) greet;");
    let fake = fake::fake(&script);
    let output = machines(&fake, THREE).arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> =
        result["machines"].as_array().unwrap().iter().map(|m| m["verdict"].as_str().unwrap()).collect();
    assert_eq!((verdicts, &result["verdict"]), (vec!["pass", "pass", "fail"], &"fail".into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the boot of m3 failed"));
}

#[test]
fn a_scenario_that_is_wrong_is_shown_with_its_line() {
    let fake = fake::fake(SCRIPT);
    let output =
        machines(&fake, "[[machine]]\nname = \"a\"\nfirmware = \"bios\"\nspeed = 3\n").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("s.toml:4") && said.contains("speed"), "{said}");
    assert_eq!(machines(&fake, THREE).args(["--jobs", "1"]).output().unwrap().status.code(), Some(2));
    assert_eq!(fake.starts(), 0);
}
