//! Install ISOs: remasters a vendor's medium. The vendor's bytes stay where they are; new files and complete new directory
//! trees go behind them, and the system area, the volume descriptors and the boot catalog are patched to say so.
//! All places are planned before a byte is written. See `docs/iso.md`.

mod boot;
mod layout;
mod menus;
mod write;

use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Context, Error, IoContext, Result};
use crate::image::base::Base;
use crate::image::label::VolumeLabel;
use crate::image::menu::MenuSpec;
use crate::image::staging::Staging;
use crate::image::{Digests, MediumFile, check_output};
use crate::progress::Progress;

use layout::Source;
pub(super) use layout::descriptor;

/// What to make.
#[derive(Debug, Clone)]
pub struct Remaster {
    /// The vendor's medium; only read.
    pub base: PathBuf,
    /// Where the new medium goes.
    pub output: PathBuf,
    /// Its label.
    pub label: VolumeLabel,
    /// Its boot menus.
    pub menu: MenuSpec,
    /// Whether anybody may read it: it holds no secret.
    pub public: bool,
    /// Whether an existing output may be replaced that kiln did not make.
    pub force: bool,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Built {
    /// Size of the medium in bytes.
    pub size: u64,
    /// Digest of the medium.
    pub sha256: Sha256,
    /// The implanted checksum, as `checkisomd5 --md5sumonly` shows it.
    pub md5: String,
    /// Whether the base's bytes were shared and not copied.
    pub reflinked: bool,
    /// Digests of the files that were added.
    pub files: Digests,
}

/// Writes a medium: the base with `files` added, in that order, and its menus rewritten.
///
/// # Errors
/// Input: the base cannot be used, or paths clash. Io: reading or writing failed, or there is no room. In every case
/// nothing lies under the output's name that did not lie there before.
pub fn remaster(req: &Remaster, files: Vec<MediumFile>, progress: &dyn Progress) -> Result<Built> {
    check_output(&req.base, &req.output, req.force)?;
    progress.step("reading the base");
    let base = Base::open(&req.base)?;
    let before = stamp(&base, &req.base)?;
    let menus = menus::rewrite(&base, &req.menu)?;
    let plan = layout::plan(&base, &req.label, &files, menus)?;
    let staging = Staging::create(&req.output)?;
    let reflinked = staging.share(&base.file, plan.copied);
    staging.room(need(&plan, &base, reflinked))?;
    let done = write::write(&staging, &base, plan, files, reflinked, progress)?;
    if stamp(&base, &req.base)? != before {
        return Err(Error::input(format!("{} changed while it was read", req.base.display()))
            .hint("build again when nothing writes to it"));
    }
    if req.public {
        staging.open_to_all()?;
    }
    staging.publish(&req.output, Some(&done.sha256)).context("writing the medium")?;
    Ok(done)
}

/// Bytes that the medium takes.
fn need(plan: &layout::Plan, base: &Base, shared: bool) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let allocated = base.file.metadata().map_or(plan.copied, |meta| meta.blocks().saturating_mul(512));
    let own = plan.segments.iter().filter(|segment| !matches!(segment.source, Source::Base));
    let own: u64 = own.map(|segment| segment.len).sum();
    if shared { own } else { own + plan.copied.min(allocated) }
}

/// Size and time of the last change of the base.
fn stamp(base: &Base, path: &Path) -> Result<(u64, Option<std::time::SystemTime>)> {
    let meta = base.file.metadata().at("looking at", path)?;
    Ok((meta.len(), meta.modified().ok()))
}
