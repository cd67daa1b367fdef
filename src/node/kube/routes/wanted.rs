//! Judges what the API says of nodes: which node has which pods, and by which address it is reached.
//!
//! Who controls a node's object must not draw other traffic to itself. So ranges lie in the cluster's own and overlap with none
//! that an older node has, a node of the inventory is reached at the inventory's address only, and a member of a pool at one in
//! the nodes' network that is nobody else's. Pure: no clock, no kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::node::inventory::Inventory;
use crate::node::kube::judge::{free, owner};
use crate::pki::Joiner;

/// Smallest range that a node's pods can have.
const SMALLEST: u8 = 28;
/// Refusals that are told.
const TOLD: usize = 10;

/// What there should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Range of this node's own pods.
    pub own: Option<Ipv4Net>,
    /// Ranges of the others, and where they are reached.
    pub routes: BTreeMap<Ipv4Net, Ipv4Addr>,
    /// Whether the answer names this node: one that does not is not the whole truth.
    pub complete: bool,
    /// Nodes that get no route, and why; the first ten.
    pub refused: Vec<String>,
}

/// Judges the nodes of an answer, for the node `me`.
pub fn judge(nodes: &[Value], me: &str, inventory: &Inventory) -> Wanted {
    let mut wanted = Wanted::default();
    let mut taken: Vec<(Ipv4Net, String)> = Vec::new();
    let mut hops: BTreeSet<Ipv4Addr> = BTreeSet::new();
    let text =
        |node: &Value, at: &str| node.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    // The API server writes when an object was made; who was first keeps what it has.
    let mut sorted: Vec<(String, String, &Value)> = nodes
        .iter()
        .map(|node| (text(node, "/metadata/creationTimestamp"), text(node, "/metadata/name"), node))
        .collect();
    sorted.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    for (_, name, node) in sorted {
        wanted.complete |= name == me;
        let judged = range(&text(node, "/spec/podCIDR"), inventory).and_then(|net| {
            // A node that has none yet is no fault of anybody's.
            let Some(net) = net else { return Ok(None) };
            if let Some((other, whose)) = taken.iter().find(|(other, _)| overlap(*other, net)) {
                return Err(format!("{net} overlaps with {other} of {whose}, which is older"));
            }
            let hop = hop(&name, node, inventory)?;
            if !hops.insert(hop) {
                return Err(format!("{hop} is the address of an older node"));
            }
            Ok(Some((net, hop)))
        });
        match judged {
            Ok(None) => {}
            Ok(Some((net, hop))) => {
                if name == me {
                    wanted.own = Some(net);
                } else {
                    wanted.routes.insert(net, hop);
                }
                taken.push((net, name));
            }
            Err(why) if wanted.refused.len() < TOLD => {
                let name: String = name.escape_debug().take(80).collect();
                wanted.refused.push(format!("no route to the pods of {name}: {why}"));
            }
            Err(_) => {}
        }
    }
    wanted
}

/// The range of a node's pods, if it has one.
fn range(text: &str, inventory: &Inventory) -> Result<Option<Ipv4Net>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let shown: String = text.escape_debug().take(40).collect();
    let net: Ipv4Net = text.parse().map_err(|_| format!("{shown} is no range of IPv4"))?;
    if net.trunc() != net || net.prefix_len() > SMALLEST {
        return Err(format!("{shown} is no range for pods"));
    }
    if !inventory.pod_cidr.contains(&net) {
        return Err(format!("{shown} is not in {}", inventory.pod_cidr));
    }
    Ok(Some(net))
}

/// Where a node is reached.
fn hop(name: &str, node: &Value, inventory: &Inventory) -> Result<Ipv4Addr, String> {
    let list = node.pointer("/status/addresses").and_then(Value::as_array);
    let internal = |item: &&Value| item.get("type").and_then(Value::as_str) == Some("InternalIP");
    let address = |item: &Value| item.get("address").and_then(Value::as_str)?.parse::<IpAddr>().ok();
    let says: BTreeSet<IpAddr> = list.into_iter().flatten().filter(internal).filter_map(address).collect();
    match owner(name, inventory) {
        None => Err("it is no node of the cluster".to_owned()),
        Some(Joiner::Node(_)) => {
            let known = inventory.node(name).map(|node| node.address).ok_or("it is not in the inventory")?;
            match says.contains(&IpAddr::V4(known)) {
                true => Ok(known),
                false => Err(format!("it does not say that its address is {known}")),
            }
        }
        Some(Joiner::Pool(_)) => {
            let mut fit = says.into_iter().filter(|address| free(*address, inventory));
            match (fit.next(), fit.next()) {
                (Some(IpAddr::V4(address)), None) => Ok(address),
                (None, _) => Err("it says no address of the nodes' network that is free".to_owned()),
                _ => Err("it says several addresses of the nodes' network".to_owned()),
            }
        }
    }
}

/// Whether two ranges share an address.
pub fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}
