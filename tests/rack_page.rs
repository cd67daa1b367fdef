//! The page of `kiln serve` in a browser that we did not write: a rack of fifty nodes that goes through all stages, the requests that the page
//! makes, and its pictures, wide and narrow, for a person to look at. Needs Chromium; no root, loopback alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kiln::cluster::types::Mac;
use kiln::digest::Sha256;
use kiln::image::pxe::list::{Audience, FORMAT, LIST, Listed, LoaderFiles, Machine, TreeList};
use kiln::serve::neighbour::Neighbours;
use kiln::serve::tree::Tree;
use kiln::serve::{Options, Service, http, sockets};

/// Nodes of the rack.
const NODES: u8 = 50;

fn mac(n: u8) -> Mac {
    format!("52:54:00:00:33:{n:02x}").parse().unwrap()
}

/// 127.0.1.N is node N.
struct Loopback;

impl Neighbours for Loopback {
    fn mac(&self, ip: Ipv4Addr) -> Option<Mac> {
        let [127, 0, 1, n] = ip.octets() else { return None };
        Some(mac(n))
    }
}

/// A tree that has what moves a node on.
fn tree(dir: &Path, url: &str) {
    let mut files = BTreeMap::new();
    for path in ["shimx64.efi", "repo/images/pxeboot/vmlinuz", "ks.cfg"] {
        let at = dir.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, path).unwrap();
        let (size, sha256) = (path.len() as u64, Sha256::of(path.as_bytes()));
        files.insert(path.to_owned(), Listed { size, sha256, to: Audience::Machines });
    }
    let machine = |n: u8| Machine {
        name: format!("k8s-node{n}").parse().unwrap(),
        address: [10, 77, 0, n].into(),
        macs: vec![mac(n)],
        uuid: None,
    };
    let list = TreeList {
        format: FORMAT,
        kiln: "0".into(),
        build_id: Sha256::of(b"build"),
        label: "KILN-PROD-WORKER".into(),
        cluster: "prod".into(),
        profile: "worker".into(),
        url: url.parse().unwrap(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        gateway: None,
        dns: vec![],
        loaders: LoaderFiles {
            ipxe: "boot.ipxe".into(),
            uefi: Some("shimx64.efi".into()),
            ..LoaderFiles::default()
        },
        machines: (1..=NODES).map(machine).collect(),
        files,
    };
    std::fs::write(dir.join(LIST), list.to_json().unwrap()).unwrap();
}

/// Sends a request as a node; its status.
fn ask(n: u8, port: u16, request: &str) -> u16 {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, n), 0)).unwrap();
    connect(&stream, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut stream = TcpStream::from(stream);
    stream.write_all(request.as_bytes()).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    all.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Moves a node to a stage, by what a node of that stage does.
fn step(n: u8, port: u16, stage: &str) {
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let post = |text: &str| {
        let head = format!("POST /report?stage={stage} HTTP/1.1\r\nConnection: close\r\nContent-Length: ");
        format!("{head}{}\r\n\r\n{text}", text.len())
    };
    let request = match stage {
        "loader" => get("shimx64.efi"),
        "kernel" => get("repo/images/pxeboot/vmlinuz"),
        "installer" => get("ks.cfg"),
        "stopped" => {
            post("no disk of this machine may be wiped:\n  /dev/sda 480.1 GB: LVM2_member (other-cluster)\n")
        }
        _ => post("disk /dev/nvme0n1, 960.2 GB\n"),
    };
    let status = ask(n, port, &request);
    assert!(status == 200 || status == 204, "{n} {stage}: {status}");
}

fn browser() -> Command {
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
    browser
}

/// Looks at a page; what the browser says of it on standard output.
fn look(dir: &Path, words: &[&str], url: &str) -> String {
    let out = browser()
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .args(words)
        .arg(url)
        .output()
        .expect("this test needs chromium");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Addresses that were asked for, by the browser's own log of the network: the page itself, and what the page wanted. The browser's own
/// errands have no page for their origin, and lead nowhere here.
fn asked_for(log: &Path, origin: &str) -> Vec<String> {
    let log: serde_json::Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
    let ours = |event: &&serde_json::Value| {
        let params = &event["params"];
        params["initiator"] == origin || params["url"].as_str().is_some_and(|url| url.starts_with(origin))
    };
    let events = log["events"].as_array().unwrap().iter().filter(ours);
    events.filter_map(|event| event["params"]["url"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_rack_of_fifty_nodes_goes_through_all_stages() {
    let dir = tempfile::tempdir().unwrap();
    let listener = sockets::http(Ipv4Addr::LOCALHOST, 0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (origin, at) = (format!("http://127.0.0.1:{port}"), dir.path().join("tree"));
    std::fs::create_dir(&at).unwrap();
    tree(&at, &format!("{origin}/"));
    let options = Options {
        state: dir.path().join("state"),
        any: false,
        again: vec![],
        neighbours: Box::new(Loopback),
        log: Box::new(|_: &str| {}),
    };
    let service = Arc::new(Service::new(Tree::open(&at).unwrap(), options).unwrap());
    let shared = Arc::clone(&service);
    let server = std::thread::spawn(move || http::server::run(&shared, &listener));

    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rack");
    let _ = std::fs::remove_dir_all(&pictures);
    std::fs::create_dir(&pictures).unwrap();
    let url = format!("{origin}/");
    let stages = ["loader", "kernel", "installer", "prepared", "placed", "finished"];
    // A rack half-way: machines of all stages, three that stopped, some that have not been switched on.
    for n in 1..=NODES - 6 {
        for stage in &stages[..usize::from(n % 6) + 1] {
            step(n, port, stage);
        }
        if n % 17 == 0 {
            step(n, port, "stopped");
        }
    }
    for (name, size) in [("wide", "1280,1700"), ("narrow", "400,1400")] {
        let file = pictures.join(format!("{name}.png"));
        let log = pictures.join("net.json");
        let words = [
            format!("--screenshot={}", file.display()),
            format!("--window-size={size}"),
            format!("--log-net-log={}", log.display()),
        ];
        look(dir.path(), &words.each_ref().map(String::as_str), &url);
        assert!(std::fs::metadata(&file).unwrap().len() > 10_000, "{name}");
        let asked = asked_for(&log, &origin);
        assert!(asked.contains(&url), "the page itself: {asked:?}");
        for asked in asked {
            assert!(asked.starts_with(&origin), "the page asked for {asked}");
        }
    }
    let page = look(dir.path(), &["--dump-dom"], &url);
    // Nothing in it could lead to a request but the page's own renewal.
    for word in ["<script", "<link", "<img", "src=", "href=", "url(", "@import", "//"] {
        assert!(!page.contains(word), "{word}: {page}");
    }
    for n in 1..=NODES {
        assert!(page.contains(&format!("<b>k8s-node{n}</b>")), "k8s-node{n}: {page}");
    }
    for stage in stages.iter().chain(&["waiting", "fault"]) {
        assert!(page.contains(&format!("<li class=\"{stage}\">")), "{stage}: {page}");
    }
    assert!(page.contains("LVM2_member (other-cluster)"), "{page}");

    for n in 1..=NODES {
        for stage in stages {
            step(n, port, stage);
        }
    }
    let page = look(dir.path(), &["--dump-dom"], &url);
    assert!(page.contains("50 of 50 installed") && !page.contains("class=\"fault\""), "{page}");
    println!("pictures: {}", pictures.display());
    service.end();
    server.join().unwrap();
}
