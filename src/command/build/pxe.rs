//! `kiln build --format pxe`: a tree that machines install themselves from over the network.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::assemble::{Assembled, More, assemble_for, program};
use super::vendor::{MENU_TIMEOUT, Vendor, menu_title};
use super::{Build, Made, make_folder, seed};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::image::label::VolumeLabel;
use crate::image::pxe::list::TreeUrl;
use crate::image::pxe::loaders::Supplied;
use crate::image::pxe::{self, Request};
use crate::kickstart::{self, Network, Way};
use crate::payload::manifest::Manifest;
use crate::payload::{self, Delivery, UNKNOWN};
use crate::progress::Progress;
use crate::report::Report;

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
    vendor: Vendor,
    network: Network,
}

/// Looks at the base, its packages and the output: refuses all that can be refused before keys are made.
pub fn check(build: &Build<'_>, output: &Path, report: &Report) -> Result<Ready> {
    let args = build.args;
    let url = args.pxe.url.clone().ok_or_else(|| {
        Error::input("a PXE tree needs the address at which machines will find it").hint(
            "add --url http://ADDRESS/, the address of the machine that runs `kiln serve` or a web server",
        )
    })?;
    if args.sign.is_some() {
        return Err(Error::input("a PXE tree is a folder and cannot be signed")
            .hint("sign an ISO, or sign kiln-tree.json with minisign: it has the digests of all files"));
    }
    let vendor = Vendor::look(build, report)?;
    pxe::check_output(output, args.force)?;
    seed::check_beside(build, &vendor.iso, output)?;
    let kiln = program(args)?;
    let file = File::open(&kiln).at("opening", &kiln)?;
    let (kiln, _) = Sha256::of_reader(file).at("reading", &kiln)?;
    Ok(Ready { vendor, network: Network { url, kiln, manifest: UNKNOWN } })
}

/// Writes the tree.
pub fn make(build: &Build<'_>, ready: Ready, output: &Path, report: &Report) -> Result<Made> {
    let Build { args, loaded, assets, plan, .. } = build;
    let Ready { vendor: Vendor { iso: base, fingerprint, added, packages }, network } = ready;
    let cluster = &loaded.cluster;
    let render = |label: &VolumeLabel, network: Option<&Network>| {
        let way = Way { network, spread: build.spread() };
        let text = kickstart::render_for(cluster, plan, label, assets, way)?;
        Ok(vec![(payload::KICKSTART, text)])
    };
    let boot = |label: &VolumeLabel| render(label, Some(&network));
    // The proof is about what a machine lacks: the tree's own address is no lack.
    let proved = |label: &VolumeLabel| render(label, None);
    let more = More { base: fingerprint, boot: &boot, added, packages };
    let Assembled { payload, seed } = assemble_for(build, more, (Delivery::Network, &proved), report)?;
    make_folder(build)?;
    let seed = seed::stage(build, output, seed, report)?;
    let mut manifest = Manifest::of(cluster, args.profile, payload.label.clone());
    manifest.reinstall = args.only().cloned();
    let (build_id, label) = (payload.build_id, payload.label.clone());
    let request = Request {
        base: &base,
        output: output.to_owned(),
        url: network.url.clone(),
        manifest: &manifest,
        label: payload.label,
        build_id,
        title: menu_title(build),
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
    let seed = seed::publish(seed)?;
    Ok(Made { build_id, label, size: built.bytes, sha256: Some(built.sha256), reflinked: false, seed })
}
