//! What a disk image says about itself: how it is packed and parted, and kiln's payload in its last partition.
//!
//! Vendors' partitions are named and never read: their file systems are not kiln's business.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::check;
use super::payload::{self, Carrier, KilnMedium};
use super::text::{medium, printable};
use crate::error::{IoContext, Result};
use crate::format::iso9660::read::Iso;
use crate::format::read_at::Window;
use crate::image::disk::{self, Disk, SECTOR, Source};
use crate::progress::Progress;
use crate::report::human_size;

/// Everything that `kiln inspect` tells of a disk image.
#[derive(Debug, Serialize)]
pub struct DiskInspection {
    /// Kind of the medium: `disk`.
    pub kind: &'static str,
    /// How it is packed: `qcow2` or `raw`.
    pub form: &'static str,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the disk.
    pub disk: u64,
    /// `GPT` or `MBR`.
    pub table: &'static str,
    /// Its partitions, in the order of the disk.
    pub partitions: Vec<Partition>,
    /// What kiln put on it; nothing when kiln did not make it.
    pub kiln: Option<KilnMedium>,
}

/// A partition.
#[derive(Debug, Serialize)]
pub struct Partition {
    /// Its number, from 1.
    pub number: usize,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// What its type says.
    pub kind: &'static str,
}

/// Reads a disk image. With `check` every file of the payload is compared with its digest.
///
/// # Errors
/// Input: it is no disk whose tables can be used. Io: it cannot be read.
pub fn inspect(path: &Path, check: bool, progress: &dyn Progress) -> Result<DiskInspection> {
    let size = std::fs::metadata(path).at("looking at", path)?.len();
    let (source, disk) = disk::open(path)?;
    let partition = |part: &disk::Part| Partition {
        number: part.number,
        start: part.first * SECTOR,
        size: (part.last - part.first + 1) * SECTOR,
        kind: part.kind,
    };
    Ok(DiskInspection {
        kind: "disk",
        form: source.kind(),
        size,
        disk: disk.size,
        table: disk.table(),
        partitions: disk.parts.iter().map(partition).collect(),
        kiln: kiln(&source, &disk, check, progress)?,
    })
}

fn kiln(source: &Source, disk: &Disk, check: bool, progress: &dyn Progress) -> Result<Option<KilnMedium>> {
    let Some(volume) = source.payload(disk) else { return Ok(None) };
    let iso: Iso<Window<&Source>> = Iso::open(volume)?;
    let mut found = payload::read(&iso, Carrier::Partition);
    if let (true, Some(kiln)) = (check, &mut found) {
        check::payload(&iso, kiln, progress)?;
    }
    Ok(found)
}

/// Lines of text about the disk image `name`.
pub fn text(found: &DiskInspection, name: &str) -> String {
    let mut out = format!("{}: disk image ({}), {}\n", printable(name), found.form, human_size(found.size));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "  {key:<12} {}", printable(value));
    };
    line("disk", &format!("{}, {}", human_size(found.disk), found.table));
    for part in &found.partitions {
        let place = format!("{}: {}, {}", part.number, part.kind, human_size(part.size));
        line("partition", &place);
    }
    match &found.kiln {
        None => line("kiln", "not made by kiln"),
        Some(kiln) => medium(kiln, &mut line),
    }
    out
}
