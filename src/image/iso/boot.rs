//! What firmware and kernels read outside the file system: MBR and GPT, fitted to the new sizes (UEFI 2.10 §5.2, §5.3).
//! Boot code, and the block numbers in it, stay: nothing that it refers to moves.

use crate::error::{Error, Result};
use crate::format::bytes::put;
use crate::format::gpt::{self, Gpt};
use crate::format::iso9660::SECTOR;
use crate::format::mbr;
use crate::image::base::{Base, SYSTEM_AREA};

use super::layout::Places;

/// isohybrid pads to whole cylinders of 64 heads and 32 sectors: 1 MiB.
const CYLINDER: u64 = 1 << 20;
/// 512-byte sectors of a block.
const PER_BLOCK: u64 = SECTOR / gpt::SECTOR;

/// Patched boot records.
pub struct Patched {
    /// The system area.
    pub system: Vec<u8>,
    /// The backup GPT: bytes and where they go.
    pub behind: Vec<(u64, Vec<u8>)>,
    /// Where the base's backup header lies, to be blanked.
    pub stale: Option<u64>,
}

/// Blocks of the volume and bytes of the medium, when the volume's content takes `end` blocks.
pub fn sizes(base: &Base, end: u64) -> (u64, u64) {
    let cylinders = mbr::entries(&base.system).iter().any(|entry| entry.start == 0);
    if !cylinders {
        return (end, end * SECTOR);
    }
    let volume = u64::from(base.iso.volumes.primary.blocks()) * PER_BLOCK;
    if base.gpt.as_ref().is_some_and(|gpt| gpt.alternate() < volume) {
        let size = (end * SECTOR).next_multiple_of(CYLINDER);
        return (size / SECTOR, size);
    }
    // The backup GPT lies behind the volume: its header, its entries.
    let room = base.gpt.as_ref().map_or(0, |gpt| (backup_distance(base, gpt) + 1) * gpt::SECTOR);
    (end, (end * SECTOR + room).next_multiple_of(CYLINDER))
}

/// Sectors from the backup's entries to its header.
fn backup_distance(base: &Base, gpt: &Gpt) -> u64 {
    let old = base.backup.as_ref().map(|backup| gpt.alternate().saturating_sub(backup.entries_lba()));
    old.unwrap_or(0).clamp(gpt.entry_sectors(), 512)
}

/// Patches the system area and makes the backup GPT.
pub fn system_area(base: &Base, places: &Places) -> Result<Patched> {
    let mut system = base.system.clone();
    let total = places.size / gpt::SECTOR;
    let esp = (places.esp_block * PER_BLOCK, places.esp_len.div_ceil(gpt::SECTOR));
    let old_esp = u64::from(base.esp.block) * PER_BLOCK;
    let part = base.part.as_ref().map(|part| u64::from(part.start()) * PER_BLOCK);
    let data_end = places.data_end * PER_BLOCK;
    let old_total = base.info.size / gpt::SECTOR;
    let old_volume = base.info.volume_size / gpt::SECTOR;
    for entry in mbr::entries(&base.system) {
        let start = u64::from(entry.start);
        match start {
            _ if entry.kind == mbr::PROTECTIVE => {
                mbr::place(&mut system, entry.index, start, total.saturating_sub(start))
            }
            _ if start == old_esp => mbr::place(&mut system, entry.index, esp.0, esp.1),
            _ if Some(start) == part => {
                mbr::place(&mut system, entry.index, start, data_end.saturating_sub(start))
            }
            0 if u64::from(entry.sectors) == old_volume && old_volume != old_total => {
                mbr::place(&mut system, entry.index, 0, places.blocks * PER_BLOCK);
            }
            0 => mbr::place(&mut system, entry.index, 0, total),
            _ => {}
        }
    }
    let Some(old) = &base.gpt else {
        return Ok(Patched { system, behind: Vec::new(), stale: None });
    };
    let mut new = old.clone();
    for p in old.partitions() {
        if p.first == old_esp {
            new.place(p.index, esp.0, esp.0 + esp.1 - 1);
        } else if Some(p.first) == part {
            new.place(p.index, p.first, data_end.saturating_sub(1));
        } else if p.first == 0 {
            let last = if p.last.checked_add(1) == Some(old_volume) && old_volume != old_total {
                places.blocks * PER_BLOCK - 1
            } else {
                // As far from the end of the medium as it was.
                total.saturating_sub(old_total.saturating_sub(p.last))
            };
            new.place(p.index, p.first, last);
        } else if base.esp.appended && p.first > old_esp {
            // What xorriso calls a gap: the padding behind the partition.
            new.remove(p.index);
        }
    }
    let entries = old.entries_lba();
    let at = entries.saturating_mul(gpt::SECTOR);
    if entries < 2 || at.saturating_add(new.entries().len() as u64) > SYSTEM_AREA as u64 {
        return Err(Error::input("the GPT of the base does not lie before its volume"));
    }
    let alternate = total - 1;
    let backup_entries = alternate - backup_distance(base, old);
    let usable = alternate.saturating_sub(old.alternate().saturating_sub(old.last_usable()));
    put(&mut system, gpt::SECTOR as usize, &new.header(1, alternate, entries, usable));
    put(&mut system, at as usize, new.entries());
    let behind = vec![
        (backup_entries * gpt::SECTOR, new.entries().to_vec()),
        (alternate * gpt::SECTOR, new.header(alternate, 1, backup_entries, usable)),
    ];
    let stale = base.backup.as_ref().map(|_| old.alternate() * gpt::SECTOR);
    Ok(Patched { system, behind, stale })
}
