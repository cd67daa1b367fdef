//! The reader. It trusts nothing: every table is bounded and lies in the file, and what is held is bounded.

use std::io;
use std::sync::Arc;

use super::cache::Cache;
use super::codec::decode;
use super::damaged;
use super::entry::{self, Entry};
use super::header::Header;
use crate::error::{Error, Result};
use crate::format::bytes::be64;
use crate::format::read_at::{ReadAt, Sparse};

/// Bytes of tables, and of unpacked clusters, that are held.
const HELD: u64 = 4 << 20;

/// An opened image.
#[derive(Debug)]
pub struct Qcow2<R> {
    source: R,
    /// Length of the file.
    len: u64,
    header: Header,
    l1: Vec<u64>,
    tables: Cache<Arc<[u64]>>,
    clusters: Cache<Arc<[u8]>>,
}

impl<R: ReadAt> Qcow2<R> {
    /// Opens an image.
    ///
    /// # Errors
    /// Of class input, with the reason.
    pub fn open(source: R) -> Result<Self> {
        let header = Header::read(&source)?;
        let unreadable = |error| Error::input("the image cannot be read").because(error);
        let len = source.size().map_err(unreadable)?;
        let bytes = source.read_vec_at(header.l1_at, header.l1_entries as usize * 8).map_err(unreadable)?;
        let l1 = numbers(&bytes);
        let most = (HELD >> header.cluster_bits) as usize;
        Ok(Self { source, len, header, l1, tables: Cache::new(most), clusters: Cache::new(most) })
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Entries of the first-level table.
    pub(super) fn l1(&self) -> &[u64] {
        &self.l1
    }

    /// The second-level table that an entry of the first one points to: where it lies, and its entries.
    pub(super) fn table(&self, raw: u64) -> Result<Option<(u64, Arc<[u64]>)>> {
        let Some(at) = entry::table(raw, &self.header, self.len)? else { return Ok(None) };
        let table = self.tables.get(at, || {
            let bytes = self.source.read_vec_at(at, self.header.cluster() as usize);
            let bytes = bytes.map_err(|error| damaged("a table cannot be read").because(error))?;
            Ok::<_, Error>(numbers(&bytes).into())
        })?;
        Ok(Some((at, table)))
    }

    /// Where a cluster of the disk is.
    pub fn entry(&self, cluster: u64) -> Result<Entry> {
        let per_table = self.header.l2_entries();
        let raw = self.l1.get((cluster / per_table) as usize).copied().unwrap_or(0);
        match self.table(raw)? {
            None => Ok(Entry::Hole),
            Some((_, table)) => {
                let raw = table.get((cluster % per_table) as usize).copied().unwrap_or(0);
                Entry::parse(raw, &self.header, self.len)
            }
        }
    }

    /// Reads part of a cluster.
    fn part(&self, cluster: u64, within: u64, out: &mut [u8]) -> Result<()> {
        let unreadable = |error| damaged("a cluster cannot be read").because(error);
        match self.entry(cluster)? {
            Entry::Hole | Entry::Zero(_) => out.fill(0),
            Entry::Data(at) => self.padded(at + within, out).map_err(unreadable)?,
            Entry::Compressed { at, len } if out.len() as u64 == self.header.cluster() => {
                self.unpack(at, len, out).map_err(unreadable)?;
            }
            Entry::Compressed { at, len } => {
                let whole = self.clusters.get(at, || {
                    let mut whole = vec![0; self.header.cluster() as usize];
                    self.unpack(at, len, &mut whole).map(|()| Arc::from(whole))
                });
                let whole = whole.map_err(unreadable)?;
                whole.as_ref().read_exact_at(out, within).map_err(unreadable)?;
            }
        }
        Ok(())
    }

    /// Reads from the file; what is behind its end is zero, as the last cluster need not be whole.
    fn padded(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.len.saturating_sub(at).min(out.len() as u64) as usize;
        let (head, tail) = out.split_at_mut(there);
        tail.fill(0);
        if head.is_empty() { Ok(()) } else { self.source.read_exact_at(head, at) }
    }

    fn unpack(&self, at: u64, len: u64, out: &mut [u8]) -> io::Result<()> {
        // A cluster that takes more than itself and a sector is no compressed one; the field can say twice that.
        let len = len.min(self.header.cluster() + super::SECTOR).min(self.len - at);
        let bytes = self.source.read_vec_at(at, len as usize)?;
        decode(self.header.compression, &bytes, out)
    }
}

impl<R: ReadAt> ReadAt for Qcow2<R> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.header.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (size, mut at, mut rest) = (self.header.cluster(), offset, buf);
        while !rest.is_empty() {
            let within = at % size;
            let now = (size - within).min(rest.len() as u64) as usize;
            let (part, more) = rest.split_at_mut(now);
            self.part(at / size, within, part).map_err(invalid)?;
            (at, rest) = (at + now as u64, more);
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.header.size)
    }
}

impl<R: ReadAt> Sparse for Qcow2<R> {
    fn next_data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        let (size, clusters, per_table) =
            (self.header.cluster(), self.header.clusters(), self.header.l2_entries());
        let holds = |cluster| {
            let entry = self.entry(cluster).map_err(invalid)?;
            Ok::<_, io::Error>(!matches!(entry, Entry::Hole | Entry::Zero(_)))
        };
        let mut first = from / size;
        while first < clusters {
            if self.l1.get((first / per_table) as usize).is_none_or(|raw| *raw == 0) {
                first = (first / per_table + 1) * per_table;
            } else if holds(first)? {
                break;
            } else {
                first += 1;
            }
        }
        // A disk may end within its last cluster.
        if first >= clusters || from >= self.header.size {
            return Ok(None);
        }
        // As far as one table goes: who asks goes on from there.
        let limit = ((first / per_table + 1) * per_table).min(clusters);
        let mut last = first + 1;
        while last < limit && holds(last)? {
            last += 1;
        }
        Ok(Some(((first * size).max(from), (last * size).min(self.header.size))))
    }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    (0..bytes.len() / 8).map(|index| be64(bytes, index * 8)).collect()
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
