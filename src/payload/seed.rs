//! The seed of a medium: a small volume with everything that is secret, so that the medium has nothing that is.
//!
//! Trees are taken apart by what entries are, not by their names: what comes from the PKI, what is marked as a secret, and every
//! file that others may not read goes to the seed. The seed names the one build that it goes with; the medium cannot name the
//! seed, for then keys that are renewed would make another medium.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use serde::{Deserialize, Serialize};

use super::manifest::{ManifestFile, text, text_or_null};
use super::validity::{self, Validity};
use super::{Files, MTIME, Payload, deferred, fill, planned};
use crate::blob::{Blob, Piece};
use crate::cluster::types::{ClusterName, HostName, PasswordHash, Role};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::tar;
use crate::image::MediumFile;
use crate::image::label::VolumeLabel;
use crate::pki;
use crate::tree::{Entry, Kind, Tree};

/// Path of a seed's manifest.
pub const MANIFEST: &str = "/kiln/seed.json";
/// Path of the archive that all nodes of the role share.
pub const COMMON: &str = "/kiln/secrets/common.tar";
/// Path of root's password hash; not there if root has no password.
pub const ROOT_PASSWORD: &str = "/kiln/secrets/root-password";
/// The format that this kiln writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// Longest manifest that is read.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Largest file: keys and configuration are some hundred kilobytes.
const MAX_FILE: u64 = 64 << 20;
/// Most that all files of a seed have together.
const MAX_ALL: u64 = 1 << 30;
/// Longest text of the public half that is looked through.
const MAX_TEXT: u64 = 4 << 20;
/// How a private key shows itself, of whatever kind it is (RFC 7468).
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// Path of the archive that only one node may have.
pub fn node_archive(name: &HostName) -> String {
    format!("/kiln/secrets/nodes/{name}.tar")
}

/// Path of the archive that only members of a worker pool may have.
pub fn pool_archive(name: &HostName) -> String {
    format!("/kiln/secrets/pools/{name}.tar")
}

/// What a seed is for, and what lies on it. No secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedManifest {
    /// Version of this format.
    pub format: u32,
    /// Version of the kiln that made it.
    pub kiln: String,
    /// Build id of the medium that it goes with.
    pub build_id: Sha256,
    /// Label of that medium.
    #[serde(with = "text")]
    pub label: VolumeLabel,
    /// The cluster.
    #[serde(with = "text")]
    pub cluster: ClusterName,
    /// Digest of the cluster's certificate authority.
    pub authority: Sha256,
    /// The role that the medium serves.
    #[serde(with = "text")]
    pub role: Role,
    /// The one node that it is for, if it is not for all of the role.
    #[serde(with = "text_or_null")]
    pub reinstall: Option<HostName>,
    /// When its certificates are good.
    pub validity: Option<Validity>,
    /// Every other file by its path.
    pub files: BTreeMap<String, ManifestFile>,
}

impl SeedManifest {
    /// As it is written: JSON, indented, with a line break at its end. Its length does not depend on digests.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_vec_pretty(self);
        let mut text = text.map_err(|error| Error::internal("writing the seed's manifest").because(error))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a manifest; `origin` is its name for messages. What it names can only be what a seed has, and no more than that.
    pub fn from_json(json: &[u8], origin: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let damaged = |text: String| {
            Error::input(format!("{origin} is no manifest of a seed: {text}"))
                .hint("the seed is damaged or was changed: write it again, or build it again")
        };
        let broken = |error: serde_json::Error| damaged(error.to_string());
        let version: Versioned = serde_json::from_slice(json).map_err(broken)?;
        if version.format != FORMAT {
            return Err(Error::input(format!(
                "{origin} has format {}; this kiln reads format {FORMAT}",
                version.format
            ))
            .hint("build medium and seed with one kiln"));
        }
        let manifest: Self = serde_json::from_slice(json).map_err(broken)?;
        check_files(&manifest.files).map_err(damaged)?;
        Ok(manifest)
    }
}

/// What is wrong with a seed's list of files, if anything.
fn check_files(files: &BTreeMap<String, ManifestFile>) -> std::result::Result<(), String> {
    let named = |path: &str, folder: &str| {
        let name = path.strip_prefix(folder).and_then(|rest| rest.strip_suffix(".tar"));
        name.is_some_and(|name| HostName::from_str(name).is_ok())
    };
    for (path, file) in files {
        let known = path == COMMON
            || path == ROOT_PASSWORD
            || named(path, "/kiln/secrets/nodes/")
            || named(path, "/kiln/secrets/pools/");
        if !known {
            return Err(format!("no file of a seed is called {}", path.escape_debug()));
        }
        if file.size > MAX_FILE {
            return Err(format!("{path} would have {} bytes, and {MAX_FILE} are the most", file.size));
        }
    }
    let all = files.values().map(|file| file.size).fold(0, u64::saturating_add);
    if all > MAX_ALL {
        return Err(format!("its files would have {all} bytes, and {MAX_ALL} are the most"));
    }
    Ok(())
}

/// The trees of a medium, or the part of each that one half of it carries.
#[derive(Debug, Default)]
pub struct Trees {
    /// What all nodes of the role share.
    pub common: Tree,
    /// What only one node may have.
    pub nodes: BTreeMap<HostName, Tree>,
    /// What only members of a pool may have.
    pub pools: BTreeMap<HostName, Tree>,
}

