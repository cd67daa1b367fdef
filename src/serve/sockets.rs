//! The sockets of the servers, and the interface that they are of. They are opened before root is given up.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{setsockopt, sockopt};

use super::dhcp::server::SERVER_PORT;
use crate::error::{Class, Error, Result};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 4096;
/// How often a server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);

/// Addresses of an interface.
pub fn addresses(interface: &str) -> Result<Vec<Ipv4Addr>> {
    let all = getifaddrs()
        .map_err(|error| Error::new(Class::Io, "asking for the network interfaces").because(error))?;
    let mut known = false;
    let mut found = Vec::new();
    for one in all.filter(|one| one.interface_name == interface) {
        known = true;
        found.extend(
            one.address.as_ref().and_then(|address| address.as_sockaddr_in()).map(|address| address.ip()),
        );
    }
    if found.is_empty() {
        let what = if known { "has no IPv4 address" } else { "is not there" };
        return Err(Error::input(format!("interface {} {what}", interface.escape_debug()))
            .hint("`ip -4 address` lists interfaces and their addresses; --interface names the one that the nodes are behind"));
    }
    Ok(found)
}

/// The socket of HTTP.
pub fn http(address: Ipv4Addr, port: u16) -> Result<TcpListener> {
    let bound = TcpListener::bind((address, port)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        // A rack that starts at once waits in the queue, and not for the next try of TCP.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    bound.map_err(|error| refused("HTTP", address, port, error))
}

/// The socket of TFTP.
pub fn tftp(address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    let bound = UdpSocket::bind((address, port)).and_then(|socket| {
        socket.set_read_timeout(Some(LOOK))?;
        Ok(socket)
    });
    bound.map_err(|error| refused("TFTP", address, port, error))
}

/// The socket of DHCP. It hears one interface only: what comes in elsewhere is none of kiln's.
pub fn dhcp(interface: &str) -> Result<UdpSocket> {
    let address = Ipv4Addr::UNSPECIFIED;
    let bound = UdpSocket::bind(SocketAddrV4::new(address, SERVER_PORT)).and_then(|socket| {
        socket.set_broadcast(true)?;
        socket.set_read_timeout(Some(LOOK))?;
        setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
        Ok(socket)
    });
    bound.map_err(|error| refused("DHCP", address, SERVER_PORT, error))
}

fn refused(what: &str, address: Ipv4Addr, port: u16, error: std::io::Error) -> Error {
    use std::io::ErrorKind;
    let hint = match error.kind() {
        ErrorKind::AddrInUse => "another program has that port: `ss -lntup` shows which",
        ErrorKind::PermissionDenied => {
            "ports below 1024 and binding to an interface need CAP_NET_BIND_SERVICE and CAP_NET_RAW: start it by its systemd unit, or as root"
        }
        ErrorKind::AddrNotAvailable => "that address is none of this machine's",
        _ => "see docs/pxe.md",
    };
    Error::new(Class::Network, format!("opening the port of {what} at {address}:{port}"))
        .because(error)
        .hint(hint)
}
