//! The segment as the kernel has it: two machines as network namespaces with a cable between them. One listens as the
//! installer does; the other is Linux that answers by itself, keepalived that announces itself, or a switch that is off.
//!
//! Needs root and iproute2; what is missing fails the test. It runs itself again inside a namespace (`hear`), so it has no
//! harness of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed test panics"
)]

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln::node::preflight::segment::{self, Heard, Request};

/// The listening machine's NIC, and the other's.
const OURS: &str = "ens3";
const THEIRS: &str = "their0";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "hear") {
        return hear(&args[1..]);
    }
    let tests: [(&str, Test); 7] = [
        ("another machine has the address", another_machine_has_the_address),
        ("a silent segment", a_silent_segment),
        ("no link", no_link),
        ("frames of the MTU", frames_of_the_mtu),
        ("a NIC that cannot", a_nic_that_cannot),
        ("a foreign router", a_foreign_router),
        ("a VLAN", a_vlan),
    ];
    for (name, test) in tests {
        let start = Instant::now();
        match test() {
            Ran::Whole => println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64()),
            Ran::Not(why) => println!("test {name} ... not run: {why}"),
        }
    }
}

/// What came of a test that did not fail.
enum Ran {
    Whole,
    Not(&'static str),
}

type Test = fn() -> Ran;

/// In the namespace: NIC, MTU, VLAN or 0, then the addresses to ask for. Prints what was heard, a line each.
fn hear(args: &[String]) {
    let vlan: u16 = args[2].parse().unwrap();
    let targets: Vec<std::net::Ipv4Addr> = args[3..].iter().map(|text| text.parse().unwrap()).collect();
    let request = Request {
        nics: vec![args[0].clone()],
        bond: None,
        vlan: (vlan > 0).then(|| vlan.try_into().unwrap()),
        mtu: args[1].parse().unwrap(),
        long: targets.clone(),
        targets,
        probe: true,
    };
    let Heard { links, mtu, frames, answers, long, adverts, trouble } = segment::hear(&request);
    for link in links {
        println!("link {} {}", link.name, link.carrier);
    }
    println!("mtu {}", mtu.unwrap());
    println!("frames {}", frames > 0);
    for (address, macs) in answers {
        let macs: Vec<String> =
            macs.iter().map(|mac| mac.map(|octet| format!("{octet:02x}")).join(":")).collect();
        println!("answer {address} {}", macs.join(" "));
    }
    long.iter().for_each(|address| println!("long {address}"));
    adverts.iter().for_each(|advert| println!("advert {} v{} {}", advert.id, advert.version, advert.source));
    trouble.iter().for_each(|trouble| println!("trouble {trouble}"));
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {}: {err}", args.join(" "));
    String::from_utf8(out.stdout).unwrap()
}

fn ip(args: &str) -> String {
    run("ip", &args.split(' ').collect::<Vec<_>>())
}

/// Two machines and the cable between them.
struct Cable {
    ours: String,
    theirs: String,
    running: Vec<Child>,
}

impl Cable {
    fn new() -> Self {
        let id = std::process::id();
        let cable =
            Self { ours: format!("kiln-pf-{id}-a"), theirs: format!("kiln-pf-{id}-b"), running: Vec::new() };
        ip(&format!("netns add {}", cable.ours));
        ip(&format!("netns add {}", cable.theirs));
        ip(&format!(
            "link add {OURS} netns {} type veth peer name {THEIRS} netns {}",
            cable.ours, cable.theirs
        ));
        cable.them(&format!("link set {THEIRS} address 02:00:00:00:00:0b"));
        cable.them(&format!("link set {THEIRS} up"));
        cable
    }

    /// A command of the other machine's `ip`.
    fn them(&self, args: &str) {
        ip(&format!("-n {} {args}", self.theirs));
    }

    /// What our machine hears.
    fn hear(&self, args: &str) -> String {
        let program = std::env::current_exe().unwrap();
        let mut all = vec!["netns", "exec", &self.ours, program.to_str().unwrap(), "hear", OURS];
        all.extend(args.split(' '));
        run("ip", &all)
    }

