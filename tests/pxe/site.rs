//! What is on a segment besides: a site's own DHCP server, and cards whose ROM is a vendor's.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::net::{Net, Running};
use crate::{MAC, bases, common};

/// Address of a site's own DHCP server.
const DNSMASQ: &str = "192.168.31.2/24";

impl Net {
    /// A site's own DHCP server, on a machine of its own on the bridge; `more` is what it says of boot files.
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
    pub fn plain_rom(&self, tap: &str, dir: &Path) -> (Running, String) {
        let [qemu, own] = ["qemu.sock", "rom.sock"].map(|name| dir.join(name));
        // Of a card before this one.
        [&qemu, &own]
            .into_iter()
            .filter(|old| old.exists())
            .for_each(|old| std::fs::remove_file(old).unwrap());
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
}
