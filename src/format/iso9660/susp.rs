//! The System Use Sharing Protocol and Rock Ridge (IEEE P1281, P1282): POSIX names, modes and links of ISO 9660 records.
//! Reads the entries of a record, follows its continuation areas, and remembers where each entry lies, so that a writer
//! can patch a number in place.

use crate::error::{Error, Result};
use crate::format::bytes::{le32, u8_at};
use crate::format::read_at::ReadAt;

use super::SECTOR;

/// Most continuation areas that one record may chain.
const MAX_HOPS: u32 = 32;

/// Where an entry lies, so that it can be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this offset of the record itself.
    Record(usize),
    /// At this byte of the view's image, in a continuation area.
    Image(u64),
}

/// What Rock Ridge says about a record.
#[derive(Debug, Clone, Default)]
pub struct RockRidge {
    /// Whether there was any entry of Rock Ridge.
    pub present: bool,
    /// Bytes to skip before the entries, from `SP` (P1281 5.3); only in the root's own record.
    pub skip: Option<u8>,
    /// File type and permissions, link count, owner, group (`PX`, P1282 4.1.1).
    pub posix: Option<Posix>,
    /// Length of the `PX` entry: 36 before RRIP 1.12, 44 since.
    pub px_len: u8,
    /// Where the `PX` entry lies.
    pub px_at: Option<Place>,
    /// Name (`NM`, 4.1.4).
    pub name: Option<Vec<u8>>,
    /// Target of a symbolic link (`SL`, 4.1.3).
    pub target: Option<String>,
    /// Block of the directory that was moved away from here (`CL`, 4.1.5.1), and where the entry lies.
    pub child: Option<(u32, Place)>,
    /// Block of the true parent of a moved directory (`PL`, 4.1.5.2), and where the entry lies.
    pub parent: Option<(u32, Place)>,
    /// Whether the directory was moved here (`RE`, 4.1.5.3).
    pub moved: bool,
    /// Whether there is an `RR` entry, as RRIP 1.09 and 1.10 want it.
    pub rr: bool,
    /// Identifier of the extension (`ER`, P1281 5.5).
    pub extension: Option<String>,
}

/// POSIX attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posix {
    /// File type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Number of links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// State of reading one record's entries.
struct Scan<'a, R> {
    source: &'a R,
    base: u64,
    out: RockRidge,
    link: Link,
}

/// Symbolic link target being put together from components.
#[derive(Default)]
struct Link {
    text: String,
    join: bool,
    seen: bool,
}

/// Reads the system use area of a record. `source` and `view_start` (bytes) tell where continuation areas lie; `skip` is
/// what the root's `SP` told.
pub fn scan(source: &impl ReadAt, view_start: u64, raw: &[u8], from: usize, skip: u8) -> Result<RockRidge> {
    let mut scan = Scan { source, base: view_start, out: RockRidge::default(), link: Link::default() };
    let from = from.saturating_add(usize::from(skip));
    let mut next = scan.area(raw.get(from..).unwrap_or(&[]), Place::Record(from));
    let mut hops = 0;
    while let Some((block, offset, len)) = next {
        hops += 1;
        if hops > MAX_HOPS {
            return Err(Error::input("a directory record has a chain of continuation areas without end"));
        }
        if u64::from(len) > SECTOR || u64::from(offset) >= SECTOR {
            return Err(Error::input(format!(
                "a continuation area has {len} bytes at offset {offset}: not in one block"
            )));
        }
        let at = u64::from(block) * SECTOR + u64::from(offset);
        let bytes = scan.source.read_vec_at(scan.base + at, len as usize);
        let bytes = bytes.map_err(|error| {
            Error::input(format!("a continuation area lies outside the image, at block {block}"))
                .because(error)
        })?;
        next = scan.area(&bytes, Place::Image(at));
    }
    if scan.link.seen {
        scan.out.target = Some(scan.link.text);
    }
    Ok(scan.out)
}

impl<R> Scan<'_, R> {
    /// Reads the entries of one area; gives the continuation area that follows.
    fn area(&mut self, bytes: &[u8], place: Place) -> Option<(u32, u32, u32)> {
        let mut at = 0;
        let mut next = None;
        while let Some(head) = bytes.get(at..at + 4) {
            let len = usize::from(head[2]);
            // Shorter than its own header: padding or damage. Either way nothing can follow.
            let Some(entry) = bytes.get(at..at + len).filter(|entry| entry.len() >= 4) else { break };
            let here = match place {
                Place::Record(from) => Place::Record(from + at),
                Place::Image(from) => Place::Image(from + at as u64),
            };
            match &entry[..2] {
                b"CE" if len >= 28 => next = Some((le32(entry, 4), le32(entry, 12), le32(entry, 20))),
                b"ST" => break,
                _ => self.entry(entry, here),
            }
            at += len;
        }
        next
    }

    fn entry(&mut self, entry: &[u8], here: Place) {
        let out = &mut self.out;
        match &entry[..2] {
            b"SP" if entry.len() >= 7 && entry[4..6] == [0xBE, 0xEF] => out.skip = Some(entry[6]),
            b"ER" => out.extension = extension(entry),
            b"RR" => out.rr = true,
            b"PX" if entry.len() >= 36 => {
                out.px_len = entry[2];
                out.px_at = Some(here);
                out.posix = Some(Posix {
                    mode: le32(entry, 4),
                    links: le32(entry, 12),
                    uid: le32(entry, 20),
                    gid: le32(entry, 28),
                });
            }
            b"NM" if entry.len() >= 5 && entry[4] & 0x06 == 0 => {
                out.name.get_or_insert_default().extend_from_slice(&entry[5..]);
            }
            b"SL" if entry.len() >= 5 => self.link.components(&entry[5..]),
            b"CL" if entry.len() >= 12 => out.child = Some((le32(entry, 4), here)),
            b"PL" if entry.len() >= 12 => out.parent = Some((le32(entry, 4), here)),
            b"RE" => out.moved = true,
            _ => return,
        }
        self.out.present = true;
    }
}

impl Link {
    /// Component records of `SL` (P1282 4.1.3.1).
    fn components(&mut self, mut rest: &[u8]) {
        self.seen = true;
        while rest.len() >= 2 {
            let (flags, len) = (rest[0], usize::from(rest[1]));
            let text = rest.get(2..2 + len).unwrap_or(&[]);
            if !self.text.is_empty() && !self.text.ends_with('/') && !self.join {
                self.text.push('/');
            }
            match flags & 0x0E {
                0x02 => self.text.push('.'),
                0x04 => self.text.push_str(".."),
                0x08 => self.text = "/".to_owned(),
                _ => self.text.push_str(&String::from_utf8_lossy(text)),
            }
            self.join = flags & 0x01 != 0;
            rest = rest.get(2 + len..).unwrap_or(&[]);
        }
    }
}

fn extension(entry: &[u8]) -> Option<String> {
    let len = usize::from(u8_at(entry, 4));
    entry.get(8..8 + len).map(|id| String::from_utf8_lossy(id).into_owned())
}
