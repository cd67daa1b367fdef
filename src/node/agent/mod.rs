//! The agent: one small daemon on every node. It answers its peers about formation, takes members in again, and tells the
//! masters how its node is.
//!
//! Everything goes over TLS with certificates of kiln's own authority on both sides ([`tls`]), one question a connection
//! ([`wire`]), with a deadline for all of it ([`net`]). It runs no command that a peer names, and needs no Kubernetes.

mod answer;
pub mod net;
mod pulse;
pub mod tls;
pub mod wire;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use time::OffsetDateTime;

use crate::error::{Class, Error, Result};
use crate::node::formation::etcdctl::Ctl;
use crate::node::formation::store::Store;
use crate::node::inventory::Inventory;
use crate::node::status::board::Heard;
use crate::node::status::gather::Me;
use crate::node::status::{NodeStatus, gather, joining};
use net::Deadline;
use tls::Identity;
use wire::{LONGEST_ASK, LONGEST_REPLY, Reply};

/// Most connections at a time. Peers ask again.
const MOST: usize = 64;
/// Longest handshake and question.
const QUESTION: Duration = Duration::from_secs(10);
/// Longest exchange: being taken in needs several runs of etcdctl.
const EXCHANGE: Duration = Duration::from_secs(70);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the node's files lie; `/` on the node.
    pub root: PathBuf,
    /// Between two reports.
    pub pulse: Duration,
    /// What time it is.
    pub clock: fn() -> OffsetDateTime,
}

/// What all threads of an agent share.
#[derive(Debug)]
struct Agent {
    options: Options,
    inventory: Inventory,
    me: Me,
    build: String,
    /// Whether this node runs an etcd member.
    member: bool,
    identity: Identity,
    store: Store,
    ctl: Ctl,
    healthy: AtomicBool,
    heard: Mutex<Heard>,
    own: Mutex<Option<NodeStatus>>,
    /// Held while a member is being taken in.
    taking: Mutex<()>,
    /// Somebody was taken in lately: there may be a learner.
    learners: AtomicBool,
    /// Who was refused last, and when.
    refused: Mutex<Option<(String, Instant)>>,
}

/// Runs the agent. It ends only if it cannot listen; systemd tries again.
pub fn run(options: Options) -> Result<()> {
    let root = options.root.clone();
    let (inventory, me, identity) = (Inventory::load(&root)?, Me::load(&root)?, Identity::load(&root)?);
    let member = inventory.node(me.name.as_str()).is_some_and(|node| node.etcd);
    let at = SocketAddr::new(IpAddr::V4(me.address), inventory.agent_port);
    let agent = Arc::new(Agent {
        build: gather::build_id(&root),
        store: Store::new(&root),
        ctl: Ctl::new(&root, IpAddr::V4(me.address)),
        options,
        inventory,
        me,
        member,
        identity,
        healthy: AtomicBool::new(false),
        heard: Mutex::new(Heard::default()),
        own: Mutex::new(None),
        taking: Mutex::new(()),
        learners: AtomicBool::new(true),
        refused: Mutex::new(None),
    });
    let looking = agent.clone();
    std::thread::spawn(move || joining::run(&looking.options.root, looking.options.clock));
    if agent.identity.server().is_none() {
        // A member of a pool is asked nothing.
        pulse::run(&agent);
    }
    let listener = TcpListener::bind(at)
        .map_err(|error| Error::new(Class::Network, format!("cannot listen on {at}")).because(error))?;
    let beating = agent.clone();
    std::thread::spawn(move || pulse::run(&beating));
    let open = Arc::new(AtomicUsize::new(0));
    for socket in listener.incoming() {
        // What fails here is a peer's connection, or a shortage that passes.
        let Ok(socket) = socket else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let slot = Slot::take(&open);
        if open.load(Ordering::SeqCst) <= MOST {
            let agent = agent.clone();
            std::thread::spawn(move || {
                let from = socket.peer_addr().map(|address| address.ip());
                // A peer that breaks off, or is none, is not our failure; one of another cluster is worth a word.
                if let (Err(error), Ok(from)) = (agent.serve(socket), from)
                    && let Some(why) = net::trouble(&error)
                {
                    agent.refuse(format!("a machine at {from} was refused: {why}"));
                }
                drop(slot);
            });
        }
    }
    Ok(())
}

/// One of the connections that are open.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Slot(open.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a panic in another thread left is as good as before: every value behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// One connection: one question, one answer.
    fn serve(&self, socket: TcpStream) -> std::io::Result<()> {
        let Some(config) = self.identity.server() else { return Ok(()) };
        socket.set_nodelay(true)?;
        let again = socket.try_clone()?;
        let tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(tls, Deadline::new(socket, QUESTION));
        let question = wire::receive(&mut stream, LONGEST_ASK)?;
        let peer = stream.conn.peer_certificates().and_then(|chain| chain.first().and_then(tls::peer_of));
        stream.sock = Deadline::new(again, EXCHANGE);
        let reply = match (peer, wire::parse_ask(&question)) {
            (None, _) => Reply::Refused { why: "the certificate names no node and no pool".to_owned() },
            (_, Err(error)) => Reply::Refused { why: error.to_string() },
            (Some(peer), Ok(ask)) => self.answer(&peer, ask, &|| stream.sock.is_open()),
        };
        wire::send(&mut stream, &reply, LONGEST_REPLY)?;
        stream.conn.send_close_notify();
        std::io::Write::flush(&mut stream)
    }

    /// Remembers for the board that somebody was refused.
    fn refuse(&self, what: String) {
        *lock(&self.refused) = Some((what, Instant::now()));
    }

    /// All nodes, this one first-hand.
    fn board(&self) -> Vec<NodeStatus> {
        let mut nodes = lock(&self.heard).all(Instant::now());
        if let Some(own) = lock(&self.own).clone() {
            nodes.retain(|node| node.name != own.name);
            nodes.push(own);
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }
}
