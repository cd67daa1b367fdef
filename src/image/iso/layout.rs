//! The plan of a medium: every byte of it as an ordered list of segments, made before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::format::bytes::{put, put_both32};
use crate::format::eltorito;
use crate::format::iso9660::emit::{Content, Emitted};
use crate::format::iso9660::plan::{NewFile, TreePlan, parts};
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::Extent;
use crate::format::iso9660::volume::Volume;
use crate::format::iso9660::{SECTOR, sectors};
use crate::format::read_at::ReadAt;
use crate::image::MediumFile;
use crate::image::base::{Base, SYSTEM_AREA};
use crate::image::label::VolumeLabel;
use crate::tree::NodePath;

use super::boot;
use super::menus::Menus;

/// Empty blocks at the end of the volume, as mkisofs makes them: some drives cannot read the last blocks of a track, the
/// media check leaves 15 of them out, and a backup GPT finds room there.
const PAD: u64 = 150;
/// The appended EFI system partition begins at a multiple of this many blocks (64 KiB).
const ESP_ALIGN: u64 = 32;
/// Most parts of one file on a medium; a file of 400 GiB.
const MAX_PARTS: usize = 100;

/// Where bytes of the medium come from.
#[derive(Debug)]
pub enum Source {
    /// The same place of the base.
    Base,
    /// Memory.
    Bytes(Vec<u8>),
    /// The added file of this number.
    File(usize),
}

/// A run of bytes of the medium. What lies between two of them is zero.
#[derive(Debug)]
pub struct Segment {
    /// First byte.
    pub at: u64,
    /// Number of bytes.
    pub len: u64,
    /// Where they come from.
    pub source: Source,
}

/// The plan.
#[derive(Debug)]
pub struct Plan {
    /// In the order of the medium, without overlaps.
    pub segments: Vec<Segment>,
    /// Size of the medium.
    pub size: u64,
    /// Size of the volume in blocks.
    pub blocks: u32,
    /// Bytes from the start that are the base's.
    pub copied: u64,
}

/// Places of what is new, in blocks of the image.
pub struct Places {
    /// First block of the EFI system partition.
    pub esp_block: u64,
    /// Its length in bytes.
    pub esp_len: u64,
    /// First block behind the trees and all data that they refer to.
    pub data_end: u64,
    /// Size of the volume in blocks.
    pub blocks: u64,
    /// Size of the medium in bytes.
    pub size: u64,
}

/// State of planning.
struct Planner<'a> {
    base: &'a Base,
    next: u64,
    segments: Vec<Segment>,
    overlays: BTreeMap<u64, Vec<u8>>,
}

/// What the trees are told about content: blocks of the image, less where the view begins.
struct Placed<'a> {
    files: &'a [(u64, u64)],
    replaced: &'a BTreeMap<String, (u64, u64)>,
    start: u32,
}

impl Content for Placed<'_> {
    fn new_file(&self, number: usize) -> Vec<Extent> {
        self.extents(self.files.get(number))
    }

    fn replaced(&self, path: &str) -> Vec<Extent> {
        self.extents(self.replaced.get(path))
    }
}

impl Placed<'_> {
    fn extents(&self, place: Option<&(u64, u64)>) -> Vec<Extent> {
        let (block, len) = place.copied().unwrap_or_default();
        parts((block as u32).saturating_sub(self.start), len)
    }
}

/// Plans a medium.
pub fn plan(base: &Base, label: &VolumeLabel, files: &[MediumFile], menus: Menus) -> Result<Plan> {
    let new = new_files(files)?;
    let mut planner = Planner { base, next: 0, segments: Vec::new(), overlays: BTreeMap::new() };
    let copied = planner.keep();
    let Menus { files: mut replaced_bytes, esp } = menus;
    let esp_len = esp.len() as u64;
    let mut esp = Some(esp);
    let mut places = BTreeMap::new();
    // Where the partition is a file of the tree, and where a tree carries a copy of it, the file follows.
    for (path, id) in base.iso.tree.walk() {
        let node = base.iso.tree.node(id);
        let same = !base.esp.appended && !node.is_dir() && node.size() > 0 && node.block() == base.esp.block;
        if same || path == "/images/efiboot.img" {
            if let Some(bytes) = if base.esp.appended { esp.clone() } else { esp.take() } {
                let place = planner.append(Source::Bytes(bytes), esp_len)?;
                places.insert(path, (place, esp_len));
            } else if let Some(first) = places.values().next().copied() {
                places.insert(path, first);
            }
        }
    }
    let esp_file = places.values().next().map(|(block, _)| *block);
    while let Some((path, bytes)) = replaced_bytes.pop_first() {
        let len = bytes.len() as u64;
        places.insert(path, (planner.append(Source::Bytes(bytes), len)?, len));
    }
    let mut at = Vec::new();
    for (number, file) in new.iter().enumerate() {
        at.push((planner.append(Source::File(number), file.len)?, file.len));
    }
    let trees = planner.trees(&new, &at, &places)?;
    let places = planner.finish(esp, esp_file, esp_len)?;
    planner.descriptors(label, &trees, &places);
    planner.boot(&places)?;
    let blocks = u32::try_from(places.blocks).map_err(|_| Error::input("the medium would be over 8 TiB"))?;
    Ok(Plan { segments: planner.merge(copied), size: places.size, blocks, copied })
}

