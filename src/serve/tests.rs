use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use super::dhcp::answer::{Loaders, Mode, Site};
use super::testing::mac;
use super::*;

/// Addresses of loopback as machines: 127.0.0.N is machine N.
struct Loopback;

impl Neighbours for Loopback {
    fn mac(&self, ip: Ipv4Addr) -> Option<Mac> {
        let [127, 0, 0, n] = ip.octets() else { return None };
        (n > 1).then(|| mac(n - 1))
    }
}

struct Running {
    service: Arc<Service>,
    dir: tempfile::TempDir,
    http: std::net::SocketAddr,
    tftp: std::net::SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.service.end();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn service(dir: &std::path::Path, any: bool, log: Log) -> Service {
    let options =
        Options { state: dir.join("state"), any, again: vec![], neighbours: Box::new(Loopback), log };
    Service::new(Tree::open(&dir.join("tree")).unwrap(), options).unwrap()
}

fn start(any: bool) -> Running {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tree")).unwrap();
    testing::tree(&dir.path().join("tree"), "http://127.0.0.1/kiln/");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let log = Box::new(move |line: &str| kept.lock().unwrap().push(line.to_owned()));
    let service = Arc::new(service(dir.path(), any, log));
    let listener = sockets::http(Ipv4Addr::LOCALHOST, 0).unwrap();
    let socket = sockets::tftp(Ipv4Addr::LOCALHOST, 0).unwrap();
    let (http, tftp) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
    let (one, two) = (Arc::clone(&service), Arc::clone(&service));
    let threads = vec![
        std::thread::spawn(move || super::http::server::run(&one, &listener)),
        std::thread::spawn(move || super::tftp::server::run(&two, &socket)),
    ];
    Running { service, dir, http, tftp, lines, threads }
}

/// A connection that comes from machine `n`.
fn connect(running: &Running, n: u8) -> TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd as _;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, n + 1, 0)).unwrap();
    let to = SockaddrIn::new(127, 0, 0, 1, running.http.port());
    connect(fd.as_raw_fd(), &to).unwrap();
    TcpStream::from(fd)
}

