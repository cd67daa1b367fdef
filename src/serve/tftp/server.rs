//! Transfers by TFTP: requests come in at one port, each transfer has a port and a thread of its own (RFC 1350 4). The number of transfers
//! is bounded, and one client has a few of them only.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::transfer::{Step, Transfer};
use super::{Refusal, Reply, Request, acknowledged, data};
use crate::serve::Service;
use crate::serve::tree::Opened;

/// Most transfers at once, and of one client.
const MAX_TRANSFERS: usize = 1024;
const MAX_PER_CLIENT: usize = 8;
/// Longest whole transfer: the largest initrd at the smallest blocks, slowly.
const LONGEST: Duration = Duration::from_secs(3600);
/// Stack of a transfer's thread.
const STACK: usize = 256 << 10;

/// Transfers under way by client.
type Running = Arc<Mutex<BTreeMap<Ipv4Addr, usize>>>;

/// Takes requests until the service ends. `socket` has a short timeout.
pub fn run(service: &Arc<Service>, socket: &UdpSocket) {
    let running = Running::default();
    let mut buffer = [0; 2048];
    while !service.ended() {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let IpAddr::V4(ip) = from.ip() else { continue };
        let request = match Request::parse(&buffer[..len]) {
            Ok(Some(request)) => request,
            Ok(None) => continue,
            Err(refusal) => {
                let _ = socket.send_to(&refusal.to_bytes(), from);
                continue;
            }
        };
        let refused = begin(service, &running, ip, from, socket.local_addr(), request);
        if let Some(refusal) = refused {
            let _ = socket.send_to(&refusal.to_bytes(), from);
        }
    }
}

/// Starts a transfer, or says why not.
fn begin(
    service: &Arc<Service>,
    running: &Running,
    ip: Ipv4Addr,
    from: SocketAddr,
    local: io::Result<SocketAddr>,
    request: Request,
) -> Option<Refusal> {
    service.count_tftp();
    let Some((path, listed)) = service.tree.find(&request.path) else { return Some(Refusal::NotFound) };
    let peer = service.peer(ip);
    // Keys do not go out by TFTP: anybody could answer in the client's place.
    if listed.to.is_secret() || !service.may(peer, path, &listed.to) {
        return Some(Refusal::Denied);
    }
    let opened = match service.tree.read(path, listed) {
        Ok(opened) => opened,
        Err(error) => {
            service
                .log(&format!("{}/{path}: {error}; is the tree being changed?", service.tree.path.display()));
            return Some(Refusal::NotFound);
        }
    };
    if !enter(running, ip) {
        return Some(Refusal::Busy);
    }
    let (service, counted, path) = (Arc::clone(service), Arc::clone(running), path.to_owned());
    let work = move || {
        let (sent, whole) =
            local.and_then(|local| transfer(local.ip(), from, &request, &opened)).unwrap_or((0, false));
        service.fetched(peer, &path, sent, whole);
        leave(&counted, ip);
    };
    match std::thread::Builder::new().name("tftp".to_owned()).stack_size(STACK).spawn(work) {
        Ok(_) => None,
        Err(_) => {
            leave(running, ip);
            Some(Refusal::Busy)
        }
    }
}

fn enter(running: &Running, ip: Ipv4Addr) -> bool {
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let all: usize = running.values().sum();
    let own = running.get(&ip).copied().unwrap_or(0);
    let room = all < MAX_TRANSFERS && own < MAX_PER_CLIENT;
    if room {
        running.insert(ip, own + 1);
    }
    room
}

fn leave(running: &Running, ip: Ipv4Addr) {
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(own) = running.get_mut(&ip) {
        *own = own.saturating_sub(1);
        if *own == 0 {
            running.remove(&ip);
        }
    }
}

/// One transfer: bytes that the client has, and whether it has all.
fn transfer(local: IpAddr, to: SocketAddr, request: &Request, opened: &Opened) -> io::Result<(u64, bool)> {
    let socket = UdpSocket::bind((local, 0))?;
    // Packets from elsewhere are not seen.
    socket.connect(to)?;
    let mut pace = Pace::new(request.wait.map(|seconds| Duration::from_secs(seconds.into())));
    let mut transfer = Transfer::new(request, opened.size);
    let mut step = transfer.begin();
    let begun = Instant::now();
    let (mut out, mut buffer) = (Vec::new(), [0; 128]);
    // When the wait began; packets that say nothing new do not make it longer.
    let mut since = Instant::now();
    loop {
        match step {
            Step::Done => return Ok((opened.size, true)),
            Step::Over => return Ok((transfer.acknowledged(opened.size), false)),
            _ if begun.elapsed() > LONGEST => return Ok((transfer.acknowledged(opened.size), false)),
            Step::Wait => {}
            Step::Grant => {
                since = Instant::now();
                socket.send(&request.granted(opened.size).unwrap_or_default())?;
            }
            Step::Send { first, count } => {
                since = Instant::now();
                for number in first..first + count {
                    block(opened, &transfer, number, &mut out)?;
                    socket.send(&out)?;
                }
            }
        }
        let left = pace.wait().saturating_sub(since.elapsed());
        if left.is_zero() {
            pace.nothing();
            step = transfer.silence();
            since = Instant::now();
            continue;
        }
        socket.set_read_timeout(Some(left))?;
        step = match socket.recv(&mut buffer) {
            Ok(len) => {
                let step = transfer.reply(acknowledged(&buffer[..len]));
                if step != Step::Wait {
                    pace.answered(since.elapsed());
                }
                step
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                pace.nothing();
                transfer.silence()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Step::Wait,
            // The client's port is closed.
            Err(_) => transfer.reply(Reply::Ends),
        };
    }
}

/// The packet of a block.
fn block(opened: &Opened, transfer: &Transfer, number: u64, out: &mut Vec<u8>) -> io::Result<()> {
    data(number as u16, out);
    let from = (number - 1) * transfer.block();
    let len = opened.size.saturating_sub(from).min(transfer.block()) as usize;
    let head = out.len();
    out.resize(head + len, 0);
    opened.file.read_exact_at(&mut out[head..], from)
}
