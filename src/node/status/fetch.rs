//! The board, from someone who keeps it. Masters and members of etcd hear of every node; any other node asks them, and knows
//! of itself when none of them answers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use super::gather::{self, Me, Parts};
use super::{NodeStatus, certs};
use crate::cluster::types::{HostName, Role};
use crate::error::Result;
use crate::node::agent::net;
use crate::node::agent::tls::{Identity, Peer};
use crate::node::agent::wire::{Ask, Reply};
use crate::node::inventory::{Inventory, Member};

/// Longest that someone may take to answer.
const ANSWER: Duration = Duration::from_secs(4);

/// All nodes as one of those who keep the board tells.
#[derive(Debug, Clone)]
pub struct Board {
    /// The cluster as this node's medium knew it.
    pub inventory: Inventory,
    /// Who told it; nobody if this is only what the node knows of itself.
    pub told_by: Option<HostName>,
    /// The nodes, sorted by name.
    pub nodes: Vec<NodeStatus>,
}

impl Board {
    /// Machines of the inventory that nobody has heard of.
    pub fn unheard(&self) -> Vec<&HostName> {
        let names = self.inventory.nodes.iter().map(|node| &node.name);
        names.filter(|name| self.nodes.iter().all(|node| node.name != **name)).collect()
    }
}

/// Asks for the board on behalf of the node whose files lie below `root`: this node if it keeps one, else the others at once.
pub fn board(root: &Path, now: OffsetDateTime) -> Result<Board> {
    let (inventory, me, identity) = (Inventory::load(root)?, Me::load(root)?, Identity::load(root)?);
    let keeper = |node: &&Member| node.etcd || node.role == Role::Master;
    let (own, others): (Vec<&Member>, Vec<&Member>) =
        inventory.nodes.iter().filter(keeper).partition(|node| node.name == me.name);
    let port = inventory.agent_port;
    let told = first(&identity, &own, port).or_else(|| first(&identity, &others, port));
    let (told_by, mut nodes) = told.map_or((None, Vec::new()), |(name, nodes)| (Some(name), nodes));
    // Those who keep the board may not take this node for what it says it is; here it is shown all the same.
    if nodes.iter().all(|node| node.name != me.name) {
        nodes.push(own_status(root, me, &identity, port, now));
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(Board { inventory, told_by, nodes })
}

/// Asks all of them at once; the first by name that answers counts.
fn first(identity: &Identity, nodes: &[&Member], port: u16) -> Option<(HostName, Vec<NodeStatus>)> {
    let ask_one = |node: &Member| match ask(identity, node.name.as_str(), node.address, port) {
        Ok(Reply::Board { nodes }) => Some((node.name.clone(), nodes)),
        _ => None,
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = nodes.iter().map(|node| scope.spawn(|| ask_one(node))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).next()
    })
}

fn ask(identity: &Identity, name: &str, address: Ipv4Addr, port: u16) -> Result<Reply> {
    net::ask(identity, name, net::at(IpAddr::V4(address), port), &Ask::Board, ANSWER)
}

/// What the node's own agent says, or what can be seen without one.
fn own_status(root: &Path, me: Me, identity: &Identity, port: u16, now: OffsetDateTime) -> NodeStatus {
    if let Peer::Node(name) = &identity.peer
        && let Ok(Reply::Board { nodes }) = ask(identity, name, me.address, port)
        && let Some(own) = nodes.into_iter().find(|node| node.name == me.name)
    {
        return own;
    }
    let topics = vec![certs::topic(root, now)];
    let parts = Parts { me, build: gather::build_id(root), units: gather::units(), topics, etcd: None };
    gather::status(root, parts, None, now)
}
