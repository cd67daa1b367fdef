//! First stages of a network boot: the distribution's own shim and GRUB, signed, so that Secure Boot holds, and PXELINUX for BIOS.
//!
//! They come from the base: its `EFI/BOOT`, and its packages where those fit better (`grub2-efi-x64`, `syslinux-tftpboot`, `syslinux`).
//! Files that the operator names win. Whether a GRUB can fetch from the network is told by the modules that are built into it, not by
//! its name: a vendor's medium has one GRUB for CD and network, other systems have two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::format::grub_image;
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::read_at::{ReadAt, Window};
use crate::format::rpm;

/// Largest loader.
const MAX: u64 = 16 << 20;
/// Longest sum of files that are taken out of one package.
const MAX_OF_PACKAGE: u64 = 64 << 20;

/// Files that the operator names in place of the base's.
#[derive(Debug, Clone, Default)]
pub struct Supplied {
    /// A signed GRUB for UEFI that can boot from the network.
    pub grub: Option<PathBuf>,
    /// The shim that fits it.
    pub shim: Option<PathBuf>,
    /// Folder with `pxelinux.0` and, from version 5 on, `ldlinux.c32`.
    pub pxelinux: Option<PathBuf>,
}

/// Loaders by their name in the tree, and what is worth saying.
#[derive(Debug, Default)]
pub struct Loaders {
    /// Files at the top of the tree.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether UEFI can boot.
    pub uefi: bool,
    /// Whether BIOS can boot without iPXE.
    pub bios: bool,
    /// Whether GRUB can fetch by HTTP.
    pub http: bool,
    /// What is missing, and what to do.
    pub notes: Vec<String>,
}

/// Name of the shim in a tree: what firmware is told to begin with.
pub const SHIM: &str = "shimx64.efi";
/// Name of PXELINUX in a tree.
pub const PXELINUX: &str = "pxelinux.0";

/// Gathers loaders.
pub fn gather<R: ReadAt>(iso: &Iso<R>, supplied: &Supplied) -> Result<Loaders> {
    let mut loaders = Loaders::default();
    uefi(iso, supplied, &mut loaders)?;
    bios(iso, supplied, &mut loaders)?;
    Ok(loaders)
}

fn uefi<R: ReadAt>(iso: &Iso<R>, supplied: &Supplied, loaders: &mut Loaders) -> Result<()> {
    let own = |name: &str| iso.read_path(&format!("/EFI/BOOT/{name}"), MAX);
    let grub = match &supplied.grub {
        Some(path) => {
            let grub = load(path)?;
            if !fetches(&grub, "tftp") {
                let text = format!(
                    "{} has no module `tftp` in it, so it cannot boot from the network",
                    path.display()
                );
                return Err(Error::input(text)
                    .hint("take grubx64.efi of the package grub2-efi-x64 of the same release"));
            }
            Some(grub)
        }
        None => match own("grubx64.efi")?.filter(|grub| fetches(grub, "tftp")) {
            Some(grub) => Some(grub),
            None => {
                let found = of_package(iso, "grub2-efi-x64-", &|path| path.ends_with("/grubx64.efi"))?;
                found.into_values().find(|grub| fetches(grub, "tftp"))
            }
        },
    };
    let shim = match &supplied.shim {
        Some(path) => Some(load(path)?),
        None => own("BOOTX64.EFI")?,
    };
    let (Some(grub), Some(shim)) = (grub, shim) else {
        loaders.notes.push(
            "UEFI machines cannot boot this tree: the base has no GRUB that can fetch from the network; --netboot-grub names one \
             (grubx64.efi of the package grub2-efi-x64 of the same release)"
                .to_owned(),
        );
        return Ok(());
    };
    loaders.http = fetches(&grub, "http");
    loaders.uefi = true;
    loaders.files.insert(SHIM.to_owned(), shim);
    loaders.files.insert("grubx64.efi".to_owned(), grub);
    if let Some(manager) = own("mmx64.efi")? {
        loaders.files.insert("mmx64.efi".to_owned(), manager);
    }
    Ok(())
}

fn bios<R: ReadAt>(iso: &Iso<R>, supplied: &Supplied, loaders: &mut Loaders) -> Result<()> {
    let names = [PXELINUX, "ldlinux.c32"];
    let mut found = BTreeMap::new();
    match &supplied.pxelinux {
        Some(folder) => {
            found.insert(PXELINUX.to_owned(), load(&folder.join(PXELINUX))?);
            if folder.join("ldlinux.c32").exists() {
                found.insert("ldlinux.c32".to_owned(), load(&folder.join("ldlinux.c32"))?);
            }
        }
        None => {
            for package in ["syslinux-tftpboot-", "syslinux-"] {
                let wanted = |path: &str| {
                    let (folder, name) = path.rsplit_once('/').unwrap_or_default();
                    names.contains(&name) && matches!(folder, "/tftpboot" | "/usr/share/syslinux")
                };
                for (path, content) in of_package(iso, package, &wanted)? {
                    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                    found.entry(name).or_insert(content);
                }
                if found.contains_key(PXELINUX) {
                    break;
                }
            }
        }
    }
    loaders.bios = found.contains_key(PXELINUX);
    if loaders.bios {
        loaders.files.extend(found);
    } else {
        loaders.notes.push(
            "BIOS machines need iPXE to boot this tree: the base has no package syslinux-tftpboot; --pxelinux names a folder with pxelinux.0"
                .to_owned(),
        );
    }
    Ok(())
}

fn load(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).at("looking at", path)?.len();
    if size > MAX {
        return Err(Error::input(format!("{} is too large for a boot loader", path.display())));
    }
    std::fs::read(path).at("reading", path)
}

/// Whether a GRUB has a module built in.
fn fetches(image: &[u8], module: &str) -> bool {
    grub_image::modules(image).contains(module)
}

/// Files out of the base's package whose file name begins with `prefix` and a version; none if there is no such package.
fn of_package<R: ReadAt>(
    iso: &Iso<R>,
    prefix: &str,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let is_it = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let version = name.strip_prefix(prefix).and_then(|rest| rest.chars().next());
        version.is_some_and(|c| c.is_ascii_digit()) && name.ends_with(".rpm") && !name.ends_with(".i686.rpm")
    };
    let Some((path, id)) = iso.tree.walk().into_iter().find(|(path, _)| is_it(path)) else {
        return Ok(BTreeMap::new());
    };
    let node = iso.tree.node(id);
    let Some(extent) = node.extents().next().filter(|extent| u64::from(extent.len) == node.size()) else {
        return Ok(BTreeMap::new());
    };
    let at = (u64::from(iso.start()) + u64::from(extent.block)) * SECTOR;
    let source = Window::new(iso.source(), at, node.size());
    let files = rpm::read::open(&source)
        .and_then(|package| rpm::payload::files(&source, &package, wanted, MAX_OF_PACKAGE));
    files.map_err(|error| error.context(format!("{} of the base", path.escape_debug())))
}
