//! PXE trees: a folder that any web server, or `kiln serve`, gives to machines that boot from the network.
//!
//! It holds the vendor's files below `repo/`, the payload below `kiln/`, the kickstart, boot loaders with their configurations, and a list
//! of it all. The vendor's medium is read by kiln's own reader and streamed; every file is hashed as it is written. See `docs/pxe.md`.

pub mod config;
pub mod list;
pub mod loaders;
mod write;

pub use write::check_output;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::blob::{Blob, Piece};
use crate::cluster::model::SerialConsole;
use crate::cluster::types::Mac;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::Kind;
use crate::format::read_at::ReadAt;
use crate::image::base::Base;
use crate::image::label::VolumeLabel;
use crate::image::{Content, MediumFile};
use crate::payload::KICKSTART;
use crate::payload::manifest::Manifest;
use crate::progress::Progress;
use config::{Boot, pxelinux_name};
use list::{Audience, FORMAT, LIST, LoaderFiles, Machine, TreeList, TreeUrl};
use loaders::{Loaders, PXELINUX, SHIM, Supplied};

/// Folder of the vendor's files.
pub const REPOSITORY: &str = "repo";
/// The script for iPXE.
const IPXE: &str = "boot.ipxe";
/// Where GRUB looks for its configuration: beside itself (EL), in the folder of its prefix (`EFI/BOOT` on media, `grub` on Debian).
const GRUB_CONFIGS: [&str; 3] = ["grub.cfg", "EFI/BOOT/grub.cfg", "grub/grub.cfg"];
/// Folders of a medium that no machine on the network needs.
const LEFT_OUT: [&str; 2] = ["isolinux", "boot"];

/// What to make.
#[derive(Debug)]
pub struct Request<'a> {
    /// The vendor's medium; only read.
    pub base: &'a Path,
    /// The folder to make.
    pub output: PathBuf,
    /// Where machines will find it.
    pub url: TreeUrl,
    /// The manifest of the payload, without its files: which nodes there are.
    pub manifest: &'a Manifest,
    /// Label of the tree.
    pub label: VolumeLabel,
    /// Digest over everything besides the base.
    pub build_id: Sha256,
    /// Title of the entry of boot menus.
    pub title: String,
    /// Seconds that a boot menu waits.
    pub timeout: u16,
    /// Serial port.
    pub serial: Option<SerialConsole>,
    /// Loaders that the operator names.
    pub supplied: Supplied,
    /// Whether a folder is replaced that is no tree of kiln's.
    pub force: bool,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Digest of the list, which has the digests of all others.
    pub sha256: Sha256,
    /// What is missing, and what to do.
    pub notes: Vec<String>,
}

/// A file of a tree before it is written.
#[derive(Debug)]
struct Planned {
    path: String,
    mode: u16,
    content: Content,
    to: Audience,
}

/// Writes a tree: `payload` is what a medium would carry besides the vendor's files, made for the network.
///
/// # Errors
/// Input: the base cannot be used, or paths clash. Io: reading or writing failed, or there is no room. In every case nothing lies under
/// the output's name that did not lie there before.
pub fn build(request: &Request<'_>, payload: Vec<MediumFile>, progress: &dyn Progress) -> Result<Built> {
    write::check_output(&request.output, request.force)?;
    progress.step("reading the base");
    let base = Base::open(request.base)?;
    let mut loaders = loaders::gather(&base.iso, &request.supplied)?;
    let notes = std::mem::take(&mut loaders.notes);
    let vendor_menu = base.iso.read_path("/EFI/BOOT/grub.cfg", 1 << 20)?.unwrap_or_default();
    let files = plan(request, &base.iso, &loaders, &vendor_menu, payload)?;
    let list = tree_list(request, &loaders);
    let written = write::write(&request.output, files, list, progress)?;
    Ok(Built { notes, ..written })
}

/// All files, in writing order.
fn plan<R: ReadAt>(
    request: &Request<'_>,
    iso: &Iso<R>,
    loaders: &Loaders,
    vendor_menu: &[u8],
    payload: Vec<MediumFile>,
) -> Result<Vec<Planned>> {
    let mut files = repository(request.base, iso);
    let machines = Audience::Machines;
    for (name, content) in &loaders.files {
        files.push(plain(name, content.clone(), &machines));
    }
    let macs = macs(request.manifest);
    let boot = Boot {
        url: &request.url,
        title: &request.title,
        macs: macs.as_deref(),
        timeout: request.timeout,
        serial: request.serial,
        words: words(vendor_menu),
        http: loaders.http,
    };
    if loaders.uefi {
        files.extend(GRUB_CONFIGS.iter().map(|path| plain(path, boot.grub().into_bytes(), &machines)));
    }
    if loaders.bios {
        files.push(plain("pxelinux.cfg/default", boot.pxelinux_default().into_bytes(), &machines));
        for mac in macs.iter().flatten() {
            let path = format!("pxelinux.cfg/{}", pxelinux_name(*mac));
            files.push(plain(&path, boot.pxelinux().into_bytes(), &machines));
        }
    }
    files.push(plain(IPXE, boot.ipxe().into_bytes(), &machines));
    files.push(plain("autoexec.ipxe", boot.autoexec().into_bytes(), &machines));
    for MediumFile { path, mode, content } in payload {
        let to = audience(&path)?;
        files.push(Planned { path: path.trim_start_matches('/').to_owned(), mode, content, to });
    }
    let mut seen = BTreeMap::new();
    for file in &files {
        if list::normal(&file.path).as_deref() != Some(&file.path) {
            return Err(Error::input(format!("`{}` cannot be a path of a tree", file.path.escape_debug())));
        }
        if seen.insert(file.path.as_str(), ()).is_some() || file.path == LIST {
            return Err(Error::internal(format!("the tree would have two files {}", file.path)));
        }
    }
    Ok(files)
}

