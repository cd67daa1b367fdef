//! Install ISOs: remasters a vendor's medium. The vendor's bytes stay where they are; new files and complete new directory
//! trees go behind them, and the system area, the volume descriptors and the boot catalog are patched to say so.
//! All places are planned before a byte is written. See `docs/iso.md`.

mod ahead;
mod boot;
mod layout;
mod menus;
mod staging;
mod stream;
mod write;

use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Context, Error, IoContext, Result};
use crate::image::base::{self, Base};
use crate::image::label::VolumeLabel;
use crate::image::menu::MenuSpec;
use crate::image::{Digests, MediumFile};
use crate::progress::Progress;

use staging::Staging;

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
    staging.room(&plan, &base, reflinked)?;
    let done = write::write(&staging, &base, plan, files, reflinked, progress)?;
    if stamp(&base, &req.base)? != before {
        return Err(Error::input(format!("{} changed while it was read", req.base.display()))
            .hint("build again when nothing writes to it"));
    }
    staging.publish(&req.output, &done.sha256).context("writing the medium")?;
    Ok(done)
}

/// Size and time of the last change of the base.
fn stamp(base: &Base, path: &Path) -> Result<(u64, Option<std::time::SystemTime>)> {
    let meta = base.file.metadata().at("looking at", path)?;
    Ok((meta.len(), meta.modified().ok()))
}

/// Refuses an output that can be no medium: the base itself, a folder, a device;
/// and without `force` a file that kiln did not make.
pub fn check_output(base: &Path, output: &Path, force: bool) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let shown = output.display();
    let there = match std::fs::metadata(output) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("looking at", output, error).hint("choose another output")),
    };
    if let Ok(base) = std::fs::metadata(base)
        && (base.dev(), base.ino()) == (there.dev(), there.ino())
    {
        return Err(Error::input(format!("{shown} is the base itself")).hint("choose another output"));
    }
    if !there.is_file() {
        return Err(Error::input(format!("{shown} is not a regular file")).hint("choose another output"));
    }
    if !force && there.len() > 0 && !base::made_by_kiln(output) {
        return Err(Error::input(format!("{shown} exists already, and kiln did not make it"))
            .hint("choose another output, or use --force to replace it"));
    }
    Ok(())
}
