//! Machines that boot from the network, in QEMU on a bridge of a network namespace, with `kiln serve` as the only server, or beside a
//! site's own dnsmasq: loaders, kernel, stage 2 and kickstart come from it, what `%pre` fetches is as the kickstart says, and the node's
//! name is right. Needs root, QEMU, OVMF and Debian's signed loaders, pxelinux and dnsmasq; a minute or more each on two cores. What takes
//! too long for the gate is of feature `heavy`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/bases.rs"]
mod bases;
mod common;
#[allow(dead_code)]
#[path = "pxe/make.rs"]
mod make;
#[path = "pxe/net.rs"]
mod net;
#[cfg(feature = "heavy")]
#[path = "pxe/site.rs"]
mod site;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kiln::cluster::types::Role;
use kiln::image::pxe::loaders::Supplied;
use net::{Net, Running};

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

/// How a machine boots.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// BIOS, by the ROM of QEMU's network card, which is iPXE.
    BiosIpxe,
    /// BIOS, by a ROM that does not say that it is iPXE, as vendors' do not.
    #[cfg(feature = "heavy")]
    BiosRom,
    /// UEFI by TFTP.
    Uefi,
    /// The same with Secure Boot.
    SecureBoot,
    /// UEFI HTTP Boot.
    #[cfg(feature = "heavy")]
    UefiHttp,
}

impl Way {
    fn bios(self) -> bool {
        match self {
            Self::BiosIpxe => true,
            #[cfg(feature = "heavy")]
            Self::BiosRom => true,
            _ => false,
        }
    }
}

