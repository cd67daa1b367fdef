//! The disk that the running system started from, and kiln's record on it where no installer has written one: on the disk of a
//! machine that started from a disk image.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::list::mounts;
use super::record::{OFFSET, Record, SIZE, TableId};
use crate::error::{Error, IoContext, Result};

/// Bytes that sysfs counts partitions in, whatever the disk's sectors are.
const SYSFS_SECTOR: u64 = 512;

/// The disk that `/` lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemDisk {
    /// Its name: `sda`.
    pub name: String,
    /// Its folder in sysfs.
    sysfs: PathBuf,
    /// Whether `/` is one of its partitions, and not the whole device: a volume of LVM's, say.
    parted: bool,
}

impl SystemDisk {
    /// Finds it, by proc(5) mountinfo and sysfs.
    ///
    /// # Errors
    /// Input: `/` is not on a device of its own.
    pub fn find(root: &Path) -> Result<Self> {
        // Of two mounts with one path the last counts.
        let number =
            mounts(root)?.into_iter().rev().find(|(_, point)| point == "/").map(|(number, _)| number);
        let unknown = || Error::input("the disk of the running system cannot be told");
        let link = root.join("sys/dev/block").join(number.ok_or_else(unknown)?);
        let device = fs::canonicalize(&link).at("looking at", &link)?;
        // A partition lies in the folder of its disk.
        let parted = device.join("partition").exists();
        let sysfs = if parted { device.parent().unwrap_or(&device) } else { &device };
        let name = sysfs.file_name().ok_or_else(unknown)?.to_string_lossy().replace('!', "/");
        Ok(Self { name, sysfs: sysfs.to_owned(), parted })
    }

    /// Where it is opened.
    pub fn path(&self, root: &Path) -> PathBuf {
        root.join("dev").join(&self.name)
    }

    /// Writes the record that `of` makes for the table of this disk; a record that is there already is replaced.
    ///
    /// # Errors
    /// Input: there is no room for it, or something else lies there; nothing was written then. I/O: it could not be written.
    pub fn mark(&self, root: &Path, of: impl FnOnce(TableId) -> Result<Record>) -> Result<()> {
        let path = self.path(root);
        let no = |why: &str| Err(Error::input(format!("{} {why}", self.name)));
        if !self.parted {
            return no("has no partitions of which / is one");
        }
        let room = OFFSET..OFFSET + SIZE as u64;
        if self.partitions()?.iter().any(|part| part.start < room.end && room.start < part.end) {
            return no("has a partition in its first MiB");
        }
        let disk = File::open(&path).at("opening", &path)?;
        let Some(table) = TableId::read(&disk) else {
            return no("has a partition table without an identifier");
        };
        let mut there = vec![0; SIZE];
        disk.read_exact_at(&mut there, OFFSET).at("reading", &path)?;
        if there.iter().any(|byte| *byte != 0) && Record::read(&disk).is_none() {
            return no("holds something else in the gap before its first partition");
        }
        of(table)?.write(&path)
    }

    /// Where its partitions lie, in bytes.
    fn partitions(&self) -> Result<Vec<std::ops::Range<u64>>> {
        let number = |path: PathBuf| -> Result<u64> {
            let text = fs::read_to_string(&path).at("reading", &path)?;
            let number = text.trim().parse().ok().filter(|number| *number < u64::MAX / SYSFS_SECTOR / 2);
            number.ok_or_else(|| Error::input(format!("{} holds no number of sectors", path.display())))
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.sysfs).at("listing", &self.sysfs)? {
            let part = entry.at("listing", &self.sysfs)?.path();
            if part.join("partition").exists() {
                let (start, size) = (number(part.join("start"))?, number(part.join("size"))?);
                found.push(start * SYSFS_SECTOR..(start + size) * SYSFS_SECTOR);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
