//! Somebody on the segment who is no machine: answers ARP (RFC 826) and ping (RFC 792), and may announce itself as the VRRP
//! master of a virtual router (version 2, RFC 3768). Pure: frames in, frames out.

use std::net::Ipv4Addr;

use super::Peer;

const BROADCAST: [u8; 6] = [0xff; 6];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
const ICMP: u8 = 1;
const VRRP: u8 = 112;
/// Shortest Ethernet frame, its checksum left out.
const SHORTEST: usize = 60;

/// A peer's address and card.
#[derive(Debug, Clone)]
pub struct Host {
    address: Ipv4Addr,
    mac: [u8; 6],
    router: Option<u8>,
}

impl Host {
    /// All peers.
    pub fn all(peers: &[Peer]) -> Vec<Self> {
        let host = |peer: &Peer| Self { address: peer.address, mac: peer.mac.octets(), router: peer.vrrp };
        peers.iter().map(host).collect()
    }

    /// What it answers to a frame.
    pub fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let to = frame.get(..6)?;
        if to != self.mac && to != BROADCAST {
            return None;
        }
        let (kind, body) = (frame.get(12..14)?, frame.get(14..)?);
        let from: [u8; 6] = frame.get(6..12)?.try_into().ok()?;
        if kind == ARP {
            self.arp(body)
        } else if kind == IPV4 {
            self.ping(from, body)
        } else {
            None
        }
    }

    fn arp(&self, body: &[u8]) -> Option<Vec<u8>> {
        // Ethernet, IPv4, lengths 6 and 4, a request.
        let request = body.get(..8)? == [0, 1, 8, 0, 6, 4, 0, 1];
        if !request || body.get(24..28)? != self.address.octets() {
            return None;
        }
        let (sender, address) = (body.get(8..14)?, body.get(14..18)?);
        let mut answer = vec![0, 1, 8, 0, 6, 4, 0, 2];
        answer.extend_from_slice(&self.mac);
        answer.extend_from_slice(&self.address.octets());
        answer.extend_from_slice(sender);
        answer.extend_from_slice(address);
        Some(self.frame(sender.try_into().ok()?, ARP, &answer))
    }

    fn ping(&self, from: [u8; 6], packet: &[u8]) -> Option<Vec<u8>> {
        let header = usize::from(packet.first()? & 15) * 4;
        let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
        let message = packet.get(header..length)?;
        let mine = packet.get(16..20)? == self.address.octets();
        // An echo request that is no fragment.
        let echo = *packet.get(9)? == ICMP && message.first() == Some(&8) && message.len() >= 8;
        if !mine || !echo || packet.get(6)? & 0x3f != 0 || packet.get(7)? != &0 {
            return None;
        }
        let mut answer = message.to_vec();
        (answer[0], answer[2], answer[3]) = (0, 0, 0);
        let sum = checksum(&answer).to_be_bytes();
        answer[2..4].copy_from_slice(&sum);
        let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
        Some(self.frame(from, IPV4, &self.packet(Ipv4Addr::from(source), ICMP, 64, &answer)))
    }

    /// Its announcement as master, sent once a second; none if it is no router.
    pub fn advert(&self) -> Option<Vec<u8>> {
        let router = self.router?;
        // Version 2, advertisement; priority 100; one address; no authentication; every second.
        let mut message = vec![0x21, router, 100, 1, 0, 1, 0, 0];
        message.extend_from_slice(&self.address.octets());
        message.extend_from_slice(&[0; 8]);
        let sum = checksum(&message).to_be_bytes();
        message[6..8].copy_from_slice(&sum);
        let packet = self.packet(Ipv4Addr::new(224, 0, 0, 18), VRRP, 255, &message);
        Some(self.frame([0x01, 0x00, 0x5e, 0, 0, 18], IPV4, &packet))
    }

    fn packet(&self, to: Ipv4Addr, protocol: u8, ttl: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + body.len()).unwrap_or(u16::MAX).to_be_bytes();
        let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, ttl, protocol, 0, 0];
        packet.extend_from_slice(&self.address.octets());
        packet.extend_from_slice(&to.octets());
        let sum = checksum(&packet).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet.extend_from_slice(body);
        packet
    }

    fn frame(&self, to: [u8; 6], kind: [u8; 2], body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(SHORTEST.max(14 + body.len()));
        frame.extend_from_slice(&to);
        frame.extend_from_slice(&self.mac);
        frame.extend_from_slice(&kind);
        frame.extend_from_slice(body);
        frame.resize(SHORTEST.max(frame.len()), 0);
        frame
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u64 = words.map(u64::from).sum();
    let folded = (0..4).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
    !(folded as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: [u8; 6] = [0x52, 0x54, 0, 0, 0x31, 0x71];

    fn host() -> Host {
        let mac = "52:54:00:00:31:01".parse().unwrap();
        Host::all(&[Peer { address: Ipv4Addr::new(192, 168, 31, 1), mac, vrrp: Some(51) }]).remove(0)
    }

    fn arp_request(target: [u8; 4]) -> Vec<u8> {
        let mut frame = [&BROADCAST[..], &ASKER, &ARP, &[0, 1, 8, 0, 6, 4, 0, 1], &ASKER].concat();
        // A probe's sender has no address yet (RFC 5227).
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&[0; 6]);
        frame.extend_from_slice(&target);
        frame.resize(60, 0);
        frame
    }

    fn ping(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(28 + body.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, ICMP, 0, 0, 192, 168, 31, 71];
        packet.extend_from_slice(&[192, 168, 31, 1, 8, 0, 0, 0, 0, 7, 0, 1]);
        packet.extend_from_slice(body);
        [&host().mac[..], &ASKER, &IPV4, &packet].concat()
    }

    #[test]
    fn its_own_address_is_answered_for_and_no_other() {
        let answer = host().answer(&arp_request([192, 168, 31, 1])).unwrap();
        assert_eq!((answer.len(), &answer[..6], &answer[20..22]), (60, &ASKER[..], &[0, 2][..]));
        assert_eq!((&answer[22..28], &answer[28..32]), (&host().mac[..], &[192, 168, 31, 1][..]));
        assert!(host().answer(&arp_request([192, 168, 31, 2])).is_none());
    }

    #[test]
    fn a_ping_comes_back_with_sound_checksums() {
        for body in [&b""[..], b"odd", b"abcdefgh"] {
            let mut request = ping(body);
            // What QEMU pads is not part of the packet.
            request.resize(60.max(request.len()), 0xaa);
            let answer = host().answer(&request).unwrap();
            let message = &answer[34..42 + body.len()];
            assert_eq!((message[0], &message[4..8], &message[8..]), (0, &[0, 7, 0, 1][..], body));
            assert_eq!((checksum(&answer[14..34]), checksum(message)), (0, 0));
            assert_eq!(&answer[30..34], [192, 168, 31, 71]);
        }
    }

    #[test]
    fn an_advert_is_vrrp() {
        let advert = host().advert().unwrap();
        assert_eq!((advert[22], advert[23], &advert[30..34]), (255, VRRP, &[224, 0, 0, 18][..]));
        assert_eq!((&advert[34..38], checksum(&advert[34..54])), (&[0x21, 51, 100, 1][..], 0));
    }

    #[test]
    fn what_is_cut_short_is_passed_over() {
        for whole in [arp_request([192, 168, 31, 1]), ping(b"abc")] {
            for length in 0..42 {
                assert!(host().answer(&whole[..length]).is_none(), "{length}");
            }
        }
        let mut fragment = ping(b"abc");
        fragment[20] = 0x20;
        assert!(host().answer(&fragment).is_none());
        let mut long = ping(b"abc");
        (long[16], long[17]) = (0xff, 0xff);
        assert!(host().answer(&long).is_none());
        let mut none = ping(b"abc");
        none[14] = 0x4f;
        (none[16], none[17]) = (0, 20);
        assert!(host().answer(&none).is_none());
    }
}
