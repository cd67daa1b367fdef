//! A small payload and a request for the writer.

#![allow(dead_code)]

use std::path::Path;

use kiln::blob::{Blob, Piece};
use kiln::error::Result;
use kiln::image::iso::{Built, Remaster, remaster};
use kiln::image::menu::{MenuSpec, SerialConsole};
use kiln::image::{Content, Deferred, MediumFile};
use kiln::progress::Silent;

/// Label of the test media: longer than Joliet's sixteen characters.
pub const LABEL: &str = "KILN-PROD-MASTER-1A2B";

/// What to make of a base.
pub fn request(base: &Path, output: &Path) -> Remaster {
    let label: kiln::image::label::VolumeLabel = LABEL.parse().unwrap();
    let menu = MenuSpec {
        label: label.clone(),
        default_title: "Install prod master by matching this machine".into(),
        nodes: vec!["k8s-master1".parse().unwrap(), "k8s-master2".parse().unwrap()],
        timeout_seconds: 5,
        serial: Some(SerialConsole::default()),
        el: 9,
        ks_path: "/ks.cfg".into(),
    };
    Remaster { base: base.to_owned(), output: output.to_owned(), label, menu, public: false, force: true }
}

/// Builds a medium.
pub fn build(base: &Path, output: &Path, files: Vec<MediumFile>) -> Result<Built> {
    remaster(&request(base, output), files, &Silent)
}

/// Content that is not of one piece, and not a whole number of blocks.
pub fn binary() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..700_001_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bytes.extend([0; 5000]);
    bytes.extend(b"tail");
    bytes
}

/// A file of the payload.
pub fn file(path: &str, mode: u16, bytes: &[u8]) -> MediumFile {
    MediumFile { path: path.into(), mode, content: Content::Blob(Blob::bytes(bytes.to_vec())) }
}

/// A payload that tries names, modes, depths, sizes and a manifest.
pub fn files() -> Vec<MediumFile> {
    let mut blob = Blob::bytes(binary()[..700_001].to_vec());
    blob.push(Piece::Zeros(5000));
    blob.push(Piece::Bytes(b"tail".to_vec().into()));
    let make = |digests: &kiln::image::Digests| {
        Ok(format!("{}\n", digests["/kiln/nodes/k8s-master1.tar"].1).into_bytes())
    };
    vec![
        file("/ks.cfg", 0o644, b"text\n"),
        MediumFile { path: "/kiln/kiln".into(), mode: 0o755, content: Content::Blob(blob) },
        file("/kiln/nodes/k8s-master1.tar", 0o600, b"secret"),
        file(&format!("/kiln/nodes/{}.tar", "w".repeat(200)), 0o600, b"long"),
        file("/kiln/empty", 0o644, b""),
        file("/images/added.img", 0o644, b"added"),
        MediumFile {
            path: "/kiln/manifest.json".into(),
            mode: 0o644,
            content: Content::Deferred(Deferred { len: 65, make: Box::new(make) }),
        },
    ]
}
