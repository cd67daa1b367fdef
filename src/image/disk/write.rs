//! Carries a plan out: the vendor's disk into the staging file, the payload's volume behind it, the tables.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::source::Source;
use super::table::Layout;
use super::{Built, Form, Request};
use crate::error::{Error, IoContext, Result};
use crate::format::qcow2::{self, Compression, Edit};
use crate::format::read_at::{ReadAt, Sparse};
use crate::image::beside::{self, Mark, joined};
use crate::image::staging::Staging;
use crate::image::stream::{self, Blobs};
use crate::image::volume::{self, Volume};
use crate::image::{MediumFile, ahead};
use crate::parallel;
use crate::progress::Progress;

/// Bytes of the disk that are unpacked at a time.
const BATCH: u64 = 2 << 20;
/// Zeros of this length are left out.
const GRAIN: usize = 64 << 10;

/// Writes everything into the staging file, down to the disk.
pub fn write(
    request: &Request,
    staging: &Staging,
    source: &Source,
    layout: &Layout,
    volume: Volume,
    files: Vec<MediumFile>,
    progress: &dyn Progress,
) -> Result<Built> {
    let packed = match (request.form, source) {
        (Form::Packed(compression), _) => Some(compression),
        (Form::Qcow2, Source::Raw(_)) => Some(Compression::Zlib),
        (Form::Qcow2, Source::Qcow2(_)) | (Form::Raw, _) => None,
    };
    let work = packed.map(|_| Staging::work(&request.output)).transpose()?;
    let to = work.as_ref().unwrap_or(staging);
    to.room(volume.len)?;
    let in_place = request.form != Form::Raw && matches!(source, Source::Qcow2(_));
    let job = Job { layout, volume, files, progress };
    let (mut sha256, place) = (None, (&to.file, to.path.as_path()));
    let reflinked = beside::run(place, |mark| {
        std::thread::scope(|scope| {
            let (mut blobs, pinned) = Blobs::telling(place.0, place.1);
            let verifying = scope.spawn(move || stream::verify(place, pinned));
            let reflinked = match in_place {
                true => job.edited(&request.image, to, &mut blobs, mark),
                false => job.raw(source, to, &mut blobs, mark),
            };
            drop(blobs);
            let verified = joined(verifying)?;
            reflinked.and_then(|reflinked| verified.map(|()| reflinked))
        })
    })?;
    let (file, path) = (&staging.file, staging.path.as_path());
    if let Some(compression) = packed {
        progress.step("compressing the disk");
        progress.total(layout.size);
        let disk = Source::of(Arc::new(to.file.try_clone().at("opening", &to.path)?))?;
        qcow2::write(&disk, file, compression, meter(progress))?;
        progress.step("flushing and taking the digest");
        let size = file.metadata().at("looking at", path)?.len();
        progress.total(size);
        sha256 = Some(std::thread::scope(|scope| {
            let flushing = scope.spawn(|| file.sync_all());
            let sha256 = ahead::digest(file, size, progress).at("reading back", path)?;
            joined(flushing)?.at("flushing", path).map(|()| sha256)
        })?);
    }
    let size = file.metadata().at("looking at", path)?.len();
    Ok(Built { size, disk: layout.size, sha256, reflinked: reflinked && packed.is_none() })
}

/// What is to be written.
struct Job<'a> {
    layout: &'a Layout,
    volume: Volume,
    files: Vec<MediumFile>,
    progress: &'a dyn Progress,
}

