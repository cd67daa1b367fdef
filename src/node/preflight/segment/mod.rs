//! The segment that carries the node's address: who answers on it, and what routers announce.
//!
//! [`hear`] raises the link, then sends ARP probes (RFC 5227: they claim no address) for the node's address, the VIP, the
//! gateway and some peers, and listens for VRRP all the while. Peers that answered are asked once more with a probe as long as
//! the MTU. [`judge`] says what follows; it is pure.
//!
//! Not a monitor: an advertisement that comes less often than [`LISTEN`] is missed, and a machine that is off has no address.

pub mod frame;
mod judge;
mod link;
mod probe;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{Findings, Subject};
use crate::cluster::attach::{BondMode, VlanId};
use crate::cluster::preflight::Check;
use crate::cluster::types::{Mac, Role};
use crate::node::attach::carriers;
pub use frame::Advert;
pub use judge::{Who, judge};
pub use probe::ask;

/// Time from the first probe to the end: three probes a second apart, and two seconds for answers (RFC 5227, 1.1).
pub const LISTEN: Duration = Duration::from_secs(4);
/// How long to go on where not one frame came and the link was raised just now: a switch that first looks for loops
/// (IEEE 802.1D) passes nothing for 30 seconds.
const SPANNING_TREE: Duration = Duration::from_secs(34);
/// Most peers that are asked.
const MOST_PEERS: usize = 32;
/// MTU where the cluster does not say.
const USUAL_MTU: u16 = 1500;

/// What to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// NICs that may carry the address: one, or the members of a bond.
    pub nics: Vec<String>,
    /// Mode of the bond, if it is one.
    pub bond: Option<BondMode>,
    /// VLAN of the address.
    pub vlan: Option<VlanId>,
    /// MTU of the segment.
    pub mtu: u16,
    /// Addresses to ask for.
    pub targets: Vec<Ipv4Addr>,
    /// Which of them are asked again with a long probe: machines that run Linux, whose ARP takes it.
    pub long: Vec<Ipv4Addr>,
    /// Whether to probe at all, or look at links only.
    pub probe: bool,
}

/// A NIC and its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Its name.
    pub name: String,
    /// Whether it had a link before.
    pub was: bool,
    /// Whether it has one.
    pub carrier: bool,
    /// Why it could not be raised.
    pub trouble: Option<String>,
}

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The NICs.
    pub links: Vec<LinkState>,
    /// MTU that the NICs have, the least of them.
    pub mtu: Option<u32>,
    /// Whether frames were heard at all.
    pub frames: u64,
    /// Who has, or is about to take, an address.
    pub answers: BTreeMap<Ipv4Addr, BTreeSet<[u8; 6]>>,
    /// Who answered a long probe.
    pub long: BTreeSet<Ipv4Addr>,
    /// VRRP.
    pub adverts: BTreeSet<Advert>,
    /// Why the segment could not be listened to.
    pub trouble: Option<String>,
}

/// An interface that takes and gives whole frames.
pub trait Wire {
    /// Its own hardware address.
    fn mac(&self) -> [u8; 6];
    /// Sends a frame.
    fn send(&mut self, frame: &[u8]) -> io::Result<()>;
    /// The next frame; `None` when there is none until then.
    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>>;
}

impl Request {
    /// What is to be found out about the segment of a node; `None` if the policy wants none of it.
    pub fn of(subject: &Subject<'_>, findings: &Findings<'_>) -> Option<Self> {
        let (manifest, found) = (subject.manifest, subject.found);
        let asks = [Check::Address, Check::Vip, Check::Vrrp, Check::Gateway, Check::Peers, Check::Mtu];
        let probe = asks.into_iter().any(|check| findings.wants(check));
        let macs = carriers(found);
        let nics = subject.machine.nics.iter().filter(|nic| macs.contains(&nic.mac));
        let nics: Vec<String> = nics.map(|nic| nic.name.clone()).collect();
        if nics.is_empty() || !probe && !findings.wants(Check::Link) {
            return None;
        }
        let attachment = found.node.as_ref().map(|node| &node.attachment);
        let mut targets = Vec::new();
        let mut want = |check: Check, address: Option<Ipv4Addr>| {
            targets.extend(address.filter(|_| findings.wants(check)));
        };
        want(Check::Address, found.node.as_ref().map(|node| node.address));
        want(Check::Vip, Some(manifest.vip));
        want(Check::Gateway, manifest.network.gateway);
        let others =
            manifest.nodes.iter().filter(|node| node.name != found.name && node.role != Role::Worker);
        let peers: Vec<Ipv4Addr> = others.take(MOST_PEERS).map(|node| node.address).collect();
        if findings.wants(Check::Peers) || findings.wants(Check::Mtu) {
            targets.extend(&peers);
        }
        Some(Self {
            nics,
            bond: attachment.and_then(|attachment| attachment.bond.as_ref()).map(|bond| bond.mode),
            vlan: attachment.and_then(|attachment| attachment.vlan),
            mtu: manifest.network.mtu.unwrap_or(USUAL_MTU),
            targets,
            long: if findings.wants(Check::Mtu) { peers } else { Vec::new() },
            probe,
        })
    }
}

/// Raises the links, asks and listens.
pub fn hear(request: &Request) -> Heard {
    let links = link::raise(&request.nics);
    let mtus = request.nics.iter().map(|name| link::set_mtu(name, request.mtu));
    let mtu = mtus.flatten().min();
    let listening = links.iter().find(|link| link.carrier).cloned();
    let mut heard = Heard { links, mtu, ..Default::default() };
    let Some(link) = listening.filter(|_| request.probe) else { return heard };
    let patience = if link.was { LISTEN } else { SPANNING_TREE };
    if let Err(trouble) = on_wire(&link.name, request, patience, &mut heard) {
        heard.trouble = Some(trouble);
    }
    heard
}

fn on_wire(name: &str, request: &Request, patience: Duration, heard: &mut Heard) -> Result<(), String> {
    let vlan =
        request.vlan.map(|id| link::Vlan::make(name, id)).transpose().map_err(|error| error.to_string())?;
    let name = vlan.as_ref().map_or(name, |(_, name)| name);
    let mut wire = wire::Packets::open(name).map_err(|error| format!("opening {name}: {error}"))?;
    ask(&mut wire, request, LISTEN, patience, heard).map_err(|error| format!("on {name}: {error}"))
}

/// A hardware address in words; `None` for one that no NIC has.
fn mac(octets: [u8; 6]) -> Option<Mac> {
    octets.map(|octet| format!("{octet:02x}")).join(":").parse().ok()
}
