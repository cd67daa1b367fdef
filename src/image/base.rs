//! A vendor's install medium that kiln builds on, judged by looking at it: layout, label, release, boot records, and
//! whether Anaconda can be given a kickstart there. Nothing is told by file names.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::treeinfo::TreeInfo;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::eltorito::{self, BootEntry, Platform};
use crate::format::gpt::Gpt;
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::Kind;
use crate::format::mbr;
use crate::format::read_at::ReadAt;
use crate::payload::{MANIFEST, seed};

/// Architecture that kiln builds for.
pub const ARCH: &str = "x86_64";
/// Bytes before the volume descriptors (ECMA-119 6.2.1).
pub const SYSTEM_AREA: usize = 16 * SECTOR as usize;
/// Bytes behind it that hold the volume descriptors of any install medium.
const DESCRIPTORS: usize = 16 * SECTOR as usize;
/// Largest EFI system partition that is edited in memory.
const ESP_MAX: u64 = 64 << 20;

/// How the medium was made, and so what must be kept right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// isolinux; made bootable from a disk by `isohybrid --uefi`, its backup GPT behind the volume: EL7, EL8.
    El7Isolinux,
    /// isolinux; `-isohybrid-gpt-basdat`, its backup GPT inside the volume: EL9.
    El9Isolinux,
    /// GRUB for BIOS, an appended EFI system partition, and a second set of trees for partition 1: EL10.
    El10Grub,
}

/// What is to be known about a base.
#[derive(Debug, Clone)]
pub struct BaseInfo {
    /// Where it lies.
    pub path: PathBuf,
    /// How it was made.
    pub layout: Layout,
    /// Volume label.
    pub label: String,
    /// Architecture, from `.discinfo`.
    pub arch: String,
    /// Release as `.discinfo` words it.
    pub release: String,
    /// Family and version from `.treeinfo`.
    pub tree: TreeInfo,
    /// Size of the file in bytes.
    pub size: u64,
    /// Size of the volume in bytes.
    pub volume_size: u64,
    /// Tells the base apart: digest of system area and volume descriptors, the vendor's implanted checksum of the whole
    /// medium among them.
    pub fingerprint: Sha256,
}

/// Place of the EFI system partition, or of the image that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Esp {
    /// First block.
    pub block: u32,
    /// Length in bytes.
    pub len: u64,
    /// Whether it lies behind the trees as a partition of its own, and not in a file.
    pub appended: bool,
}

/// An opened base.
#[derive(Debug)]
pub(super) struct Base {
    pub info: BaseInfo,
    pub file: Arc<File>,
    pub iso: Iso<Arc<File>>,
    /// The view that partition 1 gives, where it starts at a block of its own.
    pub part: Option<Iso<Arc<File>>>,
    pub system: Vec<u8>,
    pub gpt: Option<Gpt>,
    pub backup: Option<Gpt>,
    pub catalog_block: u32,
    pub efi: BootEntry,
    pub esp: Esp,
}

/// Looks at a base.
///
/// # Errors
/// Of class input, each with its reason: not an ISO, truncated, damaged, cannot boot, no kickstart support, another
/// architecture, or made by kiln.
pub fn look(path: &Path) -> Result<BaseInfo> {
    Ok(Base::open(path)?.info)
}

/// Whether a file is a medium that kiln made; false for whatever cannot be read as one.
pub(super) fn made_by_kiln(path: &Path) -> bool {
    let iso = File::open(path).map_err(|_| ()).and_then(|file| Iso::open(Arc::new(file)).map_err(|_| ()));
    iso.is_ok_and(|iso| [MANIFEST, seed::MANIFEST].iter().any(|path| iso.tree.find(path).is_some()))
}

