//! What an archive of container images holds, as people read it and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::text::printable;
use crate::format::oci::read::{Archive, Image, Loader};

/// For people; text of the archive is escaped.
pub fn text(archive: &Archive, name: &str) -> String {
    let mut out = format!("{}: container images\n", printable(name));
    for image in archive.images(Loader::Containerd) {
        let names: Vec<&str> = image.names.iter().map(|name| name.as_str()).collect();
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "  image      {names}\n             {}/{}, {} layers, {} bytes, configuration {}",
            printable(&image.os),
            printable(&image.architecture),
            image.layers,
            image.size(),
            image.id
        );
    }
    for (program, loader) in LOADERS {
        let how = archive.fault(loader).map_or("loads it".to_owned(), |fault| format!("does not: {fault}"));
        let _ = writeln!(out, "  {program:<10} {}", printable(&how));
    }
    out
}

/// For programs.
pub fn json(archive: &Archive) -> String {
    let image = |image: &Image| {
        json!({
            "names": image.names.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "os": printable(&image.os),
            "architecture": printable(&image.architecture),
            "layers": image.layers,
            "size": image.size(),
            "id": image.id,
        })
    };
    let images: Vec<Value> = archive.images(Loader::Containerd).iter().map(image).collect();
    let faults: Value =
        LOADERS.iter().map(|(name, loader)| ((*name).to_owned(), json!(archive.fault(*loader)))).collect();
    format!("{}\n", json!({ "kind": "images", "images": images, "faults": faults }))
}

const LOADERS: [(&str, Loader); 2] = [("containerd", Loader::Containerd), ("docker", Loader::Docker)];