impl Job<'_> {
    /// A copy of the vendor's qcow2, changed in place.
    fn edited(self, image: &Path, to: &Staging, blobs: &mut Blobs<'_>, mark: &mut Mark) -> Result<bool> {
        let from = File::open(image).at("opening", image)?;
        let len = from.metadata().at("looking at", image)?.len();
        let reflinked = to.share(&from, len);
        match reflinked {
            true => self.progress.skip("copying the cloud image", "its blocks are shared"),
            false => {
                self.progress.step("copying the cloud image");
                self.progress.total(len);
                to.file.set_len(len).at("growing", &to.path)?;
                let copied = stream::copy(&from, &to.file, 0, len, wrote(self.progress, mark));
                copied.at("copying the cloud image to", &to.path)?;
            }
        }
        let mut edit = Edit::open(&to.file, &to.path, self.layout.size)?;
        let at = edit.place(self.layout.at, self.volume.len)?;
        for (at, bytes) in &self.layout.writes {
            edit.write(*at, bytes)?;
        }
        edit.finish()?;
        self.payload(to, at, blobs, mark)?;
        Ok(reflinked)
    }

    /// The disk byte for byte, with holes.
    fn raw(self, source: &Source, to: &Staging, blobs: &mut Blobs<'_>, mark: &mut Mark) -> Result<bool> {
        let len = source.size().map_err(|error| Error::input("the disk cannot be read").because(error))?;
        self.progress.step("writing the disk");
        self.progress.total(len);
        let mut reflinked = false;
        match source {
            Source::Raw(file) => {
                reflinked = to.share(file, len);
                to.file.set_len(self.layout.size).at("growing", &to.path)?;
                if !reflinked {
                    let copied = stream::copy(file, &to.file, 0, len, wrote(self.progress, mark));
                    copied.at("copying the cloud image to", &to.path)?;
                }
            }
            Source::Qcow2(image) => {
                to.file.set_len(self.layout.size).at("growing", &to.path)?;
                unpack(&**image, to, wrote(self.progress, mark))?;
            }
        }
        for (at, bytes) in &self.layout.writes {
            to.file.write_all_at(bytes, *at).at("writing", &to.path)?;
        }
        let at = self.layout.at;
        self.payload(to, at, blobs, mark)?;
        Ok(reflinked)
    }

    /// Writes the payload's volume to byte `at` of a file.
    fn payload(self, to: &Staging, at: u64, blobs: &mut Blobs<'_>, mark: &mut Mark) -> Result<()> {
        let Self { volume, files, progress, .. } = self;
        progress.step("writing the payload");
        progress.total(volume.len);
        let mut upto = wrote(progress, mark);
        volume::write((&to.file, &to.path), at, volume, files, blobs, |done| upto(done - at))
    }
}

/// Tells of bytes that were written up to a place.
fn wrote<'a>(progress: &'a dyn Progress, mark: &'a mut Mark) -> impl FnMut(u64) + use<'a> {
    let mut told = 0;
    move |at: u64| {
        let more = at.saturating_sub(told);
        progress.advance(more);
        mark.wrote(more);
        told = told.max(at);
    }
}

/// Writes what a packed disk holds to its place; zeros become holes.
fn unpack(source: &(impl Sparse + Sync), to: &Staging, mut upto: impl FnMut(u64)) -> Result<()> {
    let failed = |error: io::Error| Error::input("the cloud image cannot be read").because(error);
    let (mut next, mut end) = (0, 0);
    let jobs = std::iter::from_fn(|| {
        if next >= end {
            match source.next_data(next) {
                Ok(Some(run)) => (next, end) = run,
                Ok(None) => return None,
                Err(error) => return Some(Err(failed(error))),
            }
        }
        let from = next;
        next = (from + BATCH).min(end);
        Some(Ok((from, next)))
    });
    let (file, path) = (&to.file, to.path.as_path());
    let worker = || {
        let mut buffer = vec![0; BATCH as usize];
        move |(from, to): (u64, u64)| {
            let part = &mut buffer[..(to - from) as usize];
            source.read_exact_at(part, from).map_err(failed)?;
            for (at, grain) in (from..).step_by(GRAIN).zip(part.chunks(GRAIN)) {
                if grain.iter().any(|byte| *byte != 0) {
                    file.write_all_at(grain, at).at("writing", path)?;
                }
            }
            Ok(to)
        }
    };
    parallel::ordered(jobs, &worker, |done: Result<u64>| {
        upto(done?);
        Ok(())
    })
}

/// Writes a volume into a file of its own.
#[cfg(test)]
pub fn content_of(file: &File, path: &Path, at: u64, volume: Volume, files: Vec<MediumFile>) -> Result<()> {
    volume::write((file, path), at, volume, files, &mut Blobs::new(file, path), |_| ())
}

/// Tells how far something is, which is said as a place.
fn meter(progress: &dyn Progress) -> impl FnMut(u64) {
    let mut told = 0;
    move |at: u64| {
        progress.advance(at.saturating_sub(told));
        told = told.max(at);
    }
}