impl Base {
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|error| {
            error.context(format!("base {}", path.display())).or_hint(
                "give the vendor's install ISO, whole and unchanged; compare its checksum with the vendor's",
            )
        })
    }

    fn read(path: &Path) -> Result<Self> {
        let file =
            Arc::new(File::open(path).at("opening", path).map_err(|error| {
                error.hint("set `iso` in [base] to the path of the vendor's install ISO")
            })?);
        let meta = file.metadata().at("looking at", path)?;
        if !meta.is_file() {
            return Err(
                Error::input("it is not a regular file").hint("give the path of the vendor's install ISO")
            );
        }
        let iso = Iso::open(Arc::clone(&file))?;
        support(&iso)?;
        let system = file.read_vec_at(0, SYSTEM_AREA).at("reading", path)?;
        let gpt = Gpt::read(&*file, 1);
        let backup = gpt.as_ref().and_then(|gpt| Gpt::read(&*file, gpt.alternate()));
        let (catalog_block, bios, efi) = boot(&iso)?;
        let part = partition(&system, gpt.as_ref(), &iso, &file)?;
        let esp = esp(&iso, &system, gpt.as_ref(), efi)?;
        let layout = layout(&iso, bios, gpt.as_ref())?;
        let (release, arch) = discinfo(&iso)?;
        let tree = treeinfo(&iso)?;
        let descriptors = file.read_vec_at(0, SYSTEM_AREA + DESCRIPTORS).at("reading", path)?;
        let info = BaseInfo {
            path: path.to_owned(),
            layout,
            label: iso.label(),
            arch,
            release,
            tree,
            size: meta.len(),
            fingerprint: Sha256::of(&descriptors),
            volume_size: u64::from(iso.volumes.primary.blocks()) * SECTOR,
        };
        Ok(Self { info, file, iso, part, system, gpt, backup, catalog_block, efi, esp })
    }

    /// Content of the EFI system partition.
    pub fn esp_bytes(&self) -> Result<Vec<u8>> {
        if self.esp.len > ESP_MAX {
            let text =
                format!("the EFI system partition of the base has {} bytes, over {ESP_MAX}", self.esp.len);
            return Err(Error::input(text));
        }
        let at = u64::from(self.esp.block) * SECTOR;
        let bytes = self.file.read_vec_at(at, self.esp.len as usize);
        bytes.map_err(|error| Error::input("the EFI system partition lies outside the base").because(error))
    }
}

/// Whether Anaconda can be given a kickstart on this medium, and kiln has not been here before.
fn support(iso: &Iso<Arc<File>>) -> Result<()> {
    if iso.tree.find(MANIFEST).is_some() {
        return Err(Error::input("it was made by kiln already").hint("build from the vendor's own ISO"));
    }
    // What lay there would be on the new medium, in no manifest, and every machine would refuse to install from it.
    if iso.tree.nodes[0].children.iter().any(|id| iso.tree.node(*id).name == "kiln") {
        return Err(Error::input("it has a /kiln already, which is where kiln puts its files")
            .hint("build from the vendor's own ISO"));
    }
    for path in ["/.discinfo", "/.treeinfo"] {
        if iso.tree.find(path).is_none() {
            return Err(Error::input(format!(
                "it has no {path}: it is no install medium with kickstart support"
            ))
            .hint("give the DVD or boot ISO of an EL 7, 8, 9 or 10 release, not a live image"));
        }
    }
    if !iso.tree.rock_ridge {
        return Err(Error::input("it has no Rock Ridge names").hint("give the vendor's install ISO"));
    }
    Ok(())
}

fn boot(iso: &Iso<Arc<File>>) -> Result<(u32, BootEntry, BootEntry)> {
    let cannot = |what: &str| {
        Error::input(format!("it cannot be booted: {what}")).hint("give the vendor's install ISO, unchanged")
    };
    let block = iso.volumes.boot_catalog.ok_or_else(|| cannot("it has no El Torito boot record"))?;
    let bytes = iso.source().read_vec_at(u64::from(block) * SECTOR, SECTOR as usize);
    let entries = bytes.ok().and_then(|bytes| eltorito::parse(&bytes));
    let entries = entries.ok_or_else(|| cannot("its boot catalog is damaged"))?;
    let find = |platform| entries.iter().find(|entry| entry.platform == platform).copied();
    let bios = find(Platform::Bios).ok_or_else(|| cannot("its boot catalog has no entry for BIOS"))?;
    let efi = find(Platform::Efi).ok_or_else(|| cannot("its boot catalog has no entry for UEFI"))?;
    Ok((block, bios, efi))
}

