//! Reads a FAT image that nobody vouches for: every chain stays inside, no cluster is used twice, no folder contains
//! itself, and the number and depth of entries are limited. Memory is bounded by the image's own size.

use super::name::{self, Collector};
use super::{ATTR_DIR, ATTR_LONG, ATTR_VOLUME, ENTRY, FatType, Geometry, le16, le32, wrong};
use crate::error::Result;

/// Deepest folder below the root.
pub const MAX_DEPTH: usize = 16;
/// Most files and folders of an image.
pub const MAX_ITEMS: usize = 20_000;
/// Most entries of one folder (FAT specification: 65536 entries, 2 MiB).
const MAX_DIR_BYTES: usize = 65536 * ENTRY;

/// A file or folder of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path from the root without a leading `/`: `EFI/BOOT/grub.cfg`.
    pub path: String,
    /// Last part of the path: the long name if there is one, else the 8.3 name.
    pub name: String,
    /// Whether `name` is stored as a long name.
    pub long: bool,
    /// The 32 bytes of its 8.3 entry: attributes, times, first cluster, size.
    pub raw: [u8; ENTRY],
    /// Its clusters, in order.
    pub clusters: Vec<u32>,
    /// Number of folders above it.
    pub depth: usize,
}

impl Item {
    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.raw[11] & ATTR_DIR != 0
    }

    /// Size in bytes; 0 for a folder.
    pub fn size(&self) -> u32 {
        if self.is_dir() { 0 } else { le32(&self.raw, 28) }
    }
}

/// An opened image. All of its tree has been checked.
#[derive(Debug)]
pub struct Fat<'a> {
    image: &'a [u8],
    geometry: Geometry,
    items: Vec<Item>,
    label: Option<[u8; ENTRY]>,
}

impl<'a> Fat<'a> {
    /// Opens an image and checks its whole tree.
    pub fn open(image: &'a [u8]) -> Result<Self> {
        let geometry = Geometry::parse(image)?;
        let walk = Walk {
            image,
            geometry: &geometry,
            used: vec![false; geometry.clusters as usize],
            items: Vec::new(),
            label: None,
        };
        let (items, label) = walk.run()?;
        Ok(Self { image, geometry, items, label })
    }

    /// What its boot sector says.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// All files and folders; a folder comes before what is in it, and entries of one folder in their order on disk.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The volume label: the root folder's, else the boot sector's. `NO NAME` counts as none.
    pub fn label(&self) -> Option<String> {
        let at = self.geometry.extended();
        let boot = (self.image[at] == 0x29).then(|| &self.image[at + 5..at + 16]);
        let bytes = self.label.as_ref().map(|entry| &entry[..11]).or(boot)?;
        let text: String = bytes.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '_' }).collect();
        Some(text.trim_end().to_owned()).filter(|text| !text.is_empty() && text != "NO NAME")
    }

    /// The entry of the volume label in the root folder.
    pub fn label_entry(&self) -> Option<&[u8; ENTRY]> {
        self.label.as_ref()
    }

    /// The volume's serial number, if it has one.
    pub fn serial(&self) -> Option<u32> {
        let at = self.geometry.extended();
        (self.image[at] == 0x29).then(|| le32(self.image, at + 1))
    }

    /// Finds a file or folder; case does not matter.
    pub fn find(&self, path: &str) -> Option<&Item> {
        let path = path.trim_start_matches('/');
        self.items.iter().find(|item| name::same(&item.path, path))
    }

    /// The content of a file, cluster by cluster.
    pub fn chunks(&self, item: &Item) -> impl Iterator<Item = &'a [u8]> {
        let (image, geometry) = (self.image, self.geometry);
        let mut left = item.size() as usize;
        item.clusters.clone().into_iter().map(move |cluster| {
            let start = geometry.offset_of(cluster);
            let len = left.min(geometry.cluster_bytes());
            left -= len;
            &image[start..start + len]
        })
    }

    /// Reads a whole file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let item = self
            .find(path)
            .filter(|item| !item.is_dir())
            .ok_or_else(|| wrong(format!("it has no file {path}")))?;
        Ok(self.chunks(item).flatten().copied().collect())
    }
}

/// A folder that is still to be read: its path with a final `/` (empty for the root), depth and bytes.
struct Pending {
    prefix: String,
    depth: usize,
    bytes: Vec<u8>,
}

