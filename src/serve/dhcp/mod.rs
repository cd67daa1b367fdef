//! DHCP packets (RFC 2131, RFC 2132, PXE 2.1, RFC 4578): what a machine that boots from the network asks, and what it is told.
//!
//! [`Packet::parse`] reads a request, bounded by the packet; [`Packet::to_bytes`] writes an answer. What is answered is decided in
//! [`answer`]. Not here: sockets, DHCPv6, what a client does.

pub mod answer;
pub mod server;

use std::net::Ipv4Addr;

use crate::cluster::types::Mac;
use crate::format::bytes::{be16, be32, put, u8_at};

/// Bytes before the options (RFC 951 with the cookie of RFC 2132).
const FIXED: usize = 240;
/// What options begin with.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Least length of an answer: clients of old take nothing shorter (RFC 1542 2.1).
const LEAST: usize = 300;
/// Where the server's name and the boot file are.
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// Numbers of options.
pub mod option {
    /// Subnet mask.
    pub const MASK: u8 = 1;
    /// Routers.
    pub const ROUTER: u8 = 3;
    /// Name servers.
    pub const DNS: u8 = 6;
    /// Host name.
    pub const HOST_NAME: u8 = 12;
    /// Vendor's own.
    pub const VENDOR: u8 = 43;
    /// Address that is asked for.
    pub const REQUESTED: u8 = 50;
    /// How long an address may be used.
    pub const LEASE: u8 = 51;
    /// Which of file and name hold options.
    pub const OVERLOAD: u8 = 52;
    /// Kind of the message.
    pub const KIND: u8 = 53;
    /// Who answers.
    pub const SERVER: u8 = 54;
    /// What a refusal is for.
    pub const MESSAGE: u8 = 56;
    /// Kind of client.
    pub const CLASS: u8 = 60;
    /// Name of the server of the boot file.
    pub const TFTP_SERVER: u8 = 66;
    /// The boot file.
    pub const BOOT_FILE: u8 = 67;
    /// Class of the user: `iPXE`.
    pub const USER_CLASS: u8 = 77;
    /// Architecture of the client's firmware.
    pub const ARCH: u8 = 93;
    /// Interface of the client's network card.
    pub const UNDI: u8 = 94;
    /// The machine's UUID.
    pub const UUID: u8 = 97;
    /// What iPXE can.
    pub const IPXE: u8 = 175;
    /// Ends the options.
    pub(super) const END: u8 = 255;
}

/// Kinds of messages (RFC 2132 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Is there a server?
    Discover,
    /// A server offers an address, a boot file, or both.
    Offer,
    /// The client takes an offer.
    Request,
    /// The client found that the address is in use.
    Decline,
    /// So be it.
    Ack,
    /// It may not.
    Nak,
    /// The client needs the address no more.
    Release,
    /// The client has an address, and asks for the rest.
    Inform,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Discover,
        Kind::Offer,
        Kind::Request,
        Kind::Decline,
        Kind::Ack,
        Kind::Nak,
        Kind::Release,
        Kind::Inform,
    ];

    fn of(number: u8) -> Option<Self> {
        usize::from(number).checked_sub(1).and_then(|at| Self::ALL.get(at)).copied()
    }

    fn number(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).map_or(0, |at| at as u8 + 1)
    }
}

/// Firmware that boots from the network (RFC 4578 2.1, and its errata).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// BIOS.
    Bios,
    /// UEFI of x86-64, by TFTP.
    Uefi,
    /// UEFI of x86-64, by HTTP.
    UefiHttp,
    /// One that kiln builds nothing for.
    Other(u16),
}

impl Arch {
    /// The architecture of a number. Clients of x86-64 send 7; 9 is what the RFC meant.
    pub fn of(number: u16) -> Self {
        match number {
            0 => Arch::Bios,
            7 | 9 => Arch::Uefi,
            16 => Arch::UefiHttp,
            other => Arch::Other(other),
        }
    }
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Whether a client sent it.
    pub request: bool,
    /// Number that an answer repeats.
    pub id: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// Whether the client can be reached by broadcast only.
    pub broadcast: bool,
    /// The client's address, if it has one.
    pub client: Ipv4Addr,
    /// The address that it gets.
    pub yours: Ipv4Addr,
    /// Where the boot file is.
    pub next: Ipv4Addr,
    /// The relay that passed it on.
    pub relay: Ipv4Addr,
    /// Who asks.
    pub mac: Mac,
    /// The boot file in the fixed part.
    pub file: Vec<u8>,
    /// Options in order; parts of one are joined (RFC 3396).
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Packet {
    /// Reads a packet. `None`: it is none, or not of an Ethernet card, or is damaged.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.get(..FIXED)?;
        let request = match fixed[0] {
            1 => true,
            2 => false,
            _ => return None,
        };
        // Ethernet and six bytes of address.
        if fixed[1] != 1 || fixed[2] != 6 || fixed[236..240] != COOKIE {
            return None;
        }
        let octets: [u8; 6] = fixed[28..34].try_into().ok()?;
        let mac: Mac = hex(&octets).parse().ok()?;
        let address = |at| Ipv4Addr::from(be32(fixed, at));
        let mut packet = Self {
            request,
            id: be32(fixed, 4),
            seconds: be16(fixed, 8),
            broadcast: be16(fixed, 10) & 0x8000 != 0,
            client: address(12),
            yours: address(16),
            next: address(20),
            relay: address(24),
            mac,
            file: until_nul(&fixed[FILE]).to_vec(),
            options: Vec::new(),
        };
        packet.read_options(&bytes[FIXED..])?;
        let overload = packet.option(option::OVERLOAD).map_or(0, |value| u8_at(value, 0));
        if overload & 1 != 0 {
            packet.file.clear();
            packet.read_options(&fixed[FILE])?;
        }
        if overload & 2 != 0 {
            packet.read_options(&fixed[SNAME])?;
        }
        Some(packet)
    }