/// Status, headers and body of one request.
fn ask(running: &Running, n: u8, request: &str) -> (u16, BTreeMap<String, String>, Vec<u8>) {
    let mut stream = connect(running, n);
    stream.write_all(request.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end =
        all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {request}"));
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    (status, headers, all[end + 4..].to_vec())
}

fn get(running: &Running, n: u8, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = ask(running, n, &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
    (status, body)
}

#[test]
fn files_heads_and_ranges() {
    let running = start(false);
    assert_eq!(get(&running, 1, "/ks.cfg"), (200, b"# kickstart\n".to_vec()));
    assert_eq!(get(&running, 1, "/kiln/ks.cfg"), (200, b"# kickstart\n".to_vec()));
    assert_eq!(get(&running, 1, "//shimx64.efi"), (200, b"shim".to_vec()));
    assert_eq!(get(&running, 1, "/kiln/kiln/common.tar"), (200, b"common".to_vec()));
    let (status, whole) = get(&running, 1, "/repo/images/pxeboot/vmlinuz");
    assert_eq!((status, whole.len()), (200, 300_000));
    let head = "HEAD /repo/images/pxeboot/vmlinuz HTTP/1.1\r\nConnection: close\r\n\r\n";
    let (status, headers, body) = ask(&running, 1, head);
    assert_eq!((status, headers["content-length"].as_str(), body.len()), (200, "300000", 0));
    let ranged = |range: &str, more: &str| {
        let text = format!(
            "GET /repo/images/pxeboot/vmlinuz HTTP/1.1\r\nRange: {range}\r\n{more}Connection: close\r\n\r\n"
        );
        ask(&running, 1, &text)
    };
    let (status, headers, body) = ranged("bytes=299990-", "");
    assert_eq!((status, headers["content-range"].as_str()), (206, "bytes 299990-299999/300000"));
    assert_eq!(body, whole[299_990..]);
    assert_eq!(ranged("bytes=300000-", "").0, 416);
    let tag = &headers["etag"];
    assert_eq!(ranged("bytes=5-9", &format!("If-Range: {tag}\r\n")).2, whole[5..10]);
    assert_eq!(ranged("bytes=5-9", "If-Range: \"other\"\r\n").2.len(), 300_000);
}

#[test]
fn one_machine_does_not_keep_the_others_out() {
    let running = start(false);
    let held: Vec<TcpStream> = (0..http::server::MAX_OF_ONE).map(|_| connect(&running, 1)).collect();
    let over = |running: &Running| {
        let mut stream = connect(running, 1);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The place may be refused before the request is written.
        let _ = stream.write_all(b"GET /ks.cfg HTTP/1.1\r\nConnection: close\r\n\r\n");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).is_err() || all.is_empty()
    };
    assert!(over(&running), "a connection more than one machine may have");
    let log = running.lines.lock().unwrap().join("\n");
    assert!(log.contains("127.0.0.2 has 32 connections and gets no more"), "{log}");
    assert_eq!(get(&running, 2, "/ks.cfg").0, 200);
    // Those that go make room.
    drop(held);
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while over(&running) {
        assert!(std::time::Instant::now() < end, "no room came free");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_connection_carries_many_requests() {
    let running = start(false);
    let mut stream = connect(&running, 1);
    // All at once, and cut anywhere.
    let text = "GET /ks.cfg HTTP/1.1\r\n\r\n".repeat(20) + "GET /x HTTP/1.1\r\nConnection: close\r\n\r\n";
    for piece in text.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert_eq!(all.matches("# kickstart").count(), 20);
    assert_eq!(all.matches("HTTP/1.1 404 Not Found").count(), 1);
}

#[test]
fn nothing_leaves_the_tree() {
    let running = start(true);
    std::fs::write(running.dir.path().join("secret"), "outside").unwrap();
    let tree = running.dir.path().join("tree");
    std::fs::write(tree.join("unlisted"), "x").unwrap();
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/repo/../../secret",
        "/kiln/../../secret",
        "/unlisted",
        "/kiln-tree.json",
        "/repo",
        "/.%00./secret",
        "/..\\secret",
        "/%2e%2e%5csecret",
    ] {
        let (status, body) = get(&running, 1, path);
        assert!(matches!(status, 400 | 404), "{path}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("outside"), "{path}");
    }
    // A listed file that became a link, another size, or a pipe.
    std::fs::remove_file(tree.join("ks.cfg")).unwrap();
    std::os::unix::fs::symlink("../secret", tree.join("ks.cfg")).unwrap();
    assert_eq!(get(&running, 1, "/ks.cfg").0, 500);
    std::fs::write(tree.join("shimx64.efi"), "longer than it was").unwrap();
    assert_eq!(get(&running, 1, "/shimx64.efi").0, 500);
    let moved = tree.join("repo/images");
    std::fs::rename(&moved, running.dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(running.dir.path().join("elsewhere"), &moved).unwrap();
    assert_eq!(get(&running, 1, "/repo/images/pxeboot/vmlinuz").0, 500);
    assert!(running.lines.lock().unwrap().iter().any(|line| line.contains("is the tree being changed?")));
}

#[test]
fn secrets_go_to_their_node_once() {
    let running = start(false);
    assert_eq!(get(&running, 1, "/kiln/nodes/b.tar").0, 403);
    assert_eq!(get(&running, 7, "/kiln/nodes/a.tar").0, 403);
    assert_eq!(get(&running, 7, "/ks.cfg").0, 403);
    let (status, headers, body) =
        ask(&running, 2, "GET /kiln/nodes/a.tar HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(
        (status, headers["cache-control"].as_str(), body.as_slice()),
        (200, "no-store", b"key of a".as_slice())
    );
    let lines = running.lines.lock().unwrap().clone();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("127.0.0.3 (52:54:00:00:00:02) has the secrets of kiln/nodes/a.tar")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("secrets of another machine")), "{lines:?}");
    // What was given is known after a restart.
    let saved = store::load(&running.dir.path().join("state")).unwrap().unwrap();
    assert_eq!(saved.given.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn reports_are_taken_from_nodes_and_shown() {
    let running = start(false);
    let post = |n, stage: &str, text: &str| {
        let len = text.len();
        let request = format!(
            "POST /kiln/report?stage={stage} HTTP/1.1\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{text}"
        );
        ask(&running, n, &request).0
    };
    assert_eq!(post(1, "stopped", "<b>no disk\n"), 204);
    assert_eq!(post(3, "finished", ""), 204);
    assert_eq!(post(9, "finished", ""), 403);
    assert_eq!(post(1, "kernel", ""), 400);
    let page = String::from_utf8(get(&running, 9, "/").1).unwrap();
    assert!(page.contains("&lt;b&gt;no disk") && page.contains("1 of 2 installed"), "{page}");
    let json: serde_json::Value = serde_json::from_slice(&get(&running, 9, "/status.json").1).unwrap();
    assert_eq!(
        (&json["machines"][0]["stage"], &json["machines"][1]["stage"]),
        (&"stopped".into(), &"finished".into())
    );
    let metrics = String::from_utf8(get(&running, 9, "/kiln/metrics").1).unwrap();
    assert!(metrics.contains("kiln_serve_machines{stage=\"finished\"} 1"), "{metrics}");
    // It boots its disk from now on, and keeps its address.
    let (answer, _) = dhcp::server::answer(&running.service, &segment(), &asks(mac(3), 1, &[])).unwrap();
    let answer = dhcp::Packet::parse(&answer).unwrap();
    assert_eq!((answer.yours, answer.option(67)), ([10, 77, 0, 72].into(), None));
}

/// A segment of kiln's own.
fn segment() -> Site {
    Site {
        mode: Mode::Own,
        server: [10, 77, 0, 1].into(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        gateway: None,
        dns: vec![],
        loaders: Loaders {
            tftp: true,
            bios: None,
            uefi: Some("shimx64.efi".into()),
            uefi_http: None,
            url: "http://10.77.0.1/".into(),
            ipxe: "boot.ipxe".into(),
        },
    }
}

/// What firmware for UEFI asks by DHCP, of a kind, and with more options.
fn asks(mac: Mac, kind: u8, more: &[u8]) -> dhcp::Packet {
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[28..34].copy_from_slice(&mac.octets());
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, kind, 60, 9]);
    bytes.extend(b"PXEClient");
    bytes.extend([93, 2, 0, 7]);
    bytes.extend(more);
    bytes.push(255);
    dhcp::Packet::parse(&bytes).unwrap()
}

#[test]
fn the_log_names_a_second_server_and_a_flood_does_not_fill_it() {
    let running = start(false);
    let ask = |site: &Site, packet| dhcp::server::answer(&running.service, site, &packet);
    let lines = |about: &str| {
        let lines = running.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(about)).cloned().collect::<Vec<_>>()
    };
    assert!(ask(&segment(), asks(mac(3), 1, &[])).is_some());
    let took = |server: u8| asks(mac(3), 3, &[50, 4, 10, 77, 0, 90, 54, 4, 10, 77, 0, server]);
    // What it chose is not kiln's to refuse.
    for _ in 0..3 {
        assert_eq!(ask(&segment(), took(66)), None);
    }
    let told = lines("another DHCP server");
    assert!(
        told.len() == 1 && told[0].contains("(b) took the offer") && told[0].contains("10.77.0.66"),
        "{told:?}"
    );
    assert!(told[0].contains("--dhcp proxy"), "{told:?}");
    ask(&segment(), took(67));
    (0..200).for_each(|server| drop(ask(&segment(), took(server))));
    assert!(lines("another DHCP server").len() <= 16);
    // Beside a site's own server there is nothing to tell.
    let beside = Site { mode: Mode::Proxy, ..segment() };
    let before = lines("").len();
    ask(&beside, took(201));
    assert_eq!(lines("").len(), before);
    // A flood of strangers: some are named, the rest is counted, and the nodes are heard all the same.
    for n in 0..20_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let stranger: Mac = format!("02:01:02:{a:02x}:{b:02x}:{c:02x}").parse().unwrap();
        assert_eq!(ask(&segment(), asks(stranger, 1, &[])), None);
    }
    let named = lines("is not answered").len();
    assert!((50..=300).contains(&named), "{named} lines");
    assert!(!lines("are left out for a minute").is_empty());
    let offered = lines("(b) is offered").len();
    assert!(ask(&segment(), asks(mac(3), 1, &[])).is_some());
    assert_eq!(lines("(b) is offered").len(), offered + 1);
}

/// Fetches by TFTP as a simple client does.
fn tftp(running: &Running, n: u8, path: &str) -> Result<Vec<u8>, u16> {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, n + 1), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("\0\x01{path}\0octet\0blksize\01024\0windowsize\08\0tsize\00\0");
    socket.send_to(request.as_bytes(), running.tftp).unwrap();
    let (mut got, mut buffer, mut next) = (Vec::new(), [0; 2048], 1_u16);
    loop {
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        let (kind, number) = (buffer[1], u16::from_be_bytes([buffer[2], buffer[3]]));
        match kind {
            5 => return Err(number),
            6 => drop(socket.send_to(&[0, 4, 0, 0], from).unwrap()),
            _ if number == next => {
                got.extend(&buffer[4..len]);
                let last = len < 1028;
                if last || next % 8 == 0 {
                    let [a, b] = next.to_be_bytes();
                    socket.send_to(&[0, 4, a, b], from).unwrap();
                }
                if last {
                    return Ok(got);
                }
                next += 1;
            }
            _ => {}
        }
    }
}