struct Walk<'a> {
    image: &'a [u8],
    geometry: &'a Geometry,
    used: Vec<bool>,
    items: Vec<Item>,
    label: Option<[u8; ENTRY]>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<(Vec<Item>, Option<[u8; ENTRY]>)> {
        let bytes = if self.geometry.kind == FatType::Fat32 {
            let chain = self.chain(self.geometry.root_cluster, None, "the root folder")?;
            self.gather(&chain)
        } else {
            let start = self.geometry.root_sector() as usize * self.geometry.sector as usize;
            self.image[start..start + self.geometry.root_entries as usize * ENTRY].to_vec()
        };
        let mut pending = vec![Pending { prefix: String::new(), depth: 0, bytes }];
        while let Some(dir) = pending.pop() {
            let first = self.items.len();
            self.folder(&dir)?;
            for at in (first..self.items.len()).rev() {
                let item = &self.items[at];
                if item.is_dir() {
                    let bytes = self.gather(&item.clusters);
                    pending.push(Pending { prefix: format!("{}/", item.path), depth: dir.depth + 1, bytes });
                }
            }
        }
        Ok((self.items, self.label))
    }

    /// Reads the entries of one folder.
    fn folder(&mut self, dir: &Pending) -> Result<()> {
        if dir.depth > MAX_DEPTH {
            return Err(wrong(format!("its folders are more than {MAX_DEPTH} deep")));
        }
        let mut long = Collector::default();
        for entry in dir.bytes.as_chunks::<ENTRY>().0 {
            match entry[0] {
                0 => break,
                0xe5 => long = Collector::default(),
                _ if entry[11] & 0x3f == ATTR_LONG => long.push(entry),
                _ if entry[11] & ATTR_VOLUME != 0 => {
                    long = Collector::default();
                    if dir.depth == 0 && self.label.is_none() {
                        self.label = Some(*entry);
                    }
                }
                b'.' if entry[..11] == *b".          " || entry[..11] == *b"..         " => {}
                _ => {
                    let long = long.take(&entry[..11]);
                    self.item(dir, entry, long)?;
                }
            }
        }
        Ok(())
    }

    fn item(&mut self, dir: &Pending, raw: &[u8; ENTRY], long: Option<String>) -> Result<()> {
        let is_long = long.is_some();
        let name = long.unwrap_or_else(|| name::short_text(raw));
        let path = format!("{}{name}", dir.prefix);
        if !name::acceptable(&name) {
            return Err(wrong(format!("the name {path:?} is not allowed")));
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(wrong(format!("it has more than {MAX_ITEMS} files")));
        }
        let high = if self.geometry.kind == FatType::Fat32 { u32::from(le16(raw, 20)) } else { 0 };
        let first = high << 16 | u32::from(le16(raw, 26));
        let mut item = Item { path, name, long: is_long, raw: *raw, clusters: Vec::new(), depth: dir.depth };
        let size = (!item.is_dir()).then(|| item.size() as usize);
        if size != Some(0) {
            item.clusters = self.chain(first, size, &item.path)?;
        }
        self.items.push(item);
        Ok(())
    }

    /// Follows the chain of a file of `size` bytes, or of a folder to its end mark, and claims its clusters.
    fn chain(&mut self, first: u32, size: Option<usize>, path: &str) -> Result<Vec<u32>> {
        let most = match size {
            Some(size) => size.div_ceil(self.geometry.cluster_bytes()),
            None => MAX_DIR_BYTES.div_ceil(self.geometry.cluster_bytes()),
        };
        let (mut chain, mut at) = (Vec::new(), first);
        while chain.len() < most {
            let slot = at.checked_sub(2).and_then(|index| self.used.get_mut(index as usize));
            match slot {
                None => return Err(wrong(format!("the clusters of {path:?} leave the volume (at {at})"))),
                Some(used) if *used => {
                    return Err(wrong(format!("cluster {at} of {path:?} is used twice")));
                }
                Some(used) => *used = true,
            }
            chain.push(at);
            at = table_entry(self.image, self.geometry, at);
            if at >= end_mark(self.geometry.kind) {
                break;
            }
        }
        match size {
            Some(_) if chain.len() < most => Err(wrong(format!("{path:?} is cut short"))),
            None if at < end_mark(self.geometry.kind) => {
                Err(wrong(format!("the folder {path:?} is too long")))
            }
            _ => Ok(chain),
        }
    }

    fn gather(&self, chain: &[u32]) -> Vec<u8> {
        let size = self.geometry.cluster_bytes();
        let cluster = |&cluster: &u32| {
            let start = self.geometry.offset_of(cluster);
            &self.image[start..start + size]
        };
        chain.iter().flat_map(cluster).copied().collect()
    }
}

/// Lowest value that ends a chain.
fn end_mark(kind: FatType) -> u32 {
    match kind {
        FatType::Fat12 => 0xff8,
        FatType::Fat16 => 0xfff8,
        FatType::Fat32 => 0x0fff_fff8,
    }
}

/// The table's entry of a cluster of the volume; the table was checked to hold all of them.
fn table_entry(image: &[u8], geometry: &Geometry, cluster: u32) -> u32 {
    let table = (geometry.reserved * geometry.sector) as usize;
    let cluster = cluster as usize;
    match geometry.kind {
        FatType::Fat12 => {
            let pair = u32::from(le16(image, table + cluster * 3 / 2));
            if cluster.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 }
        }
        FatType::Fat16 => u32::from(le16(image, table + cluster * 2)),
        FatType::Fat32 => le32(image, table + cluster * 4) & 0x0fff_ffff,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
