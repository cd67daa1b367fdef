//! Volume descriptors (ECMA-119 8): what the image is called, how large it is and where its trees begin.

use crate::error::{Error, Result};
use crate::format::bytes::{be32, le16, le32, u8_at};
use crate::format::read_at::ReadAt;

use super::SECTOR;
use super::record::Record;

/// First sector of the volume descriptors (ECMA-119 6.7.1: the system area is sectors 0 to 15).
pub const FIRST: u32 = 16;
/// Most descriptors that are looked at; real images have four.
const MAX: u32 = 64;

/// A primary or supplementary volume descriptor (ECMA-119 8.4, 8.5).
#[derive(Debug, Clone)]
pub struct Volume {
    /// Sector that it lies in, counted from the start of its view.
    pub sector: u32,
    /// The descriptor as it lies on the medium, 2,048 bytes.
    pub raw: Vec<u8>,
    /// Record of the root directory.
    pub root: Record,
    /// Whether names are in UCS-2 (Joliet).
    pub joliet: bool,
}

impl Volume {
    fn parse(sector: u32, raw: Vec<u8>, joliet: bool) -> Result<Self> {
        let block = le16(&raw, 128);
        if u64::from(block) != SECTOR {
            return Err(Error::input(format!(
                "the image has logical blocks of {block} bytes, and 2048 are needed"
            )));
        }
        let root = raw.get(156..190).and_then(Record::parse).filter(Record::is_dir);
        let root = root.ok_or_else(|| Error::input("the image has no usable root directory record"))?;
        Ok(Self { sector, raw, root, joliet })
    }

    /// Volume identifier without its padding.
    pub fn label(&self) -> String {
        let bytes = &self.raw[40..72];
        let text =
            if self.joliet { ucs2(bytes) } else { bytes.iter().map(|byte| char::from(*byte)).collect() };
        text.trim_end_matches([' ', '\0']).to_owned()
    }

    /// Number of blocks of the volume.
    pub fn blocks(&self) -> u32 {
        le32(&self.raw, 80)
    }

    /// Bytes of a path table, and the blocks of its little-endian and big-endian copies.
    pub fn path_table(&self) -> (u32, u32, u32) {
        (le32(&self.raw, 132), le32(&self.raw, 140), be32(&self.raw, 148))
    }
}

/// Text from big-endian UCS-2; what cannot be is replaced.
pub fn ucs2(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The descriptors of one view of an image.
#[derive(Debug, Clone)]
pub struct Volumes {
    /// The primary volume descriptor.
    pub primary: Volume,
    /// The supplementary one of Joliet, if there is any.
    pub joliet: Option<Volume>,
    /// Block of the El Torito boot catalog, if there is a boot record (El Torito 1.0, figure 7).
    pub boot_catalog: Option<u32>,
}

impl Volumes {
    /// Reads the descriptors that begin at sector `start + 16`.
    pub fn read(source: &impl ReadAt, start: u32) -> Result<Self> {
        let (mut primary, mut joliet, mut boot_catalog, mut udf) = (None, None, None, false);
        for sector in FIRST..FIRST + MAX {
            let at = (u64::from(start) + u64::from(sector)) * SECTOR;
            let Ok(raw) = source.read_vec_at(at, SECTOR as usize) else { break };
            match &raw[1..6] {
                b"CD001" => {}
                b"BEA01" | b"NSR02" | b"NSR03" | b"TEA01" => {
                    udf = true;
                    continue;
                }
                _ => break,
            }
            match u8_at(&raw, 0) {
                0 if raw[7..39].starts_with(b"EL TORITO SPECIFICATION") => {
                    boot_catalog.get_or_insert(le32(&raw, 71));
                }
                1 if primary.is_none() => primary = Some(Volume::parse(sector, raw, false)?),
                // Joliet: escape sequences of UCS-2 levels 1 to 3 (Joliet specification, "Escape Sequences").
                2 if joliet.is_none() && matches!(&raw[88..91], b"%/@" | b"%/C" | b"%/E") => {
                    joliet = Some(Volume::parse(sector, raw, true)?);
                }
                255 => break,
                _ => {}
            }
        }
        match primary {
            Some(primary) => Ok(Self { primary, joliet, boot_catalog }),
            None if udf => Err(Error::input("the image holds only a UDF file system")
                .hint("give the vendor's install ISO, which holds ISO 9660 as well")),
            None => {
                Err(Error::input("the file is not an ISO 9660 image: it has no primary volume descriptor"))
            }
        }
    }
}
