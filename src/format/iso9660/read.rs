//! The reader: opens an image, reads its trees and gives the content of files. It trusts nothing: every length, block and
//! name is checked, directories may not loop, and memory is bounded whatever the image says.

use crate::error::{Error, Result};
use crate::format::read_at::ReadAt;

use super::record::{Record, split};
use super::susp::{RockRidge, scan};
use super::tree::{Kind, Node, NodeId, Tree};
use super::volume::{Volume, Volumes, ucs2};
use super::{SECTOR, sectors};
use std::collections::BTreeMap;

/// Most nodes of one tree. A vendor's DVD has some ten thousand.
pub const MAX_NODES: usize = 200_000;
/// Most bytes of directories in one tree.
const MAX_DIR_BYTES: u64 = 48 << 20;
/// Deepest directory.
const MAX_DEPTH: u32 = 64;
/// Longest symbolic link, as on Linux.
const MAX_LINK: usize = 4096;

/// An opened image, or the view of it that a partition gives.
#[derive(Debug)]
pub struct Iso<R> {
    source: R,
    start: u32,
    /// Volume descriptors.
    pub volumes: Volumes,
    /// The tree of the primary volume, with Rock Ridge where the image has it.
    pub tree: Tree,
    /// The tree of Joliet.
    pub joliet: Option<Tree>,
}

impl<R: ReadAt> Iso<R> {
    /// Opens an image.
    ///
    /// # Errors
    /// Of class input: the file is no ISO 9660 image, ends too early, or contradicts itself.
    pub fn open(source: R) -> Result<Self> {
        Self::open_at(source, 0)
    }

    /// Opens the view of a partition that starts at block `start`: its blocks are counted from there.
    pub fn open_at(source: R, start: u32) -> Result<Self> {
        let volumes = Volumes::read(&source, start)?;
        let len = source.size().map_err(|error| Error::input("the image cannot be read").because(error))?;
        let len = len.saturating_sub(u64::from(start) * SECTOR);
        let wanted = u64::from(volumes.primary.blocks()) * SECTOR;
        if wanted > len {
            let text =
                format!("the image is truncated: it has {len} bytes and its volume descriptor says {wanted}");
            return Err(Error::input(text).hint("copy or download it again, and compare its checksum"));
        }
        let blocks = u32::try_from(len / SECTOR).unwrap_or(u32::MAX);
        let tree = Walker::new(&source, start, blocks, &volumes.primary)?.run()?;
        let joliet = volumes.joliet.as_ref();
        let joliet = joliet.map(|volume| Walker::new(&source, start, blocks, volume)?.run()).transpose()?;
        Ok(Self { source, start, volumes, tree, joliet })
    }

    /// Block of the image where the view starts.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The source of bytes.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// Volume label.
    pub fn label(&self) -> String {
        self.volumes.primary.label()
    }

