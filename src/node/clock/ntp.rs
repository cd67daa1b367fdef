//! Asks the chronyd of another machine what its clock says: a client's side of NTP, one question a server (RFC 5905 §7.3, §8; mode
//! 3 asks, mode 4 answers).
//!
//! chronyd answers before it is synchronised, too, with stratum 0: its clock can be read, and that it serves no time yet.
//! No source of time is made of this; it tells clocks apart that are seconds or years away from each other.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::error::{Class, Error, Result};

/// Port of NTP.
pub const PORT: u16 = 123;
/// Bytes of a packet without extensions.
const LENGTH: usize = 48;
/// Version 4, mode 3 (client).
const ASK: u8 = 4 << 3 | 3;
/// How long answers may take; a slower one says little about the clock.
const PATIENCE: Duration = Duration::from_millis(700);
/// From 1900, where NTP counts from, to 1970.
const EPOCH: i128 = 2_208_988_800;

/// What another clock says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Whose clock.
    pub address: Ipv4Addr,
    /// By how many seconds it is ahead of this machine's.
    pub ahead: f64,
    /// Whether it serves time: it is synchronised, or allowed to serve its own.
    pub serves: bool,
}

/// Asks all servers at once; those that do not answer in time are left out.
pub fn ask(servers: &[SocketAddrV4], clock: &dyn Fn() -> OffsetDateTime) -> Result<Vec<Answer>> {
    let failed = |error| Error::new(Class::Network, "asking for the time failed").because(error);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
    let mut asked = Vec::new();
    for server in servers {
        let sent = timestamp(clock());
        // One that cannot be reached is one that does not answer.
        if socket.send_to(&question(sent), server).is_ok() {
            asked.push((*server, sent));
        }
    }
    let (started, mut answers) = (Instant::now(), Vec::new());
    while answers.len() < asked.len() {
        let left = PATIENCE.saturating_sub(started.elapsed());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            break;
        }
        let mut packet = [0; 512];
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        let back = timestamp(clock());
        let Some((server, sent)) = asked.iter().find(|(server, _)| SocketAddr::V4(*server) == from) else {
            continue;
        };
        let known = answers.iter().any(|answer: &Answer| answer.address == *server.ip());
        if let (Some((ahead, serves)), false) = (read(&packet[..length], *sent, back), known) {
            answers.push(Answer { address: *server.ip(), ahead, serves });
        }
    }
    answers.sort_by_key(|answer| answer.address);
    Ok(answers)
}

/// A moment as NTP writes it: seconds since 1900 and 2^-32 parts of one, modulo 2^64.
fn timestamp(at: OffsetDateTime) -> u64 {
    let nanos = at.unix_timestamp_nanos() + EPOCH * 1_000_000_000;
    ((nanos << 32) / 1_000_000_000) as u64
}

fn question(sent: u64) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = ASK;
    packet[40..].copy_from_slice(&sent.to_be_bytes());
    packet
}

/// How far ahead the server is, and whether it serves; `None` for what is no answer to the question.
fn read(packet: &[u8], sent: u64, back: u64) -> Option<(f64, bool)> {
    let field = |at: usize| packet.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    let (mode, leap, stratum) = (packet.first()? & 7, packet.first()? >> 6, *packet.get(1)?);
    let (origin, received, transmitted) = (field(24)?, field(32)?, field(40)?);
    if mode != 4 || origin != sent || received == 0 || transmitted == 0 {
        return None;
    }
    // Differences are good for 68 years to either side, also where the count starts again in 2036 (RFC 5905 §6).
    let seconds = |from: u64, to: u64| to.wrapping_sub(from) as i64 as f64 / 4_294_967_296.0;
    let ahead = (seconds(sent, received) + seconds(back, transmitted)) / 2.0;
    Some((ahead, leap != 3 && (1..16).contains(&stratum)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

    fn answer(first: u8, stratum: u8, sent: u64, at: OffsetDateTime) -> [u8; LENGTH] {
        let mut packet = [0; LENGTH];
        (packet[0], packet[1]) = (first, stratum);
        packet[24..32].copy_from_slice(&sent.to_be_bytes());
        packet[32..40].copy_from_slice(&timestamp(at).to_be_bytes());
        packet[40..].copy_from_slice(&timestamp(at).to_be_bytes());
        packet
    }

    #[test]
    fn clocks_are_compared_over_years_and_eras() {
        let sent = timestamp(NOW);
        assert_eq!(
            sent >> 32,
            4_004_402_400,
            "seconds since 1900, as `date -ud 2026-11-23T06 +%s` says, plus 2208988800"
        );
        for ahead in [0.0, 3600.0, -3600.0, -86_400.0 * 365.0 * 56.0, 86_400.0 * 365.0 * 20.0] {
            let packet = answer(0x24, 10, sent, NOW + time::Duration::seconds_f64(ahead));
            let (said, serves) = read(&packet, sent, sent).unwrap();
            assert!((said - ahead).abs() < 1e-3 && serves, "{said} {ahead}");
        }
    }

    #[test]
    fn what_is_no_answer_is_passed_over() {
        let sent = timestamp(NOW);
        assert_eq!(read(&answer(0xe4, 0, sent, NOW), sent, sent), Some((0.0, false)));
        assert_eq!(read(&answer(0x24, 16, sent, NOW), sent, sent), Some((0.0, false)));
        assert_eq!(read(&answer(0x23, 10, sent, NOW), sent, sent), None, "another client");
        assert_eq!(read(&answer(0x24, 10, sent + 1, NOW), sent, sent), None, "an answer to another question");
        for length in 0..LENGTH {
            assert_eq!(read(&answer(0x24, 10, sent, NOW)[..length], sent, sent), None);
        }
    }

    #[test]
    fn a_server_is_asked_and_its_answer_taken_once() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = server.local_addr().unwrap() else { panic!("not IPv4") };
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 512];
            let (length, from) = server.recv_from(&mut packet).unwrap();
            assert_eq!((length, packet[0]), (LENGTH, 0x23));
            let sent = u64::from_be_bytes(packet[40..48].try_into().unwrap());
            for noise in [vec![0; 3], answer(0x24, 1, sent ^ 1, NOW).to_vec()] {
                server.send_to(&noise, from).unwrap();
            }
            server.send_to(&answer(0xe4, 0, sent, NOW + time::Duration::HOUR), from).unwrap();
        });
        let answers = ask(&[address], &|| NOW).unwrap();
        thread.join().unwrap();
        assert_eq!(answers, [Answer { address: *address.ip(), ahead: 3600.0, serves: false }]);
    }
}
