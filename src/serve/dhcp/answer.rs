//! What a machine that asks by DHCP is told: a decision, without sockets or clocks.
//!
//! Beside a site's own DHCP ([`Mode::Proxy`]) kiln offers a boot file and never an address. On a segment of its own ([`Mode::Own`]) it
//! gives the nodes of the cluster the addresses that `cluster.toml` has for them, and no other machine anything.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Arch, Kind, Packet, option};

/// What else PXE is told: use the boot file of this offer, ask nobody else (PXE 2.1, table 2-3: tag 6, bit 3).
const DISCOVERY: [u8; 4] = [6, 1, 8, 255];
/// How long an address may be used: longer than an installation takes.
const LEASE_SECONDS: u32 = 4 * 3600;

/// What kiln is on a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Beside the site's own DHCP server: offers boot files, no addresses
    Proxy,
    /// The only DHCP server: gives the nodes their addresses
    Own,
    /// No DHCP at all: another server names the boot files
    Off,
}

/// Boot files of a tree, as loaders ask for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaders {
    /// Whether files are given out by TFTP.
    pub tftp: bool,
    /// For BIOS, by TFTP, if the tree has one.
    pub bios: Option<String>,
    /// For UEFI, by TFTP, if the tree has one.
    pub uefi: Option<String>,
    /// For UEFI HTTP Boot, if the tree has one whose GRUB goes on by HTTP.
    pub uefi_http: Option<String>,
    /// Address of the folder of the tree: `http://10.0.0.5/kiln/`.
    pub url: String,
    /// The script for iPXE.
    pub ipxe: String,
}

/// The site.
#[derive(Debug, Clone)]
pub struct Site {
    /// What kiln is here.
    pub mode: Mode,
    /// kiln's own address on the segment.
    pub server: Ipv4Addr,
    /// The nodes' network.
    pub subnet: Ipv4Net,
    /// Its gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Its name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Boot files.
    pub loaders: Loaders,
}

/// What is known of the machine that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    /// The node that it is.
    pub node: Option<String>,
    /// Its address, by `cluster.toml`.
    pub address: Option<Ipv4Addr>,
    /// Whether it may boot from here: it is known or all are let in, and it is not installed yet.
    pub boots: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Send this, and where to.
    Send(Box<Packet>, Target),
    /// Say nothing, and why.
    Silent(&'static str),
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To the relay that passed the request on, at port 67.
    Relay(Ipv4Addr),
    /// To the client's own address, at port 68.
    Client(Ipv4Addr),
    /// To all, at port 68.
    Broadcast,
}

/// Decides on a packet that came in at port 67.
pub fn decide(site: &Site, asker: &Asker, packet: &Packet) -> Decision {
    if !packet.request {
        return Decision::Silent("it is an answer");
    }
    let Some(kind) = packet.kind() else { return Decision::Silent("it is of BOOTP") };
    match site.mode {
        Mode::Off => Decision::Silent("DHCP is off"),
        Mode::Proxy => proxy(site, asker, packet, kind),
        Mode::Own => own(site, asker, packet, kind),
    }
}

fn proxy(site: &Site, asker: &Asker, packet: &Packet, kind: Kind) -> Decision {
    let Some(arch) = packet.arch() else { return Decision::Silent("it does not boot from the network") };
    if kind != Kind::Discover {
        return Decision::Silent("the site's DHCP server answers it");
    }
    if !asker.boots {
        return Decision::Silent(not_booting(asker));
    }
    let mut answer = packet.answer(Kind::Offer, site.server);
    match boot(site, packet, arch, &mut answer) {
        true => Decision::Send(Box::new(answer), target(packet)),
        false => Decision::Silent("the tree has no boot file for its firmware"),
    }
}

/// The server whose offer a client took, where that should have been kiln's: on a segment of its own it is one too many.
pub fn other_server(site: &Site, packet: &Packet) -> Option<Ipv4Addr> {
    let took = packet.kind() == Some(Kind::Request) && site.mode == Mode::Own;
    packet.address(option::SERVER).filter(|server| took && *server != site.server)
}

