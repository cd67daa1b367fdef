//! Partition tables of vendors' disks: looked at, never assumed; and what must be written so that the disk grows and carries one
//! more partition, at its end. Root is the last partition of the images that grow, and `growpart` stops at the start of the next
//! one: behind root there is room up to the payload.

use crate::error::{Error, Result};
use crate::format::gpt::{self, Gpt};
use crate::format::guid::Guid;
use crate::format::mbr;
use crate::format::read_at::ReadAt;

/// Bytes of a sector, in all images that there are.
pub const SECTOR: u64 = 512;
/// Partitions that kiln adds begin at a multiple of this: the largest cluster of qcow2.
pub const ALIGN: u64 = 2 << 20;
/// Name of the payload's partition, where the table has names.
const NAME: &str = "kiln-payload";
/// Its type in a GPT: basic data, which nobody mounts by itself.
const GPT_KIND: Guid = Guid::of(0xebd0_a0a2, 0xb9e5, 0x4433, 0x87c0_68b6_b726_99c7);
/// Its type in an MBR: Linux.
const MBR_KIND: u8 = 0x83;
/// An extended partition, whose links would have to be followed.
const MBR_EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// Types of partitions that cloud images have.
const MBR_KNOWN: [(u8, &str); 11] = [
    (0x06, "FAT16"),
    (0x0b, "FAT32"),
    (0x0c, "FAT32"),
    (0x0e, "FAT16"),
    (0x41, "PReP boot"),
    (0x82, "swap"),
    (0x83, "Linux"),
    (0x8e, "LVM"),
    (0xda, "data"),
    (mbr::ESP, "EFI system"),
    (0xfd, "RAID"),
];
/// The same for GPT (UEFI 2.10 §5.3.3, Discoverable Partitions Specification).
const GPT_KNOWN: [(Guid, &str); 11] = [
    (Guid::of(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b), "EFI system"),
    (Guid::of(0x2168_6148, 0x6449, 0x6e6f, 0x744e_6565_6445_4649), "BIOS boot"),
    (Guid::of(0x9e1a_2d38, 0xc612, 0x4316, 0xaa26_8b49_521e_5a8b), "PReP boot"),
    (Guid::of(0x0fc6_3daf, 0x8483, 0x4772, 0x8e79_3d69_d847_7de4), "Linux"),
    (Guid::of(0x4f68_bce3, 0xe8cd, 0x4db1, 0x96e7_fbca_f984_b709), "Linux root"),
    (Guid::of(0xbc13_c2ff, 0x59e6, 0x4262, 0xa352_b275_fd6f_7172), "Linux boot"),
    (Guid::of(0x933a_c7e1, 0x2eb4, 0x4f13, 0xb844_0e14_e2ae_f915), "Linux home"),
    (Guid::of(0x0657_fd6d, 0xa4ab, 0x43c4, 0x84e5_0933_c84b_4f4f), "swap"),
    (Guid::of(0xe6d6_d379, 0xf507, 0x44c2, 0xa23c_238f_2a3d_f928), "LVM"),
    (Guid::of(0xa19d_880f, 0x05fc, 0x4d3b, 0xa006_743f_0f84_911e), "RAID"),
    (GPT_KIND, "data"),
];

/// How a disk is parted.
#[derive(Debug, Clone)]
enum Table {
    Mbr,
    Gpt(Box<Gpt>),
}

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: usize,
    /// First sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
    /// What it is.
    pub kind: &'static str,
}

/// A vendor's disk, as far as its tables go.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Bytes of the disk.
    pub size: u64,
    /// Partitions in the order of the disk.
    pub parts: Vec<Part>,
    boot: Vec<u8>,
    table: Table,
}

