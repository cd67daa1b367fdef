//! Edits a copy of an image in place: grows the disk, puts runs of data behind everything else, changes sectors. What the image
//! holds already stays where it is. Tables and counts are written anew at the end, so a copy that was not finished is no image
//! to be used: callers edit a staging file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::counts::Counts;
use super::damaged;
use super::entry::{COPIED, Entry};
use super::header::Header;
use super::read::Qcow2;
use crate::error::{Error, IoContext, Result};
use crate::format::read_at::{ReadAt, Window};

/// An image that is being changed.
#[derive(Debug)]
pub struct Edit<'a> {
    file: &'a File,
    path: &'a Path,
    header: Header,
    l1: Vec<u64>,
    /// The next free byte of the file, a multiple of the cluster.
    end: u64,
}

impl<'a> Edit<'a> {
    /// Opens the image in `file`, which lies at `path`, and makes it a disk of `size` bytes.
    ///
    /// # Errors
    /// Of class input: the image cannot be used, or is larger than that.
    pub fn open(file: &'a File, path: &'a Path, size: u64) -> Result<Self> {
        let len = file.metadata().at("looking at", path)?.len();
        let image = Qcow2::open(Window::new(file, 0, len))?;
        let old = *image.header();
        if old.snapshots {
            return Err(Error::input("the qcow2 image has snapshots inside")
                .hint("make a plain one of it: qemu-img convert -O qcow2 OLD NEW"));
        }
        if size < old.size {
            return Err(Error::internal("a disk is not made smaller"));
        }
        let header = old.resized(size)?;
        let mut l1 = image.l1().to_vec();
        l1.truncate(old.l1_needed() as usize);
        l1.resize(header.l1_entries as usize, 0);
        Ok(Self { file, path, header, l1, end: len.next_multiple_of(header.cluster()) })
    }

    /// The image's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Gives the `len` bytes of the disk from `at`, which the image must not have yet, a place in the file, in one run: the byte
    /// where it begins. Writing there is the caller's.
    pub fn place(&mut self, at: u64, len: u64) -> Result<u64> {
        let cluster = self.header.cluster();
        if !at.is_multiple_of(cluster) || at.checked_add(len).is_none_or(|end| end > self.header.size) {
            return Err(Error::internal("data was given no fit place on the disk"));
        }
        let place = self.end;
        let (first, count) = (at / cluster, len.div_ceil(cluster));
        self.end += count * cluster;
        let per_table = self.header.l2_entries();
        let mut next = first;
        while next < first + count {
            let limit = ((next / per_table + 1) * per_table).min(first + count);
            let (table_at, mut table) = self.table(next / per_table)?;
            for index in next..limit {
                let slot = &mut table[(index % per_table) as usize];
                if *slot != 0 {
                    return Err(Error::internal("data was given a place on the disk that is taken"));
                }
                *slot = Entry::Data(place + (index - first) * cluster).raw(&self.header);
            }
            self.put_table(table_at, &table)?;
            next = limit;
        }
        Ok(place)
    }

