//! TFTP packets (RFC 1350, options of RFC 2347 to 2349, windows of RFC 7440): what firmware and loaders fetch files with.
//!
//! [`Request::parse`] and [`acknowledged`] read, the others write. How a transfer goes is in [`transfer`]. Only reading is served, and
//! only as octets. Not here: sockets, which files there are.

pub mod pace;
pub mod server;
pub mod transfer;

use crate::format::bytes::be16;

/// Smallest and usual size of a block (RFC 1350), and the largest that is given: what one frame of Ethernet carries, for the code in
/// firmware that puts fragments together is seldom right.
pub const BLOCK: u16 = 512;
const MAX_BLOCK: u16 = 1468;
/// Longest request that is read.
const MAX_REQUEST: usize = 1024;
/// Most blocks that are sent before the client has to answer.
const MAX_WINDOW: u16 = 64;
/// Longest wait that a client may ask for, in seconds.
const MAX_WAIT: u8 = 10;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such file.
    NotFound,
    /// It is not for this machine.
    Denied,
    /// The request makes no sense, or asks for what is not served.
    Illegal,
    /// There are too many transfers.
    Busy,
}

impl Refusal {
    /// The packet that says so.
    pub fn to_bytes(self) -> Vec<u8> {
        let (code, text): (u16, &str) = match self {
            Refusal::NotFound => (1, "no such file"),
            Refusal::Denied => (2, "not for this machine"),
            Refusal::Illegal => (4, "only reading, as octets"),
            Refusal::Busy => (0, "too many transfers, try again"),
        };
        let mut out = ERROR.to_be_bytes().to_vec();
        out.extend(code.to_be_bytes());
        out.extend(text.as_bytes());
        out.push(0);
        out
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file, as it was written.
    pub path: String,
    /// Wished size of a block.
    pub block: Option<u16>,
    /// Wished blocks in a window.
    pub window: Option<u16>,
    /// Wished seconds until something is sent again.
    pub wait: Option<u8>,
    /// Whether the size of the file is asked for.
    pub size: bool,
}

impl Request {
    /// Reads a request. `Ok(None)` is a packet that needs no answer.
    ///
    /// # Errors
    /// What to tell the client.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        match be16(bytes, 0) {
            _ if bytes.len() < 2 || bytes.len() > MAX_REQUEST => return Ok(None),
            READ => {}
            WRITE => return Err(Refusal::Denied),
            _ => return Ok(None),
        }
        let Some((0, body)) = bytes[2..].split_last() else { return Err(Refusal::Illegal) };
        let words: Option<Vec<&str>> =
            body.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).ok()).collect();
        let words = words.ok_or(Refusal::Illegal)?;
        let [path, mode, options @ ..] = words.as_slice() else { return Err(Refusal::Illegal) };
        if path.is_empty() || !mode.eq_ignore_ascii_case("octet") {
            return Err(Refusal::Illegal);
        }
        let mut request =
            Self { path: (*path).to_owned(), block: None, window: None, wait: None, size: false };
        for pair in options.chunks_exact(2) {
            request.option(pair[0], pair[1]);
        }
        Ok(Some(request))
    }

    /// Takes an option; one that is not known or has no sense is passed over (RFC 2347).
    fn option(&mut self, name: &str, value: &str) {
        let number = value.parse::<u64>().ok();
        match (name.to_ascii_lowercase().as_str(), number) {
            ("blksize", Some(size @ 8..)) => self.block = Some(size.min(MAX_BLOCK.into()) as u16),
            ("windowsize", Some(size @ 1..)) => self.window = Some(size.min(MAX_WINDOW.into()) as u16),
            ("timeout", Some(wait @ 1..=255)) => self.wait = Some((wait as u8).min(MAX_WAIT)),
            ("tsize", Some(_)) => self.size = true,
            _ => {}
        }
    }

    /// The packet that grants options; `None` if none was asked for.
    pub fn granted(&self, size: u64) -> Option<Vec<u8>> {
        let mut out = OACK.to_be_bytes().to_vec();
        let mut add = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                out.extend(format!("{name}\0{value}\0").as_bytes());
            }
        };
        add("blksize", self.block.map(u64::from));
        add("windowsize", self.window.map(u64::from));
        // Only what was asked for may be granted, in the very words.
        add("timeout", self.wait.map(u64::from));
        add("tsize", self.size.then_some(size));
        (out.len() > 2).then_some(out)
    }
}

/// What a client says during a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It has all blocks up to this one.
    Has(u16),
    /// It wants no more.
    Ends,
    /// Nothing that belongs here.
    Other,
}

/// Reads what came in during a transfer.
pub fn acknowledged(bytes: &[u8]) -> Reply {
    match (bytes.len(), be16(bytes, 0)) {
        (4.., ACK) => Reply::Has(be16(bytes, 2)),
        (2.., ERROR) => Reply::Ends,
        _ => Reply::Other,
    }
}

/// Begins the packet of a block.
pub fn data(block: u16, out: &mut Vec<u8>) {
    out.clear();
    out.extend(DATA.to_be_bytes());
    out.extend(block.to_be_bytes());
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
