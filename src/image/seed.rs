//! Writes a seed: a volume of its own in a file of its own, staged first, so that it is published together with the medium that
//! needs it.

use std::path::Path;

use super::staging::{Staging, no_room};
use super::stream::Blobs;
use super::{MediumFile, ahead, volume};
use crate::digest::Sha256;
use crate::error::{Context, IoContext, Result};
use crate::progress::Progress;

/// A seed that is on the disk, but has not its name yet; dropped, it is removed.
#[derive(Debug)]
pub struct Staged {
    staging: Staging,
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
}

/// Writes `files`, in that order, as a volume of that label beside `output`. Nobody but the owner may read it.
///
/// # Errors
/// Input: two files of one path. Io: writing failed, or there is no room.
pub fn stage(output: &Path, label: &str, files: Vec<MediumFile>, progress: &dyn Progress) -> Result<Staged> {
    let volume = volume::plan(label, &files)?;
    let (staging, size) = (Staging::create(output)?, volume.len);
    staging.room(size)?;
    progress.step("writing the seed");
    progress.total(size);
    let sha256 = fill(&staging, volume, files, progress).map_err(no_room)?;
    Ok(Staged { staging, size, sha256 })
}

fn fill(
    staging: &Staging,
    volume: volume::Volume,
    files: Vec<MediumFile>,
    progress: &dyn Progress,
) -> Result<Sha256> {
    let (file, path, size) = (&staging.file, staging.path.as_path(), volume.len);
    file.set_len(size).at("growing", path)?;
    let mut blobs = Blobs::new(file, path);
    let mut told = 0;
    volume::write((file, path), 0, volume, files, &mut blobs, |at| {
        progress.advance(at.saturating_sub(told));
        told = told.max(at);
    })?;
    file.sync_all().at("flushing", path)?;
    blobs.verify()?;
    progress.step("taking the seed's digest");
    progress.total(size);
    ahead::digest(file, size, progress).at("reading back", path)
}

impl Staged {
    /// Gives it its name.
    pub fn publish(self, output: &Path) -> Result<(u64, Sha256)> {
        self.staging.publish(output, Some(&self.sha256)).context("writing the seed")?;
        Ok((self.size, self.sha256))
    }
}
