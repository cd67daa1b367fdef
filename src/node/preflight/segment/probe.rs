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
                heard.answers.entry(claimed).or_default().insert(arp.sender);
            }
        }
        // Bounded: there are 255 ids, but anyone may write any source.
        Some((_, Frame::Vrrp(advert))) if heard.adverts.len() < 1024 => {
            heard.adverts.insert(advert);
        }
        _ => {}
    }
}