fn not_booting(asker: &Asker) -> &'static str {
    match asker.node {
        Some(_) => "it is installed, and is to boot its disk",
        None => "it is no machine of the cluster",
    }
}

fn own(site: &Site, asker: &Asker, packet: &Packet, kind: Kind) -> Decision {
    let Some(address) = asker.address else { return Decision::Silent("it is no machine of the cluster") };
    let kind = match kind {
        Kind::Discover => Kind::Offer,
        Kind::Request if other_server(site, packet).is_some() => {
            return Decision::Silent("it took another server's offer");
        }
        Kind::Request => {
            // A client that has the address already names it in the fixed part (RFC 2131 4.3.2).
            let wanted = packet.address(option::REQUESTED).unwrap_or(packet.client);
            if wanted == address { Kind::Ack } else { Kind::Nak }
        }
        Kind::Inform => Kind::Ack,
        Kind::Decline => return Decision::Silent("it says that its address is in use by another machine"),
        Kind::Release => return Decision::Silent("it gave its address back"),
        Kind::Offer | Kind::Ack | Kind::Nak => return Decision::Silent("it is another server's answer"),
    };
    let mut answer = packet.answer(kind, site.server);
    if kind == Kind::Nak {
        answer.add(option::MESSAGE, *b"that is not this node's address");
        let to = if packet.relay.is_unspecified() { Target::Broadcast } else { target(packet) };
        return Decision::Send(Box::new(answer), to);
    }
    if packet.kind() != Some(Kind::Inform) {
        answer.yours = address;
        answer.add(option::LEASE, LEASE_SECONDS.to_be_bytes());
    } else {
        answer.client = packet.client;
    }
    answer.add(option::MASK, site.subnet.netmask().octets());
    if let Some(gateway) = site.gateway {
        answer.add(option::ROUTER, gateway.octets());
    }
    if !site.dns.is_empty() {
        answer.add(option::DNS, site.dns.iter().flat_map(|server| server.octets()).collect::<Vec<u8>>());
    }
    if let Some(name) = &asker.node {
        answer.add(option::HOST_NAME, name.as_bytes());
    }
    if let (Some(arch), true) = (packet.arch(), asker.boots) {
        // A machine without a boot file for its firmware still gets its address.
        boot(site, packet, arch, &mut answer);
    }
    Decision::Send(Box::new(answer), target(packet))
}

/// Adds what a client boots; whether there is something.
fn boot(site: &Site, packet: &Packet, arch: Arch, answer: &mut Packet) -> bool {
    let Loaders { tftp, bios, uefi, uefi_http, url, ipxe } = &site.loaders;
    let by_http = |file: &str| format!("{}{file}", url);
    let file = match arch {
        _ if packet.is_ipxe() && !matches!(arch, Arch::Other(_)) => Some(by_http(ipxe)),
        Arch::Bios => bios.clone().filter(|_| *tftp),
        Arch::Uefi => uefi.clone().filter(|_| *tftp),
        Arch::UefiHttp => uefi_http.as_deref().map(by_http),
        Arch::Other(_) => None,
    };
    let Some(file) = file else { return false };
    answer.next = site.server;
    answer.file = file.clone().into_bytes();
    match arch {
        // The firmware takes an offer for an answer to HTTP Boot only if it says so (UEFI 24.7.3.1).
        Arch::UefiHttp => answer.add(option::CLASS, *b"HTTPClient"),
        _ => {
            answer.add(option::CLASS, *b"PXEClient");
            answer.add(option::VENDOR, DISCOVERY);
        }
    }
    if let Some(uuid) = packet.option(option::UUID) {
        answer.add(option::UUID, uuid);
    }
    answer.add(option::TFTP_SERVER, site.server.to_string().into_bytes());
    answer.add(option::BOOT_FILE, file.into_bytes());
    true
}

fn target(packet: &Packet) -> Target {
    if !packet.relay.is_unspecified() {
        Target::Relay(packet.relay)
    } else if !packet.client.is_unspecified() {
        Target::Client(packet.client)
    } else {
        // Nobody answers for the address yet, so nothing can be sent to it alone.
        Target::Broadcast
    }
}
