//! `kiln build --format seed`, and the seed that comes with a medium that has no secrets.

use std::path::{Path, PathBuf};

use super::assemble::{Assembled, More, assemble};
use super::vendor::Vendor;
use super::{Build, Format, Made, make_folder};
use crate::digest::Sha256;
use crate::error::Result;
use crate::image;
use crate::image::MediumFile;
use crate::image::seed::{self, Staged};
use crate::kickstart::{self, Way};
use crate::payload;
use crate::payload::manifest::Spread;
use crate::report::Report;

/// Ending of a seed.
pub const ENDING: &str = "seed.iso";

/// A seed that was made with a medium.
pub struct MadeSeed {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
}

/// Looks at the base, its packages and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Vendor> {
    let vendor = Vendor::look(build, report)?;
    image::check_output(&vendor.iso, output, build.args.force)?;
    Ok(vendor)
}

/// Writes the seed alone: secrets, or with `--payload` all that a machine needs beside the vendor's own medium.
pub fn make(build: &Build<'_>, vendor: Vendor, output: &Path, report: &Report) -> Result<Made> {
    let Build { loaded, assets, plan, .. } = build;
    let Vendor { iso: _, fingerprint, added, packages } = vendor;
    let way = Way { spread: build.spread(), ..Way::default() };
    let boot = |label: &_| {
        let text = kickstart::render_for(&loaded.cluster, plan, label, assets, way)?;
        Ok(vec![(payload::KICKSTART, text)])
    };
    let more = More { base: fingerprint, boot: &boot, added, packages };
    let Assembled { payload, seed } = assemble(build, more, report)?;
    make_folder(build)?;
    let (build_id, label) = (payload.build_id, payload.label);
    let (size, sha256) = seed::stage(output, seed.unwrap_or(payload.files), report)?.publish(output)?;
    Ok(Made { build_id, label, size, sha256, reflinked: false, seed: None })
}

/// Where the seed of a medium goes, if it has one: beside it.
pub fn beside(build: &Build<'_>, output: &Path) -> Option<PathBuf> {
    if build.spread() != Spread::Split || build.args.format == Format::Seed {
        return None;
    }
    let name = output.file_name()?.to_str()?;
    let ending = format!(".{}", build.args.format.ending(false));
    let stem = name.strip_suffix(&ending).filter(|stem| !stem.is_empty()).unwrap_or(name);
    Some(output.with_file_name(format!("{stem}.{ENDING}")))
}

/// Refuses a place of the seed that can be none.
pub fn check_beside(build: &Build<'_>, base: &Path, output: &Path) -> Result<()> {
    match beside(build, output) {
        Some(seed) => image::check_output(base, &seed, build.args.force),
        None => Ok(()),
    }
}

/// Writes the seed of a medium, but gives it no name yet.
pub fn stage(
    build: &Build<'_>,
    output: &Path,
    files: Option<Vec<MediumFile>>,
    report: &Report,
) -> Result<Option<(PathBuf, Staged)>> {
    let Some((path, files)) = beside(build, output).zip(files) else { return Ok(None) };
    let staged = seed::stage(&path, files, report)?;
    Ok(Some((path, staged)))
}

/// Gives it its name, now that the medium has its own.
pub fn publish(staged: Option<(PathBuf, Staged)>) -> Result<Option<MadeSeed>> {
    let Some((path, staged)) = staged else { return Ok(None) };
    let (size, sha256) = staged.publish(&path)?;
    Ok(Some(MadeSeed { path, size, sha256 }))
}