/// A machine that is switched on; it goes with what is given.
fn machine(net: &Net, way: Way, dir: &Path, tap: &str, mac: &str, log: &Path) -> Vec<Running> {
    let mut qemu = net.within("qemu-system-x86_64");
    let secure = matches!(way, Way::SecureBoot);
    let model = match way {
        _ if way.bios() => "q35,graphics=off",
        Way::SecureBoot => "q35,smm=on",
        _ => "q35",
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
    if !way.bios() {
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
    #[cfg(feature = "heavy")]
    if matches!(way, Way::UefiHttp) {
        for version in [4, 6] {
            let item = format!("name=opt/org.tianocore/IPv{version}PXESupport,string=no");
            qemu.args(["-fw_cfg", &item]);
        }
    }
    let rom = if way.bios() { "" } else { "romfile=," };
    let (mut running, netdev) = match way {
        #[cfg(feature = "heavy")]
        Way::BiosRom => {
            let (card, how) = net.plain_rom(tap, dir);
            (vec![card], how)
        }
        _ => (Vec::new(), format!("tap,id=n0,ifname={tap},script=no,downscript=no")),
    };
    qemu.args(["-netdev", &netdev]);
    qemu.args(["-device", &format!("virtio-net-pci,{rom}netdev=n0,mac={mac},bootindex=1")]);
    running.push(Running(qemu.spawn().expect("this test needs qemu-system-x86")));
    running
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

/// A GRUB that fetches by HTTP as well, as EL's does and Debian's signed one does not; it looks for its configuration as that one does.
#[cfg(feature = "heavy")]
fn http_grub(dir: &Path) -> Supplied {
    let (early, grub) = (dir.join("early.cfg"), dir.join("grub.efi"));
    let text =
        "if [ -e $prefix/grub.cfg ]; then source $prefix/grub.cfg; else source $cmdpath/grub.cfg; fi\n";
    std::fs::write(&early, text).unwrap();
    let mut make = Command::new("grub-mkimage");
    make.args(["-O", "x86_64-efi", "-p", "/grub", "-c"]).arg(early).arg("-o").arg(&grub);
    make.args([
        "normal",
        "configfile",
        "linux",
        "linuxefi",
        "echo",
        "test",
        "sleep",
        "reboot",
        "serial",
        "terminal",
    ]);
    bases::run(make.args(["net", "efinet", "tftp", "http"]));
    Supplied { grub: Some(grub), ..Supplied::default() }
}

/// The tree of the masters, on a stand-in's medium, with Debian's GRUB for the network, and what else is given.
fn tree(dir: &Path, more: Supplied) -> PathBuf {
    let base = dir.join("el9.iso");
    let script = common::root().join("tests/standin/make.sh");
    let status = Command::new("bash").arg(script).arg("el9").arg(&base).status();
    assert!(status.expect("bash").success(), "the stand-in base could not be made: run `make setup`");
    let signed = || PathBuf::from("/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed");
    let supplied = Supplied { grub: more.grub.clone().or_else(|| Some(signed())), ..more };
    let made = make::make_from(&base, "el9", Role::Master, dir, URL, supplied);
    made.unwrap_or_else(|error| panic!("{error}")).tree
}

/// Serves a tree; its log.
fn serve(net: &Net, tree: &Path, way: Way, dhcp: &str) -> (Running, PathBuf) {
    let served = tree.with_file_name(format!("serve-{way:?}-{dhcp}.log"));
    let mut serve = net.within(env!("CARGO_BIN_EXE_kiln"));
    serve.arg("serve").arg(tree).args(["--interface", "br0", "--dhcp", dhcp, "--again", NODE]);
    let serve = Running(serve.stderr(std::fs::File::create(&served).unwrap()).spawn().unwrap());
    (serve, served)
}

/// Boots the node, and holds what it says against what it is.
fn boots(net: &Net, way: Way, dir: &Path, served: &Path) {
    let log = dir.join(format!("{way:?}.log"));
    let _machine = machine(net, way, dir, TAPS[0], MAC, &log);
    let begun = Instant::now();
    let said = verdict(&log);
    println!("{way:?}: {:.1} s", begun.elapsed().as_secs_f64());
    let context = || format!("{said}\n{}\n{}", text(served), text(&log));
    assert_eq!((&said["verdict"], &said["node"]), (&"pass".into(), &NODE.into()), "{}", context());
    assert_eq!(said["secure_boot"], matches!(way, Way::SecureBoot), "{}", context());
    let served = text(served);
    assert!(served.contains(&format!("{NODE} (192.168.31.74 ({MAC})) is prepared")), "{served}");
}

#[test]
fn machines_boot_from_kiln_serve_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path(), Supplied::default());
    for way in [Way::Uefi, Way::BiosIpxe, Way::SecureBoot] {
        let net = Net::new();
        let (_serve, served) = serve(&net, &tree, way, "own");
        // A stranger on the same segment gets nothing.
        let strange = dir.path().join(format!("stranger-{way:?}.log"));
        let _stranger = matches!(way, Way::BiosIpxe)
            .then(|| machine(&net, way, dir.path(), TAPS[1], "52:54:00:99:99:99", &strange));
        boots(&net, way, dir.path(), &served);
        assert!(!text(&strange).contains("Linux version"), "a stranger was given a kernel");
    }
}

/// What is asked on another interface than the one that kiln was given is none of its business, whoever asks.
#[test]
fn another_interface_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path(), Supplied::default());
    let net = Net::new();
    for words in [
        "link add in0 type veth peer name in1",
        "link set in0 master br0",
        "link add out0 type veth peer name out1",
    ] {
        net.ip(words);
    }
    net.ip("addr add 192.168.77.9/24 dev out0");
    ["in0", "in1", "out0", "out1"].iter().for_each(|card| net.ip(&format!("link set {card} up")));
    let (_serve, served) = serve(&net, &tree, Way::Uefi, "own");
    let asks = |card: &str| {
        let script = common::root().join("tests/pxe/discover.py");
        bases::run(net.within("python3").arg(script).args([card, MAC]));
    };
    let offered = || text(&served).matches("is offered shimx64.efi").count();
    let begun = Instant::now();
    // Once it is heard where it should be, it would be heard elsewhere too.
    while offered() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", text(&served));
        asks("in1");
        std::thread::sleep(Duration::from_millis(500));
    }
    let before = offered();
    (0..5).for_each(|_| asks("out1"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(offered(), before, "{}", text(&served));
}

/// The firmware takes loader, kernel and initrds by HTTP, and asks for nothing by TFTP.
#[test]
#[cfg(feature = "heavy")]
fn a_machine_boots_by_http_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path(), http_grub(dir.path()));
    let net = Net::new();
    let (_serve, served) = serve(&net, &tree, Way::UefiHttp, "own");
    boots(&net, Way::UefiHttp, dir.path(), &served);
    assert!(text(&dir.path().join("UefiHttp.log")).contains("HTTP"), "{}", text(&served));
}

/// A tree with PXELINUX, which the stand-in's base has not.
#[cfg(feature = "heavy")]
fn with_pxelinux(dir: &Path) -> PathBuf {
    let loaders = dir.join("pxelinux");
    std::fs::create_dir(&loaders).unwrap();
    for file in ["/usr/lib/PXELINUX/pxelinux.0", "/usr/lib/syslinux/modules/bios/ldlinux.c32"] {
        let to = loaders.join(Path::new(file).file_name().unwrap());
        std::fs::copy(file, to).expect("this test needs pxelinux and syslinux-common");
    }
    tree(dir, Supplied { pxelinux: Some(loaders), ..Supplied::default() })
}

/// Boots the node beside the site's dnsmasq, which gives addresses and is told `more`; kiln gives the boot files.
#[cfg(feature = "heavy")]
fn boots_beside_dnsmasq(tree: &Path, way: Way, more: &[&str]) {
    let (net, dir) = (Net::new(), tree.parent().unwrap());
    let (_site, _dnsmasq) = net.dnsmasq(dir, more);
    let (_serve, served) = serve(&net, tree, way, "proxy");
    boots(&net, way, dir, &served);
    let told = text(&dir.join("dnsmasq.log"));
    assert!(told.contains("DHCPACK(eth0) 192.168.31.74"), "{told}");
    std::fs::remove_file(dir.join("dnsmasq.log")).unwrap();
}

