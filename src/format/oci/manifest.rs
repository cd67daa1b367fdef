//! Single documents as registries give them (OCI Distribution 1.1, OCI Image Format 1.0; Docker's of the same form): an index, of
//! which one platform is chosen, or the manifest of an image. Bounded; the bytes are hashed by the caller.

use super::json::{Descriptor, Index, Manifest};
use super::{ARCHITECTURE, OS, media};
use crate::digest::Sha256;
use crate::error::{Error, Result};

/// Largest document that is taken.
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// Largest configuration of an image.
const MAX_CONFIG: u64 = 8 << 20;
/// Largest layer.
const MAX_LAYER: u64 = 16 << 30;
/// Runtimes stop at 127 layers or so.
const MAX_LAYERS: usize = 128;

/// What registries are told that kiln takes.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An index; the part of it that is for the nodes.
    Index(Part),
    /// The manifest of an image.
    Manifest(ImageManifest),
}

/// A blob by digest and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Digest.
    pub digest: Sha256,
    /// Size in bytes.
    pub size: u64,
}

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Media type, as an index has to name it.
    pub media_type: String,
    /// Its configuration.
    pub config: Part,
    /// Its layers, the lowest first.
    pub layers: Vec<Part>,
    /// Whether a layer is packed in a way that old versions of Docker do not know.
    pub zstd: bool,
}

/// Reads a document.
pub fn read(bytes: &[u8]) -> Result<Document> {
    let bad = |why: String| Error::input(format!("the document of an image: {why}"));
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    let version = value.get("schemaVersion").and_then(serde_json::Value::as_u64);
    if version != Some(2) {
        return Err(bad("it is of a form that was given up years ago (schema 1), or none at all".to_owned()));
    }
    if value.get("manifests").is_some() {
        let index: Index = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        return choose(&index).map(Document::Index);
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    image(&manifest).map(Document::Manifest)
}

/// The one image of an index that is for the nodes.
fn choose(index: &Index) -> Result<Part> {
    let platforms: Vec<String> = index.manifests.iter().filter_map(platform).collect();
    let wanted = format!("{OS}/{ARCHITECTURE}");
    let found = index.manifests.iter().find(|entry| platform(entry).as_ref() == Some(&wanted));
    match found {
        Some(entry) => part(entry, MAX_DOCUMENT),
        None => Err(Error::input(format!(
            "the image is not for {wanted}: it is for {}",
            if platforms.is_empty() { "nothing that it names".to_owned() } else { platforms.join(", ") }
        ))),
    }
}

fn platform(entry: &Descriptor) -> Option<String> {
    let platform = entry.platform.as_ref()?;
    Some(format!("{}/{}", platform.os.escape_debug(), platform.architecture.escape_debug()))
}

fn image(manifest: &Manifest) -> Result<ImageManifest> {
    let media_type = manifest.media_type.clone().unwrap_or_else(|| media::MANIFEST.to_owned());
    if !matches!(media_type.as_str(), media::MANIFEST | media::DOCKER_MANIFEST) {
        return Err(Error::input(format!("the document is no image: it is of type {media_type:?}")));
    }
    if manifest.layers.len() > MAX_LAYERS {
        return Err(Error::input(format!(
            "the image has {} layers, {MAX_LAYERS} at most",
            manifest.layers.len()
        )));
    }
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        if !is_layer(&layer.media_type) {
            let kind = &layer.media_type;
            return Err(Error::input(format!(
                "the image has a layer of type {kind:?}, which runtimes do not lay down"
            )));
        }
        layers.push(part(layer, MAX_LAYER)?);
    }
    let zstd = manifest.layers.iter().any(|layer| layer.media_type.ends_with("zstd"));
    Ok(ImageManifest { media_type, config: part(&manifest.config, MAX_CONFIG)?, layers, zstd })
}

/// Layers that lie in the registry itself, packed in a known way.
fn is_layer(media_type: &str) -> bool {
    let plain = media::LAYER;
    let packed = media_type.strip_prefix(plain).is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd"));
    packed
        || matches!(
            media_type,
            "application/vnd.docker.image.rootfs.diff.tar"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        )
}

