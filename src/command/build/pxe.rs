//! `kiln build --format pxe`: a tree that machines install themselves from over the network.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::assemble::{More, assemble_for, program};
use super::{Build, Made, make_folder};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::image::base;
use crate::image::label::VolumeLabel;
use crate::image::pxe::list::TreeUrl;
use crate::image::pxe::loaders::Supplied;
use crate::image::pxe::{self, Request};
use crate::kickstart::{self, Network};
use crate::packages;
use crate::payload::manifest::Manifest;
use crate::payload::{self, Delivery, Extra, UNKNOWN};
use crate::progress::Progress;
use crate::report::Report;
use crate::sbom::parts::Package;

/// Seconds that a boot menu waits before it installs.
const MENU_TIMEOUT: u16 = 5;

/// What only trees need.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// For --format pxe: where machines find the tree, as http://ADDRESS/PATH/
    #[arg(long, value_name = "URL")]
    pub url: Option<TreeUrl>,
    /// For --format pxe: a signed GRUB for UEFI that boots from the network
    #[arg(long, value_name = "FILE")]
    pub netboot_grub: Option<PathBuf>,
    /// For --format pxe: the shim that fits that GRUB
    #[arg(long, value_name = "FILE")]
    pub netboot_shim: Option<PathBuf>,
    /// For --format pxe: folder with pxelinux.0 and ldlinux.c32
    #[arg(long, value_name = "DIR")]
    pub pxelinux: Option<PathBuf>,
}

/// What was found out before keys are made.
pub struct Ready {
    base: PathBuf,
    fingerprint: Sha256,
    added: Vec<Extra>,
    packages: BTreeMap<String, Package>,
    network: Network,
}

/// Looks at the base, its packages and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Ready> {
    let Build { args, loaded, plan, .. } = build;
    let url = args.pxe.url.clone().ok_or_else(|| {
        Error::input("a PXE tree needs the address at which machines will find it").hint(
            "add --url http://ADDRESS/, the address of the machine that runs `kiln serve` or a web server",
        )
    })?;
    if args.sign.is_some() {
        return Err(Error::input("a PXE tree is a folder and cannot be signed")
            .hint("sign an ISO, or sign kiln-tree.json with minisign: it has the digests of all files"));
    }
    let base = loaded.cluster.base.iso.clone().ok_or_else(|| {
        Error::input(format!("{} names no base ISO", args.cluster.cluster.display()))
            .hint("set `iso` in [base] to the path of the vendor's install ISO")
    })?;
    let fingerprint = base::look(&base)?.fingerprint;
    report.step("resolving packages");
    let added = packages::check(&base, &loaded.cluster, plan)?;
    pxe::check_output(output, args.force)?;
    let kiln = program(args)?;
    let file = File::open(&kiln).at("opening", &kiln)?;
    let (kiln, _) = Sha256::of_reader(file).at("reading", &kiln)?;
    let packages = packages::bill(&added);
    let network = Network { url, kiln, manifest: UNKNOWN };
    Ok(Ready { base, fingerprint, added: packages::medium_files(&added)?, packages, network })
}

/// Writes the tree.
pub fn make(build: &Build<'_>, ready: Ready, output: &Path, report: &Report) -> Result<Made> {
    let Build { args, loaded, assets, plan, .. } = build;
    let Ready { base, fingerprint, added, packages, network } = ready;
    let cluster = &loaded.cluster;
    let render = |label: &VolumeLabel, network: Option<&Network>| {
        let text = kickstart::render_for(cluster, plan, label, assets, network)?;
        Ok(vec![(payload::KICKSTART, text)])
    };
    let boot = |label: &VolumeLabel| render(label, Some(&network));
    // The proof is about what a machine lacks: the tree's own address is no lack.
    let proved = |label: &VolumeLabel| render(label, None);
    let more = More { base: fingerprint, boot: &boot, added, packages };
    let payload = assemble_for(build, more, (Delivery::Network, &proved), report)?;
    make_folder(build)?;
    let mut manifest = Manifest::of(cluster, args.profile, payload.label.clone());
    manifest.reinstall = args.only().cloned();
    let (build_id, label) = (payload.build_id, payload.label.clone());
    let title = match args.only() {
        None => format!("Install the {} of {} that matches this machine", args.profile, cluster.name),
        Some(node) => format!("Install {node} of {} anew, if this machine is it", cluster.name),
    };
    let request = Request {
        base: &base,
        output: output.to_owned(),
        url: network.url.clone(),
        manifest: &manifest,
        label: payload.label,
        build_id,
        title,
        timeout: MENU_TIMEOUT,
        serial: cluster.serial,
        supplied: Supplied {
            grub: args.pxe.netboot_grub.clone(),
            shim: args.pxe.netboot_shim.clone(),
            pxelinux: args.pxe.pxelinux.clone(),
        },
        force: args.force,
    };
    let built = pxe::build(&request, payload.files, report)?;
    built.notes.iter().for_each(|note| report.warn(note));
    Ok(Made { build_id, label, size: built.bytes, sha256: built.sha256, reflinked: false })
}