fn new_files(files: &[MediumFile]) -> Result<Vec<NewFile>> {
    let mut seen = BTreeSet::new();
    let mut new = Vec::with_capacity(files.len());
    for file in files {
        let path = NodePath::new(file.path.as_str())?;
        if !seen.insert(path.as_str().to_owned()) {
            return Err(Error::input(format!("two files of the payload want the path {path} on the medium")));
        }
        let len = file.content.len();
        if parts(0, len).len() > MAX_PARTS {
            return Err(Error::input(format!("{path} has {len} bytes: too large for a medium")));
        }
        new.push(NewFile { path: file.path.clone(), mode: file.mode & 0o7777, len });
    }
    Ok(new)
}

/// A view and what was written for it.
struct View<'a> {
    start: u32,
    iso: &'a Iso<std::sync::Arc<std::fs::File>>,
    main: Emitted,
    joliet: Option<Emitted>,
}

impl<'a> Planner<'a> {
    /// Keeps the base; gives the number of bytes kept. An appended EFI system partition that nothing follows is not kept,
    /// for it is written again at the end.
    fn keep(&mut self) -> u64 {
        let esp = u64::from(self.base.esp.block);
        let views = std::iter::once(&self.base.iso).chain(&self.base.part);
        let last = views.flat_map(|iso| {
            let trees = std::iter::once(&iso.tree).chain(&iso.joliet);
            let start = u64::from(iso.start());
            let nodes = trees.flat_map(|tree| &tree.nodes).flat_map(|node| node.extents());
            nodes.map(move |extent| start + u64::from(extent.block) + sectors(u64::from(extent.len)))
        });
        let free = self.base.esp.appended && last.max().is_some_and(|last| last <= esp);
        self.next = if free { esp } else { u64::from(self.base.iso.volumes.primary.blocks()) };
        self.next * SECTOR
    }

    /// Puts content behind everything else; gives its block.
    fn append(&mut self, source: Source, len: u64) -> Result<u64> {
        let block = self.next;
        self.next += sectors(len);
        // 32-bit numbers of blocks (ECMA-119 7.3.3) and of 512-byte sectors (UEFI 2.10 §5.2.1) both must hold it.
        if self.next > u64::from(u32::MAX) / 4 {
            return Err(Error::input("the medium would be larger than 2 TiB"));
        }
        if len > 0 {
            self.segments.push(Segment { at: block * SECTOR, len, source });
        }
        Ok(block)
    }

