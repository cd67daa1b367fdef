//! What kiln put on a medium, by its manifest, held against what lies there.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cluster::types::Mac;
use crate::format::iso9660::read::Iso;
use crate::format::read_at::ReadAt;
use crate::image::volume::{CIDATA, OEMDRV};
use crate::payload::MANIFEST;
use crate::payload::manifest::{Manifest, ManifestFile, Spread};
use crate::payload::seed::{self, SeedManifest};

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
    /// Digest over all that kiln put on it; of a seed, the build that it goes with.
    pub build_id: String,
    /// What it is of what a machine needs.
    pub part: Part,
    /// Label of the medium that a seed goes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_with: Option<String>,
    /// Nodes that are installed from it.
    pub nodes: Vec<MediumNode>,
    /// Worker pools whose machines need no inventory.
    pub pools: Vec<String>,
    /// Files of the payload by path.
    pub files: BTreeMap<String, ManifestFile>,
    /// What is wrong with it: files that are missing or have another size, another label, a broken manifest.
    pub problems: Vec<String>,
}

/// What a medium is of what a machine needs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All of it, secrets with it.
    #[default]
    Whole,
    /// All but the secrets.
    Public,
    /// The secrets.
    Seed,
    /// All of it, for use beside the vendor's own medium.
    Beside,
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

/// What a payload lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A volume that is a file of its own, with the medium's label or a seed's.
    Volume,
    /// A partition of a disk, whose label is cloud-init's.
    Partition,
}

/// Reads the manifest of a medium or of a seed, if there is one. A manifest that cannot be read is a problem, not an error.
pub fn read<R: ReadAt>(iso: &Iso<R>, carrier: Carrier) -> Option<KilnMedium> {
    let path = [MANIFEST, seed::MANIFEST].into_iter().find(|path| iso.tree.find(path).is_some())?;
    let broken = |problem: String| KilnMedium { problems: vec![problem], ..KilnMedium::default() };
    let json = match iso.read_path(path, MAX_MANIFEST) {
        Ok(Some(json)) => json,
        Ok(None) => return Some(broken(format!("{path} is no file"))),
        Err(error) => return Some(broken(error.to_string())),
    };
    let described = if path == MANIFEST {
        Manifest::from_json(&json, path).map(|manifest| describe(iso, manifest, carrier))
    } else {
        SeedManifest::from_json(&json, path).map(|manifest| describe_seed(iso, manifest))
    };
    Some(described.unwrap_or_else(|error| broken(error.to_string())))
}

/// What is wrong with the label and with the files, as far as it can be seen without reading them.
fn problems<R: ReadAt>(iso: &Iso<R>, labels: &[&str], files: &BTreeMap<String, ManifestFile>) -> Vec<String> {
    let (mut problems, label) = (Vec::new(), iso.label());
    if !labels.contains(&label.as_str()) {
        let wanted: Vec<String> = labels.iter().map(|label| format!("{label:?}")).collect();
        problems.push(format!("the label is {label:?}, and the manifest says {}", wanted.join(" or ")));
    }
    for (path, file) in files {
        match iso.tree.find(path).map(|id| iso.tree.node(id).size()) {
            None => problems.push(format!("{path} is missing")),
            Some(size) if size != file.size => {
                problems.push(format!("{path} has {size} bytes, and the manifest says {}", file.size));
            }
            Some(_) => {}
        }
    }
    problems
}

fn describe_seed<R: ReadAt>(iso: &Iso<R>, manifest: SeedManifest) -> KilnMedium {
    KilnMedium {
        kiln: manifest.kiln.clone(),
        cluster: manifest.cluster.to_string(),
        profile: manifest.role.to_string(),
        build_id: manifest.build_id.to_string(),
        part: Part::Seed,
        goes_with: Some(manifest.label.to_string()),
        problems: problems(iso, &[OEMDRV], &manifest.files),
        files: manifest.files,
        ..KilnMedium::default()
    }
}

fn describe<R: ReadAt>(iso: &Iso<R>, manifest: Manifest, carrier: Carrier) -> KilnMedium {
    let part = match manifest.spread {
        Spread::Whole => Part::Whole,
        Spread::Split => Part::Public,
        Spread::Beside => Part::Beside,
    };
    let labels: &[&str] = match (carrier, manifest.spread) {
        (Carrier::Partition, _) => &[CIDATA],
        (Carrier::Volume, Spread::Whole | Spread::Split) => &[manifest.label.as_str()],
        (Carrier::Volume, Spread::Beside) => &[OEMDRV, CIDATA],
    };
    let problems = problems(iso, labels, &manifest.files);
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
        part,
        goes_with: None,
        pools: manifest.pools.iter().map(|pool| pool.name.to_string()).collect(),
        files: manifest.files,
        problems,
    }
}
