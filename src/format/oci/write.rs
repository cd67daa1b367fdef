//! The writer: a tree and a configuration become an archive, described and not held. The same input is the same bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::json::{Descriptor, DockerImage, Index, Layout, Manifest, Platform};
use super::{ARCHITECTURE, DOCKER, INDEX, LAYOUT, NAME_ANNOTATION, OS, REF_ANNOTATION, Reference, media};
use crate::blob::Blob;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::tar;
use crate::tree::{Entry, NodePath, Tree};

/// Time of everything in an image: the epoch.
const CREATED: &str = "1970-01-01T00:00:00Z";
const MTIME: u64 = 0;

/// What a container of the image starts with (OCI Image Format 1.0, "Image Configuration").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, which a pod's `args` replaces.
    pub command: Vec<String>,
    /// Environment: name → value.
    pub env: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// User, by number or name: `65534:65534`. Root when it is not given.
    pub user: Option<String>,
    /// Folder it starts in.
    pub working_dir: Option<NodePath>,
}

/// Describes the archive of an image with one layer, which holds `root`. The files of `root` are read once, for the digests.
pub fn write(name: &Reference, config: &Config, root: &Tree) -> Result<Blob> {
    let layer = tar::write(root, MTIME)?;
    // The layer is not compressed, so it is its own diff.
    let layer_digest = layer.digest()?;
    let config = to_json(&configuration(config, layer_digest)?)?;
    let config_digest = Sha256::of(&config);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        config: descriptor(media::CONFIG, config_digest, config.len() as u64),
        layers: vec![descriptor(media::LAYER, layer_digest, layer.len())],
    };
    let manifest = to_json(&manifest)?;
    let manifest_digest = Sha256::of(&manifest);
    let annotation = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let named = Descriptor {
        annotations: [annotation(NAME_ANNOTATION, name.as_str()), annotation(REF_ANNOTATION, name.tag())]
            .into(),
        platform: Some(Platform { architecture: ARCHITECTURE.to_owned(), os: OS.to_owned() }),
        ..descriptor(media::MANIFEST, manifest_digest, manifest.len() as u64)
    };
    let index =
        Index { schema_version: 2, media_type: Some(media::INDEX.to_owned()), manifests: vec![named] };
    let docker = [DockerImage {
        config: blob_path(config_digest),
        repo_tags: vec![name.as_str().to_owned()],
        layers: vec![blob_path(layer_digest)],
    }];

    let mut archive = Tree::default();
    for folder in ["/blobs", "/blobs/sha256"] {
        archive.insert(NodePath::new(folder)?, Entry::dir(0o755, "image"))?;
    }
    let mut add = |path: &str, content: Blob| {
        archive.insert(NodePath::new(format!("/{path}"))?, Entry::file(0o644, content, "image"))
    };
    add(&blob_path(layer_digest), layer)?;
    add(&blob_path(config_digest), Blob::bytes(config))?;
    add(&blob_path(manifest_digest), Blob::bytes(manifest))?;
    add(INDEX, Blob::bytes(to_json(&index)?))?;
    add(DOCKER, Blob::bytes(to_json(&docker)?))?;
    add(LAYOUT, Blob::bytes(to_json(&Layout { image_layout_version: "1.0.0".to_owned() })?))?;
    tar::write(&archive, MTIME)
}

fn configuration(config: &Config, diff: Sha256) -> Result<serde_json::Value> {
    let mut inner = serde_json::Map::new();
    let mut set = |key: &str, value: serde_json::Value| inner.insert(key.to_owned(), value);
    if !config.entrypoint.is_empty() {
        set("Entrypoint", json!(config.entrypoint));
    }
    if !config.command.is_empty() {
        set("Cmd", json!(config.command));
    }
    if let Some(bad) = config.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(Error::input(format!("`{}` is no name of a variable", bad.escape_debug())));
    }
    if !config.env.is_empty() {
        let pairs: Vec<String> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        set("Env", json!(pairs));
    }
    if !config.labels.is_empty() {
        set("Labels", json!(config.labels));
    }
    if let Some(user) = &config.user {
        set("User", json!(user));
    }
    if let Some(dir) = &config.working_dir {
        set("WorkingDir", json!(dir.as_str()));
    }
    Ok(json!({
        "architecture": ARCHITECTURE,
        "config": inner,
        "created": CREATED,
        "history": [{ "created": CREATED, "created_by": "kiln image create" }],
        "os": OS,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff}")] },
    }))
}

fn descriptor(media_type: &str, digest: Sha256, size: u64) -> Descriptor {
    let digest = format!("sha256:{digest}");
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        annotations: BTreeMap::new(),
        platform: None,
    }
}

/// Path of a blob in an archive.
pub(super) fn blob_path(digest: Sha256) -> String {
    format!("blobs/sha256/{digest}")
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal("writing an image's JSON").because(error))
}
