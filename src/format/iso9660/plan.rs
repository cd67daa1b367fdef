//! A directory tree about to be written again: the vendor's directories with new files among them. Sizes are known here,
//! places come with [`super::emit`].

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};

use super::names::{Space, identifier, order};
use super::rock::{Dialect, Facts, NewRecord};
use super::tree::{Extent, NodeId, Tree};

/// Largest part of a file: a whole number of blocks under 4 GiB (ECMA-119 6.5.1, 9.1.4).
const PART_MAX: u64 = 0xFFFF_F800;
/// Serial numbers of new files begin here, far from those that vendors' tools count up from 1.
const SERIAL: u32 = 0x4B00_0000;

/// A file to be added.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Absolute path.
    pub path: String,
    /// Permissions.
    pub mode: u16,
    /// Length in bytes.
    pub len: u64,
}

/// What a directory holds.
#[derive(Debug)]
pub(super) enum Item {
    /// A record of the base.
    Vendor(NodeId),
    /// A new file: its number in the list, and a record for each part.
    File(usize, Vec<NewRecord>),
    /// A new directory: its number.
    Dir(usize),
}

/// A directory, of the base or new.
#[derive(Debug)]
pub(super) struct Dir {
    pub vendor: Option<NodeId>,
    pub parent: usize,
    pub id: Vec<u8>,
    pub items: Vec<Item>,
    /// How many directories were added to it.
    pub grown: u32,
    /// A new directory's records: its own in the parent, `.` and `..`.
    pub own: Option<Box<[NewRecord; 3]>>,
}

/// A tree with its additions.
#[derive(Debug)]
pub struct TreePlan<'a> {
    pub(super) tree: &'a Tree,
    pub(super) dirs: Vec<Dir>,
    pub(super) by_node: BTreeMap<NodeId, usize>,
    pub(super) replaced: BTreeMap<NodeId, String>,
    dialect: Dialect,
    taken: BTreeMap<usize, BTreeSet<Vec<u8>>>,
    space: Space,
    new_dirs: BTreeMap<String, usize>,
}

/// Splits a file into the parts that records can describe.
pub fn parts(block: u32, len: u64) -> Vec<Extent> {
    let count = len.div_ceil(PART_MAX).max(1);
    (0..count)
        .map(|i| {
            let from = i * PART_MAX;
            let block = u64::from(block) + from / super::SECTOR;
            Extent { block: block as u32, len: (len - from).min(PART_MAX) as u32 }
        })
        .collect()
}

impl<'a> TreePlan<'a> {
    /// Plans the tree with `files` added and the content of the vendor's files at `replaced` changed.
    ///
    /// # Errors
    /// Of class input: a new file's path is taken on the base, or leads through something that is no directory.
    pub fn new(tree: &'a Tree, files: &[NewFile], replaced: &[String]) -> Result<Self> {
        let mut plan = Self {
            tree,
            dirs: Vec::new(),
            by_node: BTreeMap::new(),
            replaced: BTreeMap::new(),
            dialect: Dialect::of(tree),
            taken: BTreeMap::new(),
            space: space(tree),
            new_dirs: BTreeMap::new(),
        };
        plan.vendor();
        for path in replaced {
            if let Some(id) = tree.find(path) {
                plan.replaced.insert(id, path.clone());
            }
        }
        for (number, file) in files.iter().enumerate() {
            plan.add(number, file)?;
        }
        for dir in 0..plan.dirs.len() {
            plan.finish(dir);
        }
        Ok(plan)
    }

    fn vendor(&mut self) {
        for (id, node) in self.tree.nodes.iter().enumerate().filter(|(_, node)| node.is_dir()) {
            let parent = self.by_node.get(&node.parent).copied().unwrap_or(0);
            self.by_node.insert(id, self.dirs.len());
            self.dirs.push(Dir {
                vendor: Some(id),
                parent,
                id: if id == 0 { vec![0] } else { node.records[0].id().to_vec() },
                items: node.children.iter().map(|child| Item::Vendor(*child)).collect(),
                grown: 0,
                own: None,
            });
        }
    }

    fn add(&mut self, number: usize, file: &NewFile) -> Result<()> {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let dir = self.folder(folder)?;
        if self.tree.find(&file.path).is_some() {
            return Err(taken(&file.path));
        }
        let id = self.identifier(dir, name, false);
        let count = parts(0, file.len).len();
        let facts = Facts {
            mode: 0o100_000 | u32::from(file.mode),
            links: 1,
            serial: SERIAL + self.new_dirs.len() as u32 + number as u32,
        };
        let record = |part| {
            let flags = if part + 1 < count { 0x80 } else { 0 };
            self.dialect.record(&id, flags, Some(name), facts)
        };
        let records: Vec<NewRecord> = (0..count).map(record).collect();
        self.insert(dir, &id, Item::File(number, records));
        Ok(())
    }