    /// Changes bytes of the disk: in their place, or in a cluster of their own where they had none or lay compressed.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let (cluster, per_table) = (self.header.cluster(), self.header.l2_entries());
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let within = at % cluster;
            let (part, more) = rest.split_at((cluster - within).min(rest.len() as u64) as usize);
            let index = at / cluster;
            let (table_at, mut table) = self.table(index / per_table)?;
            let slot = &mut table[(index % per_table) as usize];
            if let Entry::Data(place) = Entry::parse(*slot, &self.header, self.end)? {
                self.file.write_all_at(part, place + within).at("writing", self.path)?;
            } else {
                let mut whole = self.old(index)?;
                whole[within as usize..within as usize + part.len()].copy_from_slice(part);
                *slot = Entry::Data(self.end).raw(&self.header);
                self.file.write_all_at(&whole, self.end).at("writing", self.path)?;
                self.end += cluster;
                self.put_table(table_at, &table)?;
            }
            (at, rest) = (at + part.len() as u64, more);
        }
        Ok(())
    }

    /// What a cluster holds that is not data in a place of its own.
    fn old(&self, index: u64) -> Result<Vec<u8>> {
        let cluster = self.header.cluster();
        let mut whole = vec![0; cluster as usize];
        // The image as it was: its header still says so. What was grown since is holes.
        let len = self.file.metadata().at("looking at", self.path)?.len();
        let image = Qcow2::open(Window::new(self.file, 0, len))?;
        let there = image.header().size.saturating_sub(index * cluster).min(cluster) as usize;
        if there > 0 {
            let read = image.read_exact_at(&mut whole[..there], index * cluster);
            read.map_err(|error| damaged("a cluster cannot be read").because(error))?;
        }
        Ok(whole)
    }

    /// A second-level table by its number, made if it is missing.
    fn table(&mut self, number: u64) -> Result<(u64, Vec<u64>)> {
        let cluster = self.header.cluster();
        let missing = || Error::internal("a cluster behind the end of the disk was asked for");
        let slot = self.l1.get_mut(number as usize).ok_or_else(missing)?;
        match super::entry::table(*slot, &self.header, self.end)? {
            Some(at) => {
                let mut bytes = vec![0; cluster as usize];
                FileExt::read_exact_at(self.file, &mut bytes, at).at("reading", self.path)?;
                let numbers = bytes.chunks_exact(8).map(|raw| crate::format::bytes::be64(raw, 0));
                Ok((at, numbers.collect()))
            }
            None => {
                let at = self.end;
                *slot = at | COPIED;
                self.end += cluster;
                Ok((at, vec![0; self.header.l2_entries() as usize]))
            }
        }
    }

    fn put_table(&self, at: u64, table: &[u64]) -> Result<()> {
        self.file.write_all_at(&be(table), at).at("writing", self.path)
    }

    /// Writes the first-level table, the counts and the header. The length of the file comes back.
    pub fn finish(mut self) -> Result<u64> {
        let cluster = self.header.cluster();
        self.header.l1_at = self.end;
        self.end += (self.l1.len() as u64 * 8).next_multiple_of(cluster);
        let mut counts = Counts::new(&self.header);
        counts.own(self.header.l1_at, (self.end - self.header.l1_at) / cluster)?;
        for number in 0..self.l1.len() {
            if self.l1[number] == 0 {
                continue;
            }
            let (at, table) = self.table(number as u64)?;
            counts.own(at, 1)?;
            let mut new = table.clone();
            for slot in new.iter_mut().filter(|slot| **slot != 0) {
                let entry = Entry::parse(*slot, &self.header, self.end)?;
                match entry {
                    Entry::Hole | Entry::Zero(None) => {}
                    Entry::Zero(Some(place)) | Entry::Data(place) => counts.own(place, 1)?,
                    Entry::Compressed { at, len } => counts.share(at, len)?,
                }
                *slot = entry.raw(&self.header);
            }
            if new != table {
                self.put_table(at, &new)?;
            }
            self.l1[number] = at | COPIED;
        }
        self.file.write_all_at(&be(&self.l1), self.header.l1_at).at("writing", self.path)?;
        let counts = counts.write(self.end)?;
        self.file.write_all_at(&counts.bytes, counts.table_at).at("writing", self.path)?;
        let mut header = self.header.to_bytes(counts.table_at, counts.table_clusters);
        // Extensions of the vendor's, a name of a backing file: gone.
        header.resize(cluster as usize, 0);
        self.file.write_all_at(&header, 0).at("writing", self.path)?;
        let len = counts.table_at + counts.bytes.len() as u64;
        self.file.set_len(len).at("sizing", self.path)?;
        Ok(len)
    }
}

/// Numbers as a table holds them.
pub fn be(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}