/// The view of partition 1, where a volume of its own begins there (`-partition_offset`).
fn partition(
    system: &[u8],
    gpt: Option<&Gpt>,
    iso: &Iso<Arc<File>>,
    file: &Arc<File>,
) -> Result<Option<Iso<Arc<File>>>> {
    let gpt = gpt.map(Gpt::partitions).unwrap_or_default().into_iter().map(|part| part.first);
    let mbr = mbr::entries(system).into_iter().filter(|entry| entry.kind != mbr::PROTECTIVE);
    let blocks = u64::from(iso.volumes.primary.blocks());
    let starts = gpt.chain(mbr.map(|entry| u64::from(entry.start)));
    let mut starts = starts.filter(|start| *start > 0 && start % 4 == 0 && start / 4 + 17 < blocks);
    let begins = |start: &u64| {
        let head = file.read_vec_at((start / 4 + 16) * SECTOR, 6);
        head.is_ok_and(|head| head == *b"\x01CD001")
    };
    match starts.find(begins) {
        Some(start) => {
            let view = Iso::open_at(Arc::clone(file), (start / 4) as u32);
            view.map(Some).map_err(|error| error.context("the volume in partition 1"))
        }
        None => Ok(None),
    }
}

/// Place of the EFI system partition: where the boot catalog says, as long as the file or the partition there.
fn esp(iso: &Iso<Arc<File>>, system: &[u8], gpt: Option<&Gpt>, efi: BootEntry) -> Result<Esp> {
    let sector = u64::from(efi.block) * 4;
    let file = iso.tree.nodes.iter().find(|node| {
        node.kind == Kind::File && node.records.len() == 1 && node.size() > 0 && node.block() == efi.block
    });
    let mbr = || {
        let entry = mbr::entries(system).into_iter().find(|entry| u64::from(entry.start) == sector);
        entry.map(|entry| u64::from(entry.sectors))
    };
    let gpt = || {
        let part =
            gpt?.partitions().into_iter().find(|part| part.first == sector && part.last >= part.first)?;
        Some((part.last - part.first).saturating_add(1))
    };
    let len = match file {
        Some(node) => node.size(),
        None => gpt().or_else(mbr).unwrap_or(u64::from(efi.sectors)).saturating_mul(512),
    };
    if len == 0 {
        return Err(Error::input("its EFI boot image has no length"));
    }
    Ok(Esp { block: efi.block, len, appended: file.is_none() })
}

fn layout(iso: &Iso<Arc<File>>, bios: BootEntry, gpt: Option<&Gpt>) -> Result<Layout> {
    let isolinux = iso.tree.find("/isolinux/isolinux.bin").map(|id| iso.tree.node(id).block());
    let volume = u64::from(iso.volumes.primary.blocks()) * 4;
    if isolinux == Some(bios.block) && iso.tree.find("/isolinux/isolinux.cfg").is_some() {
        let behind = gpt.is_none_or(|gpt| gpt.alternate() >= volume);
        return Ok(if behind { Layout::El7Isolinux } else { Layout::El9Isolinux });
    }
    if iso.tree.find("/boot/grub2/grub.cfg").is_some() {
        return Ok(Layout::El10Grub);
    }
    Err(Error::input("it boots neither by isolinux nor by GRUB as the install media of EL 7 to 10 do"))
}

/// Release and architecture from `.discinfo`: its second and third line.
fn discinfo(iso: &Iso<Arc<File>>) -> Result<(String, String)> {
    let text = iso.read_path("/.discinfo", 64 << 10)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().skip(1).map(|line| line.trim().to_owned());
    let (release, arch) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    foreign(".discinfo", &arch)?;
    Ok((release, arch))
}

/// `.treeinfo`, whose architecture must be right, too.
fn treeinfo(iso: &Iso<Arc<File>>) -> Result<TreeInfo> {
    let text = iso.read_path("/.treeinfo", 1 << 20)?.unwrap_or_default();
    let info = TreeInfo::parse(&String::from_utf8_lossy(&text));
    if let Some(arch) = &info.arch {
        foreign(".treeinfo", arch)?;
    }
    Ok(info)
}

fn foreign(file: &str, arch: &str) -> Result<()> {
    if arch == ARCH {
        return Ok(());
    }
    let text =
        format!("it is for the architecture `{}` ({file}), and kiln builds for {ARCH}", arch.escape_debug());
    Err(Error::input(text).hint("give the x86_64 install ISO of the release"))
}
