//! What a request gets: a text, a file, or a refusal. Everything but the sending.

use super::{Head, Method, Request};
use crate::serve::Service;
use crate::serve::page;
use crate::serve::rack::{Peer, Stage};
use crate::serve::tree::Opened;

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// A head and a short body.
    Text(Head, Vec<u8>),
    /// A head and a part of a file of the tree.
    File {
        /// The head.
        head: Head,
        /// The file.
        opened: Opened,
        /// First byte and number of bytes.
        part: (u64, u64),
        /// Its path in the tree.
        path: String,
    },
}

/// Answers a request. `body` is empty but for reports.
pub fn answer(service: &Service, peer: Peer, request: &Request, body: &[u8]) -> Answer {
    let page = request.path.trim_matches('/');
    let below = service.tree.list.url.path().trim_matches('/');
    let page = page.strip_prefix(below).map_or(page, |rest| rest.trim_start_matches('/'));
    if request.method == Method::Post {
        return match page {
            "report" => report(service, peer, request, body),
            _ => refuse(request, 405),
        };
    }
    match page {
        "" => text(request, "text/html; charset=utf-8", page::html(&service.board())),
        "status.json" => match page::json(&service.board()) {
            Ok(json) => text(request, "application/json", json),
            Err(_) => refuse(request, 500),
        },
        "metrics" => text(request, "text/plain; version=0.0.4", page::metrics(&service.board())),
        _ => file(service, peer, request),
    }
}

fn report(service: &Service, peer: Peer, request: &Request, body: &[u8]) -> Answer {
    let stage = request.query.strip_prefix("stage=").and_then(Stage::reported);
    let Some(stage) = stage else { return refuse(request, 400) };
    match service.report(peer, stage, &String::from_utf8_lossy(body)) {
        true => Answer::Text(head(request, 204, "text/plain", 0), Vec::new()),
        false => refuse(request, 403),
    }
}

fn file(service: &Service, peer: Peer, request: &Request) -> Answer {
    let Some((path, listed)) = service.tree.find(&request.path) else { return refuse(request, 404) };
    if !service.may(peer, path, &listed.to) {
        return refuse(request, 403);
    }
    let opened = match service.tree.read(path, listed) {
        Ok(opened) => opened,
        Err(error) => {
            service
                .log(&format!("{}/{path}: {error}; is the tree being changed?", service.tree.path.display()));
            return refuse(request, 500);
        }
    };
    let tag = format!("\"{}\"", listed.sha256);
    let ranged = request.if_range.as_ref().is_none_or(|wanted| *wanted == tag);
    let range = if ranged { request.range } else { super::Range::All };
    let size = listed.size;
    let Some(part) = range.resolve(size) else {
        let mut answer = refuse(request, 416);
        if let Answer::Text(head, _) = &mut answer {
            head.more.push(("Content-Range", format!("bytes */{size}")));
        }
        return answer;
    };
    let status = if range == super::Range::All { 200 } else { 206 };
    let mut head = head(request, status, kind(path), part.1);
    head.more.push(("Accept-Ranges", "bytes".to_owned()));
    head.more.push(("ETag", tag));
    if status == 206 {
        let last = (part.0 + part.1).saturating_sub(1);
        head.more.push(("Content-Range", format!("bytes {}-{last}/{size}", part.0)));
    }
    if listed.to.is_secret() {
        head.more.push(("Cache-Control", "no-store".to_owned()));
    }
    match request.method {
        Method::Head => Answer::Text(head, Vec::new()),
        _ => Answer::File { head, opened, part, path: path.to_owned() },
    }
}

fn head(request: &Request, status: u16, kind: &'static str, len: u64) -> Head {
    Head { status, kind, len, keep: request.keep, more: Vec::new() }
}

fn text(request: &Request, kind: &'static str, body: String) -> Answer {
    let mut head = head(request, 200, kind, body.len() as u64);
    head.more.push(("Cache-Control", "no-store".to_owned()));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    head.more.push(("Content-Security-Policy", policy.to_owned()));
    Answer::Text(head, if request.method == Method::Head { Vec::new() } else { body.into_bytes() })
}

fn refuse(request: &Request, status: u16) -> Answer {
    let Answer::Text(mut head, body) = refusal(status) else { return refusal(status) };
    head.keep = request.keep;
    Answer::Text(head, if request.method == Method::Head { Vec::new() } else { body })
}

/// An answer to what could not be read; the connection ends.
pub fn refusal(status: u16) -> Answer {
    let body = format!("{status} {}\n", super::reason(status)).into_bytes();
    let head = Head { status, kind: "text/plain", len: body.len() as u64, keep: false, more: Vec::new() };
    Answer::Text(head, body)
}

/// Type of a file by its name; firmware for HTTP Boot looks at it (UEFI 24.7.3.2), and at `.efi` and `.iso`.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("efi" | "EFI") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("cfg" | "ipxe" | "ks" | "txt") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "text/xml",
        _ => "application/octet-stream",
    }
}
