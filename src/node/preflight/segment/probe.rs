//! Asks and listens on a wire. Every frame is believed only as far as its sender could have said so itself.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::frame::{self, Arp, Frame};
use super::{Heard, Request, Wire};

/// Probes for each address, and the time between them (RFC 5227, 1.1).
const PROBES: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(1);
/// How long answers to long probes may take.
const LONG: Duration = Duration::from_secs(1);

/// Most senders and routers that are remembered.
const MOST_SENDERS: usize = 16;
const MOST_ADVERTS: usize = 1024;

/// Sends three probes for each address and listens for `listen` in all; again, until `patience`, while nothing at all is
/// heard.
pub fn ask(
    wire: &mut dyn Wire,
    request: &Request,
    listen: Duration,
    patience: Duration,
    heard: &mut Heard,
) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let round = Instant::now();
        for number in 0..PROBES {
            for target in &request.targets {
                wire.send(&frame::probe(wire.mac(), *target, 0))?;
            }
            let until = if number + 1 == PROBES { listen } else { (BETWEEN * (number + 1)).min(listen) };
            while let Some(bytes) = wire.receive(round + until)? {
                take(&bytes, wire.mac(), request, heard);
            }
        }
        if heard.frames > 0 || start.elapsed() + listen > patience {
            break;
        }
    }
    long(wire, request, listen.min(LONG), heard)
}

/// Asks those who answered again, with probes as long as the MTU: what carries small frames only loses them.
fn long(wire: &mut dyn Wire, request: &Request, wait: Duration, heard: &mut Heard) -> io::Result<()> {
    let targets: Vec<Ipv4Addr> =
        request.long.iter().copied().filter(|address| heard.answers.contains_key(address)).collect();
    if targets.is_empty() || heard.mtu.is_none_or(|mtu| mtu < u32::from(request.mtu)) {
        return Ok(());
    }
    // Twice: one lost frame is no finding.
    for _ in 0..2 {
        let missing = targets.iter().filter(|target| !heard.long.contains(target));
        for target in missing {
            wire.send(&frame::probe(wire.mac(), *target, request.mtu.into()))?;
        }
        let until = Instant::now() + wait;
        while let Some(bytes) = wire.receive(until)? {
            if let Some((source, Frame::Arp(Arp { reply: true, address, .. }))) = frame::parse(&bytes)
                && source != wire.mac()
                && targets.contains(&address)
            {
                heard.long.insert(address);
            }
            if heard.long.len() == targets.len() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn take(bytes: &[u8], own: [u8; 6], request: &Request, heard: &mut Heard) {
    // What this machine sent itself comes back too.
    if bytes.get(6..12).is_none_or(|source| source == own) {
        return;
    }
    heard.frames = heard.frames.saturating_add(1);
    match frame::parse(bytes) {
        Some((_, Frame::Arp(arp))) if arp.sender != own => {
            // Who speaks from an address has it; who probes for one is about to take it (RFC 5227, 2.1.1).
            let claimed = if arp.address.is_unspecified() && !arp.reply { arp.target } else { arp.address };
            if request.targets.contains(&claimed) {
                let macs = heard.answers.entry(claimed).or_default();
                // Anyone may write any sender, as often as they like.
                if macs.len() < MOST_SENDERS {
                    macs.insert(arp.sender);
                }
            }
        }
        Some((_, Frame::Vrrp(advert))) if heard.adverts.len() < MOST_ADVERTS => {
            heard.adverts.insert(advert);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{advert, reply};
    use super::*;
    use std::collections::VecDeque;

    const OWN: [u8; 6] = [0x52, 0x54, 0, 0, 0x31, 0x71];
    const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0xee, 0x01];
    const LB1: [u8; 6] = [0x52, 0x54, 0, 0, 0x31, 0x81];

    fn ip(last: u8) -> Ipv4Addr {
        [192, 168, 31, last].into()
    }

    /// What a segment says to a frame.
    type Answer = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

    /// A wire that gives frames in answer to each frame sent.
    struct Scripted {
        answer: Answer,
        queue: VecDeque<Vec<u8>>,
        sent: Vec<Vec<u8>>,
    }

    impl Wire for Scripted {
        fn mac(&self) -> [u8; 6] {
            OWN
        }

        fn send(&mut self, frame: &[u8]) -> io::Result<()> {
            self.sent.push(frame.to_vec());
            self.queue.push_back(frame.to_vec());
            self.queue.extend((self.answer)(frame));
            Ok(())
        }

        fn receive(&mut self, _: Instant) -> io::Result<Option<Vec<u8>>> {
            Ok(self.queue.pop_front())
        }
    }

    #[test]
    fn asking_believes_only_what_concerns_it() {
        let request = Request {
            nics: vec!["ens3".into()],
            bond: None,
            vlan: None,
            mtu: 1500,
            targets: vec![ip(71), ip(74), ip(75)],
            long: vec![ip(74), ip(75)],
            probe: true,
        };
        // .74 answers anything, .75 short frames only, and .71 is probed for by another machine.
        let answer = |frame: &[u8]| {
            let target = Ipv4Addr::from(<[u8; 4]>::try_from(&frame[38..42]).unwrap());
            let mut answers = vec![vec![0; 5], advert([192, 168, 31, 9], 2, 7), reply(OTHER, ip(200))];
            match target {
                _ if target == ip(74) || target == ip(75) && frame.len() < 100 => {
                    answers.push(reply(OTHER, target))
                }
                _ if target == ip(71) => answers.push(frame::probe(LB1, target, 0)),
                _ => {}
            }
            answers
        };
        let mut wire = Scripted { answer: Box::new(answer), queue: VecDeque::new(), sent: Vec::new() };
        let mut heard = Heard { mtu: Some(1500), ..Default::default() };
        ask(&mut wire, &request, Duration::ZERO, Duration::ZERO, &mut heard).unwrap();
        let macs = |last: u8| heard.answers.get(&ip(last)).cloned().unwrap_or_default();
        assert_eq!((macs(71), macs(74), macs(200)), ([LB1].into(), [OTHER].into(), [].into()));
        assert_eq!(heard.long, [ip(74)].into());
        assert_eq!(heard.adverts.len(), 1);
        assert_eq!(
            wire.sent.iter().filter(|frame| frame.len() == 1514).count(),
            3,
            "two, then the one that was silent"
        );
        assert_eq!(wire.sent.len(), 9 + 3);
    }
}
