//! What a medium says about itself: label, trees, boot records, menus, media check, and kiln's payload.
//!
//! Reads any ISO 9660 image, a vendor's or kiln's, and trusts none. Private keys lie in archives of the payload, which are
//! never opened here: a payload file is its name, size and digest. Text of the medium is escaped where it is shown.

pub mod boot;
pub mod check;
pub mod container;
pub mod disk;
pub mod payload;
pub mod sbom;
pub mod text;
pub mod user_data;

use serde::Serialize;

use crate::error::Result;
use crate::format::fat::Fat;
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::{Kind, Tree};
use crate::format::read_at::ReadAt;
use crate::image::menu::{self, Listed};
use crate::image::treeinfo::TreeInfo;
use boot::{Boot, Layout};
use payload::KilnMedium;

/// Largest small file (menu, `.treeinfo`) that is read from a medium.
const MAX_SMALL: u64 = menu::MAX_BYTES as u64;
/// Largest EFI image whose menus are read; vendors' have some 10 MiB.
const MAX_ESP: u64 = 64 << 20;

/// Everything that `kiln inspect` tells.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Kind of the medium: `iso9660`. Disk images are told of in [`disk`].
    pub kind: &'static str,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the volume, by its descriptor.
    pub volume_size: u64,
    /// Volume label.
    pub label: String,
    /// How it boots, by looking.
    pub layout: Layout,
    /// What `.treeinfo` or `.discinfo` say it is: `CentOS Stream 9 (x86_64)`.
    pub base: Option<String>,
    /// Its directory trees.
    pub trees: Trees,
    /// El Torito, MBR and GPT.
    pub boot: Boot,
    /// Implanted MD5, as `checkisomd5` looks for.
    pub media_check: MediaCheck,
    /// Menus of the loaders, those inside of the EFI image too.
    pub menus: Vec<Menu>,
    /// The EFI image.
    pub esp: Option<Esp>,
    /// What kiln put on it; nothing when kiln did not make it.
    pub kiln: Option<KilnMedium>,
}

/// Directory trees of an image.
#[derive(Debug, Serialize)]
pub struct Trees {
    /// Files, folders and links of the main tree.
    pub entries: usize,
    /// Whether names and modes come from Rock Ridge.
    pub rock_ridge: bool,
    /// Entries of the Joliet tree, if there is one.
    pub joliet: Option<usize>,
    /// The tree that the first partition shows, when it has one of its own.
    pub partition: Option<PartitionTree>,
}

/// The tree of a partition that begins behind the start of the medium (EL10).
#[derive(Debug, Serialize)]
pub struct PartitionTree {
    /// First block of the partition.
    pub start: u32,
    /// Its label.
    pub label: String,
    /// Whether it shows the same files at the same places as the whole medium.
    pub same: bool,
}

/// The implanted MD5.
#[derive(Debug, Serialize)]
pub struct MediaCheck {
    /// The sum, if one is implanted.
    pub md5: Option<String>,
    /// Whether it is right; nothing when it was not checked.
    pub good: Option<bool>,
}

/// A menu file.
#[derive(Debug, Serialize)]
pub struct Menu {
    /// Its path; inside of the EFI image with `efi:` before it.
    pub path: String,
    /// Entries that start a kernel.
    pub entries: Vec<Listed>,
    /// Why it could not be read.
    pub problem: Option<String>,
}

/// The EFI system partition that UEFI firmware boots.
#[derive(Debug, Serialize)]
pub struct Esp {
    /// First block on the medium.
    pub block: u32,
    /// Bytes.
    pub size: u64,
    /// Type of its file system: `FAT16`.
    pub file_system: &'static str,
    /// Its label.
    pub label: Option<String>,
    /// Files and folders.
    pub entries: usize,
}

/// Reads a medium. `check` computes the media check and the payload's digests; see [`check`].
pub fn inspect(source: &impl ReadAt) -> Result<Inspection> {
    let iso = Iso::open(source)?;
    let size = source.size().unwrap_or(0);
    let boot = boot::read(source, &iso.volumes, size);
    let mut menus = menus_of(&iso);
    let esp = esp(source, &boot, &mut menus);
    let media_check = MediaCheck { md5: check::implanted(&iso), good: None };
    Ok(Inspection {
        kind: "iso9660",
        size,
        volume_size: u64::from(iso.volumes.primary.blocks()) * SECTOR,
        label: iso.label(),
        layout: boot::layout(&iso.tree, &boot),
        base: base(&iso),
        trees: trees(source, &iso, &boot),
        boot,
        media_check,
        menus,
        esp,
        kiln: payload::read(&iso, payload::Carrier::Volume),
    })
}

