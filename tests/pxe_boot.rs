//! Machines that boot from the network, in QEMU on a bridge of a network namespace, with `kiln serve` as the only server: loaders,
//! kernel, stage 2 and kickstart come from it, what `%pre` fetches is as the kickstart says, and the node's name is right. Needs root,
//! QEMU, OVMF and Debian's signed loaders; a minute or more each on two cores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/bases.rs"]
mod bases;
mod common;
#[allow(dead_code)]
#[path = "pxe/make.rs"]
mod make;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln::cluster::types::Role;
use kiln::image::pxe::loaders::Supplied;

/// The node that is played, and its network card.
const NODE: &str = "k8s-master2";
const MAC: &str = "52:54:00:00:31:74";
/// kiln's address in the nodes' network, and the tree's.
const SERVER: &str = "192.168.31.9/24";
const URL: &str = "http://192.168.31.9/";
/// Longest time until a verdict; the machine that tests may be shared.
const PATIENCE: Duration = Duration::from_secs(900);
/// Tap devices of the namespace: the node's, and a stranger's.
const TAPS: [&str; 2] = ["tap0", "tap1"];

/// A network namespace with a bridge; it goes with the test.
struct Net(String);

impl Net {
    fn new() -> Self {
        let name = format!("kilnpxe{}", std::process::id());
        bases::run(Command::new("ip").args(["netns", "add", &name]));
        let net = Self(name);
        net.ip("link set lo up");
        net.ip("link add br0 type bridge stp_state 0 forward_delay 0");
        net.ip(&format!("addr add {SERVER} dev br0"));
        net.ip("link set br0 up");
        for tap in TAPS {
            net.ip(&format!("tuntap add {tap} mode tap"));
            net.ip(&format!("link set {tap} master br0 up"));
        }
        net
    }

    fn ip(&self, words: &str) {
        bases::run(Command::new("ip").args(["-n", &self.0]).args(words.split(' ')));
    }

    /// A program within.
    fn within(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).stdin(Stdio::null());
        command
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a machine boots.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// BIOS, by the ROM of QEMU's network card, which is iPXE.
    BiosIpxe,
    /// UEFI by TFTP.
    Uefi,
    /// The same with Secure Boot.
    SecureBoot,
}

fn machine(net: &Net, way: Way, dir: &Path, tap: &str, mac: &str, log: &Path) -> Running {
    let mut qemu = net.within("qemu-system-x86_64");
    let secure = matches!(way, Way::SecureBoot);
    let model = match way {
        Way::BiosIpxe => "q35,graphics=off",
        Way::Uefi => "q35",
        Way::SecureBoot => "q35,smm=on",
    };
    qemu.args([
        "-M",
        model,
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "2048",
        "-accel",
        "tcg,thread=multi,tb-size=128",
    ]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    qemu.args(["-serial", &format!("file:{}", log.display())]);
    if !matches!(way, Way::BiosIpxe) {
        let (code, vars) = match secure {
            true => ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
            false => ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        };
        let own = dir.join(format!("vars-{way:?}-{tap}.fd"));
        std::fs::copy(Path::new("/usr/share/OVMF").join(vars), &own).expect("this test needs ovmf");
        let flash = "if=pflash,format=raw,unit=";
        qemu.args(["-drive", &format!("{flash}0,readonly=on,file=/usr/share/OVMF/{code}")]);
        qemu.args(["-drive", &format!("{flash}1,file={}", own.display())]);
    }
    if secure {
        qemu.args([
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            "-global",
            "ICH9-LPC.disable_s3=1",
        ]);
    }
    let rom = if matches!(way, Way::BiosIpxe) { "" } else { "romfile=," };
    qemu.args(["-netdev", &format!("tap,id=n0,ifname={tap},script=no,downscript=no")]);
    qemu.args(["-device", &format!("virtio-net-pci,{rom}netdev=n0,mac={mac},bootindex=1")]);
    Running(qemu.spawn().expect("this test needs qemu-system-x86"))
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The stand-in's verdict, once the machine has said it.
fn verdict(log: &Path) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let said = text(log);
        let line = said.lines().find_map(|line| line.split_once("KILN-STANDIN-VERDICT "));
        if let Some(value) = line.and_then(|(_, json)| serde_json::from_str(json.trim()).ok()) {
            return value;
        }
        let last: Vec<&str> = said.lines().rev().take(40).collect();
        assert!(
            begun.elapsed() < PATIENCE,
            "no verdict:\n{}",
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The tree of the masters, on a stand-in's medium, with Debian's GRUB for the network.
fn tree(dir: &Path) -> PathBuf {
    let base = dir.join("el9.iso");
    let script = common::root().join("tests/standin/make.sh");
    let status = Command::new("bash").arg(script).arg("el9").arg(&base).status();
    assert!(status.expect("bash").success(), "the stand-in base could not be made: run `make setup`");
    let grub = PathBuf::from("/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed");
    let supplied = Supplied { grub: Some(grub), ..Supplied::default() };
    let made = make::make_from(&base, "el9", Role::Master, dir, URL, supplied);
    made.unwrap_or_else(|error| panic!("{error}")).tree
}

#[test]
fn machines_boot_from_kiln_serve_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path());
    for way in [Way::Uefi, Way::BiosIpxe, Way::SecureBoot] {
        let net = Net::new();
        let served = dir.path().join(format!("serve-{way:?}.log"));
        let mut serve = net.within(env!("CARGO_BIN_EXE_kiln"));
        serve.arg("serve").arg(&tree).args(["--interface", "br0", "--dhcp", "own", "--again", NODE]);
        let _serve = Running(serve.stderr(std::fs::File::create(&served).unwrap()).spawn().unwrap());
        let log = dir.path().join(format!("{way:?}.log"));
        // A stranger on the same segment gets nothing.
        let strange = dir.path().join(format!("stranger-{way:?}.log"));
        let _stranger = matches!(way, Way::BiosIpxe)
            .then(|| machine(&net, way, dir.path(), TAPS[1], "52:54:00:99:99:99", &strange));
        let _machine = machine(&net, way, dir.path(), TAPS[0], MAC, &log);
        let begun = Instant::now();
        let said = verdict(&log);
        println!("{way:?}: {:.1} s", begun.elapsed().as_secs_f64());
        let context = || format!("{said}\n{}\n{}", text(&served), text(&log));
        assert_eq!((&said["verdict"], &said["node"]), (&"pass".into(), &NODE.into()), "{}", context());
        assert_eq!(said["secure_boot"], matches!(way, Way::SecureBoot), "{}", context());
        let served = text(&served);
        assert!(served.contains(&format!("{NODE} (192.168.31.74 ({MAC})) is prepared")), "{served}");
        assert!(!text(&strange).contains("Linux version"), "a stranger was given a kernel");
    }
}
