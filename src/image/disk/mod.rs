//! Disk images: a vendor's cloud image, grown, with the payload in a partition at its end. The vendor's partitions stay byte for
//! byte; the tables are written anew. No mount, no loop device, no QEMU. See `docs/virtual-machines.md`.

mod source;
mod table;
mod write;

use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Context, Error, IoContext, Result};
use crate::format::guid::Guid;
use crate::format::qcow2::Compression;
use crate::image::staging::{Staging, no_room};
use crate::image::{MediumFile, check_output, volume};
use crate::progress::Progress;
pub use source::{Source, form, made_by_kiln};
pub use table::{Disk, Part, SECTOR};

/// Room that a disk has for the node besides image and payload, where no size is given.
const ROOM: u64 = 10 << 30;

/// What kind of file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Byte for byte, with holes.
    Raw,
    /// The vendor's qcow2 as it is, and what is new behind it.
    Qcow2,
    /// A qcow2 in which everything is compressed.
    Packed(Compression),
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// The vendor's cloud image; only read.
    pub image: PathBuf,
    /// Where the new image goes.
    pub output: PathBuf,
    /// What kind of file it is.
    pub form: Form,
    /// Bytes of the disk; enough for a node if not given.
    pub size: Option<u64>,
    /// Digest of what the image carries: the new partition's identifier comes from it.
    pub build_id: Sha256,
    /// Whether it holds no secret, and all may read it.
    pub public: bool,
    /// Whether an existing output may be replaced that kiln did not make.
    pub force: bool,
}

/// What is to be known about a cloud image.
#[derive(Debug, Clone)]
pub struct Info {
    /// Tells it apart.
    pub fingerprint: Sha256,
    /// Bytes of its disk.
    pub size: u64,
    /// How it is parted: `GPT` or `MBR`.
    pub table: &'static str,
    /// Whether its last partition can be a root that grows.
    pub root_grows: bool,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Built {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the disk in it.
    pub disk: u64,
    /// Digest of the file, if all of it was compressed. Else taking one would be most of the work: a raw disk is holes for the most
    /// part, and the vendor's bytes are only copied.
    pub sha256: Option<Sha256>,
    /// Whether the vendor's bytes were shared and not copied.
    pub reflinked: bool,
}

/// Looks at a cloud image.
///
/// # Errors
/// Of class input, each with its reason.
pub fn look(path: &Path) -> Result<Info> {
    let (source, disk) = open(path)?;
    let fingerprint = source.fingerprint(&disk)?;
    Ok(Info { fingerprint, size: disk.size, table: disk.table(), root_grows: disk.root_grows() })
}

/// What would be written to a disk to carry a payload of 1 MiB: the places and lengths. Memory stays bounded whatever the disk says.
pub fn plan_of(source: &impl crate::format::read_at::ReadAt) -> Result<Vec<(u64, usize)>> {
    let disk = Disk::read(source)?;
    let layout = disk.plan(disk.least(1 << 20), 1 << 20, Guid([0; 16]))?;
    Ok(layout.writes.iter().map(|(at, bytes)| (*at, bytes.len())).collect())
}

/// Opens a disk image and reads its tables.
///
/// # Errors
/// Of class input: it is no disk whose tables can be used.
pub fn open(path: &Path) -> Result<(Source, Disk)> {
    let read = || {
        let source = Source::open(path)?;
        let disk = Disk::read(&source)?;
        Ok((source, disk))
    };
    read().map_err(|error: Error| error.context(format!("disk image {}", path.display())))
}

/// Writes the image, with `files` in its payload in that order.
///
/// # Errors
/// Input: the image cannot be used, or has no room. Io: reading or writing failed. In every case nothing lies under the output's
/// name that did not lie there before.
pub fn make(request: &Request, files: Vec<MediumFile>, progress: &dyn Progress) -> Result<Built> {
    let Request { image, output, .. } = request;
    check_output(image, output, request.force)?;
    progress.step("reading the cloud image");
    let (source, disk) = open(image)?;
    let before = stamp(image)?;
    let volume = volume::plan(volume::CIDATA, &files)?;
    let usual = (disk.size + 3 * volume.len + ROOM).next_multiple_of(1 << 30);
    let size = request.size.unwrap_or(usual).next_multiple_of(table::ALIGN);
    let mut id = [0; 16];
    id.copy_from_slice(&request.build_id.0[..16]);
    let layout = disk.plan(size, volume.len, Guid::made_of(id))?;
    let staging = Staging::create(output)?;
    let made = write::write(request, &staging, &source, &layout, volume, files, progress).map_err(no_room)?;
    if stamp(image)? != before {
        return Err(Error::input(format!("{} changed while it was read", image.display()))
            .hint("build again when nothing writes to it"));
    }
    if request.public {
        staging.open_to_all()?;
    }
    staging.publish(output, made.sha256.as_ref()).context("writing the image")?;
    Ok(Built { disk: size, ..made })
}

/// Copies a disk image as it is, holes kept.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = std::fs::File::open(from).at("opening", from)?;
    let len = source.metadata().at("looking at", from)?.len();
    let target = std::fs::File::create_new(to).at("making", to)?;
    target.set_len(len).at("growing", to)?;
    crate::image::stream::copy(&source, &target, 0, len, |_| ()).at("copying to", to)
}

/// Size and time of the last change of the image.
fn stamp(path: &Path) -> Result<(u64, Option<std::time::SystemTime>)> {
    let meta = std::fs::metadata(path).at("looking at", path)?;
    Ok((meta.len(), meta.modified().ok()))
}

/// Writes the payload's volume alone, for tests of those who read it.
#[cfg(test)]
pub(crate) fn volume_of(files: Vec<MediumFile>, path: &Path) -> Result<()> {
    let file =
        std::fs::File::options().read(true).write(true).create_new(true).open(path).at("making", path)?;
    let volume = volume::plan(volume::CIDATA, &files)?;
    file.set_len(volume.len).at("growing", path)?;
    write::content_of(&file, path, 0, volume, files)
}

#[cfg(test)]
mod tests;
