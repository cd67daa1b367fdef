//! What follows from what was heard on the segment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{Findings, Heard, Request, mac};
use crate::cluster::attach::BondMode;
use crate::cluster::preflight::Check;
use crate::cluster::types::{HostName, Mac, Role};
use crate::node::preflight::Subject;

/// Who is who on the segment, as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The node.
    pub name: String,
    /// Its address, if it has one of its own.
    pub address: Option<Ipv4Addr>,
    /// This machine's NICs.
    pub own: BTreeSet<Mac>,
    /// The VIP.
    pub vip: Ipv4Addr,
    /// The cluster's virtual router id.
    pub vrid: u8,
    /// The gateway.
    pub gateway: Option<Ipv4Addr>,
    /// NICs of the nodes that may hold the VIP; `None` if one of them is known by no MAC address.
    pub holders: Option<BTreeSet<Mac>>,
    /// Masters and load balancers besides this one.
    pub peers: BTreeMap<Ipv4Addr, HostName>,
    /// Whose NIC it is.
    pub nics: BTreeMap<Mac, HostName>,
    /// Addresses of all nodes.
    pub nodes: BTreeSet<Ipv4Addr>,
}

impl Who {
    /// From the manifest and the machine.
    pub fn of(subject: &Subject<'_>) -> Self {
        let (manifest, found) = (subject.manifest, subject.found);
        let lb = manifest.nodes.iter().any(|node| node.role == Role::Lb);
        let role = if lb { Role::Lb } else { Role::Master };
        let holders = manifest.nodes.iter().filter(|node| node.role == role);
        let known = holders.clone().all(|node| !node.macs().is_empty());
        let peers = manifest.nodes.iter().filter(|node| node.role != Role::Worker && node.name != found.name);
        let nics = manifest
            .nodes
            .iter()
            .flat_map(|node| node.macs().into_iter().map(|mac| (mac, node.name.clone())));
        Self {
            name: found.name.to_string(),
            address: found.node.as_ref().map(|node| node.address),
            own: subject.machine.nics.iter().map(|nic| nic.mac).collect(),
            vip: manifest.vip,
            vrid: crate::plan::vrid(manifest.cluster.as_str()),
            gateway: manifest.network.gateway,
            holders: known.then(|| holders.flat_map(|node| node.macs()).collect()),
            peers: peers.map(|node| (node.address, node.name.clone())).collect(),
            nics: nics.collect(),
            nodes: manifest.nodes.iter().map(|node| node.address).collect(),
        }
    }