fn plain(path: &str, content: Vec<u8>, to: &Audience) -> Planned {
    Planned {
        path: path.to_owned(),
        mode: 0o644,
        content: Content::Blob(Blob::bytes(content)),
        to: to.clone(),
    }
}

/// The vendor's files, as pieces of the medium. Links and devices are left out: no installer asks for them.
fn repository<R: ReadAt>(base: &Path, iso: &Iso<R>) -> Vec<Planned> {
    let mut files = Vec::new();
    for (path, id) in iso.tree.walk() {
        let node = iso.tree.node(id);
        let top = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if node.kind != Kind::File || LEFT_OUT.contains(&top) || path.ends_with("/TRANS.TBL") {
            continue;
        }
        let mut blob = Blob::default();
        for extent in node.extents() {
            let offset = (u64::from(iso.start()) + u64::from(extent.block)) * SECTOR;
            let len = u64::from(extent.len);
            blob.push(Piece::File { path: base.to_owned(), offset, len, expect: None });
        }
        let path = format!("{REPOSITORY}{path}");
        files.push(Planned { path, mode: 0o644, content: Content::Blob(blob), to: Audience::Machines });
    }
    files
}

/// Who may have a file of the payload. What all nodes of a role share has keys in it, too.
fn audience(path: &str) -> Result<Audience> {
    let named = |folder: &str| path.strip_prefix(folder).and_then(|rest| rest.strip_suffix(".tar"));
    let name = |name: &str| name.parse().map_err(|rule| Error::internal(format!("{path}: {rule}")));
    match (named("/kiln/nodes/"), named("/kiln/pools/")) {
        (Some(node), _) => Ok(Audience::Node(name(node)?)),
        (_, Some(pool)) => Ok(Audience::Pool(name(pool)?)),
        _ if path == crate::payload::COMMON || path == KICKSTART => Ok(Audience::Role),
        _ => Ok(Audience::Machines),
    }
}

/// MAC addresses of all machines, if every machine has one and there is no pool.
fn macs(manifest: &Manifest) -> Option<Vec<Mac>> {
    let mut all = Vec::new();
    for node in manifest.own_nodes() {
        let macs = node.macs();
        if macs.is_empty() {
            return None;
        }
        all.extend(macs);
    }
    (manifest.pools.is_empty() && !all.is_empty()).then_some(all)
}

/// GRUB's words, as the vendor's own menu has them.
fn words(vendor_menu: &[u8]) -> (&'static str, &'static str) {
    let menu = String::from_utf8_lossy(vendor_menu);
    let efi = menu.lines().any(|line| line.trim_start().starts_with("linuxefi"));
    if efi { ("linuxefi", "initrdefi") } else { ("linux", "initrd") }
}

/// The list, without files yet.
fn tree_list(request: &Request<'_>, loaders: &Loaders) -> TreeList {
    let manifest = request.manifest;
    let machine = |node: &crate::payload::manifest::ManifestNode| Machine {
        name: node.name.clone(),
        address: node.address,
        macs: node.macs(),
        uuid: node.uuid.as_ref().map(ToString::to_string),
    };
    TreeList {
        format: FORMAT,
        kiln: env!("CARGO_PKG_VERSION").to_owned(),
        build_id: request.build_id,
        label: request.label.to_string(),
        cluster: manifest.cluster.to_string(),
        profile: manifest.role.to_string(),
        url: request.url.clone(),
        subnet: manifest.network.subnet,
        gateway: manifest.network.gateway,
        dns: manifest.network.dns.clone(),
        loaders: LoaderFiles {
            bios: loaders.bios.then(|| PXELINUX.to_owned()),
            uefi: loaders.uefi.then(|| SHIM.to_owned()),
            // GRUB of most releases knows port 80 only.
            uefi_http: (loaders.uefi && loaders.http && request.url.port() == 80).then(|| SHIM.to_owned()),
            ipxe: IPXE.to_owned(),
        },
        machines: manifest.own_nodes().map(machine).collect(),
        files: BTreeMap::new(),
    }
}
