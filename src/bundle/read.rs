//! Reading a bundle as a stream: its parts, its compression, its members. What members may be is for who takes them.

use std::io::Read;
use std::path::PathBuf;

use super::WINDOW_LOG;
use super::parts::{Chain, find};
use crate::error::{Class, Error, Result};
use crate::format::tar::read::{Member, Reader};
use crate::progress::Progress;

/// Gives each member with its content, in order; then the bundle's name for messages. `files` are its parts, or its name.
pub(super) fn members(
    files: &[PathBuf],
    progress: &dyn Progress,
    mut take: impl FnMut(&Member, &mut dyn Read) -> Result<()>,
) -> Result<String> {
    let parts = find(files)?;
    let shown = parts.first().map(|part| part.display().to_string()).unwrap_or_default();
    let sizes = parts.iter().filter_map(|part| std::fs::metadata(part).ok()).map(|facts| facts.len());
    progress.total(sizes.sum());
    let chain = Counted { inner: Chain::new(parts), progress };
    let bad = |error: std::io::Error| damaged(error).context(&shown);
    let mut decoder = zstd::Decoder::new(chain).map_err(bad)?;
    decoder.window_log_max(WINDOW_LOG).map_err(bad)?;
    let mut source = Source { inner: decoder, fault: None };
    let mut reader = Reader::new(&mut source);
    let mut all = || -> Result<()> {
        while let Some(member) = reader.next_member()? {
            take(&member, &mut reader.content())?;
        }
        Ok(())
    };
    let result = all();
    // Why the source could not be read says more than what the archive's reader makes of it.
    if let Some(fault) = source.fault.take() {
        return Err(bad(fault));
    }
    result.map_err(|error| error.context(&shown))?;
    // The checksum of the frame comes after the last member.
    std::io::copy(&mut source, &mut std::io::sink()).map_err(bad)?;
    Ok(shown)
}

/// What cannot be read: a damaged bundle, unless the device says that it failed.
pub(super) fn damaged(error: std::io::Error) -> Error {
    let class = if error.raw_os_error().is_some() { Class::Io } else { Class::Input };
    Error::new(class, "it is no bundle, or a damaged one, or a part is missing")
        .because(error)
        .hint("copy it again, all of its parts")
}

/// Remembers why reading failed.
struct Source<R> {
    inner: R,
    fault: Option<std::io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != std::io::ErrorKind::Interrupted {
                self.fault = Some(error);
            }
            kind.into()
        })
    }
}

/// Tells how much was read.
struct Counted<'a, R> {
    inner: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let now = self.inner.read(buffer)?;
        self.progress.advance(now as u64);
        Ok(now)
    }
}
