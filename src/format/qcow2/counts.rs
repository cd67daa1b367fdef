//! Reference counts of an image without snapshots: made anew from what refers to clusters, and written as a table of its own.
//! What two things claim at once is found on the way.

use super::damaged;
use super::header::Header;
use crate::error::{Error, Result};

/// Most clusters of a file: their counts are held in memory (32 MiB).
const MAX: u64 = 16 << 20;
/// A cluster that only one thing may claim.
const OWNED: u16 = 0x8000;

/// Counts of the clusters of a file.
#[derive(Debug)]
pub struct Counts {
    counts: Vec<u16>,
    cluster: u64,
}

/// The written counts.
#[derive(Debug)]
pub struct Written {
    /// Where the table lies, right behind what was counted.
    pub table_at: u64,
    /// Its clusters.
    pub table_clusters: u32,
    /// Table and blocks, in one run.
    pub bytes: Vec<u8>,
}

impl Counts {
    /// No cluster but the header's is claimed.
    pub fn new(header: &Header) -> Self {
        Self { counts: vec![OWNED | 1], cluster: header.cluster() }
    }

    fn at(&mut self, index: u64) -> Result<&mut u16> {
        if index >= MAX {
            let text =
                format!("the qcow2 file would have more than {MAX} clusters of {} bytes", self.cluster);
            return Err(Error::input(text).hint("give an image with larger clusters, or write a raw one"));
        }
        let index = index as usize;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        Ok(&mut self.counts[index])
    }

    /// Claims clusters for one thing alone.
    pub fn own(&mut self, at: u64, clusters: u64) -> Result<()> {
        let first = at / self.cluster;
        for index in first..first + clusters {
            let count = self.at(index)?;
            if *count != 0 {
                return Err(damaged(format_args!("two things lie in cluster {index}")));
            }
            *count = OWNED | 1;
        }
        Ok(())
    }

    /// Claims the clusters of compressed bytes, which others may share.
    pub fn share(&mut self, at: u64, len: u64) -> Result<()> {
        for index in at / self.cluster..=(at + len - 1) / self.cluster {
            let count = self.at(index)?;
            if *count & OWNED != 0 || *count == OWNED - 1 {
                return Err(damaged(format_args!("two things lie in cluster {index}")));
            }
            *count += 1;
        }
        Ok(())
    }

    /// Writes the counts for a place behind everything else, at `end`, a multiple of the cluster. They count themselves.
    pub fn write(mut self, end: u64) -> Result<Written> {
        let per_block = self.cluster / 2;
        let used = end / self.cluster;
        let (mut blocks, mut tables) = (1, 1);
        loop {
            let need = (used + blocks + tables).div_ceil(per_block);
            let table = (need * 8).div_ceil(self.cluster);
            if (need, table) == (blocks, tables) {
                break;
            }
            (blocks, tables) = (need, table);
        }
        self.own(end, tables + blocks)?;
        let mut bytes = Vec::with_capacity(((tables + blocks) * self.cluster) as usize);
        for block in 0..blocks {
            bytes.extend_from_slice(&(end + (tables + block) * self.cluster).to_be_bytes());
        }
        bytes.resize((tables * self.cluster) as usize, 0);
        for count in &self.counts {
            bytes.extend_from_slice(&(count & !OWNED).to_be_bytes());
        }
        bytes.resize(((tables + blocks) * self.cluster) as usize, 0);
        Ok(Written { table_at: end, table_clusters: tables as u32, bytes })
    }
}