    /// The directory at `path`, made if it is missing.
    fn folder(&mut self, path: &str) -> Result<usize> {
        if path.is_empty() {
            return Ok(0);
        }
        if let Some(dir) = self.new_dirs.get(path) {
            return Ok(*dir);
        }
        if let Some(id) = self.tree.find(path) {
            return self.by_node.get(&id).copied().ok_or_else(|| taken(path));
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.folder(above)?;
        let id = self.identifier(parent, name, true);
        let dir = self.dirs.len();
        self.dirs.push(Dir { vendor: None, parent, id: id.clone(), items: Vec::new(), grown: 0, own: None });
        self.dirs[parent].grown += 1;
        self.insert(parent, &id, Item::Dir(dir));
        self.new_dirs.insert(path.to_owned(), dir);
        Ok(dir)
    }

    fn identifier(&mut self, dir: usize, name: &str, is_dir: bool) -> Vec<u8> {
        let (tree, dirs) = (self.tree, &self.dirs);
        let taken = self.taken.entry(dir).or_insert_with(|| {
            let vendor = dirs[dir].vendor.map(|id| tree.node(id));
            let children = vendor.iter().flat_map(|node| &node.children);
            children.map(|child| tree.node(*child).records[0].id().to_vec()).collect()
        });
        identifier(name, is_dir, self.space, taken)
    }

    fn insert(&mut self, dir: usize, id: &[u8], item: Item) {
        let joliet = self.tree.joliet;
        let at = self.dirs[dir].items.iter().position(|other| order(self.id_of(other), id, joliet).is_gt());
        let items = &mut self.dirs[dir].items;
        items.insert(at.unwrap_or(items.len()), item);
    }

    fn id_of<'b>(&'b self, item: &'b Item) -> &'b [u8] {
        match item {
            Item::Vendor(id) => self.tree.node(*id).records[0].id(),
            Item::File(_, records) => &records[0].raw[33..33 + usize::from(records[0].raw[32])],
            Item::Dir(dir) => &self.dirs[*dir].id,
        }
    }

    /// Gives a new directory its records, now that its number of links is known.
    fn finish(&mut self, dir: usize) {
        let Dir { vendor: None, parent, grown, .. } = self.dirs[dir] else { return };
        let facts = |links, serial| Facts { mode: 0o040_555, links, serial: SERIAL + 0x80_0000 + serial };
        let own = facts(2 + grown, dir as u32);
        let above = &self.dirs[parent];
        let above = match above.vendor {
            Some(id) => {
                let posix = self.tree.node(id).dots.as_ref().and_then(|dots| dots[0].1.posix);
                facts(posix.map_or(2, |posix| posix.links) + above.grown, parent as u32)
            }
            None => facts(2 + above.grown, parent as u32),
        };
        let name = self.new_dirs.iter().find(|(_, other)| **other == dir).map(|(path, _)| path.as_str());
        let name = name.and_then(|path| path.rsplit('/').next()).unwrap_or("");
        let make = |id: &[u8], name, facts| self.dialect.record(id, 0x02, name, facts);
        let records =
            [make(&self.dirs[dir].id, Some(name), own), make(&[0], None, own), make(&[1], None, above)];
        self.dirs[dir].own = Some(Box::new(records));
    }

    /// Directories in the order of the path table (ECMA-119 6.9.1): by depth, parent, identifier.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let mut all = vec![0];
        let mut next = 0;
        while next < all.len() {
            all.extend(self.dirs[all[next]].items.iter().filter_map(|item| match item {
                Item::Vendor(id) => self.by_node.get(id).copied(),
                Item::Dir(dir) => Some(*dir),
                Item::File(..) => None,
            }));
            next += 1;
        }
        all
    }
}

fn taken(path: &str) -> Error {
    Error::input(format!("the base already has something at {path}, where kiln wants to put a file"))
        .hint("build from the vendor's own ISO")
}

fn space(tree: &Tree) -> Space {
    if !tree.joliet {
        return Space::Iso;
    }
    let files = tree.nodes.iter().filter(|node| !node.is_dir());
    Space::Joliet { version: files.take(1).any(|node| node.records[0].id().ends_with(&[0, b';', 0, b'1'])) }
}
