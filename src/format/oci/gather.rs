//! One archive of several images whose parts are files already: an OCI image layout and a Docker archive at once, as
//! [`super::write()`] makes of one. Parts that images share are in it once. Described, not held; the same images are the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::json::{Descriptor, DockerImage, Index, Layout, Platform};
use super::manifest::{ImageManifest, Part};
use super::write::{blob_path, to_json};
use super::{ARCHITECTURE, DOCKER, INDEX, LAYOUT, NAME_ANNOTATION, OS, REF_ANNOTATION, Reference, media};
use crate::blob::Blob;
use crate::error::Result;
use crate::format::tar;
use crate::tree::{Entry, NodePath, Tree};

/// An image to put in.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// Its name.
    pub name: Reference,
    /// Digest and size of its manifest.
    pub manifest: Part,
    /// What the manifest says.
    pub image: ImageManifest,
}

/// Describes the archive. `content` gives a part.
pub fn gather(images: &[Gathered], content: &dyn Fn(Part) -> Blob) -> Result<Blob> {
    let mut parts: BTreeSet<Part> = BTreeSet::new();
    let (mut entries, mut docker) = (Vec::new(), Vec::new());
    for Gathered { name, manifest, image } in images {
        parts.extend([*manifest, image.config].iter().chain(&image.layers));
        entries.push(Descriptor {
            media_type: image.media_type.clone(),
            digest: format!("sha256:{}", manifest.digest),
            size: manifest.size,
            annotations: BTreeMap::from([
                (NAME_ANNOTATION.to_owned(), name.as_str().to_owned()),
                (REF_ANNOTATION.to_owned(), name.tag().to_owned()),
            ]),
            platform: Some(Platform { architecture: ARCHITECTURE.to_owned(), os: OS.to_owned() }),
        });
        docker.push(DockerImage {
            config: blob_path(image.config.digest),
            repo_tags: vec![name.as_str().to_owned()],
            layers: image.layers.iter().map(|layer| blob_path(layer.digest)).collect(),
        });
    }
    let index = Index { schema_version: 2, media_type: Some(media::INDEX.to_owned()), manifests: entries };
    let mut archive = Tree::default();
    for folder in ["/blobs", "/blobs/sha256"] {
        archive.insert(NodePath::new(folder)?, Entry::dir(0o755, "images"))?;
    }
    let mut add = |path: &str, content: Blob| {
        archive.insert(NodePath::new(format!("/{path}"))?, Entry::file(0o644, content, "images"))
    };
    for part in parts {
        add(&blob_path(part.digest), content(part))?;
    }
    add(INDEX, Blob::bytes(to_json(&index)?))?;
    add(DOCKER, Blob::bytes(to_json(&docker)?))?;
    add(LAYOUT, Blob::bytes(to_json(&Layout { image_layout_version: "1.0.0".to_owned() })?))?;
    tar::write(&archive, 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digest::Sha256;
    use crate::format::oci::manifest::{Document, read};
    use crate::format::oci::read::{self as reader, Loader};
    use crate::progress::Silent;

    #[test]
    fn several_images_share_what_is_the_same() {
        let mut store: BTreeMap<Sha256, Vec<u8>> = BTreeMap::new();
        let mut put = |bytes: Vec<u8>| {
            let digest = Sha256::of(&bytes);
            store.insert(digest, bytes.clone());
            (digest, bytes.len() as u64)
        };
        let mut images = Vec::new();
        for own in ["one", "two"] {
            let mut layer = |text: &str| {
                let (digest, size) = put(text.repeat(1000).into_bytes());
                json!({"mediaType": media::LAYER, "digest": format!("sha256:{digest}"), "size": size})
            };
            let layers = [layer("shared"), layer(own)];
            let config =
                json!({"os": "linux", "architecture": "amd64", "x": own, "rootfs": {"diff_ids": ["a", "b"]}});
            let (digest, size) = put(config.to_string().into_bytes());
            let config =
                json!({"mediaType": media::CONFIG, "digest": format!("sha256:{digest}"), "size": size});
            let manifest =
                json!({"schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": layers});
            let bytes = manifest.to_string().into_bytes();
            let Document::Manifest(image) = read(&bytes).unwrap() else { panic!("a manifest") };
            let (digest, size) = put(bytes);
            let name = format!("example.org/{own}:1").parse().unwrap();
            images.push(Gathered { name, manifest: Part { digest, size }, image });
        }
        let archive = gather(&images, &|part| Blob::bytes(store[&part.digest].clone())).unwrap();
        let bytes = archive.to_vec(1 << 20).unwrap();
        // Its 25 KiB would be 31 if the shared layer were in it twice.
        assert!(bytes.len() < 28_000, "{}", bytes.len());
        let found = reader::open(&bytes).unwrap();
        found.verify(&bytes, &Silent).unwrap();
        for loader in [Loader::Containerd, Loader::Docker] {
            assert_eq!(found.fault(loader), None);
            let names: Vec<String> = found.names(loader).iter().map(ToString::to_string).collect();
            assert_eq!(names, ["example.org/one:1", "example.org/two:1"]);
        }
    }
}
