//! Rebuilds a FAT image with some files replaced or added. Label, serial number, boot code, type, names and times are the
//! old image's; no clock is read, so the same input gives the same bytes. The image never shrinks, and grows when it must.

use std::collections::BTreeMap;

use super::read::{Fat, Item};
use super::{ATTR_DIR, ENTRY, FatType, Geometry, MAX_IMAGE, name, wrong};
use crate::error::{Error, Result};

/// The size of an image is a multiple of this, so that it fills whole sectors of an ISO.
const ROUND: u64 = 2048;
/// Attribute "archive", as programs give it to new files.
const ATTR_ARCHIVE: u8 = 0x20;
/// 1980-01-01, the first date that FAT can hold.
const EPOCH: u16 = 0x0021;

/// A new image with all files of `old`, where each path of `replace` (`EFI/BOOT/grub.cfg`, case does not matter) has the
/// content given; folders are made as needed.
pub fn rebuild(old: &[u8], replace: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>> {
    let fat = Fat::open(old)?;
    let mut nodes = Nodes::of(&fat);
    for (path, content) in replace {
        nodes.put(path, content)?;
    }
    let geometry = nodes.fit(&fat, old.len())?;
    Ok(nodes.emit(&fat, old, &geometry))
}

/// What a node of the new image holds.
enum Body<'a> {
    Dir(Vec<usize>),
    Old(&'a Item),
    New(&'a [u8]),
}

struct Node<'a> {
    name: String,
    long: bool,
    raw: [u8; ENTRY],
    parent: usize,
    body: Body<'a>,
}

impl Node<'_> {
    fn file_bytes(&self) -> usize {
        match &self.body {
            Body::Dir(_) => 0,
            Body::Old(item) => item.size() as usize,
            Body::New(bytes) => bytes.len(),
        }
    }

    fn short(&self) -> [u8; 11] {
        std::array::from_fn(|at| self.raw[at])
    }

    /// Entries that it takes in its folder.
    fn entries(&self) -> usize {
        1 + if self.long { self.name.encode_utf16().count().div_ceil(13) } else { 0 }
    }
}

/// The new image's files; the first node is the root.
struct Nodes<'a> {
    all: Vec<Node<'a>>,
    label: Option<[u8; ENTRY]>,
}

impl<'a> Nodes<'a> {
    fn of(fat: &'a Fat<'_>) -> Self {
        let root = Node {
            name: String::new(),
            long: false,
            raw: [0; ENTRY],
            parent: 0,
            body: Body::Dir(Vec::new()),
        };
        let mut nodes = Self { all: vec![root], label: fat.label_entry().copied() };
        let mut dirs = BTreeMap::from([(String::new(), 0)]);
        for item in fat.items() {
            let above = item.path.rsplit_once('/').map_or("", |(above, _)| above);
            // The reader lists a folder before what is in it.
            let parent = dirs.get(above).copied().unwrap_or(0);
            let body = if item.is_dir() { Body::Dir(Vec::new()) } else { Body::Old(item) };
            let at =
                nodes.add(Node { name: item.name.clone(), long: item.long, raw: item.raw, parent, body });
            if item.is_dir() {
                dirs.insert(item.path.clone(), at);
            }
        }
        nodes
    }

    fn add(&mut self, node: Node<'a>) -> usize {
        let (at, parent) = (self.all.len(), node.parent);
        self.all.push(node);
        if let Body::Dir(children) = &mut self.all[parent].body {
            children.push(at);
        }
        at
    }

    fn children(&self, at: usize) -> &[usize] {
        match &self.all[at].body {
            Body::Dir(children) => children,
            _ => &[],
        }
    }

    fn put(&mut self, path: &str, content: &'a [u8]) -> Result<()> {
        let bad = |why: &str| Error::internal(format!("{path:?} cannot be written to a FAT image: {why}"));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let mut at = 0;
        for (index, part) in parts.iter().enumerate() {
            if !name::acceptable(part) {
                return Err(bad("a part of its path is not allowed"));
            }
            let last = index + 1 == parts.len();
            let found =
                self.children(at).iter().copied().find(|&child| name::same(&self.all[child].name, part));
            at = match found {
                Some(child) if last == matches!(self.all[child].body, Body::Dir(_)) => {
                    return Err(bad("a folder is where a file should be, or the reverse"));
                }
                Some(child) => child,
                None => {
                    let body = if last { Body::New(content) } else { Body::Dir(Vec::new()) };
                    self.create(at, part, body).ok_or_else(|| bad("there is no free short name"))?
                }
            };
            if last {
                self.all[at].body = Body::New(content);
            }
        }
        Ok(())
    }

