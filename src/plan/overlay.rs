//! Overlays: folders of files at their final path. `*.j2` is rendered, the rest is copied.
//!
//! `overlays/<name>.toml` may name modes, folders and links; without it a file is 0644, or 0755 in a `bin` or `libexec`
//! folder. A template that uses `node` differs from node to node, all else is common to the role; one that renders to
//! nothing makes no file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::assets::{Assets, TEMPLATE};
use crate::blob::Blob;
use crate::error::{Context as _, Error, Result};
use crate::render;
use crate::tree::{Entry, NodePath, Tree};

use super::context::Data;

/// `overlays/<name>.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Manifest {
    /// Modes that differ from the rule: path → octal.
    mode: BTreeMap<String, String>,
    /// Folders to make: path → octal mode.
    dir: BTreeMap<String, String>,
    /// Symbolic links: path → target.
    link: BTreeMap<String, String>,
}

/// A file of an overlay, not rendered yet.
#[derive(Debug)]
struct Source {
    path: NodePath,
    asset: String,
    template: bool,
    per_node: bool,
    mode: u16,
}

/// An overlay that was read.
#[derive(Debug)]
pub struct Overlay {
    name: String,
    files: Vec<Source>,
    fixed: Vec<(NodePath, Entry)>,
}

impl Overlay {
    /// Reads `overlays/<name>/` and its manifest.
    pub fn read(assets: &Assets, name: &str) -> Result<Self> {
        let manifest = manifest(assets, name)?;
        let origin = format!("overlay {name}");
        let prefix = format!("overlays/{name}/");
        let mut files = Vec::new();
        for asset in assets.list(&prefix) {
            files.push(source(assets, asset, &prefix, &manifest)?);
        }
        if let Some(path) =
            manifest.mode.keys().find(|path| files.iter().all(|file| file.path.as_str() != *path))
        {
            return Err(Error::input(format!(
                "overlays/{name}.toml gives {path} a mode, but has no such file"
            )));
        }
        let mut fixed = Vec::new();
        for (path, mode) in &manifest.dir {
            fixed.push((NodePath::new(path)?, Entry::dir(octal(mode)?, &origin)));
        }
        for (path, target) in &manifest.link {
            fixed.push((NodePath::new(path)?, Entry::symlink(target, &origin)));
        }
        Ok(Self { name: name.to_owned(), files, fixed })
    }

    /// Adds what all nodes share to `tree`.
    pub fn common(&self, assets: &Assets, data: &Data, tree: &mut Tree) -> Result<()> {
        self.fixed.iter().try_for_each(|(path, entry)| tree.insert(path.clone(), entry.clone()))?;
        self.files
            .iter()
            .filter(|file| !file.per_node)
            .try_for_each(|file| self.put(assets, file, data, tree))
    }

    /// Adds what only one node gets to `tree`; `data` holds the node.
    pub fn own(&self, assets: &Assets, data: &Data, tree: &mut Tree) -> Result<()> {
        self.files.iter().filter(|file| file.per_node).try_for_each(|file| self.put(assets, file, data, tree))
    }

    /// A file that differs from node to node, if there is one.
    pub fn per_node(&self) -> Option<&NodePath> {
        self.files.iter().find(|file| file.per_node).map(|file| &file.path)
    }

    fn put(&self, assets: &Assets, file: &Source, data: &Data, tree: &mut Tree) -> Result<()> {
        let blob = if file.template {
            let source = assets.text(&file.asset)?;
            let name = assets.origin(&file.asset).display().to_string();
            let text = render::text(&name, &source, data)?;
            if text.trim().is_empty() {
                return Ok(());
            }
            Blob::bytes(text.into_bytes())
        } else {
            Blob::bytes(assets.read(&file.asset)?.into_owned())
        };
        tree.insert(file.path.clone(), Entry::file(file.mode, blob, format!("overlay {}", self.name)))
    }
}

fn manifest(assets: &Assets, name: &str) -> Result<Manifest> {
    let path = format!("overlays/{name}.toml");
    if !assets.contains(&path) {
        return Ok(Manifest::default());
    }
    toml::from_str(&assets.text(&path)?).map_err(|error| {
        Error::input(format!("{}: {}", assets.origin(&path).display(), error.message()))
            .hint("an overlay's manifest has the tables [mode], [dir] and [link]")
    })
}

fn source(assets: &Assets, asset: String, prefix: &str, manifest: &Manifest) -> Result<Source> {
    let plain = asset.strip_suffix(TEMPLATE).unwrap_or(&asset);
    let template = plain.len() < asset.len();
    let path = NodePath::new(format!("/{}", plain.strip_prefix(prefix).unwrap_or(plain)))?;
    let mode = match manifest.mode.get(path.as_str()) {
        Some(mode) => octal(mode).context(&path)?,
        None => default_mode(&path),
    };
    let per_node =
        template && render::names(&asset, &assets.text(&asset)?)?.iter().any(|name| name == "node");
    Ok(Source { path, asset, template, per_node, mode })
}

/// 0755 for programs, which lie in `bin` or `libexec` folders; else 0644.
fn default_mode(path: &NodePath) -> u16 {
    let folder = path.parent();
    let mut parts = folder.as_ref().map(NodePath::relative).unwrap_or_default().split('/');
    if parts.any(|part| matches!(part, "bin" | "sbin" | "libexec")) { 0o755 } else { 0o644 }
}

fn octal(text: &str) -> Result<u16> {
    u16::from_str_radix(text, 8).ok().filter(|mode| text.len() == 4 && *mode <= 0o7777).ok_or_else(|| {
        Error::input(format!("mode `{}` is not four octal digits: \"0644\"", text.escape_debug()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_follow_the_rule() {
        let mode = |path: &str| default_mode(&NodePath::new(path).unwrap());
        assert_eq!(mode("/etc/hosts"), 0o644);
        assert_eq!(mode("/opt/kiln/bin/x"), 0o755);
        assert_eq!(mode("/usr/libexec/keepalived/x"), 0o755);
        assert_eq!(mode("/bin"), 0o644);
        assert!(octal("0644").is_ok());
        for bad in ["644", "0999", "", "-644", "17777"] {
            assert!(octal(bad).is_err(), "{bad}");
        }
    }
}
