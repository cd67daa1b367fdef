//! The repositories of a vendor's medium: at its root (EL 7), or where `.treeinfo` says that variants have theirs (EL 8 on, productmd
//! 1.2: `[variant-BaseOS] repository = BaseOS`).

use std::collections::BTreeSet;
use std::io::Read;

use crate::error::{Error, Result};
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::Kind;
use crate::format::read_at::ReadAt;
use crate::format::repodata::{Files, REPOMD};

/// Largest `.treeinfo`.
const MAX_TREEINFO: u64 = 1 << 20;
/// Variants that every release from EL 8 on has, where `.treeinfo` names none.
const USUAL: [&str; 2] = ["BaseOS", "AppStream"];

/// A repository on a medium.
#[derive(Debug)]
pub(super) struct OnMedium<'a, R> {
    iso: &'a Iso<R>,
    /// Path of its folder: `/BaseOS`, or nothing for the root.
    folder: String,
}

impl<R> OnMedium<'_, R> {
    /// The error with the repository that it is about.
    pub fn named(&self, error: Error) -> Error {
        let folder = if self.folder.is_empty() { "/" } else { &self.folder };
        error.context(format!("the repository {} of the base", folder.escape_debug()))
    }
}

impl<R: ReadAt> Files for OnMedium<'_, R> {
    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, u64)>> {
        let found = self.iso.tree.find(&format!("{}/{path}", self.folder));
        let node = found.map(|id| self.iso.tree.node(id)).filter(|node| node.kind == Kind::File);
        Ok(node.map(|node| (Box::new(self.iso.content(node)) as Box<dyn Read + '_>, node.size())))
    }
}

/// The repositories of a medium, in order of their folders.
pub(super) fn repositories<R: ReadAt>(iso: &Iso<R>) -> Result<Vec<OnMedium<'_, R>>> {
    let text = iso.read_path("/.treeinfo", MAX_TREEINFO)?.unwrap_or_default();
    let mut folders: BTreeSet<String> = variants(&String::from_utf8_lossy(&text)).collect();
    if folders.is_empty() {
        folders = USUAL.iter().map(|name| format!("/{name}")).collect();
    }
    folders.insert(String::new());
    let there = |folder: &String| iso.tree.find(&format!("{folder}/{REPOMD}")).is_some();
    Ok(folders.into_iter().filter(there).map(|folder| OnMedium { iso, folder }).collect())
}

/// Folders of the variants that a `.treeinfo` names.
fn variants(text: &str) -> impl Iterator<Item = String> {
    let mut within = false;
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with('[') {
            within = line.starts_with("[variant-");
        }
        let (key, value) = line.split_once('=').filter(|_| within)?;
        let folder = value.trim().trim_matches('/');
        let part = |part: &str| !part.is_empty() && part != "." && part != "..";
        (key.trim() == "repository" && folder.split('/').all(part)).then(|| format!("/{folder}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_found() {
        let text = "[general]\nrepository = AppStream\n[variant-AppStream]\nid = AppStream\nrepository = AppStream\n\
            [variant-BaseOS]\nrepository=BaseOS/\n[variant-X]\nrepository = ../x\n[variant-Root]\nrepository = .\n";
        assert!(variants(text).eq(["/AppStream", "/BaseOS"]));
        assert_eq!(variants("").count(), 0);
    }
}