    fn start(&mut self, program: &str, args: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.theirs, program]).args(args);
        self.running.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for child in &mut self.running {
            // keepalived has children of its own, which end with it on SIGTERM.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        for name in [&self.ours, &self.theirs] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn has(said: &str, line: &str) {
    assert!(said.lines().any(|have| have == line), "no `{line}` in\n{said}");
}

fn lacks(said: &str, start: &str) {
    assert!(!said.lines().any(|have| have.starts_with(start)), "`{start}` in\n{said}");
}

fn another_machine_has_the_address() -> Ran {
    let cable = Cable::new();
    cable.them(&format!("addr add 10.9.0.71/24 dev {THEIRS}"));
    let said = cable.hear("1500 0 10.9.0.71 10.9.0.72");
    has(&said, "answer 10.9.0.71 02:00:00:00:00:0b");
    lacks(&said, "answer 10.9.0.72");
    has(&said, "long 10.9.0.71");
    lacks(&said, "trouble");
    // The probes claimed nothing: the other machine has learnt no address.
    lacks(&ip(&format!("-n {} neigh show dev {THEIRS}", cable.theirs)), "10.9.0");
    Ran::Whole
}

fn a_silent_segment() -> Ran {
    let cable = Cable::new();
    // Not even IPv6's own chatter.
    run(
        "ip",
        &["netns", "exec", &cable.theirs, "sysctl", "-qw", &format!("net.ipv6.conf.{THEIRS}.disable_ipv6=1")],
    );
    let start = Instant::now();
    let said = cable.hear("1500 0 10.9.0.71");
    has(&said, &format!("link {OURS} true"));
    has(&said, "frames false");
    lacks(&said, "answer");
    // A switch that looks for loops may pass nothing for half a minute; the link was raised just now.
    assert!(start.elapsed() > Duration::from_secs(28), "{:?}", start.elapsed());
    Ran::Whole
}

fn no_link() -> Ran {
    let cable = Cable::new();
    cable.them(&format!("link set {THEIRS} down"));
    let said = cable.hear("1500 0 10.9.0.71");
    has(&said, &format!("link {OURS} false"));
    lacks(&said, "trouble");
    Ran::Whole
}

fn frames_of_the_mtu() -> Ran {
    let cable = Cable::new();
    cable.them(&format!("addr add 10.9.0.71/24 dev {THEIRS}"));
    cable.them(&format!("link set {THEIRS} mtu 9000"));
    let said = cable.hear("9000 0 10.9.0.71");
    has(&said, "mtu 9000");
    has(&said, "long 10.9.0.71");
    // What the other end does not carry is lost, and short frames are not.
    cable.them(&format!("link set {THEIRS} mtu 1500"));
    let said = cable.hear("9000 0 10.9.0.71");
    has(&said, "answer 10.9.0.71 02:00:00:00:00:0b");
    lacks(&said, "long");
    Ran::Whole
}

fn a_nic_that_cannot() -> Ran {
    let cable = Cable::new();
    ip(&format!("-n {} link set {OURS} mtu 1400", cable.ours));
    let program = std::env::current_exe().unwrap();
    // It carries no more than what it lies on.
    ip(&format!("-n {} link add link {OURS} name low0 type macvlan", cable.ours));
    let said = run(
        "ip",
        &["netns", "exec", &cable.ours, program.to_str().unwrap(), "hear", "low0", "9000", "0", "10.9.0.1"],
    );
    has(&said, "mtu 1400");
    Ran::Whole
}

fn a_foreign_router() -> Ran {
    let mut cable = Cable::new();
    cable.them(&format!("addr add 10.9.0.9/24 dev {THEIRS}"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keepalived.conf");
    let conf = format!(
        "vrrp_instance a {{\n state MASTER\n interface {THEIRS}\n virtual_router_id 77\n priority 150\n advert_int 1\n \
         virtual_ipaddress {{\n 10.9.0.88/24\n }}\n}}\n"
    );
    std::fs::File::create(&path).unwrap().write_all(conf.as_bytes()).unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (conf, pid, vrrp) = (at("keepalived.conf"), at("pid"), at("vrrp"));
    cable.start("keepalived", &["--dont-fork", "--vrrp", "-f", &conf, "-p", &pid, "-r", &vrrp]);
    // It waits for three advertisements of others before it takes the address.
    std::thread::sleep(Duration::from_secs(6));
    let said = cable.hear("1500 0 10.9.0.88");
    has(&said, "advert 77 v2 10.9.0.9");
    has(&said, "answer 10.9.0.88 02:00:00:00:00:0b");
    Ran::Whole
}

fn a_vlan() -> Ran {
    let cable = Cable::new();
    cable.them(&format!("addr add 10.9.0.71/24 dev {THEIRS}"));
    let tagged = format!("-n {} link add link {THEIRS} name tagged type vlan id 7", cable.theirs);
    let made = Command::new("ip").args(tagged.split(' ')).output().unwrap();
    let why = String::from_utf8_lossy(&made.stderr).into_owned();
    if why.contains("Unknown device type") {
        return Ran::Not("this kernel has no VLANs");
    }
    assert!(made.status.success(), "{why}");
    cable.them("link set tagged up");
    cable.them("addr add 10.9.7.72/24 dev tagged");
    let said = cable.hear("1500 7 10.9.0.71 10.9.7.72");
    has(&said, "answer 10.9.7.72 02:00:00:00:00:0b");
    lacks(&said, "trouble");
    let left = ip(&format!("-n {} -o link", cable.ours));
    assert!(!left.contains("kiln-probe"), "the VLAN of the probe is gone: {left}");
    // What has no tag is another network: its address is answered for only where Linux confuses the two, so that is off.
    run("ip", &["netns", "exec", &cable.theirs, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"]);
    lacks(&cable.hear("1500 7 10.9.0.71"), "answer 10.9.0.71");
    Ran::Whole
}