/// What makes a disk one that carries the payload.
#[derive(Debug)]
pub struct Layout {
    /// Bytes of the grown disk.
    pub size: u64,
    /// First byte of the payload's partition.
    pub at: u64,
    /// Bytes to be written, by place.
    pub writes: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    /// Reads and judges the tables of a disk.
    ///
    /// # Errors
    /// Of class input, with the rule that is broken.
    pub fn read(source: &impl ReadAt) -> Result<Self> {
        let unreadable = |error| Error::input("the disk cannot be read").because(error);
        let size = source.size().map_err(unreadable)? / SECTOR * SECTOR;
        let boot = source.read_vec_at(0, mbr::LEN).map_err(|_| unusable("it is too short for a disk"))?;
        let entries = mbr::entries(&boot);
        let protective = entries.iter().any(|entry| entry.kind == mbr::PROTECTIVE);
        let (table, mut parts) = match (protective, entries.len()) {
            (_, 0) => return Err(unusable("it has no partition table")),
            (false, _) => (Table::Mbr, entries.iter().map(mbr_part).collect::<Result<Vec<_>>>()?),
            (true, 1) => {
                let gpt =
                    Gpt::read(source, 1).ok_or_else(|| unusable("its GUID partition table is damaged"))?;
                let parts =
                    gpt.partitions().iter().map(|part| gpt_part(&gpt, part)).collect::<Result<_>>()?;
                (Table::Gpt(Box::new(gpt)), parts)
            }
            (true, _) => {
                return Err(unusable("its MBR is a hybrid one: it has entries besides the protective one"));
            }
        };
        parts.sort_by_key(|part| part.first);
        let last = match &table {
            Table::Mbr => size / SECTOR - 1,
            Table::Gpt(gpt) => gpt.last_usable().min(size / SECTOR - 1),
        };
        judge(&parts, last)?;
        if let (Table::Gpt(gpt), Some(part)) = (&table, parts.first())
            && (gpt.entries_lba() < 2 || gpt.entries_lba() + gpt.entry_sectors() > part.first)
        {
            return Err(unusable("its GUID partition table lies within its partitions"));
        }
        Ok(Self { size, parts, boot, table })
    }

    /// `GPT` or `MBR`.
    pub fn table(&self) -> &'static str {
        match self.table {
            Table::Mbr => "MBR",
            Table::Gpt(_) => "GPT",
        }
    }

    /// Whether the last partition can be a root that grows.
    pub fn root_grows(&self) -> bool {
        self.parts.last().is_some_and(|part| part.kind.starts_with("Linux"))
    }

    /// Sectors behind the last partition that the table keeps for itself.
    fn tail(&self) -> u64 {
        match &self.table {
            Table::Mbr => 0,
            Table::Gpt(gpt) => gpt.entry_sectors() + 1,
        }
    }

    /// The smallest size that has room for a payload of `len` bytes.
    pub fn least(&self, len: u64) -> u64 {
        (self.size.next_multiple_of(ALIGN) + len.next_multiple_of(ALIGN) + self.tail() * SECTOR)
            .next_multiple_of(ALIGN)
    }

    /// Plans the disk with a payload of `len` bytes, `size` bytes large. `id` is the new partition's.
    ///
    /// # Errors
    /// Of class input: no room on the disk or in its table.
    pub fn plan(&self, size: u64, len: u64, id: Guid) -> Result<Layout> {
        if size < self.least(len) {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return Err(Error::input(format!(
                "no room: the image's disk has {} MiB and the payload {} MiB, which do not fit into {} MiB",
                mib(self.size),
                mib(len),
                mib(size)
            ))
            .hint(format!(
                "give --size {}M or more; what is more is for the root file system",
                mib(self.least(len))
            )));
        }
        let sectors = size / SECTOR;
        let at = (size - self.tail() * SECTOR - len) / ALIGN * ALIGN;
        let (first, last) = (at / SECTOR, (at + len).div_ceil(SECTOR) - 1);
        let writes = match &self.table {
            Table::Mbr => self.mbr(sectors, first, last)?,
            Table::Gpt(gpt) => self.gpt(gpt, sectors, (first, last), id)?,
        };
        Ok(Layout { size, at, writes })
    }

    fn mbr(&self, sectors: u64, first: u64, last: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        if sectors > u64::from(u32::MAX) {
            return Err(Error::input("the image has an MBR, which cannot describe a disk of 2 TiB and more")
                .hint("give a smaller --size"));
        }
        let mut boot = self.boot.clone();
        let free = (0..4).find(|index| self.parts.iter().all(|part| part.number != index + 1));
        let free = free.ok_or_else(|| unusable("its MBR has no free entry for the payload"))?;
        mbr::add(&mut boot, free, MBR_KIND, first, last - first + 1);
        Ok(vec![(0, boot)])
    }

    fn gpt(
        &self,
        old: &Gpt,
        sectors: u64,
        (first, last): (u64, u64),
        id: Guid,
    ) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut new = old.clone();
        new.add(GPT_KIND, id, (first, last), NAME)
            .ok_or_else(|| unusable("its GUID partition table has no free entry for the payload"))?;
        let (end, table) = (sectors - 1, new.entry_sectors());
        let usable = end - table - 1;
        let mut boot = self.boot.clone();
        // The one entry that says that the disk is in use: all of it, or as much as 32 bits hold (UEFI 2.10 §5.2.3).
        let index = mbr::entries(&boot).first().map_or(0, |entry| entry.index);
        mbr::place(&mut boot, index, 1, end.min(u64::from(u32::MAX)));
        let mut writes = vec![
            (0, boot),
            (SECTOR, new.header(1, end, new.entries_lba(), usable)),
            (new.entries_lba() * SECTOR, new.entries().to_vec()),
            ((end - table) * SECTOR, new.entries().to_vec()),
            (end * SECTOR, new.header(end, 1, end - table, usable)),
        ];
        // Where the old backup was there is disk now: tools that find two of them ask questions.
        let stale = old.alternate();
        if stale < self.size / SECTOR && stale > old.last_usable() && stale < first {
            let from = stale.saturating_sub(table).max(old.last_usable() + 1);
            writes.push((from * SECTOR, vec![0; ((stale + 1 - from) * SECTOR) as usize]));
        }
        Ok(writes)
    }
}

