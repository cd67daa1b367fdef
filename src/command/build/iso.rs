//! `kiln build --format iso`: the vendor's install ISO, with the payload and a kickstart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::assemble::{More, assemble};
use super::{Args, Build, Made, make_folder};
use crate::cluster::Loaded;
use crate::cluster::types::HostName;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::image::iso::{self, Remaster};
use crate::image::menu::MenuSpec;
use crate::image::{self, base};
use crate::kickstart;
use crate::packages;
use crate::payload::{self, Extra, Payload};
use crate::progress::Progress;
use crate::report::Report;
use crate::sbom::parts::Package;

/// Seconds that a boot menu waits before it installs.
const MENU_TIMEOUT: u16 = 5;

/// What was found out about the base before keys are made.
pub struct Ready {
    base: PathBuf,
    fingerprint: Sha256,
    added: Vec<Extra>,
    packages: BTreeMap<String, Package>,
}

/// Looks at the base, its packages and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Ready> {
    let Build { args, loaded, plan, .. } = build;
    let base = loaded.cluster.base.iso.clone().ok_or_else(|| {
        Error::input(format!("{} names no base ISO", args.cluster.cluster.display()))
            .hint("set `iso` in [base] to the path of the vendor's install ISO")
    })?;
    let fingerprint = base::look(&base)?.fingerprint;
    report.step("resolving packages");
    let added = packages::check(&base, &loaded.cluster, plan)?;
    image::check_output(&base, output, args.force)?;
    let packages = packages::bill(&added);
    Ok(Ready { base, fingerprint, added: packages::medium_files(&added)?, packages })
}

/// Writes the medium.
pub fn make(build: &Build<'_>, ready: Ready, output: &Path, report: &Report) -> Result<Made> {
    let Build { args, loaded, assets, plan, .. } = build;
    let Ready { base, fingerprint, added, packages } = ready;
    let boot = |label: &_| {
        let text = kickstart::render(&loaded.cluster, plan, label, assets)?;
        Ok(vec![(payload::KICKSTART, text)])
    };
    let payload = assemble(build, More { base: fingerprint, boot: &boot, added, packages }, report)?;
    make_folder(build)?;
    let request = Remaster {
        base,
        output: output.to_owned(),
        label: payload.label.clone(),
        menu: menu(loaded, args, &payload),
        force: args.force,
    };
    let (build_id, label) = (payload.build_id, payload.label);
    let built = iso::remaster(&request, payload.files, report)?;
    Ok(Made { build_id, label, size: built.size, sha256: built.sha256, reflinked: built.reflinked })
}

/// What the boot menus offer.
fn menu(loaded: &Loaded, args: &Args, payload: &Payload) -> MenuSpec {
    let (cluster, role) = (&loaded.cluster, args.profile);
    let own = |name: &HostName| args.reinstall.as_ref().is_none_or(|only| only == name);
    let title = match &args.reinstall {
        None => format!("Install the {role} of {} that matches this machine", cluster.name),
        Some(node) => format!("Install {node} of {} anew, if this machine is it", cluster.name),
    };
    MenuSpec {
        label: payload.label.clone(),
        default_title: title,
        nodes: cluster.nodes_of(role).map(|node| node.name.clone()).filter(own).collect(),
        timeout_seconds: MENU_TIMEOUT,
        serial: cluster.serial,
        el: cluster.base.release.el,
        ks_path: payload::KICKSTART.to_owned(),
    }
}
