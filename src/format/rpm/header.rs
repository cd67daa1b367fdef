//! A header of an RPM: an index of tags, and a store of values that it points into (rpm's `docs/manual/format_header`). Every
//! offset, count and type is checked before a value is read; the header is in memory, at most [`MAX_DATA`] bytes.

use crate::error::{Error, Result};
use crate::format::bytes::{be16, be32, be64, u8_at};
use crate::format::read_at::ReadAt;

/// Start of a header, with its version.
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Length of what comes before the index.
const INTRO: u64 = 16;
/// Length of an entry of the index.
const ENTRY: usize = 16;
/// Most entries; rpm's own limit.
const MAX_ENTRIES: u32 = 65_535;
/// Most bytes of values. The largest packages have some megabytes.
const MAX_DATA: u32 = 64 << 20;

/// Types of values.
mod kind {
    pub(super) const INT16: u32 = 3;
    pub(super) const INT32: u32 = 4;
    pub(super) const INT64: u32 = 5;
    pub(super) const STRING: u32 = 6;
    pub(super) const BINARY: u32 = 7;
    pub(super) const STRINGS: u32 = 8;
    pub(super) const TRANSLATED: u32 = 9;
}

/// A header.
#[derive(Debug)]
pub(super) struct Header {
    index: Vec<u8>,
    data: Vec<u8>,
    /// Where it starts in the file.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
}

/// Reads a number at a place of some bytes.
type ReadNumber = fn(&[u8], usize) -> u64;

/// An entry of the index.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

impl Header {
    /// Reads the header that starts at `start`. `what` names it in messages.
    pub fn read(source: &impl ReadAt, start: u64, what: &str) -> Result<Self> {
        let broken = |fault: &str| Error::input(format!("its {what} is damaged: {fault}"));
        let cut = |_| broken("the file ends within it");
        let intro = source.read_vec_at(start, INTRO as usize).map_err(cut)?;
        if intro[..4] != MAGIC {
            return Err(broken("it does not begin as one"));
        }
        let (entries, len) = (be32(&intro, 8), be32(&intro, 12));
        if entries > MAX_ENTRIES || len > MAX_DATA {
            return Err(broken("it says that it is larger than any"));
        }
        let table = u64::from(entries) * ENTRY as u64;
        let end = start.saturating_add(INTRO + table + u64::from(len));
        // Nothing is allocated that the file cannot fill.
        if source.size().map_err(|_| broken("its length cannot be told"))? < end {
            return Err(broken("the file ends within it"));
        }
        let index = source.read_vec_at(start + INTRO, table as usize).map_err(cut)?;
        let data = source.read_vec_at(start + INTRO + table, len as usize).map_err(cut)?;
        Ok(Self { index, data, start, end })
    }

    /// Bytes as they lie in the file, for digests.
    pub fn bytes(&self) -> [Vec<u8>; 3] {
        let mut intro = MAGIC.to_vec();
        intro.extend([0; 4]);
        intro.extend(((self.index.len() / ENTRY) as u32).to_be_bytes());
        intro.extend((self.data.len() as u32).to_be_bytes());
        [intro, self.index.clone(), self.data.clone()]
    }

    fn find(&self, tag: u32) -> Option<Entry> {
        let row = self.index.chunks_exact(ENTRY).find(|row| be32(row, 0) == tag)?;
        let (kind, offset, count) = (be32(row, 4), be32(row, 8) as usize, be32(row, 12) as usize);
        Some(Entry { kind, offset, count })
    }

    fn fault(tag: u32) -> Error {
        Error::input(format!("its header is damaged: tag {tag} is not what it should be"))
    }

    /// Texts that end in NUL, one after the other.
    fn texts(&self, tag: u32, entry: Entry, count: usize) -> Result<Vec<String>> {
        let mut rest = self.data.get(entry.offset..).ok_or_else(|| Self::fault(tag))?;
        // Each takes a byte at least.
        if count > rest.len() {
            return Err(Self::fault(tag));
        }
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            let end = rest.iter().position(|byte| *byte == 0).ok_or_else(|| Self::fault(tag))?;
            texts.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            rest = &rest[end + 1..];
        }
        Ok(texts)
    }

    /// A text, or the first of its translations; `None` if the tag is not there.
    pub fn text(&self, tag: u32) -> Result<Option<String>> {
        match self.find(tag) {
            None => Ok(None),
            Some(entry) if matches!(entry.kind, kind::STRING | kind::TRANSLATED | kind::STRINGS) => {
                Ok(self.texts(tag, entry, 1)?.pop())
            }
            Some(_) => Err(Self::fault(tag)),
        }
    }

    /// A list of texts; empty if the tag is not there.
    pub fn list(&self, tag: u32) -> Result<Vec<String>> {
        match self.find(tag) {
            None => Ok(Vec::new()),
            Some(entry) if matches!(entry.kind, kind::STRING | kind::TRANSLATED | kind::STRINGS) => {
                self.texts(tag, entry, entry.count)
            }
            Some(_) => Err(Self::fault(tag)),
        }
    }

    /// A list of numbers of 16, 32 or 64 bits; empty if the tag is not there.
    pub fn numbers(&self, tag: u32) -> Result<Vec<u64>> {
        let Some(entry) = self.find(tag) else { return Ok(Vec::new()) };
        let (width, read): (usize, ReadNumber) = match entry.kind {
            kind::INT16 => (2, |bytes, at| u64::from(be16(bytes, at))),
            kind::INT32 => (4, |bytes, at| u64::from(be32(bytes, at))),
            kind::INT64 => (8, be64),
            _ => return Err(Self::fault(tag)),
        };
        let end = entry.count.checked_mul(width).and_then(|len| entry.offset.checked_add(len));
        let bytes = end.and_then(|end| self.data.get(entry.offset..end)).ok_or_else(|| Self::fault(tag))?;
        Ok(bytes.chunks_exact(width).map(|number| read(number, 0)).collect())
    }

    /// The first number of a list.
    pub fn number(&self, tag: u32) -> Result<Option<u64>> {
        Ok(self.numbers(tag)?.first().copied())
    }

    /// Bytes; `None` if the tag is not there.
    pub fn binary(&self, tag: u32) -> Result<Option<&[u8]>> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let end = entry.offset.checked_add(entry.count).filter(|_| entry.kind == kind::BINARY);
        let bytes = end.and_then(|end| self.data.get(entry.offset..end));
        bytes.map(Some).ok_or_else(|| Self::fault(tag))
    }

    /// Whether the tag is there.
    pub fn has(&self, tag: u32) -> bool {
        self.find(tag).is_some()
    }

    /// Bytes that pad the header to a multiple of eight.
    pub fn padding(&self) -> u64 {
        (8 - (self.end - self.start) % 8) % 8
    }
}

/// Whether a file begins as a binary package (the "lead").
pub(super) fn is_binary(lead: &[u8]) -> bool {
    lead.starts_with(&[0xed, 0xab, 0xee, 0xdb]) && u8_at(lead, 6) == 0 && u8_at(lead, 7) == 0
}
