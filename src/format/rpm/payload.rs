//! Files of a package: the payload behind its headers, a packed cpio archive (rpm's `docs/manual/format_payload`).
//!
//! Meant for a few small files, such as boot loaders; they are held in memory, within a limit.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::read::Rpm;
use crate::error::{Error, Result};
use crate::format::cpio::Reader;
use crate::format::read_at::ReadAt;
use crate::format::repodata::Limits;
use crate::format::repodata::compression::unpack;

/// Most bytes of a payload once unpacked.
const MAX_OPEN: u64 = 1 << 30;

/// Content of the files that `wanted` says yes to, by their path from `/` on. Together they may have `limit` bytes.
///
/// # Errors
/// Of class input: the payload is damaged, packed in a way that kiln does not read, or the files are too large.
pub fn files(
    source: &impl ReadAt,
    rpm: &Rpm,
    wanted: &dyn Fn(&str) -> bool,
    limit: u64,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let start = rpm.header.1;
    let packed = rpm.size.saturating_sub(start);
    let limits = Limits { open: MAX_OPEN, ..Limits::default() };
    let broken = |error: io::Error| Error::input("its payload cannot be unpacked").because(error);
    let unpacked = unpack(Rest { source, at: start, left: packed }, packed, None, &limits).map_err(broken)?;
    let mut reader = Reader::new(unpacked);
    let (mut found, mut left) = (BTreeMap::new(), limit);
    while let Some(member) = reader.next_member()? {
        let path = format!("/{}", member.name.trim_start_matches('.').trim_start_matches('/'));
        if !member.is_file() || !wanted(&path) {
            continue;
        }
        left = left
            .checked_sub(member.size)
            .ok_or_else(|| Error::input(format!("{} is larger than it should be", path.escape_debug())))?;
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).map_err(broken)?;
        found.insert(path, content);
    }
    Ok(found)
}

/// A source from a place on, as a stream.
struct Rest<'a, R> {
    source: &'a R,
    at: u64,
    left: u64,
}

impl<R: ReadAt> Read for Rest<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (buffer.len() as u64).min(self.left) as usize;
        self.source.read_exact_at(&mut buffer[..len], self.at)?;
        (self.at, self.left) = (self.at + len as u64, self.left - len as u64);
        Ok(len)
    }
}
