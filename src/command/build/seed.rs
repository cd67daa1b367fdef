//! `kiln build --format seed`, and the seed that comes with a medium that has no secrets.

use std::path::{Path, PathBuf};

use super::assemble::{Assembled, More, assemble};
use super::vendor::Vendor;
use super::{Beside, Build, Format, Made, disk, make_folder};
use crate::digest::Sha256;
use crate::error::Result;
use crate::image;
use crate::image::MediumFile;
use crate::image::seed::{self, Staged};
use crate::image::volume::{CIDATA, OEMDRV};
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

/// What was found out about the vendor's medium that the seed goes with.
pub enum Ready {
    /// An install ISO.
    Iso(Vendor),
    /// A cloud image.
    Image(disk::Ready),
}

/// Looks at the base, its packages and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Ready> {
    let ready = match build.args.beside {
        Beside::Iso => Ready::Iso(Vendor::look(build, report)?),
        Beside::Image => Ready::Image(disk::look(build, report)?),
    };
    let base = match &ready {
        Ready::Iso(vendor) => &vendor.iso,
        Ready::Image(image) => &image.image,
    };
    image::check_output(base, output, build.args.force)?;
    Ok(ready)
}

/// Writes the seed alone: secrets, or with `--payload` all that a machine needs beside the vendor's own medium.
pub fn make(build: &Build<'_>, ready: Ready, output: &Path, report: &Report) -> Result<Made> {
    let Build { loaded, assets, plan, .. } = build;
    let (cluster, spread, beside) = (&loaded.cluster, build.spread(), build.args.beside);
    let (fingerprint, added, packages) = match ready {
        Ready::Iso(Vendor { iso: _, fingerprint, added, packages })
        | Ready::Image(disk::Ready { image: _, fingerprint, added, packages }) => {
            (fingerprint, added, packages)
        }
    };
    let boot = |label: &_| match beside {
        Beside::Image => kickstart::first_boot(cluster, plan, label, assets, spread),
        Beside::Iso => {
            let way = Way { spread, ..Way::default() };
            Ok(vec![(payload::KICKSTART, kickstart::render_for(cluster, plan, label, assets, way)?)])
        }
    };
    // cloud-init looks for its label; every seed without the payload is looked for by kiln, by one label.
    let volume = if spread == Spread::Beside && beside == Beside::Image { CIDATA } else { OEMDRV };
    let more = More { base: fingerprint, boot: &boot, added, packages };
    let Assembled { payload, seed } = assemble(build, more, report)?;
    make_folder(build)?;
    let (build_id, label) = (payload.build_id, payload.label);
    let (size, sha256) =
        seed::stage(output, volume, seed.unwrap_or(payload.files), report)?.publish(output)?;
    Ok(Made { build_id, label, size, sha256: Some(sha256), reflinked: false, seed: None })
}

/// Where the seed of a medium goes, if it has one: beside it.
pub fn beside(build: &Build<'_>, output: &Path) -> Option<PathBuf> {
    if build.spread() != Spread::Split || build.args.format == Format::Seed {
        return None;
    }
    let name = output.file_name()?.to_str()?;
    let ending = format!(".{}", build.args.format.ending(None));
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
    let staged = seed::stage(&path, OEMDRV, files, report)?;
    Ok(Some((path, staged)))
}

/// Gives it its name, now that the medium has its own.
pub fn publish(staged: Option<(PathBuf, Staged)>) -> Result<Option<MadeSeed>> {
    let Some((path, staged)) = staged else { return Ok(None) };
    let (size, sha256) = staged.publish(&path)?;
    Ok(Some(MadeSeed { path, size, sha256 }))
}
