//! The content of a file of an image, as a stream.

use std::io::{self, Read};

use super::SECTOR;
use super::read::Iso;
use super::tree::{Extent, Node};
use crate::format::read_at::ReadAt;

/// Reads a file from its first byte to its last, whatever extents it lies in.
#[derive(Debug)]
pub struct Content<'a, R> {
    source: &'a R,
    start: u64,
    extents: Vec<Extent>,
    next: usize,
    done: u32,
}

impl<R: ReadAt> Iso<R> {
    /// The content of a file.
    pub fn content(&self, node: &Node) -> Content<'_, R> {
        let start = u64::from(self.start()) * SECTOR;
        Content { source: self.source(), start, extents: node.extents().collect(), next: 0, done: 0 }
    }
}

impl<R: ReadAt> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(extent) = self.extents.get(self.next) {
            let left = extent.len.saturating_sub(self.done);
            if left == 0 {
                (self.next, self.done) = (self.next + 1, 0);
                continue;
            }
            let len = buffer.len().min(left as usize);
            let at = self.start + u64::from(extent.block) * SECTOR + u64::from(self.done);
            self.source.read_exact_at(&mut buffer[..len], at)?;
            self.done += len as u32;
            return Ok(len);
        }
        Ok(0)
    }
}
