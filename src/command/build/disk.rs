//! `kiln build --format qcow2` and `raw`: the vendor's cloud image, grown, with the payload and what cloud-init leads to it. What is
//! found out about that image is also what a seed beside it is made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::assemble::{Assembled, More, assemble};
use super::{Build, Compress, Format, Made, make_folder, seed};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::qcow2::Compression;
use crate::image;
use crate::image::disk::{self, Form, Request};
use crate::payload::Extra;
use crate::progress::Progress;
use crate::report::Report;
use crate::sbom::parts::Package;
use crate::{kickstart, packages};

/// What was found out about the cloud image before keys are made.
pub struct Ready {
    /// Where it lies.
    pub image: PathBuf,
    /// Tells it apart.
    pub fingerprint: Sha256,
    /// Packages that the project adds, and their repodata.
    pub added: Vec<Extra>,
    /// The packages, for the bill of materials.
    pub packages: BTreeMap<String, Package>,
}

/// Looks at the cloud image and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Ready> {
    let ready = look(build, report)?;
    image::check_output(&ready.image, output, build.args.force)?;
    seed::check_beside(build, &ready.image, output)?;
    Ok(ready)
}

/// Looks at the cloud image.
pub fn look(build: &Build<'_>, report: &Report) -> Result<Ready> {
    let Build { args, loaded, .. } = build;
    let base = &loaded.cluster.base;
    if args.reinstall.is_some() {
        return Err(Error::input("--reinstall is for install media; a disk image wipes nothing")
            .hint("--node NODE makes an image for one node"));
    }
    let image = base.image.clone().ok_or_else(|| {
        Error::input(format!("{} names no cloud image", args.cluster.cluster.display()))
            .hint("set `image` in [base] to the path of the vendor's cloud image (GenericCloud)")
    })?;
    let info = disk::look(&image)?;
    if !info.root_grows {
        report.warn("the last partition of the cloud image is no Linux file system: root will not grow at the first boot");
    }
    let added = packages::read_added(&base.rpms, base.release.el)?;
    let (fingerprint, packages) = (info.fingerprint, packages::bill(&added));
    Ok(Ready { image, fingerprint, added: packages::medium_files(&added)?, packages })
}

/// Writes the image.
pub fn make(build: &Build<'_>, ready: Ready, output: &Path, report: &Report) -> Result<Made> {
    let Build { args, loaded, assets, plan, .. } = build;
    let boot = |label: &_| kickstart::first_boot(&loaded.cluster, plan, label, assets, build.spread());
    let Ready { image, fingerprint, added, packages } = ready;
    let more = More { base: fingerprint, boot: &boot, added, packages };
    let Assembled { payload, seed } = assemble(build, more, report)?;
    make_folder(build)?;
    let seed = seed::stage(build, output, seed, report)?;
    let form = match (args.format, args.compress) {
        (Format::Raw, _) => Form::Raw,
        (_, None) => Form::Qcow2,
        (_, Some(Compress::Zlib)) => Form::Packed(Compression::Zlib),
        (_, Some(Compress::Zstd)) => Form::Packed(Compression::Zstd),
    };
    let (build_id, label) = (payload.build_id, payload.label);
    let request = Request {
        image,
        output: output.to_owned(),
        form,
        size: args.size,
        build_id,
        public: seed.is_some(),
        force: args.force,
    };
    let built = disk::make(&request, payload.files, report)?;
    let seed = seed::publish(seed)?;
    Ok(Made { build_id, label, size: built.size, sha256: built.sha256, reflinked: built.reflinked, seed })
}
