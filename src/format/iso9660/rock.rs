//! Directory records for new files, with Rock Ridge entries in the dialect of the base (IEEE P1282 4.1; RRIP 1.09 and 1.10
//! with their `RR` entry, 1.12 with serial numbers in `PX`).

use crate::format::bytes::{put, put_both32};

use super::record::FIXED;
use super::tree::Tree;

/// Longest record: its length is one byte, and even.
const MAX: usize = 254;
/// Longest name part of one `NM` entry.
const NM_MAX: usize = 250;

/// How the base writes Rock Ridge.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Whether it does at all.
    present: bool,
    /// Whether records have an `RR` entry.
    rr: bool,
    /// Length of `PX`.
    px_len: u8,
    /// Bytes before the entries.
    skip: u8,
    /// Date for new records: that of the base's root, for the clock must not decide bytes.
    date: [u8; 7],
}

/// What a new record says of its file.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// File type and permissions.
    pub mode: u32,
    /// Number of links.
    pub links: u32,
    /// Serial number, where the dialect has them; readers take equal ones for hard links.
    pub serial: u32,
}

/// A new record, and what of it lies in a continuation area.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The record; its extent is not set yet.
    pub raw: Vec<u8>,
    /// Where its `CE` entry lies.
    pub ce_at: Option<usize>,
    /// Entries that go into the continuation area.
    pub more: Vec<u8>,
}

impl Dialect {
    /// The dialect of a tree.
    pub fn of(tree: &Tree) -> Self {
        let root = tree.node(0);
        let rock = &root.rock;
        let date = root.dots.as_ref().map_or(root.records[0].date(), |dots| dots[0].0.date());
        let px_len = if rock.px_len >= 44 { 44 } else { 36 };
        Self { present: tree.rock_ridge, rr: rock.rr, px_len, skip: rock.skip.unwrap_or(0), date }
    }

    /// A record with this identifier, flags (ECMA-119 9.1.6) and, unless it is `.` or `..`, name.
    pub fn record(&self, id: &[u8], flags: u8, name: Option<&str>, facts: Facts) -> NewRecord {
        let mut raw = vec![0; FIXED];
        raw[18..25].copy_from_slice(&self.date);
        raw[25] = flags;
        put(&mut raw, 28, &[1, 0, 0, 1]); // volume sequence number 1 (9.1.9)
        raw[32] = id.len() as u8;
        raw.extend_from_slice(id);
        raw.resize(raw.len().next_multiple_of(2), 0);
        let mut new = NewRecord { raw, ce_at: None, more: Vec::new() };
        if self.present {
            self.entries(&mut new, name, facts);
        }
        new.raw.resize(new.raw.len().next_multiple_of(2), 0);
        new.raw[0] = new.raw.len() as u8;
        new
    }

    fn entries(&self, new: &mut NewRecord, name: Option<&str>, facts: Facts) {
        let raw = &mut new.raw;
        raw.resize(raw.len() + usize::from(self.skip), 0);
        if self.rr {
            // Which entries follow: PX, NM, TF (RRIP 1.10, 4.1).
            let which = if name.is_some() { 0x89 } else { 0x81 };
            raw.extend_from_slice(&[b'R', b'R', 5, 1, which]);
        }
        let mut px = vec![0; usize::from(self.px_len)];
        px[..4].copy_from_slice(&[b'P', b'X', self.px_len, 1]);
        put_both32(&mut px, 4, facts.mode);
        put_both32(&mut px, 12, facts.links);
        put_both32(&mut px, 36, facts.serial);
        if self.px_len < 44 {
            px.truncate(36);
        }
        raw.extend_from_slice(&px);
        // Times of modification, access and attribute change, in the short form (4.1.6).
        raw.extend_from_slice(&[b'T', b'F', 26, 1, 0x0E]);
        (0..3).for_each(|_| raw.extend_from_slice(&self.date));
        let Some(name) = name else { return };
        if raw.len() + 5 + name.len() <= MAX {
            raw.extend(nm(name.as_bytes()));
        } else {
            new.ce_at = Some(raw.len());
            raw.extend_from_slice(&[b'C', b'E', 28, 1]);
            raw.resize(raw.len() + 24, 0);
            new.more = nm(name.as_bytes());
        }
    }
}

/// `NM` entries for a name; all but the last say that the name goes on (4.1.4).
fn nm(name: &[u8]) -> Vec<u8> {
    let parts = name.chunks(NM_MAX);
    let last = parts.len().saturating_sub(1);
    let mut out = Vec::new();
    for (i, part) in parts.enumerate() {
        out.extend_from_slice(&[b'N', b'M', (5 + part.len()) as u8, 1, u8::from(i < last)]);
        out.extend_from_slice(part);
    }
    out
}
