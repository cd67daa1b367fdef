//! Images that kiln writes, read by kiln; archives of other makers' forms; and archives that lie. What skopeo, umoci and
//! containerd make of kiln's images is in `tests/oci.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::read::{self, Loader};
use super::*;
use crate::blob::Blob;
use crate::digest::Sha256;
use crate::format::tar;
use crate::progress::Silent;
use crate::tree::{Entry, NodePath, Tree};

fn tree(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree::default();
    for (path, content) in files {
        let entry = Entry::file(0o755, Blob::bytes(content.clone()), "test");
        tree.insert(NodePath::new(format!("/{path}")).unwrap(), entry).unwrap();
    }
    tree
}

fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    tar::write(&tree(files), 0).unwrap().to_vec(1 << 24).unwrap()
}

fn image() -> Vec<u8> {
    let config = Config {
        entrypoint: vec!["/pause".into()],
        env: [("A".to_owned(), "b".to_owned())].into(),
        user: Some("65534:65534".into()),
        ..Config::default()
    };
    let root = tree(&[("pause", b"program".to_vec())]);
    write(&"registry.k8s.io/pause:3.10".parse().unwrap(), &config, &root).unwrap().to_vec(1 << 24).unwrap()
}

fn names(names: &[&str]) -> BTreeSet<Reference> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A blob of JSON: its path in an archive, its descriptor and its bytes.
fn blob(media_type: &str, content: &Value) -> ((String, Vec<u8>), Value) {
    let bytes = serde_json::to_vec(content).unwrap();
    let digest = Sha256::of(&bytes);
    let descriptor =
        json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()});
    ((format!("blobs/sha256/{digest}"), bytes), descriptor)
}

/// The parts of an image of another maker: configuration, manifest and the manifest's descriptor.
fn parts(architecture: &str) -> (Vec<(String, Vec<u8>)>, Value) {
    let config =
        json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let (config, config_descriptor) = blob(media::CONFIG, &config);
    let manifest = json!({"schemaVersion": 2, "config": config_descriptor, "layers": []});
    let (manifest, descriptor) = blob(media::MANIFEST, &manifest);
    (vec![config, manifest], descriptor)
}

/// An archive with an OCI index.
fn layout(index: &Value, blobs: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        (LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        (INDEX, index.to_string().into_bytes()),
    ];
    files.extend(blobs.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())));
    archive(&files)
}

#[test]
fn what_is_written_is_read() {
    let bytes = image();
    assert_eq!(bytes, image(), "the same image is the same bytes");
    let found = read::open(&bytes).unwrap();
    found.verify(&bytes, &Silent).unwrap();
    for loader in [Loader::Containerd, Loader::Docker] {
        assert_eq!(found.names(loader), names(&["registry.k8s.io/pause:3.10"]));
        assert_eq!(found.fault(loader), None);
        assert_eq!((found.images(loader).len(), found.images(loader)[0].layers), (1, 1));
    }
    assert_eq!(found.images(Loader::Containerd)[0].id, found.images(Loader::Docker)[0].id);
}

#[test]
fn one_changed_bit_is_noticed() {
    let mut bytes = image();
    let at = bytes.windows(7).position(|window| window == b"program").unwrap();
    bytes[at] ^= 1;
    let found = read::open(&bytes).unwrap();
    let error = found.verify(&bytes, &Silent).unwrap_err();
    assert!(error.to_string().contains("has the digest"), "{error}");
    let at = bytes.windows(7).position(|window| window == b"\"/pause").unwrap();
    bytes[at + 1] ^= 1;
    assert!(read::open(&bytes).unwrap_err().to_string().contains("another digest"));
}

#[test]
fn old_docker_archives_are_read() {
    let config = br#"{"architecture":"amd64","os":"linux"}"#.to_vec();
    let config_name = format!("{}.json", Sha256::of(&config));
    let manifest =
        json!([{"Config": config_name, "RepoTags": ["busybox:1.36", "x@bad"], "Layers": ["0/layer.tar"]}]);
    let whole = [
        ("manifest.json", manifest.to_string().into_bytes()),
        ("0/layer.tar", vec![0; 1024]),
        (&*config_name, config),
    ];
    let bytes = archive(&whole);
    let found = read::open(&bytes).unwrap();
    found.verify(&bytes, &Silent).unwrap();
    assert_eq!(found.names(Loader::Containerd), names(&["docker.io/library/busybox:1.36"]));
    assert_eq!((found.fault(Loader::Docker), found.fault(Loader::Containerd)), (None, None));
    let error = read::open(&archive(&[whole[0].clone(), whole[2].clone()])).unwrap_err();
    assert!(error.to_string().contains("no file `0/layer.tar`"), "{error}");
}