    /// A new entry with the times of its folder.
    fn create(&mut self, parent: usize, part: &str, body: Body<'a>) -> Option<usize> {
        let taken = |short: &[u8; 11]| self.children(parent).iter().any(|&at| self.all[at].short() == *short);
        let (short, whole) = name::short_for(part, &taken)?;
        let mut raw = self.all[parent].raw;
        if parent == 0 {
            for at in [16, 18, 24] {
                raw[at..at + 2].copy_from_slice(&EPOCH.to_le_bytes());
            }
        }
        raw[..11].copy_from_slice(&short);
        raw[11] = if matches!(body, Body::Dir(_)) { ATTR_DIR } else { ATTR_ARCHIVE };
        raw[12] = 0;
        Some(self.add(Node { name: part.to_owned(), long: !whole, raw, parent, body }))
    }

    /// Entries of a folder, with `.` and `..` or the volume label.
    fn dir_entries(&self, at: usize) -> usize {
        let own = if at == 0 { usize::from(self.label.is_some()) } else { 2 };
        own + self.children(at).iter().map(|&child| self.all[child].entries()).sum::<usize>()
    }

    /// Clusters of one node.
    fn clusters(&self, at: usize, geometry: &Geometry) -> usize {
        let node = &self.all[at];
        let size = geometry.cluster_bytes();
        match &node.body {
            Body::Dir(_) if at == 0 && geometry.kind != FatType::Fat32 => 0,
            Body::Dir(_) => (self.dir_entries(at) * ENTRY).div_ceil(size).max(1),
            _ => node.file_bytes().div_ceil(size),
        }
    }

    fn needed(&self, geometry: &Geometry) -> u64 {
        (0..self.all.len()).map(|at| self.clusters(at, geometry) as u64).sum()
    }

    /// The old geometry if all fits, else a larger one of the same type, with larger clusters when there are too many.
    fn fit(&self, fat: &Fat<'_>, len: usize) -> Result<Geometry> {
        let mut new = *fat.geometry();
        let root = self.dir_entries(0) as u32;
        let root_grows = new.kind != FatType::Fat32 && root > new.root_entries;
        if !root_grows && self.needed(&new) <= u64::from(new.clusters) {
            return Ok(new);
        }
        if root_grows {
            let per_sector = new.sector / ENTRY as u32;
            new.root_entries = root.div_ceil(per_sector) * per_sector;
        }
        while new.per_cluster * new.sector <= 32 << 10 {
            let needed = self.needed(&new);
            let slack = (needed / 16).max(u64::from((64 << 10) / (new.per_cluster * new.sector)));
            // Never smaller than before: a shrunk volume could fall below the lowest count of its type.
            let least = len as u64 / u64::from(new.cluster_bytes() as u32);
            let wanted = (needed + slack).max(least);
            if wanted <= u64::from(new.kind.max_clusters()) {
                return resize(new, wanted);
            }
            new.per_cluster *= 2;
        }
        Err(wrong(format!("its new files do not fit into {} at any size", new.kind.as_str())))
    }

    fn emit(&self, fat: &Fat<'_>, old: &[u8], geometry: &Geometry) -> Vec<u8> {
        let bytes = u64::from(geometry.sectors) * u64::from(geometry.sector);
        let mut out = vec![0; bytes.max(old.len() as u64).next_multiple_of(ROUND) as usize];
        let mut first = vec![0u32; self.all.len()];
        let mut table =
            vec![end_of_chain(geometry.kind) & 0xffff_ff00 | u32::from(old[21]), end_of_chain(geometry.kind)];
        for (at, first) in first.iter_mut().enumerate() {
            let count = self.clusters(at, geometry) as u32;
            if count > 0 {
                *first = table.len() as u32;
                table.extend((1..count).map(|next| *first + next));
                table.push(end_of_chain(geometry.kind));
            }
        }
        self.boot_sectors(&mut out, old, geometry, table.len() as u32, first[0]);
        write_tables(&mut out, geometry, &table);
        for (at, node) in self.all.iter().enumerate() {
            match &node.body {
                Body::Dir(_) => self.dir(&mut out, geometry, at, &first),
                Body::New(bytes) if !bytes.is_empty() => {
                    put(&mut out, geometry.offset_of(first[at]), bytes);
                }
                Body::New(_) => {}
                Body::Old(item) => {
                    let mut offset = geometry.offset_of(first[at]);
                    for chunk in fat.chunks(item) {
                        put(&mut out, offset, chunk);
                        offset += chunk.len();
                    }
                }
            }
        }
        out
    }