    /// Content of the file at `path`, or `None` when there is no such file. Fails if it is larger than `limit` bytes.
    pub fn read_path(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.tree.find(path) {
            Some(id) if self.tree.node(id).kind == Kind::File => {
                self.read_node(self.tree.node(id), limit).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Content of a file. Fails if it is larger than `limit` bytes.
    pub fn read_node(&self, node: &Node, limit: u64) -> Result<Vec<u8>> {
        if node.size() > limit {
            let text =
                format!("`{}` has {} bytes, and {limit} are the most expected", node.name, node.size());
            return Err(Error::input(text));
        }
        let mut out = Vec::with_capacity(node.size() as usize);
        for extent in node.extents() {
            let at = (u64::from(self.start) + u64::from(extent.block)) * SECTOR;
            let bytes = self.source.read_vec_at(at, extent.len as usize);
            out.extend(bytes.map_err(|error| {
                Error::input(format!("`{}` cannot be read from the image", node.name)).because(error)
            })?);
        }
        Ok(out)
    }
}

/// Reads one tree, breadth first.
struct Walker<'a, R> {
    source: &'a R,
    view: u64,
    blocks: u32,
    skip: u8,
    tree: Tree,
    depth: Vec<u32>,
    bytes: u64,
}

impl<'a, R: ReadAt> Walker<'a, R> {
    fn new(source: &'a R, start: u32, blocks: u32, volume: &Volume) -> Result<Self> {
        let root = Node {
            parent: 0,
            name: String::new(),
            kind: Kind::Dir,
            records: vec![volume.root.clone()],
            rock: RockRidge::default(),
            dots: None,
            children: Vec::new(),
        };
        let tree = Tree {
            nodes: vec![root],
            rock_ridge: false,
            joliet: volume.joliet,
            by_block: BTreeMap::from([(volume.root.lba(), 0)]),
        };
        let view = u64::from(start) * SECTOR;
        Ok(Self { source, view, blocks, skip: 0, tree, depth: vec![0], bytes: 0 })
    }

    fn run(mut self) -> Result<Tree> {
        let mut next = 0;
        while next < self.tree.nodes.len() {
            if self.tree.nodes[next].is_dir() {
                self.directory(next)?;
            }
            next += 1;
        }
        for node in &self.tree.nodes {
            let child = node.rock.child.map(|(block, _)| self.tree.by_block.get(&block));
            if let Some(None) = child {
                return Err(damaged(&node.name, "it stands for a moved directory that is not there"));
            }
        }
        Ok(self.tree)
    }

    /// Bytes of a directory, checked to lie in the image.
    fn load(&mut self, id: NodeId) -> Result<Vec<u8>> {
        let node = self.tree.node(id);
        let record = &node.records[0];
        let (lba, len) = (u64::from(record.lba()), u64::from(record.len()));
        if len == 0 || lba + sectors(len) > u64::from(self.blocks) {
            return Err(damaged(&node.name, "its directory lies outside the image"));
        }
        self.bytes += sectors(len) * SECTOR;
        if self.bytes > MAX_DIR_BYTES {
            return Err(damaged(&node.name, "the directories of the image are too large together"));
        }
        let bytes = self.source.read_vec_at(self.view + lba * SECTOR, len as usize);
        bytes.map_err(|error| damaged(&node.name, "its directory cannot be read").because(error))
    }

    fn directory(&mut self, id: NodeId) -> Result<()> {
        let bytes = self.load(id)?;
        let mut records = Vec::new();
        for sector in bytes.chunks(SECTOR as usize) {
            let found = split(sector);
            records.extend(found.map_err(|at| {
                damaged(&self.tree.node(id).name, &format!("the record at offset {at} lies about its length"))
            })?);
        }
        let mut records = records.into_iter();
        let (dot, dotdot) = match (records.next(), records.next()) {
            (Some(dot), Some(dotdot)) if dot.id() == [0] && dotdot.id() == [1] => (dot, dotdot),
            _ => return Err(damaged(&self.tree.node(id).name, "it does not begin with `.` and `..`")),
        };
        if id == 0 && !self.tree.joliet {
            let first = self.rock(&dot)?;
            self.tree.rock_ridge = first.skip.is_some();
            self.skip = first.skip.unwrap_or(0);
        }
        let rocks = (if id == 0 { self.rock_root(&dot)? } else { self.rock(&dot)? }, self.rock(&dotdot)?);
        if id == 0 {
            self.tree.nodes[0].rock = rocks.0.clone();
        }
        self.tree.nodes[id].dots = Some(Box::new([(dot, rocks.0), (dotdot, rocks.1)]));
        let mut open: Option<NodeId> = None;
        for record in records {
            open = self.child(id, record, open)?;
        }
        match open {
            None => Ok(()),
            Some(child) => Err(damaged(&self.tree.node(child).name, "its last part is missing")),
        }
    }

    fn rock(&self, record: &Record) -> Result<RockRidge> {
        if self.tree.joliet {
            return Ok(RockRidge::default());
        }
        scan(self.source, self.view, record.raw(), record.system_use_at(), self.skip)
    }

    /// The root's `.` holds `SP` before the bytes to skip (P1281 5.3).
    fn rock_root(&self, record: &Record) -> Result<RockRidge> {
        if self.tree.joliet {
            return Ok(RockRidge::default());
        }
        scan(self.source, self.view, record.raw(), record.system_use_at(), 0)
    }

    /// Takes one record; gives the node that goes on in the next record, if it does.
    fn child(&mut self, dir: NodeId, record: Record, open: Option<NodeId>) -> Result<Option<NodeId>> {
        let goes_on = record.goes_on();
        if let Some(id) = open {
            let node = &mut self.tree.nodes[id];
            if record.is_dir() || node.records[0].id() != record.id() {
                return Err(damaged(&node.name, "its next part has another name"));
            }
            let name = node.name.clone();
            check_extent(&name, &record, self.blocks)?;
            self.tree.nodes[id].records.push(record);
            return Ok(goes_on.then_some(id));
        }
        let rock = self.rock(&record)?;
        let name = self.name(&record, &rock)?;
        if rock.target.as_ref().is_some_and(|target| target.len() > MAX_LINK) {
            return Err(damaged(&name, "its link target is too long"));
        }
        let kind = kind(&record, &rock);
        if kind == Kind::File {
            check_extent(&name, &record, self.blocks)?;
        }
        let id = self.tree.nodes.len();
        if id >= MAX_NODES {
            return Err(Error::input(format!("the image has more than {MAX_NODES} files")));
        }
        if kind == Kind::Dir {
            if goes_on {
                return Err(damaged(&name, "a directory cannot have several parts"));
            }
            if self.depth[dir] >= MAX_DEPTH {
                return Err(damaged(&name, &format!("directories are nested deeper than {MAX_DEPTH}")));
            }
            if self.tree.by_block.insert(record.lba(), id).is_some() {
                return Err(damaged(&name, "directories form a loop, or two of them share their block"));
            }
        }
        self.depth.push(self.depth[dir] + 1);
        let node =
            Node { parent: dir, name, kind, records: vec![record], rock, dots: None, children: Vec::new() };
        self.tree.nodes.push(node);
        self.tree.nodes[dir].children.push(id);
        Ok(goes_on.then_some(id))
    }

    fn name(&self, record: &Record, rock: &RockRidge) -> Result<String> {
        let name = match &rock.name {
            Some(name) if self.tree.rock_ridge => String::from_utf8_lossy(name).into_owned(),
            _ if self.tree.joliet => without_version(&ucs2(record.id())).to_owned(),
            _ => {
                let text = String::from_utf8_lossy(record.id());
                let text = without_version(&text);
                text.strip_suffix('.').unwrap_or(text).to_owned()
            }
        };
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) || name.len() > 1024 {
            return Err(damaged(&name, "a name like this could lead outside its directory"));
        }
        Ok(name)
    }
}

fn without_version(name: &str) -> &str {
    name.rsplit_once(';')
        .filter(|(_, v)| v.bytes().all(|b| b.is_ascii_digit()))
        .map_or(name, |(name, _)| name)
}

fn kind(record: &Record, rock: &RockRidge) -> Kind {
    const TYPE: u32 = 0o170_000;
    if record.is_dir() {
        return Kind::Dir;
    }
    if rock.child.is_some() {
        return Kind::Other;
    }
    match rock.posix.map(|posix| posix.mode & TYPE) {
        Some(0o120_000) => Kind::Symlink,
        Some(0o100_000 | 0) | None => Kind::File,
        Some(_) => Kind::Other,
    }
}

fn check_extent(name: &str, record: &Record, blocks: u32) -> Result<()> {
    let end = u64::from(record.lba()) + u64::from(record.xattr_blocks()) + sectors(u64::from(record.len()));
    if record.interleaved() {
        return Err(damaged(name, "interleaved files are not supported"));
    }
    if !record.is_empty() && end > u64::from(blocks) {
        return Err(damaged(name, "its content lies outside the image"));
    }
    Ok(())
}

fn damaged(name: &str, what: &str) -> Error {
    let name = if name.is_empty() { "/" } else { name };
    Error::input(format!("the image is damaged at `{}`: {what}", name.escape_debug()))
        .hint("copy or download the image again, and compare its checksum")
}
