//! Directory trees as they lie in an image. Nodes live in one list and refer to each other by number, in the order of the
//! medium, with their records untouched: what a writer needs to write a vendor's tree again, and a reader to find a file.

use std::collections::BTreeMap;

use super::record::Record;
use super::susp::RockRidge;

/// Number of a node in its [`Tree`]; 0 is the root.
pub type NodeId = usize;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link; its target is in the node's Rock Ridge.
    Symlink,
    /// A device, a pipe, or a placeholder of a directory that was moved elsewhere.
    Other,
}

/// A part of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First block, counted from the start of the view.
    pub block: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A file or directory.
#[derive(Debug, Clone)]
pub struct Node {
    /// Directory that holds it; the root holds itself.
    pub parent: NodeId,
    /// Name as users see it: of Rock Ridge or Joliet, else the identifier without its version.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its records in the parent: one for each extent. For the root, its record in the volume descriptor.
    pub records: Vec<Record>,
    /// What Rock Ridge says in the first record.
    pub rock: RockRidge,
    /// The `.` and `..` records of a directory.
    pub dots: Option<Box<[(Record, RockRidge); 2]>>,
    /// Entries of a directory in the order of the medium.
    pub children: Vec<NodeId>,
}

impl Node {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.len())).sum()
    }

    /// Parts of the content, in order.
    pub fn extents(&self) -> impl Iterator<Item = Extent> {
        self.records.iter().map(|record| {
            // Data follow the extended attribute record, where there is one (ECMA-119 9.5).
            let block = record.lba().saturating_add(u32::from(record.xattr_blocks()));
            Extent { block, len: record.len() }
        })
    }

    /// First block of the first extent, or 0.
    pub fn block(&self) -> u32 {
        self.records.first().map_or(0, Record::lba)
    }

    /// Permissions with file type, when Rock Ridge tells them.
    pub fn mode(&self) -> Option<u32> {
        self.rock.posix.map(|posix| posix.mode)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }
}

/// A directory tree of one view: Rock Ridge (or plain), or Joliet.
#[derive(Debug, Clone)]
pub struct Tree {
    /// All nodes; the first is the root. A directory comes before what it holds.
    pub nodes: Vec<Node>,
    /// Whether Rock Ridge is in use.
    pub rock_ridge: bool,
    /// Whether it is the tree of Joliet.
    pub joliet: bool,
    /// Directories by their block.
    pub by_block: BTreeMap<u32, NodeId>,
}

impl Tree {
    /// The node of a number. Numbers come from this tree, so the root stands in for what cannot be.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id).unwrap_or(&self.nodes[0])
    }

    /// What a directory holds for its users: directories that were moved elsewhere appear where they belong, and not
    /// where they lie.
    pub fn list(&self, id: NodeId) -> Vec<(&str, NodeId)> {
        let children = self.node(id).children.iter().map(|child| (*child, self.node(*child)));
        children
            .filter(|(_, node)| !node.rock.moved)
            .map(|(child, node)| (node.name.as_str(), self.resolve(child)))
            .collect()
    }

    /// The directory that a placeholder stands for, or the node itself.
    pub fn resolve(&self, id: NodeId) -> NodeId {
        let target = self.node(id).rock.child.and_then(|(block, _)| self.by_block.get(&block));
        target.copied().unwrap_or(id)
    }

    /// Finds a path such as `/EFI/BOOT/grub.cfg`; `/` is the root. Links are not followed.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(0, |at, part| {
            let found = self.node(at).children.iter().find(|child| {
                let node = self.node(**child);
                node.name == part && !node.rock.moved
            });
            found.map(|child| self.resolve(*child))
        })
    }

    /// Every path below the root with its node, parents first, in the order of the medium. A moved directory that
    /// claims to lie within itself is given once.
    pub fn walk(&self) -> Vec<(String, NodeId)> {
        let mut out = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        let mut stack = vec![(String::new(), 0)];
        while let Some((prefix, dir)) = stack.pop() {
            if std::mem::replace(&mut seen[dir], true) {
                continue;
            }
            for (name, id) in self.list(dir) {
                let path = format!("{prefix}/{name}");
                if self.node(id).is_dir() {
                    stack.push((path.clone(), id));
                }
                out.push((path, id));
            }
        }
        out.sort();
        out
    }
}
