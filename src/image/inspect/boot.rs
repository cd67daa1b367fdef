//! Boot records of a medium: El Torito (CD), MBR and GPT (USB sticks).

use std::fmt;

use serde::Serialize;

use crate::format::eltorito::{self, Platform};
use crate::format::gpt::Gpt;
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::tree::Tree;
use crate::format::iso9660::volume::Volumes;
use crate::format::mbr;
use crate::format::read_at::ReadAt;

/// All boot records.
#[derive(Debug, Default, Serialize)]
pub struct Boot {
    /// El Torito entries, in order.
    pub el_torito: Vec<ElTorito>,
    /// Partitions of the master boot record.
    pub mbr: Vec<MbrPartition>,
    /// Whether the MBR begins with code.
    pub mbr_code: bool,
    /// Partitions of the GUID partition table.
    pub gpt: Vec<GptPartition>,
    /// Whether the backup of the GUID partition table is whole and says the same; nothing if there is no table.
    pub gpt_backup: Option<bool>,
}

/// An El Torito entry.
#[derive(Debug, Serialize)]
pub struct ElTorito {
    /// `BIOS`, `UEFI` or a number.
    pub platform: String,
    /// First block of the boot image.
    pub block: u32,
    /// 512-byte sectors that are loaded.
    pub sectors: u16,
}

/// A partition of the MBR.
#[derive(Debug, Serialize)]
pub struct MbrPartition {
    /// Number from 1.
    pub number: usize,
    /// Type in hexadecimal digits.
    pub kind: String,
    /// First 512-byte sector.
    pub start: u32,
    /// Number of sectors.
    pub sectors: u32,
}

/// A partition of the GPT.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct GptPartition {
    /// Number from 1.
    pub number: usize,
    /// First 512-byte sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
}

/// How a medium boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// isolinux for BIOS, an EFI image inside of the tree: EL7, 8 and 9.
    Isolinux,
    /// GRUB for both, the EFI image appended as a partition: EL10.
    Grub,
    /// Neither; perhaps not bootable.
    Other,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Isolinux => "isolinux and an EFI image in the tree (EL7, 8, 9)",
            Layout::Grub => "GRUB for BIOS and UEFI (EL10)",
            Layout::Other => "none that kiln knows",
        })
    }
}

impl Boot {
    /// Block of the EFI image.
    pub fn efi_block(&self) -> Option<u32> {
        self.el_torito.iter().find(|entry| entry.platform == "UEFI").map(|entry| entry.block)
    }

    /// Block where the first partition begins, when that is on a border of blocks.
    pub fn first_partition_block(&self) -> Option<u32> {
        let gpt = self.gpt.first().map(|partition| partition.first);
        let first = gpt.or(self.mbr.first().map(|partition| u64::from(partition.start)))?;
        if first % 4 == 0 { u32::try_from(first / 4).ok() } else { None }
    }
}

/// Reads all boot records of an image of `size` bytes.
pub fn read(source: &impl ReadAt, volumes: &Volumes, size: u64) -> Boot {
    let catalog =
        volumes.boot_catalog.and_then(|block| source.read_vec_at(u64::from(block) * SECTOR, 2048).ok());
    let entries = catalog.and_then(|catalog| eltorito::parse(&catalog)).unwrap_or_default();
    let el_torito = entries.iter().map(|entry| ElTorito {
        platform: match entry.platform {
            Platform::Bios => "BIOS".into(),
            Platform::Efi => "UEFI".into(),
            Platform::Other(id) => id.to_string(),
        },
        block: entry.block,
        sectors: entry.sectors,
    });
    let sector = source.read_vec_at(0, mbr::LEN).unwrap_or_default();
    let mbr = mbr::entries(&sector).into_iter().map(|entry| MbrPartition {
        number: entry.index + 1,
        kind: format!("{:02x}", entry.kind),
        start: entry.start,
        sectors: entry.sectors,
    });
    let main = Gpt::read(source, 1);
    let gpt = main.as_ref().map(partitions).unwrap_or_default();
    // It should lie in the last sector; an isohybrid's lies where its header says.
    let backup = main.as_ref().map(|main| {
        let at = [main.alternate(), (size / 512).saturating_sub(1)];
        at.iter().any(|&lba| Gpt::read(source, lba).is_some_and(|backup| partitions(&backup) == gpt))
    });
    Boot {
        el_torito: el_torito.collect(),
        mbr: mbr.collect(),
        mbr_code: sector.iter().take(8).any(|byte| *byte != 0),
        gpt,
        gpt_backup: backup,
    }
}

fn partitions(gpt: &Gpt) -> Vec<GptPartition> {
    let partitions = gpt.partitions().into_iter();
    partitions
        .map(|found| GptPartition { number: found.index + 1, first: found.first, last: found.last })
        .collect()
}

/// Tells the layout by what is there.
pub fn layout(tree: &Tree, boot: &Boot) -> Layout {
    let has = |path: &str| tree.find(path).is_some();
    if boot.el_torito.is_empty() {
        Layout::Other
    } else if has("/isolinux/isolinux.bin") {
        Layout::Isolinux
    } else if has("/boot/grub2/grub.cfg") {
        Layout::Grub
    } else {
        Layout::Other
    }
}
