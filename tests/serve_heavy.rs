//! `kiln serve` under load, on loopback: 500 machines at once, by HTTP, against nginx with the same files in the same run; floods;
//! and TFTP over a link that loses packets. Needs nginx, curl, and for the last root and nft; some minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/bases.rs"]
mod bases;
mod common;
#[allow(dead_code)]
#[path = "pxe/make.rs"]
mod make;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln::cluster::types::Role;

/// Machines at once.
const MACHINES: usize = 500;
/// Bytes that each fetches: an installer's stage 2, cut to what a test has time for.
const FILE: u64 = 16 << 20;
/// Most memory of the server.
const MEMORY_KIB: u64 = 128 << 10;

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn answers(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody answers at {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn nginx(tree: &Path, dir: &Path, port: u16) -> Running {
    let conf = format!(
        "daemon off; worker_processes 2; worker_rlimit_nofile 8192; pid {0}/nginx.pid; error_log {0}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
         fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; root {1}; }} }}\n",
        dir.display(),
        tree.display()
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, conf).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(&file).args(["-g", "user root;"]).stderr(Stdio::null());
    let running = Running(nginx.spawn().expect("this test needs nginx"));
    answers(port);
    running
}

/// A connection of a machine with an address of its own.
fn connect(machine: usize, port: u16) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let [high, low] = u16::try_from(machine).unwrap().to_be_bytes();
    let own = SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), 0);
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &own).unwrap();
    connect(&stream, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.into()
}

/// All machines fetch the file; how long that takes.
fn load(port: u16) -> Duration {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for machine in 0..MACHINES {
            let fetch = move || {
                let mut stream = connect(machine, port);
                stream
                    .write_all(b"GET /repo/stage2.img HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    .unwrap();
                let (mut buffer, mut got) = (vec![0; 256 << 10], 0_u64);
                loop {
                    match stream.read(&mut buffer).unwrap() {
                        0 => break,
                        more => got += more as u64,
                    }
                }
                assert!(got > FILE && got < FILE + 1000, "{got}");
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, fetch).unwrap();
        }
    });
    begun.elapsed()
}

/// Puts a file into a tree, listed as the others are.
fn put(tree: &Path, name: &str, content: &[u8]) {
    std::fs::write(tree.join(name), content).unwrap();
    let path = tree.join("kiln-tree.json");
    let mut list: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let digest = kiln::digest::Sha256::of(content).to_string();
    list["files"][name] = serde_json::json!({ "size": content.len(), "sha256": digest });
    std::fs::write(&path, list.to_string()).unwrap();
}

fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn five_hundred_machines_are_served_about_as_fast_as_by_nginx() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let tree = make::made("el9", Role::Master, dir.path(), &format!("http://127.0.0.1:{port}/")).tree;
    // A larger file than the small base has.
    put(&tree, "repo/stage2.img", &vec![0x5a; FILE as usize]);

    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("serve").arg(&tree).args(["--interface", "lo", "--dhcp", "off", "--tftp-port", "0", "--any"]);
    let kiln = Running(kiln.stderr(Stdio::null()).spawn().unwrap());
    answers(port);
    let other = free_port();
    let _nginx = nginx(&tree, dir.path(), other);
    load(other);
    // The better of three each, turn by turn: the machine may be shared.
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        ours = ours.min(load(port));
        theirs = theirs.min(load(other));
    }
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    let peak = peak_kib(kiln.0.id());
    println!("kiln {ours:.2?}, nginx {theirs:.2?}: {ratio:.2} of nginx; peak {peak} KiB");
    assert!(ratio >= 0.8, "kiln has {ratio:.2} of nginx' speed");
    assert!(peak <= MEMORY_KIB, "{peak} KiB");
}