#[test]
fn nested_indexes_names_and_attestations() {
    let (mut blobs, mut own) = parts("amd64");
    own["platform"] = json!({"architecture": "amd64", "os": "linux"});
    let attestation = json!({"mediaType": media::MANIFEST, "digest": format!("sha256:{}", Sha256::of(b"x")), "size": 1,
        "platform": {"architecture": "unknown", "os": "unknown"}});
    let (inner, mut descriptor) =
        blob(media::INDEX, &json!({"schemaVersion": 2, "manifests": [own, attestation]}));
    blobs.push(inner);
    descriptor["annotations"] = json!({NAME_ANNOTATION: "docker.io/a/b:1", REF_ANNOTATION: "1"});
    let mut second = descriptor.clone();
    second["annotations"] = json!({REF_ANNOTATION: "quay.io/a/b:2"});
    let bytes = layout(&json!({"schemaVersion": 2, "manifests": [descriptor, second]}), blobs);
    let found = read::open(&bytes).unwrap();
    assert_eq!(found.names(Loader::Containerd), names(&["docker.io/a/b:1", "quay.io/a/b:2"]));
    assert_eq!((found.fault(Loader::Containerd), found.absent), (None, 0));
    assert!(found.fault(Loader::Docker).unwrap().contains("manifest.json"));
}

#[test]
fn images_that_no_node_could_load_are_told() {
    let (blobs, descriptor) = parts("arm64");
    let bytes = layout(&json!({"schemaVersion": 2, "manifests": [descriptor]}), blobs);
    let fault = read::open(&bytes).unwrap().fault(Loader::Containerd).unwrap();
    assert!(fault.contains("linux/arm64"), "{fault}");

    let ((blobs, own), (_, other)) = (parts("amd64"), parts("arm64"));
    let bytes = layout(&json!({"schemaVersion": 2, "manifests": [own, other]}), blobs);
    let fault = read::open(&bytes).unwrap().fault(Loader::Containerd).unwrap();
    assert!(fault.contains("1 images of other platforms"), "{fault}");

    let bytes = layout(&json!({"schemaVersion": 2, "manifests": []}), Vec::new());
    assert_eq!(read::open(&bytes).unwrap().fault(Loader::Containerd).unwrap(), "it holds no image");
}

#[test]
fn archives_that_lie_are_refused() {
    let refused = |bytes: &[u8], word: &str| {
        let error = read::open(&bytes.to_vec()).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    };
    refused(&archive(&[("a", vec![])]), "neither oci-layout nor manifest.json");
    refused(&archive(&[(DOCKER, b"[".to_vec())]), "no document of its kind");
    refused(&archive(&[(DOCKER, br#"[{"Config": "../../etc/passwd"}]"#.to_vec())]), "not a SHA-256");
    refused(&archive(&[(DOCKER, vec![b' '; (4 << 20) + 1])]), "at most");
    refused(&archive(&[(LAYOUT, br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec())]), "the version");

    let (blobs, descriptor) = parts("amd64");
    let mut long = descriptor.clone();
    long["size"] = json!(1);
    refused(
        &layout(&json!({"schemaVersion": 2, "manifests": [long]}), blobs.clone()),
        "its descriptor says 1",
    );
    let mut strange = descriptor.clone();
    strange["mediaType"] = json!("text/plain");
    refused(&layout(&json!({"schemaVersion": 2, "manifests": [strange]}), blobs.clone()), "text/plain");
    let mut wrong = descriptor.clone();
    wrong["digest"] = json!("md5:0");
    refused(&layout(&json!({"schemaVersion": 2, "manifests": [wrong]}), blobs.clone()), "no SHA-256");
    let many = vec![descriptor; 300];
    refused(&layout(&json!({"schemaVersion": 2, "manifests": many}), blobs), "too many images");

    // Indexes below indexes, deeper than anyone needs.
    let (mut blobs, mut inner) = (Vec::new(), parts("amd64").1);
    for _ in 0..5 {
        let (path, descriptor) = blob(media::INDEX, &json!({"schemaVersion": 2, "manifests": [inner]}));
        blobs.push(path);
        inner = descriptor;
    }
    refused(&layout(&json!({"schemaVersion": 2, "manifests": [inner]}), blobs), "a document of type");
}
