//! `kiln build --format iso`: the vendor's install ISO, with the payload and a kickstart.

use std::path::Path;

use super::assemble::{Assembled, More, assemble};
use super::vendor::{MENU_TIMEOUT, Vendor, menu_title};
use super::{Build, Made, make_folder, seed};
use crate::cluster::types::HostName;
use crate::error::Result;
use crate::image;
use crate::image::iso::{self, Remaster};
use crate::image::menu::MenuSpec;
use crate::kickstart::{self, Way};
use crate::payload::{self, Payload};
use crate::report::Report;

/// Looks at the base, its packages and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Vendor> {
    let vendor = Vendor::look(build, report)?;
    image::check_output(&vendor.iso, output, build.args.force)?;
    seed::check_beside(build, &vendor.iso, output)?;
    Ok(vendor)
}

/// Writes the medium.
pub fn make(build: &Build<'_>, vendor: Vendor, output: &Path, report: &Report) -> Result<Made> {
    let Build { args, loaded, assets, plan, .. } = build;
    let Vendor { iso: base, fingerprint, added, packages } = vendor;
    let boot = |label: &_| {
        let way = Way { spread: build.spread(), ..Way::default() };
        let text = kickstart::render_for(&loaded.cluster, plan, label, assets, way)?;
        Ok(vec![(payload::KICKSTART, text)])
    };
    let more = More { base: fingerprint, boot: &boot, added, packages };
    let Assembled { payload, seed } = assemble(build, more, report)?;
    make_folder(build)?;
    let seed = seed::stage(build, output, seed, report)?;
    let request = Remaster {
        base,
        output: output.to_owned(),
        label: payload.label.clone(),
        menu: menu(build, &payload),
        public: seed.is_some(),
        force: args.force,
    };
    let (build_id, label) = (payload.build_id, payload.label);
    let built = iso::remaster(&request, payload.files, report)?;
    let seed = seed::publish(seed)?;
    Ok(Made {
        build_id,
        label,
        size: built.size,
        sha256: Some(built.sha256),
        reflinked: built.reflinked,
        seed,
    })
}

/// What the boot menus offer.
fn menu(build: &Build<'_>, payload: &Payload) -> MenuSpec {
    let Build { args, loaded, .. } = build;
    let (cluster, role) = (&loaded.cluster, args.profile);
    let own = |name: &HostName| args.reinstall.as_ref().is_none_or(|only| only == name);
    MenuSpec {
        label: payload.label.clone(),
        default_title: menu_title(build),
        nodes: cluster.nodes_of(role).map(|node| node.name.clone()).filter(own).collect(),
        timeout_seconds: MENU_TIMEOUT,
        serial: cluster.serial,
        el: cluster.base.release.el,
        ks_path: payload::KICKSTART.to_owned(),
    }
}
