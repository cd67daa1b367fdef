//! Frames of the segment: ARP (RFC 826, probes of RFC 5227) and VRRP advertisements (RFC 9568, RFC 3768). They come from
//! anyone; what is not whole and plain is nothing.

use std::net::Ipv4Addr;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;
/// Length of ARP for Ethernet and IPv4.
const ARP: usize = 28;
/// Shortest frame, without its checksum.
const SHORTEST: usize = 60;
/// VRRP's number in IPv4.
const VRRP: u8 = 112;

/// A frame that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A request or reply of ARP.
    Arp(Arp),
    /// An advertisement of VRRP.
    Vrrp(Advert),
}

/// What ARP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// Whether it answers.
    pub reply: bool,
    /// The sender's hardware address.
    pub sender: [u8; 6],
    /// The sender's address; 0.0.0.0 in a probe.
    pub address: Ipv4Addr,
    /// The address that is asked for.
    pub target: Ipv4Addr,
}

/// What a router says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advert {
    /// Who sends it.
    pub source: Ipv4Addr,
    /// Virtual router id.
    pub id: u8,
    /// Version of VRRP, 2 or 3.
    pub version: u8,
    /// Priority; 255 owns the address.
    pub priority: u8,
}

/// What a frame says, and who sent it; `None` for all that is not ARP or VRRP.
pub fn parse(bytes: &[u8]) -> Option<([u8; 6], Frame)> {
    let source: [u8; 6] = bytes.get(6..12)?.try_into().ok()?;
    let body = bytes.get(ETHERNET..)?;
    let frame = match bytes.get(12..ETHERNET)? {
        [0x08, 0x06] => Frame::Arp(arp(body)?),
        [0x08, 0x00] => Frame::Vrrp(vrrp(body)?),
        _ => return None,
    };
    Some((source, frame))
}

fn arp(body: &[u8]) -> Option<Arp> {
    let body = body.get(..ARP)?;
    // Ethernet, IPv4, lengths 6 and 4.
    if body.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let reply = match body.get(6..8)? {
        [0, 1] => false,
        [0, 2] => true,
        _ => return None,
    };
    Some(Arp {
        reply,
        sender: body.get(8..14)?.try_into().ok()?,
        address: address(body, 14)?,
        target: address(body, 24)?,
    })
}

fn vrrp(body: &[u8]) -> Option<Advert> {
    let header = usize::from(body.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*body.get(2)?, *body.get(3)?]));
    let fragment = u16::from_be_bytes([*body.get(6)?, *body.get(7)?]) & 0x3fff;
    let (version, lifetime, protocol) = (body.first()? >> 4, *body.get(8)?, *body.get(9)?);
    // Advertisements do not pass routers: what was less than 255 has (RFC 9568, 5.1.1.3).
    if version != 4 || header < 20 || protocol != VRRP || lifetime != 255 || fragment != 0 {
        return None;
    }
    let advert = body.get(header..total)?;
    let (kind, id, priority) = (*advert.first()?, *advert.get(1)?, *advert.get(2)?);
    let (version, advertisement) = (kind >> 4, kind & 0x0f == 1);
    // Version, id, priority, count, interval, checksum.
    if advert.len() < 8 || !matches!(version, 2 | 3) || !advertisement || id == 0 {
        return None;
    }
    Some(Advert { source: address(body, 12)?, id, version, priority })
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(octets.into())
}

/// An ARP probe: it asks for `target` and claims no address, so that no one's table changes by it. `len` is the length of
/// its packet; what ARP does not fill is zeros, which receivers ignore.
pub fn probe(from: [u8; 6], target: Ipv4Addr, len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + len.max(ARP));
    frame.extend([0xff; 6]);
    frame.extend(from);
    frame.extend([0x08, 0x06]);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(from);
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize((ETHERNET + len).max(frame.len()).max(SHORTEST), 0);
    frame
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reply: `address` is at `mac`.
    pub(crate) fn reply(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
        let mut frame = probe(mac, Ipv4Addr::UNSPECIFIED, 0);
        frame[21] = 2;
        frame[28..32].copy_from_slice(&address.octets());
        frame
    }

    /// An advertisement.
    pub(crate) fn advert(source: [u8; 4], version: u8, id: u8) -> Vec<u8> {
        let mut frame = vec![1, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 9, 8, 0];
        frame.extend([0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, VRRP, 0, 0]);
        frame.extend(source);
        frame.extend([224, 0, 0, 18]);
        frame.extend([version << 4 | 1, id, 100, 1, 0, 100, 0, 0, 10, 0, 0, 88]);
        frame
    }

    #[test]
    fn a_probe_claims_nothing() {
        let frame = probe([2, 0, 0, 0, 0, 1], [10, 0, 0, 7].into(), 0);
        assert_eq!(frame.len(), 60);
        let (source, parsed) = parse(&frame).unwrap();
        let arp = Arp {
            reply: false,
            sender: source,
            address: Ipv4Addr::UNSPECIFIED,
            target: [10, 0, 0, 7].into(),
        };
        assert_eq!(parsed, Frame::Arp(arp));
        assert_eq!(probe([2, 0, 0, 0, 0, 1], [10, 0, 0, 7].into(), 9000).len(), 9014);
    }

    #[test]
    fn adverts_of_both_versions_are_read() {
        for version in [2, 3] {
            let (_, frame) = parse(&advert([10, 0, 0, 9], version, 51)).unwrap();
            let advert = Advert { source: [10, 0, 0, 9].into(), id: 51, version, priority: 100 };
            assert_eq!(frame, Frame::Vrrp(advert));
        }
    }

    #[test]
    fn what_is_not_whole_and_plain_is_nothing() {
        let good = advert([10, 0, 0, 9], 3, 51);
        // Version of IP, header length, fragment, lifetime, protocol, version and type of VRRP, id.
        for (at, value) in
            [(14, 0x65), (14, 0x44), (20, 0x20), (22, 254), (23, 17), (34, 0x41), (34, 0x32), (35, 0)]
        {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(parse(&bad), None, "byte {at} = {value:#x}");
        }
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len]), None, "{len}");
        }
        let answer = reply([2, 0, 0, 0, 0, 1], [10, 0, 0, 7].into());
        assert!(parse(&answer).is_some());
        for at in 12..22 {
            let mut bad = answer.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0..3u8) {
            if let (true, Some(slot)) = (kind < 2, bytes.get_mut(12..14)) {
                slot.copy_from_slice(if kind == 0 { &[8, 6] } else { &[8, 0] });
            }
            let _ = parse(&bytes);
        }

        #[test]
        fn probes_are_read_as_they_were_made(octets in any::<[u8; 4]>(), len in 0..10_000usize, mac in any::<[u8; 6]>()) {
            let frame = probe(mac, octets.into(), len);
            let Some((source, Frame::Arp(arp))) = parse(&frame) else { panic!("no ARP") };
            prop_assert_eq!((source, arp.sender, arp.target.octets(), arp.reply), (mac, mac, octets, false));
        }
    }
}
