//! Connections by HTTP: a bounded number of them in all and of each client, each with a thread, a time limit for every step, and files
//! sent by the kernel from the page cache (`sendfile(2)`), so that memory does not grow with files or clients.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::{Answer, answer, refusal};
use super::{MAX_HEAD, Parsed, parse};
use crate::serve::Service;
use crate::serve::rack::Peer;
use crate::serve::tree::Opened;

/// Most connections at once; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;
/// Most connections of one address at once; dnf opens ten or so. One machine cannot keep the others out.
pub const MAX_OF_ONE: usize = 32;
/// How long a client may take for the head of a request and its body.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may lie idle.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take no byte of an answer.
const STALL: Duration = Duration::from_secs(60);
/// Stack of a connection's thread.
const STACK: usize = 256 << 10;
/// Bytes that the kernel is told to send at a time.
const PIECE: usize = 4 << 20;

/// Who is connected, and how often.
#[derive(Debug, Default)]
struct Clients {
    of: Mutex<HashMap<Ipv4Addr, usize>>,
}

/// A connection's place; free again when it goes.
struct Place {
    clients: Arc<Clients>,
    ip: Ipv4Addr,
}

impl Clients {
    /// All connections.
    fn all(&self) -> usize {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// A place for one more connection of an address, if it may have one.
    fn enter(self: &Arc<Self>, ip: Ipv4Addr) -> Option<Place> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of.entry(ip).or_insert(0);
        if *count >= MAX_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Place { clients: Arc::clone(self), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.clients.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                of.remove(&self.ip);
            }
        }
    }
}

/// Takes connections until the service ends.
pub fn run(service: &Arc<Service>, listener: &TcpListener) {
    let clients = Arc::new(Clients::default());
    while !service.ended() {
        if clients.all() >= MAX_CONNECTIONS {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let (stream, from) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(listener);
                continue;
            }
            // A client that is gone already, or no free descriptor: the next one is served.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
        };
        let ip = address(from.ip());
        let Some(place) = clients.enter(ip) else {
            service.complain(&format!("{ip} has {MAX_OF_ONE} connections and gets no more"));
            continue;
        };
        let service = Arc::clone(service);
        let work = move || {
            let _place = place;
            // A client that goes away is none of the server's faults.
            let _ = connection(&service, stream, ip);
        };
        // Where there is no thread, the connection ends here, and so does its place.
        let _ = std::thread::Builder::new().name("http".to_owned()).stack_size(STACK).spawn(work);
    }
}

/// A client's address; clients of IPv6 have none.
fn address(ip: IpAddr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
    }
}

/// Waits a moment for a connection.
fn wait(listener: &TcpListener) {
    let mut polled = [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)];
    let limit = rustix::time::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    let _ = rustix::event::poll(&mut polled, Some(&limit));
}

fn connection(service: &Service, mut stream: TcpStream, ip: Ipv4Addr) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(STALL))?;
    let mut buffer = Vec::new();
    loop {
        let mut deadline = Instant::now() + if buffer.is_empty() { IDLE } else { PATIENCE };
        let (request, len) = loop {
            match parse(&buffer) {
                Parsed::Request(request, len) => break (request, len),
                Parsed::Refused(status) => {
                    return send(service, &mut stream, Peer { ip, mac: None }, refusal(status)).map(|_| ());
                }
                Parsed::More => {
                    let first = buffer.is_empty();
                    if !more(&mut stream, &mut buffer, deadline)? {
                        return Ok(());
                    }
                    if first {
                        deadline = Instant::now() + PATIENCE;
                    }
                }
            }
        };
        let deadline = Instant::now() + PATIENCE;
        let end = len + request.body as usize;
        while buffer.len() < end {
            if !more(&mut stream, &mut buffer, deadline)? {
                return Ok(());
            }
        }
        service.count_http();
        let peer = service.peer(ip);
        let answer = answer(service, peer, &request, &buffer[len..end]);
        buffer.drain(..end);
        if !send(service, &mut stream, peer, answer)? {
            return Ok(());
        }
    }
}

/// Reads some more; false at the end, or when the time is over.
fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(false);
    }
    stream.set_read_timeout(Some(left))?;
    let mut piece = [0; 4096];
    match stream.read(&mut piece) {
        Ok(0) => Ok(false),
        Ok(got) => {
            buffer.extend_from_slice(&piece[..got]);
            Ok(buffer.len() <= MAX_HEAD + super::MAX_BODY as usize + piece.len())
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Sends an answer; whether the connection stays open.
fn send(service: &Service, stream: &mut TcpStream, peer: Peer, answer: Answer) -> io::Result<bool> {
    match answer {
        Answer::Text(head, body) => {
            let mut bytes = head.to_bytes();
            bytes.extend(body);
            stream.write_all(&bytes)?;
            Ok(head.keep)
        }
        Answer::File { head, opened, part, path } => {
            stream.write_all(&head.to_bytes())?;
            let (sent, outcome) = file(stream, &opened, part);
            let whole = outcome.is_ok() && part.0 + part.1 == opened.size;
            service.fetched(peer, &path, sent, whole);
            outcome.map(|()| head.keep)
        }
    }
}

/// Sends a part of a file: how much went out, and how it ended.
fn file(stream: &TcpStream, opened: &Opened, (from, len): (u64, u64)) -> (u64, io::Result<()>) {
    let (mut at, end) = (from, from + len);
    while at < end {
        let want = (end - at).min(PIECE as u64) as usize;
        match rustix::fs::sendfile(stream, &opened.file, Some(&mut at), want) {
            // It became shorter; the client sees it by the length.
            Ok(0) => return (at - from, Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return (at - from, Err(error.into())),
        }
    }
    (len, Ok(()))
}