fn mbr_part(entry: &mbr::Entry) -> Result<Part> {
    if MBR_EXTENDED.contains(&entry.kind) {
        return Err(unusable(&format!("partition {} is an extended one", entry.index + 1)));
    }
    let kind = MBR_KNOWN.iter().find(|(kind, _)| *kind == entry.kind).map(|(_, name)| *name);
    let kind = kind.ok_or_else(|| {
        unusable(&format!("partition {} is of the unknown type {:#04x}", entry.index + 1, entry.kind))
    })?;
    let first = u64::from(entry.start);
    Ok(Part { number: entry.index + 1, first, last: first + u64::from(entry.sectors) - 1, kind })
}

fn gpt_part(gpt: &Gpt, part: &gpt::Partition) -> Result<Part> {
    let id = gpt.kind(part.index);
    let kind = GPT_KNOWN.iter().find(|(kind, _)| *kind == id).map(|(_, name)| *name);
    let kind =
        kind.ok_or_else(|| unusable(&format!("partition {} is of the unknown type {id}", part.index + 1)))?;
    Ok(Part { number: part.index + 1, first: part.first, last: part.last, kind })
}

/// Partitions lie on the disk, and none in another.
fn judge(parts: &[Part], last: u64) -> Result<()> {
    for part in parts {
        if part.first == 0 || part.last < part.first || part.last > last {
            return Err(unusable(&format!(
                "partition {} (sectors {} to {}) does not lie on the disk, whose last usable sector is {last}",
                part.number, part.first, part.last
            )));
        }
    }
    match parts.windows(2).find(|pair| pair[0].last >= pair[1].first) {
        Some([one, other]) => {
            Err(unusable(&format!("partitions {} and {} overlap", one.number, other.number)))
        }
        _ => Ok(()),
    }
}

fn unusable(what: &str) -> Error {
    Error::input(format!("the cloud image cannot be used: {what}"))
        .hint("give the vendor's cloud image (GenericCloud), whole and unchanged; compare its checksum")
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