fn part(descriptor: &Descriptor, limit: u64) -> Result<Part> {
    let digest = descriptor.digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    let digest = digest
        .ok_or_else(|| Error::input(format!("{:?} is no SHA-256 digest of a part", descriptor.digest)))?;
    if descriptor.size > limit {
        return Err(Error::input(format!(
            "the part {digest} would have {} bytes, {limit} at most",
            descriptor.size
        )));
    }
    Ok(Part { digest, size: descriptor.size })
}

/// Checks the configuration of an image: for the nodes' platform, with a digest for each layer.
pub fn check_config(bytes: &[u8], layers: usize) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct RootFs {
        #[serde(default)]
        diff_ids: Vec<String>,
    }
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        os: String,
        rootfs: RootFs,
    }
    let config: Config = serde_json::from_slice(bytes)
        .map_err(|error| Error::input(format!("the configuration of an image cannot be read: {error}")))?;
    if (config.os.as_str(), config.architecture.as_str()) != (OS, ARCHITECTURE) {
        let (os, architecture) = (config.os.escape_debug(), config.architecture.escape_debug());
        return Err(Error::input(format!(
            "the image is for {os}/{architecture}; nodes are {OS}/{ARCHITECTURE}"
        )));
    }
    if config.rootfs.diff_ids.len() != layers {
        let count = config.rootfs.diff_ids.len();
        return Err(Error::input(format!(
            "the image has {layers} layers, and its configuration knows {count}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(text: &str) -> String {
        format!("sha256:{}", Sha256::of(text.as_bytes()))
    }

    fn manifest() -> serde_json::Value {
        let layer = |name: &str| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(name), "size": 10});
        json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": {"mediaType": media::CONFIG, "digest": digest("config"), "size": 5},
            "layers": [layer("one"), layer("two")],
        })
    }

    fn refused(value: &serde_json::Value, word: &str) {
        let error = read(value.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }

    #[test]
    fn an_image_and_an_index() {
        let Document::Manifest(image) = read(manifest().to_string().as_bytes()).unwrap() else {
            panic!("a manifest")
        };
        assert_eq!((image.layers.len(), image.config.size, image.zstd), (2, 5, false));
        let entry = |os: &str, architecture: &str| {
            json!({"mediaType": media::MANIFEST, "digest": digest(architecture), "size": 7,
                "platform": {"os": os, "architecture": architecture}})
        };
        let index = |entries: &[serde_json::Value]| json!({"schemaVersion": 2, "manifests": entries});
        let both = index(&[entry("unknown", "unknown"), entry("linux", "arm64"), entry("linux", "amd64")]);
        let Document::Index(part) = read(both.to_string().as_bytes()).unwrap() else { panic!("an index") };
        assert_eq!(part, Part { digest: Sha256::of(b"amd64"), size: 7 });
        refused(
            &index(&[entry("linux", "arm64"), entry("windows", "amd64")]),
            "it is for linux/arm64, windows/amd64",
        );
        refused(&index(&[]), "nothing that it names");
    }

    #[test]
    fn what_nodes_could_not_load_is_refused() {
        let change = |path: &str, value: serde_json::Value| {
            let mut changed = manifest();
            *changed.pointer_mut(path).unwrap() = value;
            changed
        };
        refused(&json!([1]), "given up");
        refused(&change("/schemaVersion", json!(1)), "given up");
        refused(&change("/mediaType", json!("application/vnd.cncf.helm.chart.v1+json")), "is no image");
        refused(&change("/config/digest", json!("md5:0")), "no SHA-256");
        refused(&change("/config/size", json!(1_u64 << 40)), "at most");
        refused(&change("/layers/0/size", json!(1_u64 << 50)), "at most");
        refused(&change("/layers/0/size", json!(-1)), "invalid value");
        refused(
            &change(
                "/layers/0/mediaType",
                json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            ),
            "not lay down",
        );
        refused(&change("/layers", json!(vec![manifest()["layers"][0].clone(); 200])), "200 layers");

        let config = |architecture: &str, layers: usize| {
            let value = json!({"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": vec!["sha256:0"; layers]}});
            check_config(value.to_string().as_bytes(), 2).map_err(|error| error.to_string())
        };
        assert_eq!(config("amd64", 2), Ok(()));
        assert!(config("arm64", 2).unwrap_err().contains("linux/arm64"));
        assert!(config("amd64", 1).unwrap_err().contains("knows 1"));
        assert!(check_config(b"{}", 0).is_err());
    }
}
