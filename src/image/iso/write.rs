//! Carries a plan out: one thread writes, one takes the media check's MD5 just behind it from what was written, one
//! flushes. The SHA-256 of the medium is taken last, for the implanted MD5 lies near its start; meanwhile pinned files are
//! compared.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::isomd5::{FIELD_AT, FIELD_LEN, Hasher};
use crate::image::base::Base;
use crate::image::beside::{FLUSH, Flush, flush, joined};
use crate::image::staging::{Staging, no_room};
use crate::image::stream::{self, Blobs};
use crate::image::{Digests, MediumFile, ahead};
use crate::progress::Progress;

use super::Built;
use super::layout::{Plan, Source};

/// The writer tells the hasher how far it is after so many bytes.
const TELL: u64 = 4 << 20;

/// Writes a planned medium into its staging file, down to the disk.
pub fn write(
    staging: &Staging,
    base: &Base,
    plan: Plan,
    files: Vec<MediumFile>,
    reflinked: bool,
    progress: &dyn Progress,
) -> Result<Built> {
    let (file, path) = (&staging.file, staging.path.as_path());
    // One step of the file's size: everything that no segment covers is a hole, and reads as zeros.
    file.set_len(plan.size).at("growing", path).map_err(no_room)?;
    if reflinked {
        progress.skip("copying the base", "its blocks are shared");
    }
    std::thread::scope(|scope| {
        let (wake, woken) = channel();
        let flushing = scope.spawn(move || flush(file, &woken));
        let built = content(staging, base, plan, files, reflinked, wake, progress);
        joined(flushing)?.at("flushing", path).and(built)
    })
    .map_err(no_room)
}

/// Content, MD5, digest; the flusher works beside it.
fn content(
    staging: &Staging,
    base: &Base,
    plan: Plan,
    files: Vec<MediumFile>,
    reflinked: bool,
    wake: Sender<Flush>,
    progress: &dyn Progress,
) -> Result<Built> {
    let (size, file, path) = (plan.size, &staging.file, staging.path.as_path());
    progress.step("writing the medium");
    progress.total(size);
    let hasher = Hasher::new(plan.blocks);
    let range = hasher.range();
    let (tell, told) = sync_channel(256);
    let mut blobs = Blobs::new(file, path);
    let (digests, md5) = std::thread::scope(|scope| {
        let hashing = scope.spawn(move || follow(hasher, file, told));
        let meter = Meter { tell, told: 0, range, wake: &wake, woken: 0, progress };
        let mut writer = Writer { staging, base, blobs: &mut blobs, digests: Digests::new(), meter };
        let written = writer.run(plan, files, reflinked);
        let digests = std::mem::take(&mut writer.digests);
        drop(writer);
        let md5 = joined(hashing)?;
        written?;
        Ok::<_, Error>((digests, md5.at("reading back", path)?))
    })?;
    let (field, md5) = md5.finish();
    file.write_all_at(&field, FIELD_AT).at("writing", path)?;
    // The other side only goes away when it failed, and then its error is reported.
    let _ = wake.send(Flush::All);
    progress.step("flushing and taking the digest");
    progress.total(size);
    let sha256 = std::thread::scope(|scope| {
        let verifying = scope.spawn(|| blobs.verify());
        let sha256 = ahead::digest(file, size, progress).at("reading back", path)?;
        joined(verifying)?.map(|()| sha256)
    })?;
    Ok(Built { size, sha256, md5, reflinked, files: digests })
}

/// The writing side.
struct Writer<'a, 'b> {
    staging: &'a Staging,
    base: &'a Base,
    blobs: &'a mut Blobs<'b>,
    digests: Digests,
    meter: Meter<'a>,
}

/// Says how far the writer is.
struct Meter<'a> {
    tell: SyncSender<u64>,
    told: u64,
    /// Bytes that the hasher takes.
    range: u64,
    wake: &'a Sender<Flush>,
    /// Where the flusher was woken last.
    woken: u64,
    progress: &'a dyn Progress,
}

impl Writer<'_, '_> {
    fn run(&mut self, plan: Plan, files: Vec<MediumFile>, reflinked: bool) -> Result<()> {
        let mut files: Vec<Option<MediumFile>> = files.into_iter().map(Some).collect();
        let (to, path) = (&self.staging.file, self.staging.path.clone());
        // Files without content have no segment, and a digest all the same.
        for file in files.iter().flatten().filter(|file| file.content.is_empty()) {
            self.digests.insert(file.path.clone(), (0, Sha256::of(b"")));
        }
        for segment in plan.segments {
            match segment.source {
                Source::Base if reflinked => {}
                Source::Base => {
                    let copied = stream::copy(&self.base.file, to, segment.at, segment.len, |upto| {
                        self.meter.upto(upto)
                    });
                    copied.at("copying the base to", &path)?;
                }
                Source::Bytes(bytes) => to.write_all_at(&bytes, segment.at).at("writing", &path)?,
                Source::File(number) => {
                    if let Some(file) = files.get_mut(number).and_then(Option::take) {
                        self.blobs.file(file, segment.at, &mut self.digests, |upto| self.meter.upto(upto))?;
                    }
                }
            }
            self.meter.upto(segment.at + segment.len);
        }
        self.meter.upto(u64::MAX);
        Ok(())
    }
}

impl Meter<'_> {
    /// All bytes before `at` are final.
    fn upto(&mut self, at: u64) {
        let at = at.min(self.range);
        if at >= self.told + TELL || (at == self.range && self.told < at) {
            self.progress.advance(at - self.told);
            self.told = at;
            // The other side only goes away when it failed, and then its error is reported.
            let _ = self.tell.send(at);
        }
        if self.told >= self.woken + FLUSH {
            self.woken = self.told;
            let _ = self.wake.send(Flush::Part);
        }
    }
}

/// Takes the MD5 of what was written, as far as the writer is.
fn follow(mut hasher: Hasher, file: &File, told: Receiver<u64>) -> io::Result<Hasher> {
    ahead::read(file, told.into_iter(), |at, part| {
        blank(part, at);
        hasher.update(part);
    })?;
    Ok(hasher)
}

/// The checker takes the field itself as spaces.
fn blank(part: &mut [u8], at: u64) {
    let end = at + part.len() as u64;
    let (from, to) = (FIELD_AT.max(at), (FIELD_AT + FIELD_LEN as u64).min(end));
    if from < to {
        part[(from - at) as usize..(to - at) as usize].fill(b' ');
    }
}
