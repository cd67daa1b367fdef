//! One Ethernet segment for all machines: a socket in the run's folder, and a hub behind it. A frame from one goes to all others.
//!
//! QEMU's `stream` network sends each frame with its length before it (32 bits, big endian; QEMU `net/stream.c`). Nothing but
//! processes that may enter the run's folder can join, and nothing leaves it: there is no interface of the host in it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Peer;
use super::peer::Host;
use crate::error::{Error, IoContext, Result};

/// Longest frame that QEMU sends: 64 KiB of payload (offloads) and headers.
const FRAME: usize = (4 << 10) + (64 << 10);
/// Frames that wait for a slow machine; what is more is lost, as on a wire.
const QUEUE: usize = 256;
/// Longest path of a Unix socket (unix(7), `sun_path`), its final zero left out.
const LONGEST_PATH: usize = 107;
/// How often the hub looks for new machines.
const TICK: Duration = Duration::from_millis(20);
/// How often peers speak by themselves.
const BEAT: Duration = Duration::from_secs(1);

type Frame = Arc<Vec<u8>>;

/// Who is plugged in. Numbers are never used twice.
#[derive(Default)]
struct Ports {
    next: u64,
    list: Vec<(u64, SyncSender<Frame>)>,
}

impl Ports {
    fn plug(&mut self) -> (u64, Receiver<Frame>) {
        let (sender, receiver) = sync_channel(QUEUE);
        self.next += 1;
        self.list.push((self.next, sender));
        (self.next, receiver)
    }

    /// A frame to all but its sender; those that are gone are unplugged.
    fn send(&mut self, from: u64, frame: &Frame) {
        use std::sync::mpsc::TrySendError::Disconnected;
        self.list.retain(|(port, sender)| {
            *port == from || !matches!(sender.try_send(Arc::clone(frame)), Err(Disconnected(_)))
        });
    }

    fn unplug(&mut self, port: u64) {
        self.list.retain(|(other, _)| *other != port);
    }
}

type Shared = Arc<Mutex<Ports>>;

fn with<T>(ports: &Shared, change: impl FnOnce(&mut Ports) -> T) -> T {
    change(&mut ports.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An open segment; closed when dropped.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    hub: Option<JoinHandle<()>>,
}

impl Segment {
    /// Opens a segment with its socket in `dir`.
    pub fn open(dir: &Path, peers: &[Peer]) -> Result<Self> {
        let path = dir.join("segment");
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(Error::input(format!("the path {} is too long for a socket", path.display()))
                .hint("set TMPDIR to a shorter one"));
        }
        let listener = UnixListener::bind(&path).at("making the socket", &path)?;
        listener.set_nonblocking(true).at("making the socket", &path)?;
        let ports = Shared::default();
        let stop = Arc::new(AtomicBool::new(false));
        if !peers.is_empty() {
            let (ports, stop, hosts) = (Arc::clone(&ports), Arc::clone(&stop), Host::all(peers));
            std::thread::spawn(move || play(&hosts, &ports, &stop));
        }
        let stopped = Arc::clone(&stop);
        let hub = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => plug(stream, &ports),
                    Err(_) => std::thread::sleep(TICK),
                }
            }
        });
        Ok(Self { path, stop, hub: Some(hub) })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(hub) = self.hub.take() {
            let _ = hub.join();
        }
    }
}

/// Two threads a machine: one reads from it, one writes to it. Both end with the connection.
fn plug(stream: UnixStream, ports: &Shared) {
    let (port, frames) = with(ports, Ports::plug);
    let (Ok(()), Ok(mut writer)) = (stream.set_nonblocking(false), stream.try_clone()) else {
        return with(ports, |ports| ports.unplug(port));
    };
    std::thread::spawn(move || {
        while let Ok(frame) = frames.recv() {
            let length = u32::try_from(frame.len()).unwrap_or(0).to_be_bytes();
            if writer.write_all(&length).and_then(|()| writer.write_all(&frame)).is_err() {
                break;
            }
        }
    });
    let ports = Arc::clone(ports);
    std::thread::spawn(move || {
        let mut stream = stream;
        while let Some(frame) = read_frame(&mut stream) {
            let frame = Arc::new(frame);
            with(&ports, |ports| ports.send(port, &frame));
        }
        with(&ports, |ports| ports.unplug(port));
    });
}

/// The next frame; none at the end, or where there is no sense in what comes.
fn read_frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > FRAME {
        return None;
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// Plays the peers until the segment is closed.
fn play(hosts: &[Host], ports: &Shared, stop: &AtomicBool) {
    let (port, frames) = with(ports, Ports::plug);
    let send = |frame: Vec<u8>| with(ports, |ports| ports.send(port, &Arc::new(frame)));
    while !stop.load(Ordering::Relaxed) {
        let until = std::time::Instant::now() + BEAT;
        while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(frame) = frames.recv_timeout(left.min(TICK)) {
                hosts.iter().filter_map(|host| host.answer(&frame)).for_each(send);
            }
        }
        hosts.iter().filter_map(Host::advert).for_each(send);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(segment: &Segment) -> UnixStream {
        let stream = UnixStream::connect(segment.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn say(mut stream: &UnixStream, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        stream.write_all(&length).unwrap();
        stream.write_all(frame).unwrap();
    }

    /// A machine that others are known to hear.
    fn joined(segment: &Segment, others: &mut [UnixStream]) -> UnixStream {
        let new = join(segment);
        for other in others {
            other.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            loop {
                say(&new, b"hello");
                if read_frame(other).is_some() {
                    break;
                }
            }
            other.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        new
    }

    #[test]
    fn frames_go_to_all_others_and_not_back() {
        let dir = tempfile::tempdir().unwrap();
        let segment = Segment::open(dir.path(), &[]).unwrap();
        let mut all = vec![join(&segment)];
        for _ in 0..2 {
            let new = joined(&segment, &mut all);
            all.push(new);
        }
        say(&all[1], &[7; FRAME]);
        for n in [0, 2] {
            let mut heard = read_frame(&mut all[n]).unwrap();
            while heard == b"hello" {
                heard = read_frame(&mut all[n]).unwrap();
            }
            assert_eq!(heard, [7; FRAME]);
        }
        all[1].set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        while let Some(frame) = read_frame(&mut all[1]) {
            assert_eq!(frame, b"hello");
        }
        // One that leaves, and one that sends nonsense, take nobody with them.
        drop(all.remove(1));
        let mut nonsense = joined(&segment, &mut all);
        nonsense.write_all(&[0xff; 8]).unwrap();
        assert!(read_frame(&mut nonsense).is_none());
        say(&all[0], b"still here");
        let mut heard = read_frame(&mut all[1]).unwrap();
        while heard == b"hello" {
            heard = read_frame(&mut all[1]).unwrap();
        }
        assert_eq!(heard, b"still here");
    }

    #[test]
    fn peers_answer_and_speak_by_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let mac = "52:54:00:00:31:01".parse().unwrap();
        let peer = Peer { address: [192, 168, 31, 1].into(), mac, vrrp: Some(51) };
        let segment = Segment::open(dir.path(), &[peer]).unwrap();
        let mut machine = join(&segment);
        let advert = read_frame(&mut machine).unwrap();
        assert_eq!((&advert[..6], advert[23], advert[35]), (&[1, 0, 0x5e, 0, 0, 18][..], 112, 51));
    }

    #[test]
    fn a_path_that_is_no_socket_address_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        assert_eq!(Segment::open(&long, &[]).unwrap_err().class().exit_code(), 2);
    }
}
