//! `kiln serve`: gives a PXE tree out by DHCP, TFTP and HTTP, and shows how far its machines are.
//!
//! Codecs ([`dhcp`], [`tftp`], [`http`]) and decisions ([`dhcp::answer`], [`rack`], [`tftp::transfer`]) are pure; the `server` of each
//! protocol has its sockets and threads. [`Service`] is what they share. Every packet and request is hostile until it was looked at: only
//! what the tree's list names is given, only to machines of the tree, secrets to their node alone. Not here: the tree itself
//! ([`crate::image::pxe`]), the terminal, TLS, IPv6.

pub mod dhcp;
pub mod http;
pub mod neighbour;
pub mod page;
mod quota;
pub mod rack;
pub mod sockets;
mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod tftp;
pub mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cluster::types::Mac;
use crate::error::Result;
use crate::image::pxe::list::Audience;
use dhcp::answer::Asker;
use neighbour::Neighbours;
use page::{Board, Numbers};
use quota::{Line, Quota};
use rack::{Peer, Rack, Stage};
use tree::Tree;

/// Other DHCP servers that the log names at most.
const MOST_SERVERS: usize = 16;

/// Where the log goes.
pub type Log = Box<dyn Fn(&str) + Send + Sync>;

/// What a service is made with.
pub struct Options {
    /// File that outlives restarts: who is installed, who had its secrets.
    pub state: PathBuf,
    /// Whether machines that the tree does not name are let in.
    pub any: bool,
    /// Nodes that may be installed once more.
    pub again: Vec<String>,
    /// Who an address belongs to.
    pub neighbours: Box<dyn Neighbours>,
    /// Where the log goes.
    pub log: Log,
}

/// What all servers share.
pub struct Service {
    /// The tree.
    pub tree: Tree,
    rack: Mutex<Rack>,
    state: PathBuf,
    neighbours: Box<dyn Neighbours>,
    /// Other DHCP servers that the log has named.
    others: Mutex<BTreeSet<Ipv4Addr>>,
    log: Log,
    strangers: Mutex<Quota>,
    ended: AtomicBool,
    bytes: AtomicU64,
    http: AtomicU64,
    tftp: AtomicU64,
    dhcp: AtomicU64,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("tree", &self.tree.path).finish_non_exhaustive()
    }
}

impl Service {
    /// A service of a tree; reads what an earlier one saved.
    pub fn new(tree: Tree, options: Options) -> Result<Self> {
        let saved = store::load(&options.state)?;
        let mut rack = Rack::new(&tree.list, saved, options.any);
        for name in &options.again {
            if !rack.again(name) {
                return Err(crate::error::Error::input(format!(
                    "the tree has no node {}",
                    name.escape_debug()
                ))
                .hint("--again takes the name of a node of the tree's profile"));
            }
        }
        store::save(&options.state, rack.saved())?;
        let Options { state, neighbours, log, .. } = options;
        Ok(Self {
            tree,
            rack: Mutex::new(rack),
            state,
            neighbours,
            others: Mutex::default(),
            log,
            strangers: Mutex::default(),
            ended: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            http: AtomicU64::new(0),
            tftp: AtomicU64::new(0),
            dhcp: AtomicU64::new(0),
        })
    }

    /// Ends all servers, in a moment.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the servers are to end.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Writes a line to the log. What came from a peer cannot break the line.
    pub fn log(&self, line: &str) {
        let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        (self.log)(&plain);
    }

    /// Writes a line that a stranger caused, or anybody's refusal; there are only so many of them in a minute.
    fn complain(&self, line: &str) {
        match self.strangers.lock().unwrap_or_else(PoisonError::into_inner).line(now()) {
            Line::Write => self.log(line),
            Line::After(count) => {
                self.log(&format!("{count} lines about requests that were refused were left out"));
                self.log(line);
            }
            Line::Last => {
                self.log("too many requests are refused: more lines about them are left out for a minute")
            }
            Line::Omit => {}
        }
    }

    /// Who asks from an address.
    pub fn peer(&self, ip: Ipv4Addr) -> Peer {
        Peer { ip, mac: self.neighbours.mac(ip) }
    }

    /// What is shown of all machines.
    pub fn board(&self) -> Board {
        let list = &self.tree.list;
        let rack = self.rack();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Board {
            cluster: list.cluster.clone(),
            profile: list.profile.clone(),
            label: list.label.clone(),
            machines: rack.rows(now()),
            numbers: Numbers {
                bytes: of(&self.bytes),
                http: of(&self.http),
                tftp: of(&self.tftp),
                dhcp: of(&self.dhcp),
                refused: rack.refused,
            },
        }
    }

    fn rack(&self) -> MutexGuard<'_, Rack> {
        self.rack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another DHCP server was not heard of before. Names are a client's word, so no more are kept than a segment can have.
    fn is_new_server(&self, other: Ipv4Addr) -> bool {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.len() < MOST_SERVERS && others.insert(other)
    }

    /// A machine asked by DHCP; whether it was never seen before.
    fn asked(&self, mac: Mac, uuid: Option<&str>, starts: bool) -> (Asker, bool) {
        self.rack().asked(mac, uuid, starts, now())
    }

    /// Whether a peer may have a file; a refusal is told to the log.
    fn may(&self, peer: Peer, path: &str, to: &Audience) -> bool {
        let answer = self.rack().may(peer, to, now());
        if let Err(denied) = answer {
            self.complain(&format!("{} does not get {path}: {}", shown(peer), denied.why()));
        }
        answer.is_ok()
    }

    /// A peer got a file, or a part of it.
    fn fetched(&self, peer: Peer, path: &str, bytes: u64, whole: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let Some(listed) = self.tree.list.files.get(path) else { return };
        let mut rack = self.rack();
        if rack.fetched(peer, path, &listed.to, bytes, whole, now()) {
            self.log(&format!("{} has the secrets of {path}", shown(peer)));
            self.save(&rack);
        }
    }

    /// A node reported; whether it is one.
    fn report(&self, peer: Peer, stage: Stage, text: &str) -> bool {
        let mut rack = self.rack();
        let Some(name) = rack.report(peer, stage, text, now()) else {
            self.complain(&format!(
                "{} reported `{}` and is no machine of this tree",
                shown(peer),
                stage.as_str()
            ));
            return false;
        };
        self.log(&format!("{name} ({}) is {}", shown(peer), stage.as_str()));
        if stage == Stage::Finished {
            self.save(&rack);
        }
        true
    }

    /// Under the rack's lock, so that an older state never replaces a newer one.
    fn save(&self, rack: &Rack) {
        if let Err(error) = store::save(&self.state, rack.saved()) {
            self.log(&format!("after a restart this will be forgotten: {error}"));
        }
    }

    fn count_http(&self) {
        self.http.fetch_add(1, Ordering::Relaxed);
    }

    fn count_tftp(&self) {
        self.tftp.fetch_add(1, Ordering::Relaxed);
    }

    fn count_dhcp(&self) {
        self.dhcp.fetch_add(1, Ordering::Relaxed);
    }
}

fn shown(peer: Peer) -> String {
    match peer.mac {
        Some(mac) => format!("{} ({mac})", peer.ip),
        None => peer.ip.to_string(),
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests;
