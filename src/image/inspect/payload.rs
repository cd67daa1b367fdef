//! What kiln put on a medium, by its manifest, held against what lies there.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cluster::types::Mac;
use crate::format::iso9660::read::Iso;
use crate::format::read_at::ReadAt;
use crate::payload::MANIFEST;
use crate::payload::manifest::{Manifest, ManifestFile};

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 16 << 20;

/// A medium that kiln made.
#[derive(Debug, Default, Serialize)]
pub struct KilnMedium {
    /// Version of the kiln that made it.
    pub kiln: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Role of its nodes.
    pub profile: String,
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// Operating system release.
    pub release: String,
    /// Digest over all that kiln put on it.
    pub build_id: String,
    /// Nodes that are installed from it.
    pub nodes: Vec<MediumNode>,
    /// Worker pools whose machines need no inventory.
    pub pools: Vec<String>,
    /// Files of the payload by path.
    pub files: BTreeMap<String, ManifestFile>,
    /// What is wrong with it: files that are missing or have another size, another label, a broken manifest.
    pub problems: Vec<String>,
}

/// A node and how it is recognised.
#[derive(Debug, Serialize)]
pub struct MediumNode {
    /// Host name.
    pub name: String,
    /// Address.
    pub address: String,
    /// MAC address.
    pub mac: Option<String>,
    /// SMBIOS serial number.
    pub serial: Option<String>,
    /// SMBIOS UUID.
    pub uuid: Option<String>,
}

/// Reads the manifest, if there is one. A manifest that cannot be read is a problem, not an error.
pub fn read(iso: &Iso<&impl ReadAt>) -> Option<KilnMedium> {
    iso.tree.find(MANIFEST)?;
    let broken = |problem: String| Some(KilnMedium { problems: vec![problem], ..KilnMedium::default() });
    let json = match iso.read_path(MANIFEST, MAX_MANIFEST) {
        Ok(Some(json)) => json,
        Ok(None) => return broken(format!("{MANIFEST} is no file")),
        Err(error) => return broken(error.to_string()),
    };
    match Manifest::from_json(&json, MANIFEST) {
        Ok(manifest) => Some(describe(iso, manifest)),
        Err(error) => broken(error.to_string()),
    }
}

fn describe(iso: &Iso<&impl ReadAt>, manifest: Manifest) -> KilnMedium {
    let mut problems = Vec::new();
    if iso.label() != manifest.label.as_str() {
        problems.push(format!(
            "the label is {:?}, and the manifest says {:?}",
            iso.label(),
            manifest.label.as_str()
        ));
    }
    for (path, file) in &manifest.files {
        match iso.tree.find(path).map(|id| iso.tree.node(id).size()) {
            None => problems.push(format!("{path} is missing")),
            Some(size) if size != file.size => {
                problems.push(format!("{path} has {size} bytes, and the manifest says {}", file.size));
            }
            Some(_) => {}
        }
    }
    let nodes = manifest.own_nodes().map(|node| MediumNode {
        name: node.name.to_string(),
        address: node.address.to_string(),
        mac: node.mac.as_ref().map(Mac::to_string),
        serial: node.serial.clone(),
        uuid: node.uuid.as_ref().map(ToString::to_string),
    });
    KilnMedium {
        nodes: nodes.collect(),
        kiln: manifest.kiln.clone(),
        cluster: manifest.cluster.to_string(),
        profile: manifest.role.to_string(),
        kubernetes: manifest.kubernetes.to_string(),
        release: manifest.release.to_string(),
        build_id: manifest.build_id.to_string(),
        pools: manifest.pools.iter().map(|pool| pool.name.to_string()).collect(),
        files: manifest.files,
        problems,
    }
}
