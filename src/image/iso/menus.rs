//! Every place where a loader of the base reads its menu, rewritten: files of the tree, and the copies inside the EFI
//! system partition, which UEFI firmware reads from a USB stick.

use std::collections::BTreeMap;

use crate::error::{Context, Error, Result};
use crate::format::fat;
use crate::image::base::Base;
use crate::image::menu::{self, GrubFlavor, MenuSpec};

/// New content of the menus.
pub struct Menus {
    /// Files of the tree by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The EFI system partition.
    pub esp: Vec<u8>,
}

/// Rewrites all menus of a base.
pub fn rewrite(base: &Base, spec: &MenuSpec) -> Result<Menus> {
    let mut files = BTreeMap::new();
    for (path, id) in base.iso.tree.walk() {
        let Some(kind) = kind(&path) else { continue };
        if base.iso.tree.node(id).is_dir() {
            continue;
        }
        let old = base.iso.read_node(base.iso.tree.node(id), menu::MAX_BYTES as u64)?;
        files.insert(path.clone(), kind.rewrite(&old, spec).context(format!("menu {path} of the base"))?);
    }
    if files.is_empty() {
        return Err(Error::input("the base has no boot menu"));
    }
    let old = base.esp_bytes()?;
    let mut replace = BTreeMap::new();
    let esp = fat::read::Fat::open(&old).context("EFI system partition of the base")?;
    for item in esp.items().iter().filter(|item| !item.is_dir()) {
        let path = format!("/{}", item.path);
        if let Some(kind) = kind(&path) {
            let text = kind.rewrite(&esp.read(&item.path)?, spec);
            replace
                .insert(item.path.clone(), text.context(format!("menu {path} in the EFI system partition"))?);
        }
    }
    if replace.is_empty() {
        return Err(Error::input("the EFI system partition of the base has no boot menu below EFI/BOOT"));
    }
    let esp = fat::write::rebuild(&old, &replace).context("EFI system partition")?;
    Ok(Menus { files, esp })
}

/// Which loader reads a menu.
enum Kind {
    Isolinux,
    Grub(GrubFlavor),
}

fn kind(path: &str) -> Option<Kind> {
    let lower = path.to_ascii_lowercase();
    match lower.as_str() {
        "/isolinux/isolinux.cfg" => Some(Kind::Isolinux),
        "/boot/grub2/grub.cfg" | "/boot/grub/grub.cfg" => Some(Kind::Grub(GrubFlavor::Bios)),
        _ => {
            let name = lower.strip_prefix("/efi/boot/")?;
            let menu = !name.contains('/') && (name.ends_with(".cfg") || name == "boot.conf");
            menu.then_some(Kind::Grub(GrubFlavor::Efi))
        }
    }
}

impl Kind {
    fn rewrite(&self, old: &[u8], spec: &MenuSpec) -> Result<Vec<u8>> {
        let old = std::str::from_utf8(old).map_err(|_| Error::input("it is not text in UTF-8"))?;
        let new = match self {
            Kind::Isolinux => menu::isolinux(old, spec)?,
            Kind::Grub(flavor) => menu::grub(old, spec, *flavor)?,
        };
        Ok(new.into_bytes())
    }
}
