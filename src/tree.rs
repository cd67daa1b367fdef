//! The tree: the sorted, typed set of files that a node gets. A value in memory that refers to big files by path.

use std::collections::BTreeMap;
use std::fmt;

use crate::blob::Blob;
use crate::digest::Sha256;
use crate::error::{Error, Result};

/// An absolute, normal path on a node: starts with `/`, no `.`/`..`/empty parts, no NUL, at most 4,096 bytes, parts at
/// most 255.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePath(String);

impl NodePath {
    /// Checks and takes a path.
    pub fn new(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let fault = if !path.starts_with('/') {
            Some("it does not start with `/`")
        } else if path.len() > 4096 || path.contains('\0') {
            Some("it is too long or holds a NUL")
        } else {
            path[1..].split('/').find_map(|part| match part {
                "" => Some("it has an empty part"),
                "." | ".." => Some("it has a `.` or `..` part"),
                part if part.len() > 255 => Some("a part is longer than 255 bytes"),
                _ => None,
            })
        };
        match fault {
            Some(fault) => {
                Err(Error::input(format!("path `{}` cannot be used: {fault}", path.escape_debug())))
            }
            None => Ok(Self(path)),
        }
    }

    /// The path as text, with its leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its leading `/`, as archives want it.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// The path of the folder that holds it; `None` for a path directly below `/`.
    pub fn parent(&self) -> Option<NodePath> {
        match self.0.rfind('/') {
            Some(0) | None => None,
            Some(at) => Some(Self(self.0[..at].to_owned())),
        }
    }
}

impl std::borrow::Borrow<str> for NodePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Dir,
    /// A regular file.
    File(Blob),
    /// A symbolic link and its target, as written.
    Symlink(String),
}

/// A file, folder or link with its permissions. Owners are root unless named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, 0o7777 at most.
    pub mode: u16,
    /// Owner by name; `root` unless said otherwise.
    pub owner: String,
    /// Group by name; `root` unless said otherwise.
    pub group: String,
    /// Whether the content is a secret: never shown, never in goldens.
    pub secret: bool,
    /// Where the entry came from, for messages: "overlay common", "component etcd".
    pub origin: String,
    /// Content.
    pub kind: Kind,
}

impl Entry {
    /// A regular file of root.
    pub fn file(mode: u16, blob: Blob, origin: impl Into<String>) -> Self {
        Self::of(mode, Kind::File(blob), origin)
    }

    /// A folder of root.
    pub fn dir(mode: u16, origin: impl Into<String>) -> Self {
        Self::of(mode, Kind::Dir, origin)
    }

    /// A symbolic link of root.
    pub fn symlink(target: impl Into<String>, origin: impl Into<String>) -> Self {
        Self::of(0o777, Kind::Symlink(target.into()), origin)
    }

    /// Marks the content as a secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    fn of(mode: u16, kind: Kind, origin: impl Into<String>) -> Self {
        let root = || "root".to_owned();
        Self { mode, owner: root(), group: root(), secret: false, origin: origin.into(), kind }
    }
}

/// Files by path, sorted. A path is given once; a second claim is an error that names both origins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<NodePath, Entry>,
}

impl Tree {
    /// Adds an entry at a path that is still free. Two equal folders are one.
    pub fn insert(&mut self, path: NodePath, entry: Entry) -> Result<()> {
        match self.entries.get(&path) {
            None => {
                self.entries.insert(path, entry);
                Ok(())
            }
            Some(old)
                if matches!((&old.kind, &entry.kind), (Kind::Dir, Kind::Dir)) && old.mode == entry.mode =>
            {
                Ok(())
            }
            Some(old) => Err(Error::input(format!(
                "two sources want the path {path}: {} and {}",
                old.origin, entry.origin
            ))
            .hint("give each file one source; an overlay of your own replaces a built-in one file by file")),
        }
    }

    /// Adds all entries of another tree.
    pub fn merge(&mut self, other: Tree) -> Result<()> {
        other.entries.into_iter().try_for_each(|(path, entry)| self.insert(path, entry))
    }

    /// The entry at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// All entries in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&NodePath, &Entry)> {
        self.entries.iter()
    }

    /// Refuses a tree in which something lies below a file or a link.
    pub fn check_hierarchy(&self) -> Result<()> {
        for (path, entry) in &self.entries {
            let mut above = path.parent();
            while let Some(parent) = above {
                if let Some(other) = self.entries.get(&parent).filter(|other| other.kind != Kind::Dir) {
                    return Err(Error::input(format!(
                        "{path} (from {}) lies below {parent} (from {}), which is no folder",
                        entry.origin, other.origin
                    )));
                }
                above = parent.parent();
            }
        }
        Ok(())
    }

    /// Digest over all that reaches a node: paths, kinds, modes, owners, contents; not over origins. Content whose digest
    /// is not known yet is read.
    pub fn digest(&self) -> Result<Sha256> {
        let mut text = String::new();
        for (path, entry) in &self.entries {
            let (kind, content) = match &entry.kind {
                Kind::Dir => ('d', String::new()),
                Kind::Symlink(target) => ('l', target.clone()),
                Kind::File(blob) => ('f', format!("{} {}", blob.len(), blob.digest()?)),
            };
            // Lengths in front of what is free text: no two trees make the same text.
            text += &format!(
                "{kind} {:o} {} {} {} {path} {} {content}\n",
                entry.mode,
                entry.owner,
                entry.group,
                path.as_str().len(),
                content.len()
            );
        }
        Ok(Sha256::of(text.as_bytes()))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_climb_or_are_relative_are_refused() {
        for bad in ["", "etc", "/", "/a/../b", "/a//b", "/./a", "/a/", "/a\0b"] {
            assert!(NodePath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(NodePath::new("/etc/hosts").unwrap().parent().unwrap().as_str(), "/etc");
        assert!(NodePath::new("/etc").unwrap().parent().is_none());
    }

    #[test]
    fn a_path_has_one_source() {
        let mut tree = Tree::default();
        let path = || NodePath::new("/etc/hosts").unwrap();
        tree.insert(path(), Entry::file(0o644, Blob::bytes(*b"a"), "overlay common")).unwrap();
        let error = tree.insert(path(), Entry::file(0o644, Blob::bytes(*b"b"), "overlay mine")).unwrap_err();
        assert!(error.to_string().contains("overlay common and overlay mine"), "{error}");
    }

    fn tree(origin: &str, mode: u16, content: &[u8]) -> Tree {
        let mut tree = Tree::default();
        let entry = Entry::file(mode, Blob::bytes(content), origin);
        tree.insert(NodePath::new("/etc/hosts").unwrap(), entry).unwrap();
        tree
    }

    #[test]
    fn the_digest_covers_what_reaches_a_node() {
        let digest = |tree: Tree| tree.digest().unwrap();
        let one = digest(tree("a", 0o644, b"x"));
        assert_eq!(one, digest(tree("b", 0o644, b"x")));
        assert_ne!(one, digest(tree("a", 0o600, b"x")));
        assert_ne!(one, digest(tree("a", 0o644, b"y")));
    }

    #[test]
    fn nothing_lies_below_a_file() {
        let mut tree = tree("a", 0o644, b"");
        tree.check_hierarchy().unwrap();
        tree.insert(NodePath::new("/etc/hosts/x").unwrap(), Entry::dir(0o755, "b")).unwrap();
        assert!(tree.check_hierarchy().unwrap_err().to_string().contains("/etc/hosts/x (from b)"));
    }
}
