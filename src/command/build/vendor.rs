//! The vendor's install ISO, which ISOs and PXE trees are built from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Build;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::image::base;
use crate::packages;
use crate::payload::Extra;
use crate::progress::Progress;
use crate::report::Report;
use crate::sbom::parts::Package;

/// Seconds that a boot menu waits before it installs.
pub const MENU_TIMEOUT: u16 = 5;

/// Title of the menu's default entry.
pub fn menu_title(build: &Build<'_>) -> String {
    let (cluster, args) = (&build.loaded.cluster.name, build.args);
    match args.only() {
        None => format!("Install the {} of {cluster} that matches this machine", args.profile),
        Some(node) => format!("Install {node} of {cluster} anew, if this machine is it"),
    }
}

/// What is found out about it before keys are made.
pub struct Vendor {
    /// Where it lies.
    pub iso: PathBuf,
    /// Tells it apart.
    pub fingerprint: Sha256,
    /// Packages that the project adds, and their repodata.
    pub added: Vec<Extra>,
    /// The packages, for the bill of materials.
    pub packages: BTreeMap<String, Package>,
}

impl Vendor {
    /// Looks at the ISO, and whether the plan's packages can be installed from it.
    pub fn look(build: &Build<'_>, report: &Report) -> Result<Self> {
        let Build { args, loaded, plan, .. } = build;
        let iso = loaded.cluster.base.iso.clone().ok_or_else(|| {
            Error::input(format!("{} names no base ISO", args.cluster.cluster.display()))
                .hint("set `iso` in [base] to the path of the vendor's install ISO")
        })?;
        let found = base::look(&iso)?;
        let told = found.tree.is_release(loaded.cluster.base.release);
        if let Some(told) = told.map_err(|error| error.context(format!("base {}", iso.display())))? {
            report.warn(&told);
        }
        let fingerprint = found.fingerprint;
        report.step("resolving packages");
        let added = packages::check(&iso, &loaded.cluster, plan)?;
        let packages = packages::bill(&added);
        Ok(Self { iso, fingerprint, added: packages::medium_files(&added)?, packages })
    }
}