#[test]
fn loaders_come_by_tftp_and_secrets_do_not() {
    let running = start(false);
    assert_eq!(tftp(&running, 1, "/shimx64.efi").unwrap(), b"shim");
    let kernel = tftp(&running, 1, "repo/images/pxeboot/vmlinuz").unwrap();
    assert_eq!(kernel, get(&running, 1, "/repo/images/pxeboot/vmlinuz").1);
    for (n, path, code) in [
        (1, "../secret", 1),
        (1, "grubx64.efi", 1),
        (1, "kiln/nodes/a.tar", 2),
        (1, "kiln/common.tar", 2),
        (9, "shimx64.efi", 2),
    ] {
        assert_eq!(tftp(&running, n, path), Err(code), "{path}");
    }
}

#[test]
fn many_clients_at_once_are_served() {
    let running = start(false);
    let want = get(&running, 1, "/repo/images/pxeboot/vmlinuz").1;
    std::thread::scope(|scope| {
        for n in 0..90_u8 {
            let (running, want) = (&running, &want);
            scope.spawn(move || {
                for _ in 0..4 {
                    assert!(get(running, n % 3 + 1, "/repo/images/pxeboot/vmlinuz").1 == *want);
                }
            });
        }
    });
    assert!(running.service.board().numbers.bytes >= 90 * 4 * 300_000);
}

#[test]
fn clients_that_go_away_and_nonsense_do_no_harm() {
    let running = start(false);
    for n in 0..50_u8 {
        let mut stream = connect(&running, 1);
        stream.write_all(b"GET /repo/images/pxeboot/vmlinuz HTTP/1.1\r\n\r\n").unwrap();
        if n % 2 == 0 {
            let mut few = [0; 10];
            stream.read_exact(&mut few).unwrap();
        }
        // Dropped with bytes unread: the server gets a reset.
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..200_u32 {
        socket.send_to(&n.to_be_bytes().repeat(n as usize % 50 + 1), running.tftp).unwrap();
    }
    let (status, ..) = ask(&running, 1, "\x16\x03\x01 tls\r\n\r\n");
    assert_eq!(status, 400);
    assert_eq!(get(&running, 1, "/ks.cfg").0, 200);
}
