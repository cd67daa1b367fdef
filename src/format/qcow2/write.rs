//! Writers of whole images: a blank disk, and any disk compressed. The second streams: clusters are compressed by all
//! processors and written in the order of the disk, so the same disk gives the same bytes whatever the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::codec::{Compression, Encoder};
use super::counts::Counts;
use super::edit::be;
use super::entry::{COPIED, Entry};
use super::header::Header;
use crate::error::{Class, Error, Result};
use crate::format::read_at::Sparse;
use crate::parallel;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
/// Bytes of the disk that are compressed at a time.
const BATCH: u64 = 1 << 20;

fn header(size: u64, compression: Compression) -> Result<Header> {
    let header = Header {
        version: 3,
        cluster_bits: CLUSTER_BITS,
        size,
        l1_entries: 0,
        l1_at: 0,
        compression,
        snapshots: false,
    };
    header.resized(size)
}

/// Writes a disk of `size` bytes that reads as zeros.
pub fn blank(file: &File, size: u64) -> Result<()> {
    let header = header(size, Compression::Zlib)?;
    let l1 = vec![0; header.l1_entries as usize];
    let mut out = Out { file, end: CLUSTER as u64, counts: Counts::new(&header), header };
    out.finish(&l1).map(|_| ())
}

/// Writes `source` as a compressed image; clusters of zeros are left out. `upto` is told how far of the disk it is.
pub fn write(
    source: &(impl Sparse + Sync),
    file: &File,
    compression: Compression,
    mut upto: impl FnMut(u64),
) -> Result<u64> {
    let size = source.size().map_err(failed)?;
    let header = header(size, compression)?;
    let per_table = header.l2_entries();
    let mut out = Out { file, end: CLUSTER as u64, counts: Counts::new(&header), header };
    let mut l1 = vec![0; header.l1_entries as usize];
    let mut table = Table { number: 0, entries: vec![0; per_table as usize], used: false };
    let encoders = || {
        let mut encoder = Encoder::new(compression, CLUSTER);
        move |(from, to): (u64, u64)| match &mut encoder {
            Ok(encoder) => pack(source, encoder, from, to),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    };
    parallel::ordered(batches(source, size), &encoders, |packed| {
        for (index, cluster) in packed.map_err(failed)? {
            if index / per_table != table.number {
                out.table(&mut table, &mut l1)?;
                table.number = index / per_table;
            }
            table.entries[(index % per_table) as usize] = out.cluster(&cluster)?.raw(&header);
            table.used = true;
            upto((index + 1) * CLUSTER as u64);
        }
        Ok(())
    })?;
    out.table(&mut table, &mut l1)?;
    out.finish(&l1)
}

/// A cluster that is not zero.
enum Packed {
    Compressed(Vec<u8>),
    Plain(Vec<u8>),
}

/// Reads and compresses the clusters of a part of the disk; zeros are dropped.
fn pack(source: &impl Sparse, encoder: &mut Encoder, from: u64, to: u64) -> io::Result<Vec<(u64, Packed)>> {
    let bytes = source.read_vec_at(from, (to - from) as usize)?;
    let first = from / CLUSTER as u64;
    let mut out = Vec::new();
    for (index, cluster) in (first..).zip(bytes.chunks(CLUSTER)) {
        if cluster.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut cluster = cluster.to_vec();
        cluster.resize(CLUSTER, 0);
        let packed = encoder.encode(&cluster).map(<[u8]>::to_vec);
        out.push((index, packed.map_or(Packed::Plain(cluster), Packed::Compressed)));
    }
    Ok(out)
}

/// Parts of the disk that may hold data, in order: whole clusters, each once.
fn batches(source: &impl Sparse, size: u64) -> impl Iterator<Item = Result<(u64, u64)>> {
    let (mut next, mut end) = (0, 0);
    std::iter::from_fn(move || {
        if next >= end {
            match source.next_data(next) {
                Ok(Some((from, to))) => {
                    let cluster = CLUSTER as u64;
                    next = next.max(from / cluster * cluster);
                    end = to.next_multiple_of(cluster).min(size);
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(failed(error))),
            }
        }
        let from = next;
        next = (from + BATCH).min(end);
        Some(Ok((from, next)))
    })
}

/// The second-level table that is being filled.
struct Table {
    number: u64,
    entries: Vec<u64>,
    used: bool,
}

struct Out<'a> {
    file: &'a File,
    end: u64,
    counts: Counts,
    header: Header,
}

impl Out<'_> {
    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|error| Error::new(Class::Io, "writing the image failed").because(error))
    }

    fn align(&mut self) {
        self.end = self.end.next_multiple_of(CLUSTER as u64);
    }

    fn cluster(&mut self, cluster: &Packed) -> Result<Entry> {
        let sector = super::SECTOR;
        let (bytes, entry) = match cluster {
            Packed::Compressed(bytes) => {
                let end = self.end + bytes.len() as u64;
                let len = end.next_multiple_of(sector) - self.end;
                // Sectors that two compressed clusters share are in one cluster of the file, or the next begins a new one.
                self.counts.share(self.end, len)?;
                (bytes, Entry::Compressed { at: self.end, len })
            }
            Packed::Plain(bytes) => {
                self.align();
                self.counts.own(self.end, 1)?;
                (bytes, Entry::Data(self.end))
            }
        };
        self.put(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(entry)
    }

    /// Writes the table, if anything is in it, and begins a new one.
    fn table(&mut self, table: &mut Table, l1: &mut [u64]) -> Result<()> {
        if !table.used {
            return Ok(());
        }
        self.align();
        self.counts.own(self.end, 1)?;
        self.put(&be(&table.entries), self.end)?;
        l1[table.number as usize] = self.end | COPIED;
        self.end += CLUSTER as u64;
        table.entries.fill(0);
        table.used = false;
        Ok(())
    }

    /// Writes the first-level table, the counts and the header; gives the length of the file.
    fn finish(&mut self, l1: &[u64]) -> Result<u64> {
        self.align();
        self.header.l1_at = self.end;
        let clusters = (l1.len() as u64 * 8).div_ceil(CLUSTER as u64);
        self.counts.own(self.end, clusters)?;
        self.put(&be(l1), self.end)?;
        self.end += clusters * CLUSTER as u64;
        let counts = std::mem::replace(&mut self.counts, Counts::new(&self.header)).write(self.end)?;
        self.put(&counts.bytes, counts.table_at)?;
        self.put(&self.header.to_bytes(counts.table_at, counts.table_clusters), 0)?;
        let len = counts.table_at + counts.bytes.len() as u64;
        let sized = self.file.set_len(len);
        sized.map_err(|error| Error::new(Class::Io, "sizing the image failed").because(error))?;
        Ok(len)
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(Class::Io, "reading the disk failed").because(error)
}
