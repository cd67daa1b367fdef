//! `/kiln/parts.json`: which components and images lie on a medium, as the build knew them. JSON, sorted, no secrets: of keys and
//! certificates it says nothing. The manifest has its digest, so who trusts the manifest may trust it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::airgap::Held;
use crate::cluster::Cluster;
use crate::cluster::types::Role;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::fetch::catalogue::Catalogue;
use crate::fetch::lock::Lock;
use crate::payload::manifest::ManifestFile;
use crate::tree::NodePath;

/// Where it lies on a medium.
pub const PATH: &str = "/kiln/parts.json";
/// The format that this kiln writes, and the only one it reads.
const FORMAT: u32 = 1;

/// Parts of a medium.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    format: u32,
    /// Components by name.
    pub components: BTreeMap<String, Component>,
    /// Images by name.
    pub images: BTreeMap<String, Image>,
    /// Packages that the project adds, by path on the medium.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, Package>,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Version.
    pub version: String,
    /// Licence as an SPDX expression, where the catalogue says it.
    pub license: Option<String>,
    /// Files by path on nodes.
    pub files: BTreeMap<String, ManifestFile>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The archive that holds it, as a path on the medium.
    pub archive: String,
    /// Digest of its configuration, by which runtimes know it.
    pub id: Sha256,
    /// Digest that its name stands for, where the archive says it.
    pub digest: Option<Sha256>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Epoch, version and release.
    pub version: String,
    /// Architecture.
    pub arch: String,
    /// What it says of its licence, in whatever words.
    pub license: String,
    /// Digest of the file.
    pub sha256: Sha256,
}

impl Parts {
    /// The parts of a role's medium: what the lock pins for it, and the images of its archives.
    pub fn of(catalogue: &Catalogue, lock: &Lock, cluster: &Cluster, role: Role, images: &Held) -> Self {
        let mut components = BTreeMap::new();
        for (name, rules) in catalogue.of(cluster) {
            let Some(pin) = lock.components.get(name) else { continue };
            let files: BTreeMap<String, ManifestFile> = rules
                .files_for(cluster, role, Some(&pin.version))
                .filter_map(|(file, rule)| Some((rule.path.to_string(), pin.files.get(file)?)))
                .map(|(path, file)| (path, ManifestFile { size: file.size, sha256: file.sha256 }))
                .collect();
            if !files.is_empty() {
                let (version, license) = (pin.version.to_string(), rules.license.clone());
                components.insert(name.to_owned(), Component { version, license, files });
            }
        }
        let image = |image: &crate::airgap::Image| Image {
            archive: image.archive.clone(),
            id: image.id,
            digest: image.digest,
        };
        let images = images.iter().map(|(name, one)| (name.to_string(), image(one))).collect();
        Self { format: FORMAT, components, images, packages: BTreeMap::new() }
    }

    /// The bytes of the file.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("writing the list of parts").because(error))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads the file.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let broken = |why: String| {
            Error::input(format!("{PATH} cannot be used: {why}"))
                .hint("use the kiln that made the medium; it lies on it as /kiln/kiln")
        };
        let parts: Self = serde_json::from_slice(json).map_err(|error| broken(error.to_string()))?;
        if parts.format != FORMAT {
            return Err(broken(format!("it has format {}, and this kiln reads {FORMAT}", parts.format)));
        }
        for path in parts.components.values().flat_map(|one| one.files.keys()) {
            NodePath::new(path.as_str()).map_err(|error| error.context(PATH))?;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let file = ManifestFile { size: 3, sha256: Sha256::of(b"abc") };
        let component = Component {
            version: "1.1.5".into(),
            license: Some("Apache-2.0".into()),
            files: BTreeMap::from([("/usr/local/bin/runc".to_owned(), file)]),
        };
        let image = Image { archive: "/kiln/images/pause.tar".into(), id: Sha256::of(b"id"), digest: None };
        let parts = Parts {
            format: FORMAT,
            components: BTreeMap::from([("runc".to_owned(), component)]),
            images: BTreeMap::from([("registry.k8s.io/pause:3.10".to_owned(), image)]),
            packages: BTreeMap::new(),
        };
        let json = parts.to_json().unwrap();
        assert_eq!(Parts::from_json(&json).unwrap(), parts);
        let text = String::from_utf8(json).unwrap();
        for (from, to, word) in [
            ("\"format\": 1", "\"format\": 2", "format 2"),
            ("/usr/local", "/usr/../local", "`..` part"),
            ("\"components\"", "\"component\"", "unknown field"),
        ] {
            let error = Parts::from_json(text.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