fn trees(source: &impl ReadAt, iso: &Iso<&impl ReadAt>, boot: &Boot) -> Trees {
    let start = boot.first_partition_block().filter(|start| *start > 0);
    let partition = start.and_then(|start| {
        let view = Iso::open_at(source, start).ok()?;
        Some(PartitionTree {
            start,
            label: view.label(),
            same: places(&view.tree, start) == places(&iso.tree, 0),
        })
    });
    Trees {
        entries: iso.tree.nodes.len() - 1,
        rock_ridge: iso.tree.rock_ridge,
        joliet: iso.joliet.as_ref().map(|tree| tree.nodes.len() - 1),
        partition,
    }
}

/// Every file with its size and its absolute block.
fn places(tree: &Tree, start: u32) -> Vec<(String, u64, u64)> {
    let place = |(path, id)| {
        let node = tree.node(id);
        let block = if node.kind == Kind::File && node.size() > 0 {
            u64::from(node.block()) + u64::from(start)
        } else {
            0
        };
        (path, if node.is_dir() { 0 } else { node.size() }, block)
    };
    let mut all: Vec<_> = tree.walk().into_iter().map(place).collect();
    all.sort();
    all
}

/// A small text file of the medium.
fn small(iso: &Iso<&impl ReadAt>, path: &str) -> Option<String> {
    let bytes = iso.read_path(path, MAX_SMALL).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn base(iso: &Iso<&impl ReadAt>) -> Option<String> {
    let discinfo = small(iso, "/.discinfo");
    let arch =
        discinfo.as_deref().and_then(|text| text.lines().nth(2)).map(|arch| format!(" ({})", arch.trim()));
    let treeinfo = small(iso, "/.treeinfo").unwrap_or_default();
    let named = TreeInfo::parse(&treeinfo).name;
    let name = named.as_deref().or_else(|| discinfo.as_deref()?.lines().nth(1).map(str::trim))?;
    Some(format!("{name}{}", arch.unwrap_or_default()))
}

fn menus_of(iso: &Iso<&impl ReadAt>) -> Vec<Menu> {
    let wanted = |path: &str| {
        let lower = path.to_ascii_lowercase();
        let efi = lower.starts_with("/efi/boot/") && (lower.ends_with(".cfg") || lower.ends_with(".conf"));
        efi || matches!(
            lower.as_str(),
            "/isolinux/isolinux.cfg" | "/boot/grub2/grub.cfg" | "/boot/grub/grub.cfg"
        )
    };
    let paths = iso.tree.walk().into_iter().map(|(path, _)| path).filter(|path| wanted(path)).take(32);
    paths.filter_map(|path| small(iso, &path).map(|text| menu(path, &text))).collect()
}

fn menu(path: String, text: &str) -> Menu {
    let isolinux = path.to_ascii_lowercase().ends_with("isolinux.cfg");
    match if isolinux { menu::isolinux::list(text) } else { menu::grub::list(text) } {
        Ok(entries) => Menu { path, entries, problem: None },
        Err(error) => Menu { path, entries: Vec::new(), problem: Some(error.to_string()) },
    }
}

/// Looks into the image that El Torito names for UEFI, and adds its menus.
fn esp(source: &impl ReadAt, boot: &Boot, menus: &mut Vec<Menu>) -> Option<Esp> {
    let block = boot.efi_block()?;
    let at = u64::from(block) * SECTOR;
    let size = crate::format::fat::claimed_size(&source.read_vec_at(at, 512).ok()?)
        .filter(|size| *size <= MAX_ESP)?;
    let image = source.read_vec_at(at, size as usize).ok()?;
    let fat = Fat::open(&image).ok()?;
    for item in fat.items() {
        let lower = item.path.to_ascii_lowercase();
        let wanted = lower.starts_with("efi/boot/") && (lower.ends_with(".cfg") || lower.ends_with(".conf"));
        if wanted && !item.is_dir() && u64::from(item.size()) <= MAX_SMALL {
            let bytes = fat.read(&item.path).unwrap_or_default();
            menus.push(menu(format!("efi:/{}", item.path), &String::from_utf8_lossy(&bytes)));
        }
    }
    let file_system = fat.geometry().kind.as_str();
    Some(Esp { block, size, file_system, label: fat.label(), entries: fat.items().len() })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
