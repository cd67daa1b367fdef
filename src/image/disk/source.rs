//! The vendor's cloud image: raw or qcow2, told by looking, and read as the disk that it is.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Form;
use super::table::{Disk, SECTOR};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::iso9660::read::Iso;
use crate::format::qcow2::{Qcow2, is_qcow2};
use crate::format::read_at::{ReadAt, Sparse, Window};
use crate::payload::MANIFEST;

/// Bytes of a partition that tell it apart: the superblocks of file systems, with their UUIDs.
const TELLING: u64 = 128 << 10;

/// A disk in a file.
#[derive(Debug)]
pub enum Source {
    /// Byte for byte.
    Raw(Arc<File>),
    /// As QEMU packs it.
    Qcow2(Box<Qcow2<Arc<File>>>),
}

impl Source {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).at("opening", path);
        let file = file
            .map_err(|error| error.hint("set `image` in [base] to the path of the vendor's cloud image"))?;
        if !file.metadata().at("looking at", path)?.is_file() {
            return Err(
                Error::input("it is not a regular file").hint("give the path of the vendor's cloud image")
            );
        }
        Self::of(Arc::new(file))
    }

    /// The payload's volume, if the disk carries one of kiln's: its last partition.
    pub fn payload(&self, disk: &Disk) -> Option<Window<&Self>> {
        let part = disk.parts.last()?;
        let volume = || Window::new(self, part.first * SECTOR, (part.last - part.first + 1) * SECTOR);
        Iso::open(volume()).is_ok_and(|iso| iso.tree.find(MANIFEST).is_some()).then(volume)
    }

    /// How the file is packed.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Raw(_) => "raw",
            Source::Qcow2(_) => "qcow2",
        }
    }

    /// Reads an open file as a disk.
    pub fn of(file: Arc<File>) -> Result<Self> {
        match is_qcow2(&*file) {
            true => Ok(Source::Qcow2(Box::new(Qcow2::open(file)?))),
            false => Ok(Source::Raw(file)),
        }
    }

    /// Tells the image apart from others without reading it all: its tables, and the head of each partition.
    pub fn fingerprint(&self, disk: &Disk) -> Result<Sha256> {
        let read = |at: u64, len: u64| {
            let len = len.min(disk.size - at.min(disk.size));
            let bytes = self.read_vec_at(at, len as usize);
            bytes.map_err(|error| Error::input("the disk cannot be read").because(error))
        };
        let mut all = disk.size.to_le_bytes().to_vec();
        all.extend(read(0, 34 * SECTOR)?);
        for part in &disk.parts {
            all.extend_from_slice(&Sha256::of(&read(part.first * SECTOR, TELLING)?).0);
        }
        Ok(Sha256::of(&all))
    }
}

/// How a disk image is packed; `None` if the file is none. Install ISOs have partition tables too, and are none.
pub fn form(path: &Path) -> Option<Form> {
    const VOLUME: u64 = 16 * SECTOR * 4 + 1;
    let file = File::open(path).ok()?;
    if is_qcow2(&file) {
        return Some(Form::Qcow2);
    }
    let iso = file.read_vec_at(VOLUME, 5).is_ok_and(|id| id == b"CD001");
    (!iso && Disk::read(&file).is_ok()).then_some(Form::Raw)
}

/// Whether a file is a disk that carries a payload of kiln's; false for whatever cannot be read as one.
pub fn made_by_kiln(path: &Path) -> bool {
    let Ok(source) = Source::open(path) else { return false };
    Disk::read(&source).is_ok_and(|disk| source.payload(&disk).is_some())
}

impl ReadAt for Source {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Source::Raw(file) => ReadAt::read_exact_at(&**file, buf, offset),
            Source::Qcow2(image) => image.read_exact_at(buf, offset),
        }
    }

    fn size(&self) -> io::Result<u64> {
        match self {
            Source::Raw(file) => ReadAt::size(&**file),
            Source::Qcow2(image) => image.size(),
        }
    }
}

impl Sparse for Source {
    fn next_data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        match self {
            Source::Raw(file) => file.next_data(from),
            Source::Qcow2(image) => image.next_data(from),
        }
    }
}
