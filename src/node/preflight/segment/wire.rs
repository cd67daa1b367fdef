//! A packet socket on one interface (packet(7)): whole frames in and out, without `unsafe` of our own.
//!
//! The socket is bound by an address that the kernel itself hands out for the interface; its protocol is the one that the
//! socket was made with, as the kernel takes 0 for that.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _, bind, recv, send, socket,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Wire;

/// Where VRRP's advertisements go.
const VRRP_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Longest frame that is read; jumbo frames are shorter.
const LONGEST: usize = 16 << 10;

/// A packet socket.
#[derive(Debug)]
pub struct Packets {
    socket: OwnedFd,
    mac: [u8; 6],
    /// Keeps the NIC listening to VRRP's group.
    _group: Option<UdpSocket>,
}

impl Packets {
    /// Opens the interface of that name, which must be up.
    pub fn open(name: &str) -> io::Result<Self> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("{name} is no Ethernet interface"));
        let interface = getifaddrs()?
            .filter(|one| one.interface_name == name)
            .find(|one| one.address.is_some_and(|address| address.family() == Some(AddressFamily::Packet)));
        let address = interface.and_then(|one| one.address?.as_link_addr().copied()).ok_or_else(gone)?;
        let mac = address.addr().ok_or_else(gone)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
        bind(socket.as_raw_fd(), &address)?;
        let index = u32::try_from(address.ifindex()).map_err(|_| gone())?;
        Ok(Self { socket, mac, _group: join(index).ok() })
    }
}

/// Joins VRRP's group, so that the NIC does not filter it out.
fn join(index: u32) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    rustix::net::sockopt::set_ip_add_membership_with_ifindex(
        &socket,
        &VRRP_GROUP,
        &Ipv4Addr::UNSPECIFIED,
        index,
    )?;
    Ok(socket)
}

impl Wire for Packets {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; LONGEST];
        // First, or a segment that never falls silent would never be done with.
        while Instant::now() < until {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(len) => {
                    buffer.truncate(len);
                    return Ok(Some(buffer));
                }
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
                // The link went down and came back.
                Err(nix::errno::Errno::ENETDOWN) => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => return Err(error.into()),
            }
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}
