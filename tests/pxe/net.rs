//! A segment for machines that boot from the network: a network namespace with a bridge, and a site's own DHCP server on it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{MAC, SERVER, TAPS, bases, common};

/// Address of a site's own DHCP server.
#[cfg(feature = "heavy")]
const DNSMASQ: &str = "192.168.31.2/24";

/// A network namespace with a bridge; it goes with the test.
pub struct Net(String);

impl Net {
    pub fn new() -> Self {
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

    /// A site's own DHCP server, on a machine of its own on the bridge; `more` is what it says of boot files.
    #[cfg(feature = "heavy")]
    pub fn dnsmasq(&self, dir: &Path, more: &[&str]) -> (Net, Running) {
        let other = Self(format!("{}d", self.0));
        bases::run(Command::new("ip").args(["netns", "add", &other.0]));
        self.ip(&format!("link add site type veth peer name eth0 netns {}", other.0));
        self.ip("link set site master br0 up");
        other.ip("link set lo up");
        other.ip(&format!("addr add {DNSMASQ} dev eth0"));
        other.ip("link set eth0 up");
        let mut dnsmasq = other.within("dnsmasq");
        dnsmasq.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--user=root",
            "--log-dhcp",
        ]);
        dnsmasq.args(["--interface=eth0", "--bind-interfaces", "--dhcp-range=192.168.31.0,static"]);
        dnsmasq.args([&format!("--dhcp-host={MAC},192.168.31.74"), "--pid-file="]);
        dnsmasq.arg(format!("--dhcp-leasefile={}", dir.join("leases").display()));
        dnsmasq.arg(format!("--log-facility={}", dir.join("dnsmasq.log").display())).args(more);
        (other, Running(dnsmasq.spawn().expect("this test needs dnsmasq")))
    }

    /// A card on a tap device whose ROM does not say that it is iPXE; what QEMU is to be told of it.
    #[cfg(feature = "heavy")]
    pub fn plain_rom(&self, tap: &str, dir: &Path) -> (Running, String) {
        let [qemu, own] = ["qemu.sock", "rom.sock"].map(|name| dir.join(name));
        let mut rom = self.within("python3");
        rom.arg(common::root().join("tests/pxe/plain_rom.py")).arg(tap).args([&qemu, &own]);
        let rom = Running(rom.spawn().expect("this test needs python3"));
        let begun = Instant::now();
        while !own.exists() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the card does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (qemu, own) = (qemu.display(), own.display());
        (rom, format!("dgram,id=n0,local.type=unix,local.path={qemu},remote.type=unix,remote.path={own}"))
    }

    fn ip(&self, words: &str) {
        bases::run(Command::new("ip").args(["-n", &self.0]).args(words.split(' ')));
    }

    /// A program within.
    pub fn within(&self, program: &str) -> Command {
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
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