#[test]
#[cfg(feature = "heavy")]
fn machines_boot_beside_a_sites_own_dhcp_server() {
    let [signed, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let by_http = tree(other.path(), http_grub(other.path()));
    for way in [Way::BiosIpxe, Way::UefiHttp] {
        boots_beside_dnsmasq(&by_http, way, &[]);
    }
    // Debian's GRUB asks the site's server for its configuration, unless that one names another (docs/pxe.md).
    let signed = tree(signed.path(), Supplied::default());
    for way in [Way::Uefi, Way::SecureBoot] {
        boots_beside_dnsmasq(&signed, way, &["--dhcp-boot=,,192.168.31.9"]);
    }
}

/// A ROM that is no iPXE is given PXELINUX, which takes everything by TFTP: by kiln alone, by kiln beside a site's own server that knows
/// nothing of it, and by that server, which names it.
#[test]
#[cfg(feature = "heavy")]
fn machines_boot_by_pxelinux() {
    let dir = tempfile::tempdir().unwrap();
    let tree = with_pxelinux(dir.path());
    let by_pxelinux = |way: Way| {
        let log = dir.path().join(format!("{way:?}.log"));
        assert!(text(&log).contains("PXELINUX"), "{}", text(&log));
        std::fs::remove_file(log).unwrap();
    };
    let net = Net::new();
    let (serving, served) = serve(&net, &tree, Way::BiosRom, "own");
    boots(&net, Way::BiosRom, dir.path(), &served);
    assert!(text(&served).contains("is offered pxelinux.0"), "{}", text(&served));
    by_pxelinux(Way::BiosRom);
    drop((serving, net));
    boots_beside_dnsmasq(&tree, Way::BiosRom, &[]);
    by_pxelinux(Way::BiosRom);
    let net = Net::new();
    let (_site, _dnsmasq) = net.dnsmasq(dir.path(), &["--dhcp-boot=pxelinux.0,,192.168.31.9"]);
    let (_serve, served) = serve(&net, &tree, Way::BiosIpxe, "off");
    boots(&net, Way::BiosIpxe, dir.path(), &served);
    by_pxelinux(Way::BiosIpxe);
}

/// Two servers that give addresses are one too many: a machine boots all the same, and the log names the other server if its offer was
/// the one that was taken.
#[test]
#[cfg(feature = "heavy")]
fn a_machine_boots_between_two_dhcp_servers() {
    let dir = tempfile::tempdir().unwrap();
    let tree = with_pxelinux(dir.path());
    let net = Net::new();
    // It answers at once, and with all that a machine needs; kiln's own offer has the same address.
    let (_site, _dnsmasq) = net.dnsmasq(dir.path(), &["--dhcp-boot=pxelinux.0,,192.168.31.9"]);
    let (serving, served) = serve(&net, &tree, Way::BiosRom, "own");
    let log = dir.path().join("second.log");
    let _machine = machine(&net, Way::BiosRom, dir.path(), TAPS[0], MAC, &log);
    let said = verdict(&log);
    assert_eq!(said["node"], NODE, "{said}");
    drop(serving);
    let (served, site) = (text(&served), text(&dir.path().join("dnsmasq.log")));
    let took_the_sites = site.contains("DHCPACK(eth0) 192.168.31.74");
    let told = served.contains("took the offer of another DHCP server, 192.168.31.2");
    assert_eq!(took_the_sites, told, "{served}\n{site}");
}

/// `kiln boot` makes the network, the server and the machine by itself.
#[test]
#[cfg(feature = "heavy")]
fn kiln_boots_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (signed, other) = (dir.path().join("signed"), dir.path().join("http"));
    [&signed, &other].into_iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let (signed, by_http) = (tree(&signed, Supplied::default()), tree(&other, http_grub(&other)));
    let http = &["--network-boot", "http"][..];
    for (tree, firmware, more) in [
        (&signed, "bios", &[][..]),
        (&signed, "uefi", &[]),
        (&signed, "secure-boot", &[]),
        (&by_http, "uefi", http),
    ] {
        let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
        kiln.arg("boot").arg(tree).args(["--firmware", firmware, "--memory", "2048", "--mac", MAC]);
        let out = kiln.args(["--expect-node", NODE]).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        println!("{firmware} {more:?}: {}", String::from_utf8_lossy(&out.stdout).trim());
        assert!(out.status.success(), "{firmware} {more:?}: {said}");
    }
    // Debian's signed GRUB cannot go on by HTTP: that is said, and not found out at its prompt.
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("boot").arg(&signed).args(["--firmware", "uefi", "--mac", MAC]).args(http);
    let out = kiln.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("cannot fetch by HTTP"), "{said}");
}