    /// Those who answered for an address and are not this machine, in words; empty if there are none.
    fn others(&self, heard: &Heard, address: Ipv4Addr, but: &dyn Fn(Mac) -> bool) -> String {
        let answers = heard.answers.get(&address).into_iter().flatten();
        let others =
            answers.filter(|octets| mac(**octets).is_none_or(|mac| !self.own.contains(&mac) && !but(mac)));
        let words = others.map(|octets| {
            let mac = mac(*octets);
            let name =
                mac.and_then(|mac| self.nics.get(&mac)).map(|name| format!(" ({name})")).unwrap_or_default();
            mac.map_or("an address that no NIC has".to_owned(), |mac| format!("{mac}{name}"))
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Holds what was heard against what should be.
pub fn judge(heard: &Heard, request: &Request, who: &Who, findings: &mut Findings<'_>) {
    links(heard, request, who, findings);
    mtu(heard, request, who, findings);
    if let Some(trouble) = &heard.trouble {
        findings.note(
            Check::Link,
            format!("the segment could not be listened to: {trouble}"),
            "nothing is known of duplicate addresses, gateway and peers; kiln needs packet sockets in the installer",
        );
        return;
    }
    if !request.probe || !heard.links.iter().any(|link| link.carrier) {
        return;
    }
    addresses(heard, who, findings);
    routers(heard, who, findings);
    reached(heard, request, who, findings);
}

fn links(heard: &Heard, request: &Request, who: &Who, findings: &mut Findings<'_>) {
    let dead: Vec<String> = heard
        .links
        .iter()
        .filter(|link| !link.carrier)
        .map(|link| link.trouble.as_ref().map_or(link.name.clone(), |why| format!("{} ({why})", link.name)))
        .collect();
    if dead.is_empty() {
        return;
    }
    let hint = "look at cable, switch port and SFP; `mac` in cluster.toml says which NIC it is";
    let names = dead.join(", ");
    if dead.len() == heard.links.len() {
        findings.add(
            Check::Link,
            format!("{names}, to carry the address of {}, has no link", who.name),
            hint,
        );
    } else if request.bond.is_some() {
        findings.note(Check::Link, format!("{names} of the bond has no link; the others carry it"), hint);
    }
}

fn mtu(heard: &Heard, request: &Request, who: &Who, findings: &mut Findings<'_>) {
    if let Some(is) = heard.mtu.filter(|is| *is < u32::from(request.mtu)) {
        findings.add(
            Check::Mtu,
            format!(
                "{} carries packets of {is} bytes; the cluster's network has {}",
                request.nics.join(", "),
                request.mtu
            ),
            "take another NIC, or set network.mtu to what all NICs and switches carry",
        );
        return;
    }
    let short: Vec<String> = request
        .long
        .iter()
        .filter(|address| heard.answers.contains_key(address) && !heard.long.contains(address))
        .map(|address| who.peers.get(address).map_or(address.to_string(), ToString::to_string))
        .collect();
    if !short.is_empty() && heard.mtu.is_some() {
        findings.add(
            Check::Mtu,
            format!("{} answer short frames, but none of {} bytes", short.join(", "), request.mtu),
            "set the MTU of the switch's ports, or of those nodes, or network.mtu to what they carry; VXLAN takes 50 bytes \
             of it",
        );
    }
}

fn addresses(heard: &Heard, who: &Who, findings: &mut Findings<'_>) {
    if let Some(address) = who.address {
        let others = who.others(heard, address, &|_| false);
        if !others.is_empty() {
            findings.add(
                Check::Address,
                format!("{address}, the address of {}, is in use by {others}", who.name),
                "power that machine off or give it another address; if it is the node's former machine, it must be off",
            );
        }
    }
    // A holder of ours has every right to it: the cluster runs already.
    let holder = |mac: Mac| who.holders.as_ref().is_some_and(|holders| holders.contains(&mac));
    let others = who.others(heard, who.vip, &holder);
    if !others.is_empty() {
        let known = match who.holders {
            Some(_) => "which is none of the nodes that hold it",
            None => "and cluster.toml does not give the MAC addresses of all nodes that hold it",
        };
        findings.add(
            Check::Vip,
            format!("{}, the VIP, is in use by {others}, {known}", who.vip),
            "if that machine is not of this cluster, give it another address; if it is, write its `mac` into cluster.toml",
        );
    }
}

fn routers(heard: &Heard, who: &Who, findings: &mut Findings<'_>) {
    let foreign =
        heard.adverts.iter().filter(|advert| advert.id == who.vrid && !who.nodes.contains(&advert.source));
    let names: BTreeSet<String> = foreign
        .map(|advert| format!("{} (VRRPv{}, priority {})", advert.source, advert.version, advert.priority))
        .collect();
    if !names.is_empty() {
        let names: Vec<String> = names.into_iter().take(8).collect();
        findings.add(
            Check::Vrrp,
            format!("the virtual router id {} of this cluster is used by {}", who.vrid, names.join(", ")),
            "the id follows from the cluster's name: give this cluster another name, or those routers another id",
        );
    }
}

fn reached(heard: &Heard, request: &Request, who: &Who, findings: &mut Findings<'_>) {
    let silent =
        |address: &Ipv4Addr| request.targets.contains(address) && !heard.answers.contains_key(address);
    let lacp = if request.bond == Some(BondMode::Lacp) {
        ". The bond does not speak LACP yet, and a switch may pass nothing until it does"
    } else {
        ""
    };
    if let Some(gateway) = who.gateway.filter(|gateway| silent(gateway)) {
        findings.add(
            Check::Gateway,
            format!("the gateway {gateway} does not answer"),
            format!("look at network.gateway, and at the VLAN of the switch's port{lacp}"),
        );
    }
    if !who.peers.is_empty() && who.peers.keys().all(silent) {
        let first: Vec<&str> = who.peers.values().take(3).map(HostName::as_str).collect();
        let more = if who.peers.len() > first.len() { ", ..." } else { "" };
        findings.add(
            Check::Peers,
            format!(
                "none of {} masters and load balancers answers ({}{more})",
                who.peers.len(),
                first.join(", ")
            ),
            format!("right when this machine is the first to be powered on; else look at the switch{lacp}"),
        );
    }
}
