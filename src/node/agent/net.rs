//! Sockets with an end: every exchange has a deadline for all of it, so no peer can hold a thread by sending a byte a minute.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, Connection, StreamOwned};

use super::tls::{Identity, Peer, peer_of, server_name};
use super::wire::{self, Ask, LONGEST_ASK, LONGEST_REPLY, Reply};
use crate::error::{Class, Error, Result};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// A socket whose reads and writes end at a moment.
#[derive(Debug)]
pub struct Deadline {
    socket: TcpStream,
    end: Instant,
}

impl Deadline {
    /// A socket that has so long.
    pub fn new(socket: TcpStream, length: Duration) -> Self {
        Self { socket, end: Instant::now() + length }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }

    /// Whether the other end is still there. It has nothing more to say, so anything that can be read is its end.
    pub fn is_open(&self) -> bool {
        let mut byte = [0];
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let open =
            matches!(self.socket.peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).is_ok() && open
    }
}

impl Read for Deadline {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(to)
    }
}

impl Write for Deadline {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Who is on the other end, once the handshake is over.
pub fn peer(connection: &Connection) -> Option<Peer> {
    connection.peer_certificates()?.first().and_then(peer_of)
}

/// Asks the agent of the node `name` at `address`, which must prove to be it. A node that answers and cannot prove it, or to whom
/// this one cannot, is [`Class::Failed`]; silence is [`Class::Network`].
pub fn ask(
    identity: &Identity,
    name: &str,
    address: SocketAddr,
    ask: &Ask,
    length: Duration,
) -> Result<Reply> {
    let failed = |error: io::Error| {
        let class = if trouble(&error).is_some() { Class::Failed } else { Class::Network };
        let why = explain(&error);
        Error::new(class, format!("{name} ({}): {why}", address.ip())).because(error)
    };
    let socket = TcpStream::connect_timeout(&address, CONNECT.min(length)).map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let tls = ClientConnection::new(identity.client(), server_name(address.ip()))
        .map_err(|error| failed(io::Error::other(error)))?;
    let mut stream = StreamOwned::new(tls, Deadline::new(socket, length));
    wire::send(&mut stream, ask, LONGEST_ASK).map_err(failed)?;
    let bytes = wire::receive(&mut stream, LONGEST_REPLY).map_err(failed)?;
    let certificate = stream.conn.peer_certificates().and_then(|chain| chain.first().and_then(peer_of));
    if certificate != Some(Peer::Node(name.to_owned())) {
        return Err(Error::new(
            Class::Failed,
            format!("{} answers as {certificate:?}, and should be {name}", address.ip()),
        ));
    }
    stream.conn.send_close_notify();
    // The answer is here; whether the farewell arrives is all the same.
    let _ = stream.flush();
    wire::parse_reply(&bytes).map_err(|error| error.context(name))
}

/// What is wrong between two that do talk: one's certificate is not good for the other. In words, or nothing if it is something else.
pub fn trouble(error: &io::Error) -> Option<String> {
    use rustls::{AlertDescription as Alert, Error as Tls};
    let about_us = [
        Alert::UnknownCA,
        Alert::DecryptError,
        Alert::BadCertificate,
        Alert::CertificateExpired,
        Alert::CertificateRevoked,
        Alert::CertificateUnknown,
        Alert::CertificateRequired,
        Alert::AccessDenied,
    ];
    match error.get_ref()?.downcast_ref::<Tls>()? {
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => Some(explain(error)),
        Tls::AlertReceived(alert) if about_us.contains(alert) => Some(explain(error)),
        _ => None,
    }
}

/// Why an exchange failed, in words that lead somewhere.
fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error as Tls};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "its certificate has ended, or this machine's clock is far ahead".to_owned(),
        Some(Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "its certificate is not of this cluster's authority".to_owned()
        }
        Some(Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is another node's: two machines may have one address".to_owned(),
        Some(Tls::AlertReceived(AlertDescription::CertificateExpired)) => {
            "it says that this machine's certificate has ended; its clock may be far ahead".to_owned()
        }
        Some(Tls::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError)) => {
            "it does not know the authority of this machine's certificate".to_owned()
        }
        Some(other) => other.to_string(),
        None => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer".to_owned(),
            io::ErrorKind::ConnectionRefused => "no agent runs there".to_owned(),
            io::ErrorKind::UnexpectedEof => "it broke off".to_owned(),
            _ => error.to_string(),
        },
    }
}

/// The socket address of an agent.
pub fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}