    fn read_options(&mut self, mut rest: &[u8]) -> Option<()> {
        loop {
            match rest {
                [] | [option::END, ..] => return Some(()),
                [0, more @ ..] => rest = more,
                [code, len, more @ ..] => {
                    let value = more.get(..usize::from(*len))?;
                    match self.options.iter_mut().find(|(known, _)| known == code) {
                        Some((_, known)) => known.extend_from_slice(value),
                        None => self.options.push((*code, value.to_vec())),
                    }
                    rest = &more[usize::from(*len)..];
                }
                [_] => return None,
            }
        }
    }

    /// The value of an option.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    /// An option that is an address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        let four: [u8; 4] = self.option(code)?.try_into().ok()?;
        Some(four.into())
    }

    /// What kind of message it is; a packet of BOOTP alone has none.
    pub fn kind(&self) -> Option<Kind> {
        match self.option(option::KIND)? {
            [number] => Kind::of(*number),
            _ => None,
        }
    }

    /// The firmware, if the client boots from the network.
    pub fn arch(&self) -> Option<Arch> {
        let class = self.option(option::CLASS).unwrap_or_default();
        if !class.starts_with(b"PXEClient") && !class.starts_with(b"HTTPClient") {
            return None;
        }
        let number = self.option(option::ARCH).filter(|value| value.len() >= 2);
        Some(Arch::of(number.map_or(0, |value| be16(value, 0))))
    }

    /// Whether it is iPXE that asks, and not the firmware's own code.
    pub fn is_ipxe(&self) -> bool {
        let class = self.option(option::USER_CLASS).unwrap_or_default();
        // Some send the class bare, some with its length in front (RFC 3004).
        class == b"iPXE" || class == b"\x04iPXE" || self.option(option::IPXE).is_some()
    }

    /// The machine's UUID as Linux prints it. The first three groups are little-endian on the wire (SMBIOS 2.6).
    pub fn uuid(&self) -> Option<String> {
        let raw: &[u8; 17] = self.option(option::UUID)?.try_into().ok()?;
        let [0, a, b, c, d, e, f, g, h, rest @ ..] = raw else { return None };
        let tail: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        let (group, node) = tail.split_at(4);
        Some(format!("{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-{group}-{node}"))
    }

    /// An answer to a packet, with nothing in it yet.
    pub fn answer(&self, kind: Kind, server: Ipv4Addr) -> Self {
        Self {
            request: false,
            id: self.id,
            seconds: 0,
            broadcast: self.broadcast,
            client: Ipv4Addr::UNSPECIFIED,
            yours: Ipv4Addr::UNSPECIFIED,
            next: Ipv4Addr::UNSPECIFIED,
            relay: self.relay,
            mac: self.mac,
            file: Vec::new(),
            options: vec![(option::KIND, vec![kind.number()]), (option::SERVER, server.octets().to_vec())],
        }
    }

    /// Adds an option; it must not be there yet.
    pub fn add(&mut self, code: u8, value: impl Into<Vec<u8>>) {
        self.options.push((code, value.into()));
    }

    /// The packet as it is sent. A file that does not fit its field is left to option 67.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; FIXED];
        put(&mut out, 0, &[if self.request { 1 } else { 2 }, 1, 6]);
        put(&mut out, 4, &self.id.to_be_bytes());
        put(&mut out, 8, &self.seconds.to_be_bytes());
        put(&mut out, 10, &(u16::from(self.broadcast) << 15).to_be_bytes());
        for (at, address) in [(12, self.client), (16, self.yours), (20, self.next), (24, self.relay)] {
            put(&mut out, at, &address.octets());
        }
        put(&mut out, 28, &self.mac.octets());
        if self.file.len() < FILE.len() {
            put(&mut out, FILE.start, &self.file);
        }
        put(&mut out, 236, &COOKIE);
        for (code, value) in &self.options {
            // A value of more than 255 bytes is written in parts (RFC 3396); an empty one has a length all the same.
            let mut rest = value.as_slice();
            loop {
                let (part, more) = rest.split_at(rest.len().min(255));
                out.extend([*code, part.len() as u8]);
                out.extend(part);
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
        }
        out.push(option::END);
        if out.len() < LEAST {
            out.resize(LEAST, 0);
        }
        out
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn hex(octets: &[u8; 6]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
