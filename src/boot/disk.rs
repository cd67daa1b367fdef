//! Disks of a machine: what is asked for, and the file behind it. Not what is on them.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, IoContext, Result};
use crate::format::qcow2;
use crate::units;

/// How a disk is attached, which decides its name on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// `vda`.
    #[default]
    Virtio,
    /// `sda`, AHCI.
    Sata,
    /// `nvme0n1`.
    Nvme,
    /// `sda`, virtio-scsi.
    Scsi,
    /// `sda`, xHCI.
    Usb,
}

/// Format of the file behind a disk. Never guessed from its content: that is the guest's to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Byte for byte.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Format {
    /// QEMU's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }
}

/// A disk as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disk {
    /// Its size in bytes; may be missing where `file` is there already.
    pub size: Option<u64>,
    /// The file behind it: used if it is there, made if not, kept in the end. Without one, a blank disk for this run.
    pub file: Option<PathBuf>,
    /// Format of the file: for a given one by its name (`.qcow2`, else raw), for a blank one qcow2.
    pub format: Option<Format>,
    /// How it is attached.
    pub bus: Bus,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its World Wide Name; an EUI-64 on NVMe.
    pub wwn: Option<u64>,
    /// Bytes of a logical and physical sector: 512 if not given.
    pub sector: Option<u32>,
    /// Whether the machine may not write to it.
    pub read_only: bool,
    /// Whether it is a failure if any byte of it has changed in the end.
    pub unchanged: bool,
}

/// Longest serial number that ATA, NVMe and virtio can tell.
const SERIAL_LIMIT: usize = 20;
/// Largest disk; more than any machine has, less than what overflows.
const SIZE_LIMIT: u64 = 64 << 40;

/// `20G` → bytes, counting by 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let shape = || format!("`{text}` is no size like 20G: a whole number, then M, G or T");
    match units::bytes(text).ok_or_else(shape)? {
        bytes if (1 << 20..=SIZE_LIMIT).contains(&bytes) => Ok(bytes),
        _ => Err(format!("a disk has between 1M and 64T, not {text}")),
    }
}

/// `0x5000c50015ea71ac` → number.
pub fn wwn(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    Some(digits)
        .filter(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("`{text}` is no WWN like 0x5000c50015ea71ac: 16 hexadecimal digits"))
}

impl FromStr for Disk {
    type Err = String;

    /// `SIZE[,bus=…][,serial=…][,wwn=…][,sector=…][,file=…][,format=…][,ro][,unchanged]`; SIZE may be left out with `file=`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut disk = Disk::default();
        for (n, part) in text.split(',').enumerate() {
            let Some((key, value)) = part.split_once('=') else {
                match part {
                    "ro" => disk.read_only = true,
                    "unchanged" => disk.unchanged = true,
                    _ if n == 0 => disk.size = Some(size(part)?),
                    _ => return Err(format!("`{part}` is no property of a disk")),
                }
                continue;
            };
            match key {
                "bus" => disk.bus = word(value, "bus", "virtio, sata, nvme, scsi or usb")?,
                "format" => disk.format = Some(word(value, "format", "raw or qcow2")?),
                "serial" => disk.serial = Some(value.to_owned()),
                "wwn" => disk.wwn = Some(wwn(value)?),
                "sector" => disk.sector = Some(value.parse().map_err(|_| format!("`{value}` is no number"))?),
                "file" => disk.file = Some(PathBuf::from(value)),
                _ => return Err(format!("`{key}` is no property of a disk")),
            }
        }
        disk.check()?;
        Ok(disk)
    }
}

fn word<T: serde::de::DeserializeOwned>(value: &str, what: &str, words: &str) -> Result<T, String> {
    serde_json::from_value(value.into()).map_err(|_| format!("`{value}` is no {what}: {words}"))
}

impl Disk {
    /// A blank disk.
    pub fn blank(size: u64) -> Self {
        Self { size: Some(size), ..Self::default() }
    }

    /// What the device models cannot do.
    ///
    /// # Errors
    /// With the rule that is broken.
    pub fn check(&self) -> Result<(), String> {
        if self.size.is_none() && self.file.is_none() {
            return Err("a disk needs a size like 20G, or file=".to_owned());
        }
        if let Some(serial) = &self.serial
            && (serial.is_empty()
                || serial.len() > SERIAL_LIMIT
                || !serial.bytes().all(|b| b.is_ascii_graphic() && b != b','))
        {
            return Err(format!("a disk's serial number has 1 to {SERIAL_LIMIT} printable characters"));
        }
        if self.wwn.is_some() && matches!(self.bus, Bus::Virtio | Bus::Usb) {
            return Err("disks on virtio and usb have no WWN: use sata, scsi or nvme".to_owned());
        }
        match self.sector {
            None | Some(512) => {}
            Some(4096) if self.bus != Bus::Sata => {}
            Some(4096) => return Err("QEMU's SATA disks have sectors of 512 bytes only".to_owned()),
            Some(other) => return Err(format!("a sector has 512 or 4096 bytes, not {other}")),
        }
        if self.read_only && matches!(self.bus, Bus::Sata | Bus::Nvme) {
            return Err("a disk that is read-only is on virtio, scsi or usb".to_owned());
        }
        Ok(())
    }

    fn kind(&self) -> Format {
        self.format.unwrap_or_else(|| match &self.file {
            Some(file) if file.extension().is_none_or(|e| e != "qcow2") => Format::Raw,
            _ => Format::Qcow2,
        })
    }

    /// Opens or makes the file behind the disk. `number` counts from 1.
    ///
    /// # Errors
    /// When the file cannot be used or made.
    pub fn prepare(&self, work: &Path, number: usize) -> Result<Drive> {
        self.check().map_err(|why| Error::input(format!("disk {number}: {why}")))?;
        let format = self.kind();
        let path = match &self.file {
            Some(file) => std::path::absolute(file).at("finding", file)?,
            None => work.join(format!("disk-{number}.{}", format.as_str())),
        };
        if self.file.is_some() && path.exists() {
            let writable = OpenOptions::new().read(true).write(!self.read_only).open(&path);
            let file = writable.at("opening the disk", &path)?;
            if !file.metadata().at("opening the disk", &path)?.is_file() {
                return Err(Error::input(format!("the disk {} is no file", path.display()))
                    .hint("kiln writes to files only, never to devices"));
            }
        } else {
            let size = self.size.ok_or_else(|| {
                Error::input(format!("the disk {} does not exist", path.display()))
                    .hint("give it a size, and it is made: 20G,file=…")
            })?;
            blank(&path, format, size)?;
        }
        Ok(Drive { disk: self.clone(), path, format })
    }
}

fn blank(path: &Path, format: Format, size: u64) -> Result<()> {
    let file = File::create_new(path).at("making the disk", path)?;
    match format {
        Format::Raw => file.set_len(size).at("making the disk", path),
        // The map from a disk's clusters to the file's is held in QEMU's memory and written when the guest flushes. So when QEMU is
        // killed, a cluster's first write is lost unless the guest flushed it: as on a drive with a write cache that loses its power.
        // A raw file would keep every write, flushed or not.
        Format::Qcow2 => qcow2::blank(&file, size),
    }
}

/// A disk whose file is there.
#[derive(Debug, Clone)]
pub struct Drive {
    /// What was asked for.
    pub disk: Disk,
    /// Its file; absolute.
    pub path: PathBuf,
    /// The file's format.
    pub format: Format,
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
