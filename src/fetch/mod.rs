//! Where components and images come from: a folder, publishers' addresses, registries. What is found is pinned in `kiln.lock` and
//! lies in the folder or in the cache; what is pinned becomes files of a tree and archives of media.
//!
//! Only `kiln fetch` ([`online`], [`pull`]) touches a network. A build takes what `kiln.lock` says and nothing else.

pub mod archives;
pub mod cache;
pub mod catalogue;
pub mod http;
pub mod images;
pub mod local;
pub mod lock;
pub mod meter;
pub mod online;
mod parallel;
pub mod pull;
pub mod registry;
pub mod remote;
pub mod source;
pub mod sums;
#[cfg(test)]
mod tests;
mod unpack;

pub use catalogue::Catalogue;
pub use images::Images;
pub use lock::Lock;

use cache::Cache;
use std::path::PathBuf;

use catalogue::Component;
use lock::{FilePin, Origin, Pin};

use crate::blob::Blob;
use crate::cluster::model::Cluster;
use crate::cluster::types::Role;
use crate::error::{Error, Result};
use crate::tree::{Entry, Tree};
use crate::version::Version;

/// The files of components that nodes of a role get, at their final paths. Contents are files of the components folder or of the
/// cache with the digests of the lock, so that a writer notices when one has changed since it was pinned.
pub fn component_tree(
    catalogue: &Catalogue,
    lock: &Lock,
    cluster: &Cluster,
    role: Role,
    cache: &Cache,
) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut faults = Vec::new();
    for (name, component) in catalogue.of(cluster) {
        if component.files_for(cluster, role, None).next().is_none() {
            continue;
        }
        let Some(pin) = lock.components.get(name) else {
            if !component.optional {
                faults.push(format!("{name} is not pinned"));
            }
            continue;
        };
        let wanted = cluster.kubernetes.to_string();
        if component.follows_kubernetes && pin.version.to_string() != wanted {
            faults.push(format!("{name} {} is pinned, and the cluster file wants {wanted}", pin.version));
            continue;
        }
        for (file, rule) in component.files_for(cluster, role, Some(&pin.version)) {
            let Some(known) = pin.files.get(file) else {
                if !rule.optional {
                    faults.push(format!("{name} {}: {file} is not pinned", pin.version));
                }
                continue;
            };
            let path = local_path(cluster, cache, name, &pin.version, file, known);
            match std::fs::metadata(&path) {
                Ok(facts) if facts.is_file() && facts.len() == known.size => {}
                Ok(_) => faults.push(format!("{} is not of {} bytes as pinned", path.display(), known.size)),
                Err(error) => faults.push(format!("{}: {error}", path.display())),
            }
            let blob = Blob::file(path, known.size, Some(known.sha256));
            tree.insert(rule.path.clone(), Entry::file(rule.mode, blob, format!("component {name}")))?;
        }
    }
    note_strangers(catalogue, lock, &mut faults);
    if faults.is_empty() {
        return Ok(tree);
    }
    Err(Error::input(format!("kiln.lock and the components do not fit:\n  {}", faults.join("\n  "))).hint(
        "`kiln fetch` brings what is pinned into the cache; restore the folder, or pin what is there now: `kiln fetch --update`",
    ))
}

/// Where a pinned file lies: in the components folder or in the cache. A bundle brings files of a folder into the cache.
pub fn local_path(
    cluster: &Cluster,
    cache: &Cache,
    component: &str,
    version: &Version,
    file: &str,
    known: &FilePin,
) -> PathBuf {
    let cached = cache.path(known.sha256);
    match (&known.from, &cluster.components.dir) {
        (Origin::Folder, Some(dir)) => {
            let path = local::path_of(dir, component, version, file);
            if path.exists() || !cached.exists() { path } else { cached }
        }
        _ => cached,
    }
}

/// Pinned names that this kiln knows nothing of: leaving them out in silence would break the lock's word.
fn note_strangers(catalogue: &Catalogue, lock: &Lock, faults: &mut Vec<String>) {
    let unknown = |component: Option<&Component>, pin: &Pin| -> Vec<String> {
        pin.files
            .keys()
            .filter(|file| !component.is_some_and(|component| component.files.contains_key(*file)))
            .cloned()
            .collect()
    };
    for (name, pin) in &lock.components {
        for file in unknown(catalogue.get(name), pin) {
            faults.push(format!("{name} {}: {file} is pinned, and kiln knows no such file", pin.version));
        }
    }
}
