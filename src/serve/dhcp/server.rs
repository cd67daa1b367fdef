//! DHCP on a socket: requests of one interface come in, the decision of [`super::answer`] goes out.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use super::answer::{Decision, Site, Target, decide, other_server};
use super::{Kind, Packet, option};
use crate::serve::Service;

/// Ports of servers and of clients.
pub const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// Answers until the service ends. `socket` has a short timeout, may broadcast, and is bound to one interface.
pub fn run(service: &Arc<Service>, socket: &UdpSocket, site: &Site) {
    let mut buffer = [0; 4096];
    while !service.ended() {
        let Ok((len, _)) = socket.recv_from(&mut buffer) else { continue };
        service.count_dhcp();
        let Some(packet) = Packet::parse(&buffer[..len]) else { continue };
        if let Some((bytes, to)) = answer(service, site, &packet) {
            // Without an answer the client asks again.
            let _ = socket.send_to(&bytes, to);
        }
    }
}

/// The answer to a packet and where it goes; tells the log what is new.
pub fn answer(service: &Service, site: &Site, packet: &Packet) -> Option<(Vec<u8>, SocketAddrV4)> {
    let uuid = packet.uuid();
    let starts = packet.kind() == Some(Kind::Discover) && packet.arch().is_some();
    let (asker, new) = service.asked(packet.mac, uuid.as_deref(), starts);
    let name = asker.node.as_deref().unwrap_or("a machine that the tree does not name");
    let tell = |line: &str| match asker.node {
        Some(_) => service.log(line),
        None => service.complain(line),
    };
    if let Some(other) = other_server(site, packet).filter(|other| service.is_new_server(*other)) {
        service.log(&format!(
            "{} ({name}) took the offer of another DHCP server, {other}: on this segment there is to be one. \
             Switch that one off, or start kiln with `--dhcp proxy` beside it",
            packet.mac
        ));
    }
    match decide(site, &asker, packet) {
        Decision::Silent(why) => {
            // A flood would fill the log; what a known node does is told each time.
            if new || (starts && asker.node.is_some()) || packet.kind() == Some(Kind::Decline) {
                tell(&format!("{} ({name}) is not answered: {why}", packet.mac));
            }
            None
        }
        Decision::Send(answer, target) => {
            if let Some(file) =
                answer.option(option::BOOT_FILE).filter(|_| answer.kind() == Some(Kind::Offer))
            {
                tell(&format!("{} ({name}) is offered {}", packet.mac, String::from_utf8_lossy(file)));
            }
            let to = match target {
                Target::Relay(relay) => SocketAddrV4::new(relay, SERVER_PORT),
                Target::Client(client) => SocketAddrV4::new(client, CLIENT_PORT),
                Target::Broadcast => SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT),
            };
            Some((answer.to_bytes(), to))
        }
    }
}