    /// The reserved sectors of the old image with the new numbers.
    fn boot_sectors(&self, out: &mut [u8], old: &[u8], new: &Geometry, next: u32, root: u32) {
        let reserved = (new.reserved * new.sector) as usize;
        out[..reserved].copy_from_slice(&old[..reserved]);
        let mut boot: Vec<u8> = old[..512].to_vec();
        boot[13] = new.per_cluster as u8;
        put(&mut boot, 17, &(new.root_entries as u16).to_le_bytes());
        let short = if new.kind == FatType::Fat32 { 0 } else { u16::try_from(new.sectors).unwrap_or(0) };
        put(&mut boot, 19, &short.to_le_bytes());
        put(&mut boot, 32, &(if short == 0 { new.sectors } else { 0 }).to_le_bytes());
        if new.kind != FatType::Fat32 {
            put(&mut boot, 22, &(new.table_sectors as u16).to_le_bytes());
            put(out, 0, &boot);
            return;
        }
        put(&mut boot, 36, &new.table_sectors.to_le_bytes());
        put(&mut boot, 44, &root.to_le_bytes());
        put(out, 0, &boot);
        let word = |at: usize| usize::from(super::le16(&boot, at));
        let (info, backup, sector) = (word(48), word(50), new.sector as usize);
        let free = new.clusters + 2 - next;
        for base in [0, backup] {
            let at = (base + info) * sector;
            // "RRaA" in front of the sector, "rrAa" before the counts (FAT specification, "FSInfo Sector").
            if at + 512 <= reserved
                && info != 0
                && out[at..at + 4] == *b"RRaA"
                && out[at + 484..at + 488] == *b"rrAa"
            {
                put(out, at + 488, &free.to_le_bytes());
                put(out, at + 492, &next.to_le_bytes());
            }
        }
        if backup != 0 && (backup + 1) * sector <= reserved {
            put(out, backup * sector, &boot);
        }
    }

    /// Writes one folder.
    fn dir(&self, out: &mut [u8], geometry: &Geometry, at: usize, first: &[u32]) {
        let mut bytes = Vec::with_capacity(self.dir_entries(at) * ENTRY);
        if at == 0 {
            bytes.extend(self.label.iter().flatten());
        } else {
            let parent = self.all[at].parent;
            let above = if parent == 0 { 0 } else { first[parent] };
            for (dots, cluster) in [(b".          ", first[at]), (b"..         ", above)] {
                let mut raw = located(&self.all[at].raw, cluster, 0);
                raw[..11].copy_from_slice(dots);
                raw[12] = 0;
                bytes.extend(raw);
            }
        }
        for &child in self.children(at) {
            let node = &self.all[child];
            if node.long {
                bytes.extend(name::long_entries(&node.name, &node.short()).iter().flatten());
            }
            bytes.extend(located(&node.raw, first[child], node.file_bytes() as u32));
        }
        let start = match at {
            0 if geometry.kind != FatType::Fat32 => {
                geometry.root_sector() as usize * geometry.sector as usize
            }
            _ => geometry.offset_of(first[at]),
        };
        put(out, start, &bytes);
    }
}

/// An 8.3 entry that points to its clusters.
fn located(raw: &[u8; ENTRY], cluster: u32, size: u32) -> [u8; ENTRY] {
    let mut raw = *raw;
    put(&mut raw, 20, &((cluster >> 16) as u16).to_le_bytes());
    put(&mut raw, 26, &(cluster as u16).to_le_bytes());
    put(&mut raw, 28, &size.to_le_bytes());
    raw
}

/// The geometry with at least `clusters` clusters.
fn resize(mut new: Geometry, clusters: u64) -> Result<Geometry> {
    let sector = u64::from(new.sector);
    let wanted = u32::try_from(clusters).unwrap_or(u32::MAX);
    new.table_sectors = new.kind.table_bytes(wanted).div_ceil(sector) as u32;
    let sectors = new.data_sector() + clusters * u64::from(new.per_cluster);
    if sectors * sector > MAX_IMAGE as u64 {
        return Err(wrong(format!("with its new files it would have more than {MAX_IMAGE} bytes")));
    }
    new.sectors = sectors as u32;
    new.clusters = wanted;
    Ok(new)
}

fn end_of_chain(kind: FatType) -> u32 {
    match kind {
        FatType::Fat12 => 0xfff,
        FatType::Fat16 => 0xffff,
        FatType::Fat32 => 0x0fff_ffff,
    }
}

fn write_tables(out: &mut [u8], geometry: &Geometry, table: &[u32]) {
    let mut bytes = Vec::with_capacity(table.len() * 4);
    match geometry.kind {
        FatType::Fat12 => {
            for pair in table.chunks(2) {
                let (low, high) = (pair[0], pair.get(1).copied().unwrap_or(0));
                bytes.extend([low as u8, (low >> 8 | high << 4) as u8, (high >> 4) as u8]);
            }
        }
        FatType::Fat16 => table.iter().for_each(|&entry| bytes.extend((entry as u16).to_le_bytes())),
        FatType::Fat32 => table.iter().for_each(|&entry| bytes.extend(entry.to_le_bytes())),
    }
    for copy in 0..geometry.tables {
        put(out, ((geometry.reserved + copy * geometry.table_sectors) * geometry.sector) as usize, &bytes);
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}