/// Takes trees apart: what may be public, and what is secret. `secrets` are texts that nothing public may hold.
///
/// # Errors
/// Of class input: what others may read holds a secret; a node's trees do not fit into each other.
pub fn split(whole: Trees, secrets: &[&str]) -> Result<(Trees, Trees)> {
    for (name, own) in whole.nodes.iter().chain(&whole.pools) {
        let mut all = whole.common.clone();
        all.merge(own.clone())
            .and_then(|()| all.check_hierarchy())
            .map_err(|error| error.context(format!("payload of {name}")))?;
    }
    let (mut open, mut closed) = (Trees::default(), Trees::default());
    (open.common, closed.common) = apart(whole.common, secrets)?;
    for (name, tree) in whole.nodes {
        let (public, secret) = apart(tree, secrets)?;
        open.nodes.insert(name.clone(), public);
        closed.nodes.insert(name, secret);
    }
    for (name, tree) in whole.pools {
        let (public, secret) = apart(tree, secrets)?;
        open.pools.insert(name.clone(), public);
        closed.pools.insert(name, secret);
    }
    Ok((open, closed))
}

fn apart(tree: Tree, secrets: &[&str]) -> Result<(Tree, Tree)> {
    let (mut open, mut closed) = (Tree::default(), Tree::default());
    for (path, entry) in tree.iter() {
        if is_closed(entry) {
            closed.insert(path.clone(), entry.clone())?;
            continue;
        }
        if let Some(what) = told(entry, secrets) {
            return Err(Error::input(format!(
                "{path} (from {}) holds {what} and may be read by all, so it would be on the public medium",
                entry.origin
            ))
            .hint("give it a mode in the overlay's manifest that is for its owner alone, 0600: then it goes to the seed"));
        }
        open.insert(path.clone(), entry.clone())?;
    }
    Ok((open, closed))
}

/// Refuses trees of a public medium in which something secret was left: whoever puts one together has to [`split`] them.
pub(super) fn check_open<'a>(trees: impl Iterator<Item = &'a Tree>) -> Result<()> {
    match trees.flat_map(Tree::iter).find(|(_, entry)| is_closed(entry)) {
        Some((path, _)) => Err(Error::internal(format!("{path} is secret, and was left in the public half"))),
        None => Ok(()),
    }
}

/// Whether an entry belongs on the seed.
fn is_closed(entry: &Entry) -> bool {
    let for_few = matches!(entry.kind, Kind::File(_)) && entry.mode & 0o004 == 0;
    entry.secret || entry.origin == pki::ORIGIN || for_few
}

/// The secret that a text of the tree tells, if it does. Files that are not in memory come from publishers, not from this cluster.
fn told(entry: &Entry, secrets: &[&str]) -> Option<&'static str> {
    let Kind::File(blob) = &entry.kind else { return None };
    let in_memory = blob.pieces().iter().all(|piece| matches!(piece, Piece::Bytes(_)));
    if !in_memory || blob.len() > MAX_TEXT {
        return None;
    }
    let bytes = blob.to_vec(MAX_TEXT).ok()?;
    secret_in(&String::from_utf8_lossy(&bytes), secrets)
}

/// The kind of secret that a text holds, if it holds one.
pub fn secret_in(text: &str, secrets: &[&str]) -> Option<&'static str> {
    if text.contains(PRIVATE_KEY) {
        Some("a private key")
    } else if secrets.iter().any(|secret| text.contains(secret)) {
        Some("a password's hash")
    } else {
        None
    }
}

/// What a seed is made of.
#[derive(Debug)]
pub struct SeedInput<'a> {
    /// The medium that it goes with.
    pub payload: &'a Payload,
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// The role that the medium serves.
    pub role: Role,
    /// Digest of the cluster's certificate authority.
    pub authority: Sha256,
    /// The one node that the medium is for.
    pub reinstall: Option<&'a HostName>,
    /// What is secret.
    pub closed: &'a Trees,
    /// Root's password.
    pub root_password: Option<&'a PasswordHash>,
}

/// The files of a seed in writing order; its manifest is last.
pub fn assemble(input: &SeedInput<'_>) -> Result<Vec<MediumFile>> {
    let closed = input.closed;
    let trees = closed.nodes.values().chain(closed.pools.values()).chain([&closed.common]);
    let validity = validity::of_trees(trees)?;
    let mut files = Files::default();
    files.add("the role's secrets", COMMON, 0o600, tar::write(&closed.common, MTIME)?)?;
    for (name, tree) in &closed.nodes {
        files.add(&format!("the secrets of {name}"), &node_archive(name), 0o600, tar::write(tree, MTIME)?)?;
    }
    for (name, tree) in &closed.pools {
        let origin = format!("the secrets of the pool {name}");
        files.add(&origin, &pool_archive(name), 0o600, tar::write(tree, MTIME)?)?;
    }
    if let Some(hash) = input.root_password {
        files.add(
            "root's password",
            ROOT_PASSWORD,
            0o600,
            Blob::bytes(format!("{}\n", hash.as_str()).as_bytes()),
        )?;
    }
    let mut manifest = SeedManifest {
        format: FORMAT,
        kiln: env!("CARGO_PKG_VERSION").to_owned(),
        build_id: input.payload.build_id,
        label: input.payload.label.clone(),
        cluster: input.cluster.clone(),
        authority: input.authority,
        role: input.role,
        reinstall: input.reinstall.cloned(),
        validity,
        files: planned(&files.list),
    };
    check_files(&manifest.files).map_err(|text| Error::input(format!("the seed cannot be made: {text}")))?;
    let len = manifest.to_json()?.len() as u64;
    let content = deferred(len, move |digests| {
        fill(&mut manifest.files, digests)?;
        manifest.to_json()
    });
    let mut files = files.list;
    files.push(MediumFile { path: MANIFEST.to_owned(), mode: 0o600, content });
    Ok(files)
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