#[test]
fn a_flood_of_nonsense_leaves_the_server_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let tree = make::made("el9", Role::Master, dir.path(), &format!("http://127.0.0.1:{port}/")).tree;
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut kiln = Command::new(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("serve").arg(&tree).args([
        "--interface",
        "lo",
        "--dhcp",
        "off",
        "--tftp-port",
        &udp.to_string(),
        "--any",
    ]);
    let kiln = Running(kiln.stderr(Stdio::null()).spawn().unwrap());
    answers(port);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut state = 0x6b69_6c6e_u64;
    for n in 0..200_000_u32 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut packet = state.to_le_bytes().repeat(n as usize % 40 + 1);
        if n % 2 == 0 {
            packet[..2].copy_from_slice(&[0, 1]);
        }
        let _ = socket.send_to(&packet, ("127.0.0.1", udp));
    }
    for n in 0..2000_u32 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let _ = stream.write_all(&state.to_le_bytes().repeat(n as usize % 300 + 1));
    }
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-f", "--max-time", "60"]).arg(format!("http://127.0.0.1:{port}/boot.ipxe"));
    let out = curl.output().expect("curl");
    assert!(out.status.success() && out.stdout == std::fs::read(tree.join("boot.ipxe")).unwrap());
    let peak = peak_kib(kiln.0.id());
    println!("peak {peak} KiB");
    assert!(peak <= MEMORY_KIB, "{peak} KiB");
}

/// A network namespace of its own with loopback, where one UDP packet in twenty is lost. It goes with the test.
struct Lossy(String);

impl Lossy {
    fn new() -> Self {
        let name = format!("kilnloss{}", std::process::id());
        bases::run(Command::new("ip").args(["netns", "add", &name]));
        let net = Self(name);
        bases::run(Command::new("ip").args(["-n", &net.0, "link", "set", "lo", "up"]));
        let rules = "table ip lossy { chain in { type filter hook input priority 0; \
            meta l4proto udp numgen random mod 100 < 5 counter drop; }; }";
        bases::run(net.within("nft").arg(rules));
        net
    }

    /// A program within.
    fn within(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// Packets that were lost.
    fn lost(&self) -> u64 {
        let out = self.within("nft").args(["-j", "list", "ruleset"]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let rules = json["nftables"].as_array().unwrap().iter();
        let counters = rules.flat_map(|each| each["rule"]["expr"].as_array().cloned().unwrap_or_default());
        counters.filter_map(|part| part["counter"]["packets"].as_u64()).sum()
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Over a link that loses packets both ways a client that we did not write has the whole of a kernel and an initrd. Needs root.
#[test]
fn tftp_gets_through_a_link_that_loses_packets() {
    let dir = tempfile::tempdir().unwrap();
    let net = Lossy::new();
    let tree = make::made("el9", Role::Master, dir.path(), "http://127.0.0.1:8069/").tree;
    // A few thousand blocks.
    let content: Vec<u8> = (0..6_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put(&tree, "repo/images/pxeboot/initrd.img", &content);
    let mut kiln = net.within(env!("CARGO_BIN_EXE_kiln"));
    kiln.arg("serve").arg(&tree).args(["--interface", "lo", "--dhcp", "off", "--tftp-port", "6969", "--any"]);
    let log = dir.path().join("serve.log");
    let _kiln = Running(kiln.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap());
    let begun = Instant::now();
    let up = || net.within("curl").args(["-s", "-o", "/dev/null", "http://127.0.0.1:8069/metrics"]).status();
    while !up().unwrap().success() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", std::fs::read_to_string(&log).unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
    for block in ["512", "1468"] {
        let (to, begun) = (dir.path().join(block), Instant::now());
        let mut curl = net.within("curl");
        curl.args(["-sS", "--max-time", "900", "--tftp-blksize", block, "-o"]).arg(&to);
        let out = curl.arg("tftp://127.0.0.1:6969/repo/images/pxeboot/initrd.img").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{block}: {said}\n{}", std::fs::read_to_string(&log).unwrap());
        assert!(std::fs::read(&to).unwrap() == content, "{block}: not what the tree has");
        println!(
            "blocks of {block}: {:.1} s, {} packets lost so far",
            begun.elapsed().as_secs_f64(),
            net.lost()
        );
    }
    assert!(net.lost() > 100, "{} packets were lost", net.lost());
}
