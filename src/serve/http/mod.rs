//! HTTP/1.1 as far as loaders, installers and browsers need it (RFC 9110, RFC 9112): heads of requests, ranges, heads of answers.
//!
//! [`parse`] reads the head of a request, bounded; [`Range::resolve`] says which bytes are meant; [`Head`] writes the head of an answer.
//! Not here: sockets ([`server`]), bodies in chunks, TLS, HTTP/2.

pub mod answer;
pub mod server;

use std::fmt::Write as _;

/// Longest head of a request.
pub const MAX_HEAD: usize = 8 << 10;
/// Most headers.
const MAX_HEADERS: usize = 64;
/// Longest body: a report of a node.
pub const MAX_BODY: u64 = 16 << 10;

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A file with its content.
    Get,
    /// What there is to know of a file.
    Head,
    /// A report.
    Post,
}

/// What of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// All of it.
    All,
    /// From a byte on, up to another one or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

impl Range {
    /// Reads `bytes=…`. Several ranges, and what is no range, are as if nothing was said (RFC 9110 14.2).
    fn parse(text: &str) -> Self {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let Some((from, to)) = text.strip_prefix("bytes=").and_then(|text| text.trim().split_once('-'))
        else {
            return Range::All;
        };
        match (number(from), number(to)) {
            (Some(from), None) if to.is_empty() => Range::From(from, None),
            (Some(from), Some(to)) if from <= to => Range::From(from, Some(to)),
            (None, Some(last)) if from.is_empty() => Range::Last(last),
            _ => Range::All,
        }
    }

    /// First byte and number of bytes in a file of a size; `None` if there are no such bytes.
    pub fn resolve(self, size: u64) -> Option<(u64, u64)> {
        match self {
            Range::All => Some((0, size)),
            Range::From(from, _) if from >= size => None,
            Range::From(from, to) => {
                let end = to.map_or(size, |to| to.saturating_add(1).min(size));
                Some((from, end - from))
            }
            Range::Last(0) => None,
            Range::Last(last) => {
                let len = last.min(size);
                (size > 0).then_some((size - len, len))
            }
        }
    }
}

/// A request, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path, with percent-encoding undone.
    pub path: String,
    /// What stands behind `?`.
    pub query: String,
    /// Whether the connection stays open.
    pub keep: bool,
    /// What of the file.
    pub range: Range,
    /// The range counts only for the file of this tag.
    pub if_range: Option<String>,
    /// Bytes of the body.
    pub body: u64,
}

/// What came of reading a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    More,
    /// A request, and the length of its head.
    Request(Box<Request>, usize),
    /// It is refused with this status, and the connection is closed.
    Refused(u16),
}

/// Reads the head of a request.
pub fn parse(bytes: &[u8]) -> Parsed {
    // An empty line before a request is passed over (RFC 9112 2.2).
    let skipped = bytes.iter().take(4).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let rest = &bytes[skipped..];
    let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if rest.len() > MAX_HEAD { Parsed::Refused(431) } else { Parsed::More };
    };
    if end > MAX_HEAD {
        return Parsed::Refused(431);
    }
    let Ok(text) = std::str::from_utf8(&rest[..end]) else { return Parsed::Refused(400) };
    match request(text) {
        Ok(request) => Parsed::Request(Box::new(request), skipped + end + 4),
        Err(status) => Parsed::Refused(status),
    }
}

fn request(text: &str) -> Result<Request, u16> {
    let mut lines = text.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = first.as_slice() else { return Err(400) };
    let method = match *method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) => return Err(405),
        _ => return Err(400),
    };
    let keep = match *version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        version if version.starts_with("HTTP/") => return Err(505),
        _ => return Err(400),
    };
    let (path, query) = target_of(target).ok_or(400_u16)?;
    let mut request = Request { method, path, query, keep, range: Range::All, if_range: None, body: 0 };
    let mut length = None;
    for (count, line) in lines.enumerate() {
        if count == MAX_HEADERS {
            return Err(431);
        }
        let (name, value) = line.split_once(':').ok_or(400_u16)?;
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(400);
        }
        header(&mut request, &mut length, &name.to_ascii_lowercase(), value.trim())?;
    }
    request.body = length.unwrap_or(0);
    if request.method != Method::Post && request.body > 0 {
        return Err(400);
    }
    Ok(request)
}

fn header(request: &mut Request, length: &mut Option<u64>, name: &str, value: &str) -> Result<(), u16> {
    match name {
        "connection" => {
            for word in value.split(',').map(str::trim) {
                match word.to_ascii_lowercase().as_str() {
                    "close" => request.keep = false,
                    "keep-alive" => request.keep = true,
                    _ => {}
                }
            }
        }
        "range" => request.range = Range::parse(value),
        "if-range" => request.if_range = Some(value.to_owned()),
        "content-length" => {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { value.parse().ok() } else { None };
            // Two lengths are how a second request is smuggled in.
            if number.is_none() || length.is_some_and(|old| Some(old) != number) {
                return Err(400);
            }
            if number > Some(MAX_BODY) {
                return Err(413);
            }
            *length = number;
        }
        "transfer-encoding" => return Err(501),
        _ => {}
    }
    Ok(())
}

/// Path and query of what is asked for; `http://host/path` is taken, too (RFC 9112 3.2.2).
fn target_of(target: &str) -> Option<(String, String)> {
    let rest = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => &rest[rest.find('/')?..],
        _ => target,
    };
    if !rest.starts_with('/') {
        return None;
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Some((decoded(path)?, decoded(query)?))
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let pair = [bytes.next()?, bytes.next()?];
                let digit = |byte: u8| char::from(byte).to_digit(16);
                (digit(pair[0])? * 16 + digit(pair[1])?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Status.
    pub status: u16,
    /// Type of the content.
    pub kind: &'static str,
    /// Length of the content.
    pub len: u64,
    /// Whether the connection stays open.
    pub keep: bool,
    /// Further headers.
    pub more: Vec<(&'static str, String)>,
}

impl Head {
    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { status, kind, len, keep, .. } = self;
        let connection = if *keep { "keep-alive" } else { "close" };
        let mut out = format!(
            "HTTP/1.1 {status} {}\r\nServer: kiln\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: {connection}\r\n",
            reason(*status)
        );
        for (name, value) in &self.more {
            // Writing to a string does not fail.
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.push_str("\r\n");
        out.into_bytes()
    }
}

/// The words of a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