    fn trees(
        &mut self,
        new: &[NewFile],
        at: &[(u64, u64)],
        replaced: &BTreeMap<String, (u64, u64)>,
    ) -> Result<Vec<View<'a>>> {
        let paths: Vec<String> = replaced.keys().cloned().collect();
        let base = self.base;
        let mut views = Vec::new();
        for iso in std::iter::once(&base.iso).chain(&base.part) {
            let content = Placed { files: at, replaced, start: iso.start() };
            let mut emit = |tree| -> Result<Emitted> {
                let place = (self.next as u32).saturating_sub(iso.start());
                let mut out = TreePlan::new(tree, new, &paths)?.emit(place, &content)?;
                let bytes = std::mem::take(&mut out.bytes);
                let len = bytes.len() as u64;
                self.append(Source::Bytes(bytes), len)?;
                for (at, bytes) in out.patches.drain(..) {
                    self.overlays.insert(u64::from(iso.start()) * SECTOR + at, bytes);
                }
                Ok(out)
            };
            let main = emit(&iso.tree)?;
            let joliet = iso.joliet.as_ref().map(&mut emit).transpose()?;
            views.push(View { start: iso.start(), iso, main, joliet });
        }
        Ok(views)
    }

    /// Puts an appended EFI system partition at the end, and tells the sizes.
    fn finish(&mut self, esp: Option<Vec<u8>>, esp_file: Option<u64>, esp_len: u64) -> Result<Places> {
        let mut data_end = self.next;
        let esp_block = match (self.base.esp.appended, esp, esp_file) {
            (true, Some(bytes), _) => {
                self.next = self.next.next_multiple_of(ESP_ALIGN);
                data_end = self.next;
                self.append(Source::Bytes(bytes), esp_len)?
            }
            (false, _, Some(block)) => block,
            _ => return Err(Error::internal("the EFI system partition was given no place")),
        };
        let (blocks, size) = boot::sizes(self.base, self.next + PAD);
        Ok(Places { esp_block, esp_len, data_end, blocks, size })
    }

    /// Volume descriptors (ECMA-119 8.4, 8.5): size, root, path tables, label. Dates stay the vendor's.
    fn descriptors(&mut self, label: &VolumeLabel, views: &[View<'_>], places: &Places) {
        let old = self.base.iso.volumes.primary.blocks();
        for view in views {
            let volumes = &view.iso.volumes;
            let trees =
                [(Some(&volumes.primary), Some(&view.main)), (volumes.joliet.as_ref(), view.joliet.as_ref())];
            for (volume, tree) in trees.into_iter().filter_map(|(volume, tree)| volume.zip(tree)) {
                // The volume is the whole medium, or ends before the appended partition, as its maker had it.
                let end = if volume.blocks() == old { places.blocks } else { places.data_end };
                let raw = descriptor(
                    volume,
                    tree,
                    label.as_str(),
                    end.saturating_sub(u64::from(view.start)) as u32,
                );
                let at = (u64::from(view.start) + u64::from(volume.sector)) * SECTOR;
                self.overlays.insert(at, raw);
            }
        }
    }

    /// System area, boot catalog and backup GPT.
    fn boot(&mut self, places: &Places) -> Result<()> {
        let at = u64::from(self.base.catalog_block) * SECTOR;
        let catalog = self.base.file.read_vec_at(at, SECTOR as usize);
        let mut catalog = catalog.map_err(|error| Error::io("reading", &self.base.info.path, error))?;
        eltorito::patch(&mut catalog, self.base.efi.at, places.esp_block as u32, places.esp_len);
        self.overlays.insert(at, catalog);
        let patched = boot::system_area(self.base, places)?;
        debug_assert_eq!(patched.system.len(), SYSTEM_AREA);
        self.overlays.insert(0, patched.system);
        for (at, bytes) in patched.behind {
            let len = bytes.len() as u64;
            self.segments.push(Segment { at, len, source: Source::Bytes(bytes) });
        }
        if let Some(at) = patched.stale.filter(|at| at + 512 <= self.segments.first().map_or(0, |s| s.at)) {
            self.overlays.insert(at, vec![0; 512]);
        }
        Ok(())
    }

    /// Lays the overlays over the kept base.
    fn merge(self, copied: u64) -> Vec<Segment> {
        let mut all = Vec::new();
        let mut at = 0_u64;
        for (from, mut bytes) in self.overlays {
            // Two overlays only meet in a damaged base; the first one stays.
            let skip = at.saturating_sub(from).min(bytes.len() as u64);
            bytes.drain(..skip as usize);
            let from = from + skip;
            bytes.truncate(copied.saturating_sub(from) as usize);
            if bytes.is_empty() {
                continue;
            }
            if from > at {
                all.push(Segment { at, len: from - at, source: Source::Base });
            }
            let len = bytes.len() as u64;
            at = from + len;
            all.push(Segment { at: from, len, source: Source::Bytes(bytes) });
        }
        if copied > at {
            all.push(Segment { at, len: copied - at, source: Source::Base });
        }
        all.extend(self.segments);
        all
    }
}

/// A volume descriptor for a tree, a label and a number of blocks.
pub(in crate::image) fn descriptor(volume: &Volume, tree: &Emitted, label: &str, blocks: u32) -> Vec<u8> {
    let mut raw = volume.raw.clone();
    let mut field = [if volume.joliet { 0 } else { b' ' }; 32];
    if volume.joliet {
        // Sixteen characters of UCS-2, the rest blank (Joliet specification, "Volume Identifier").
        let text = label.chars().chain(std::iter::repeat(' ')).take(16);
        for (slot, c) in field.chunks_exact_mut(2).zip(text) {
            slot.copy_from_slice(&(c as u16).to_be_bytes());
        }
    } else {
        put(&mut field, 0, label.as_bytes());
    }
    put(&mut raw, 40, &field);
    put_both32(&mut raw, 80, blocks);
    let (len, little, big) = tree.path_table;
    put_both32(&mut raw, 132, len);
    put(&mut raw, 140, &little.to_le_bytes());
    put(&mut raw, 144, &[0; 4]);
    put(&mut raw, 148, &big.to_be_bytes());
    put(&mut raw, 152, &[0; 4]);
    put_both32(&mut raw, 158, tree.root.0);
    put_both32(&mut raw, 166, tree.root.1);
    raw
}
