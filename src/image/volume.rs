//! A volume with a payload or a seed: ISO 9660 with Rock Ridge, which installers and cloud-init mount by its label. Not FAT, whose
//! files end at 4 GiB and have no modes.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, IoContext, Result};
use crate::format::iso9660::blank;
use crate::format::iso9660::emit::Content;
use crate::format::iso9660::plan::{NewFile, TreePlan, parts};
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::Extent;
use crate::format::iso9660::{SECTOR, sectors};
use crate::image::iso::descriptor;
use crate::image::stream::Blobs;
use crate::image::{Digests, MediumFile};

/// Label of what cloud-init reads. In lower case every cloud-init finds it; 18.5 takes `vfat` and `iso9660` only, and that label as
/// it is.
pub const CIDATA: &str = "cidata";
/// Label of what Anaconda reads: the kickstart of a machine that was given no other. It ignores disks of this label as targets.
pub const OEMDRV: &str = "OEMDRV";
/// The volume's length is a multiple of this.
const UNIT: u64 = 64 << 10;
/// Largest volume: its blocks are counted in 32 bits, and an MBR counts sectors in as many.
const MAX: u64 = 2 << 40;

/// Where bytes of the volume come from.
#[derive(Debug)]
pub enum Source {
    /// Memory.
    Bytes(Vec<u8>),
    /// The file of this number.
    File(usize),
}

/// A planned volume. What no segment covers is zero.
#[derive(Debug)]
pub struct Volume {
    /// Bytes of the volume.
    pub len: u64,
    /// First byte and source, in the order of the volume.
    pub segments: Vec<(u64, Source)>,
}

struct Placed<'a>(&'a [(u32, u64)]);

impl Content for Placed<'_> {
    fn new_file(&self, number: usize) -> Vec<Extent> {
        let (block, len) = self.0.get(number).copied().unwrap_or_default();
        parts(block, len)
    }

    fn replaced(&self, _: &str) -> Vec<Extent> {
        Vec::new()
    }
}

/// Plans a volume of that label with these files.
///
/// # Errors
/// Of class input: two files of one path, or more than a volume holds.
pub fn plan(label: &str, files: &[MediumFile]) -> Result<Volume> {
    let mut head = blank::volume(label);
    let empty = Iso::open(head.clone())?;
    let mut seen = BTreeSet::new();
    let (mut new, mut places) = (Vec::new(), Vec::new());
    let mut segments = Vec::new();
    let mut next = u64::from(blank::BLOCKS);
    for (number, file) in files.iter().enumerate() {
        let len = file.content.len();
        if !seen.insert(&file.path) {
            return Err(Error::input(format!("two files of the payload want the path {}", file.path)));
        }
        new.push(NewFile { path: file.path.clone(), mode: file.mode & 0o7777, len });
        places.push((next as u32, len));
        segments.push((next * SECTOR, Source::File(number)));
        next += sectors(len);
        if next * SECTOR > MAX {
            return Err(Error::input("the payload would be larger than 2 TiB"));
        }
    }
    let tree = TreePlan::new(&empty.tree, &new, &[])?.emit(next as u32, &Placed(&places))?;
    let end = next * SECTOR + tree.bytes.len() as u64;
    let len = end.next_multiple_of(UNIT);
    for (at, bytes) in &tree.patches {
        crate::format::bytes::put(&mut head, *at as usize, bytes);
    }
    let primary = &empty.volumes.primary;
    let raw = descriptor(primary, &tree, label, (len / SECTOR) as u32);
    crate::format::bytes::put(&mut head, primary.sector as usize * SECTOR as usize, &raw);
    segments.push((next * SECTOR, Source::Bytes(tree.bytes)));
    segments.insert(0, (0, Source::Bytes(head)));
    Ok(Volume { len, segments })
}

/// Writes a volume to byte `at` of a file, in order, and tells up to which byte it is.
pub fn write(
    (file, path): (&File, &Path),
    at: u64,
    volume: Volume,
    files: Vec<MediumFile>,
    blobs: &mut Blobs<'_>,
    mut upto: impl FnMut(u64),
) -> Result<()> {
    let mut files: Vec<Option<MediumFile>> = files.into_iter().map(Some).collect();
    let mut digests = Digests::new();
    for (offset, source) in volume.segments {
        match source {
            Source::Bytes(bytes) => {
                file.write_all_at(&bytes, at + offset).at("writing", path)?;
                upto(at + offset + bytes.len() as u64);
            }
            Source::File(number) => {
                if let Some(file) = files.get_mut(number).and_then(Option::take) {
                    blobs.file(file, at + offset, &mut digests, &mut upto)?;
                }
            }
        }
    }
    Ok(())
}
