//! Image archives of the components folder: `images/*.tar`, found by the names they hold. Pins them, and gives what is pinned to
//! media. Each is looked into: whole, for one platform, and loadable by the cluster's runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::catalogue::check_name;
use super::images::Wanted;
use super::local;
use super::lock::{ImagePin, Lock};
use super::pull;
use crate::airgap::{Held, Image};
use crate::blob::Blob;
use crate::cluster::model::{Cluster, Runtime};
use crate::cluster::types::Role;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::oci::Reference;
use crate::format::oci::read::{self, Loader};
use crate::payload::image_path;
use crate::progress::Progress;

/// Folder of image archives in the components folder.
pub const FOLDER: &str = "images";

/// Pinned archives.
#[derive(Debug, Default)]
pub struct PinnedImages {
    /// What to write to `kiln.lock`, by file name.
    pub images: BTreeMap<String, ImagePin>,
    /// Images that no archive holds and that are to be pulled.
    pub absent: BTreeSet<Reference>,
    /// What is odd but stops nothing.
    pub warnings: Vec<String>,
}

/// An archive as it goes on a medium and to nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// File name: `pause-3.10.tar`.
    pub file: String,
    /// Names that it has to give.
    pub names: BTreeSet<Reference>,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Content, with the digest of the lock.
    pub content: Blob,
}

/// What takes archives on the nodes of a cluster.
pub fn loader(runtime: Runtime) -> Loader {
    match runtime {
        Runtime::Containerd => Loader::Containerd,
        Runtime::Docker => Loader::Docker,
    }
}

/// Pins the archives that hold what a cluster wants. All that is missing is named at once, unless it is to be pulled.
pub fn pin(cluster: &Cluster, wanted: &Wanted, progress: &dyn Progress) -> Result<PinnedImages> {
    let mut pinned = PinnedImages::default();
    let dir = match local::folder(cluster) {
        Ok(dir) => dir.join(FOLDER),
        Err(_) if cluster.components.download => {
            pinned.absent = wanted.keys().cloned().collect();
            return Ok(pinned);
        }
        Err(error) => return Err(error),
    };
    let mut faults = Vec::new();
    let mut found: BTreeMap<Reference, String> = BTreeMap::new();
    for file in local::names_in(&dir)? {
        let path = dir.join(&file);
        if file == pull::FILE {
            faults.push(format!("{}: this name is kept for what is pulled; rename it", path.display()));
            continue;
        }
        if !file.ends_with(".tar") || check_name(&file).is_err() || !path.is_file() {
            pinned.warnings.push(format!("{} is ignored: images are files named *.tar", path.display()));
            continue;
        }
        match look(&path, loader(cluster.runtime), wanted, progress)? {
            Look::Fault(why) => faults.push(format!("{}: {why}", path.display())),
            Look::Foreign(names) => pinned.warnings.push(format!(
                "{} is ignored: it holds {names}, which the cluster does not need; `images` in [components] adds images",
                path.display()
            )),
            Look::Good(pin) => {
                for name in &pin.names {
                    if let Some(other) = found.insert(name.clone(), file.clone()) {
                        faults.push(format!("{name} is in two files, {other} and {file}"));
                    }
                }
                pinned.images.insert(file, pin);
            }
        }
    }
    if cluster.components.download {
        pinned.absent = wanted.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
        finish(&dir, &faults, &[])?;
        return Ok(pinned);
    }
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(name, _)| !found.contains_key(*name))
        .map(|(name, purpose)| format!("{name} (for {purpose})"))
        .collect();
    finish(&dir, &faults, &missing)?;
    Ok(pinned)
}

fn finish(dir: &Path, faults: &[String], missing: &[String]) -> Result<()> {
    if !faults.is_empty() {
        let faults = faults.join("\n  ");
        return Err(Error::input(format!("image archives cannot be used:\n  {faults}")).hint(
            "save each image for linux/amd64 alone: `docker pull --platform linux/amd64 NAME && docker save -o FILE NAME`",
        ));
    }
    if !missing.is_empty() {
        return Err(Error::input(format!(
            "{} container images are missing; no archive in {} holds\n  {}",
            missing.len(),
            dir.display(),
            missing.join("\n  ")
        ))
        .hint(
            "on a machine with a network: `docker pull --platform linux/amd64 NAME && docker save -o FILE.tar NAME`; \
             for a trial `make components` makes stand-ins",
        ));
    }
    Ok(())
}

/// What archives give when they are loaded, by looking: names, and the digests that they stand for.
pub fn held(archives: &[Archive], runtime: Runtime) -> Result<Held> {
    let mut held = Held::new(runtime == Runtime::Containerd);
    for archive in archives {
        let found = read::open(&archive.content).map_err(|error| {
            error.context(&archive.file).or_hint("save it again, then pin it: `kiln fetch --update`")
        })?;
        for image in found.images(loader(runtime)) {
            for name in &image.names {
                let digest = image.targets.get(name).copied();
                let archive = image_path(&archive.file);
                held.add(name.clone(), Image { archive, id: image.id, digest });
            }
        }
    }
    Ok(held)
}

enum Look {
    Good(ImagePin),
    Foreign(String),
    Fault(String),
}

fn look(path: &Path, loader: Loader, wanted: &Wanted, progress: &dyn Progress) -> Result<Look> {
    let file = File::open(path).at("opening", path)?;
    let archive = match read::open(&file) {
        Ok(archive) => archive,
        Err(error) => return Ok(Look::Fault(error.to_string())),
    };
    let all = archive.names(loader);
    let names: BTreeSet<Reference> = all.iter().filter(|name| wanted.contains_key(*name)).cloned().collect();
    if let Some(fault) = archive.fault(loader) {
        return Ok(Look::Fault(fault));
    }
    if names.is_empty() {
        let all: Vec<&str> = all.iter().map(Reference::as_str).collect();
        return Ok(Look::Foreign(if all.is_empty() { "no named image".to_owned() } else { all.join(", ") }));
    }
    if let Err(error) = archive.verify(&file, progress) {
        return Ok(Look::Fault(error.to_string()));
    }
    let (sha256, size) = Sha256::of_reader(file).at("reading", path)?;
    Ok(Look::Good(ImagePin { names, size, sha256 }))
}

/// Where a pinned archive lies: in the components folder, or in the cache, where a bundle brings it.
pub fn place(cluster: &Cluster, cache: &Cache, file: &str, pin: &ImagePin) -> PathBuf {
    let cached = cache.path(pin.sha256);
    match &cluster.components.dir {
        Some(dir) => {
            let path = dir.join(FOLDER).join(file);
            if path.exists() || !cached.exists() { path } else { cached }
        }
        None => cached,
    }
}

/// The archives on media of a role: only nodes that run pods have any.
pub fn for_role(
    lock: &Lock,
    cluster: &Cluster,
    wanted: &Wanted,
    role: Role,
    cache: &Cache,
) -> Result<Vec<Archive>> {
    match role {
        Role::Lb => Ok(Vec::new()),
        Role::Master | Role::Worker => archives(lock, cluster, wanted, cache),
    }
}

/// The archives that media of a cluster carry: what is pinned, held against what is wanted and what lies in the folder.
fn archives(lock: &Lock, cluster: &Cluster, wanted: &Wanted, cache: &Cache) -> Result<Vec<Archive>> {
    let mut faults = Vec::new();
    let mut archives = Vec::new();
    let mut left: BTreeSet<&Reference> = wanted.keys().collect();
    for (file, pin) in &lock.images {
        let names: BTreeSet<Reference> =
            pin.names.iter().filter(|name| left.remove(*name)).cloned().collect();
        if names.is_empty() {
            faults.push(format!("{file} is pinned, and the cluster needs no image of it"));
            continue;
        }
        let path = place(cluster, cache, file, pin);
        match std::fs::metadata(&path) {
            Ok(facts) if facts.is_file() && facts.len() == pin.size => {}
            Ok(_) => faults.push(format!("{} is not of {} bytes as pinned", path.display(), pin.size)),
            Err(error) => faults.push(format!("{}: {error}", path.display())),
        }
        let content = Blob::file(path, pin.size, Some(pin.sha256));
        archives.push(Archive { file: file.clone(), names, sha256: pin.sha256, content });
    }
    if let Some(pulled) = &lock.pulled {
        let names: BTreeSet<Reference> =
            pulled.images.keys().filter(|name| left.remove(*name)).cloned().collect();
        let strangers = pulled.images.keys().filter(|name| !names.contains(*name));
        faults.extend(strangers.map(|name| format!("{name} is pinned, and the cluster does not need it")));
        if faults.is_empty() {
            let content = pull::archive(cache, pulled)?;
            archives.push(Archive { file: pull::FILE.to_owned(), names, sha256: pulled.sha256, content });
        }
    }
    faults.extend(left.iter().map(|name| format!("the image {name} is not pinned")));
    if faults.is_empty() {
        return Ok(archives);
    }
    Err(Error::input(format!("kiln.lock and the images do not fit:\n  {}", faults.join("\n  ")))
        .hint("restore the folder, or pin what is there now: `kiln fetch --update`"))
}

#[cfg(test)]
#[path = "archives_tests.rs"]
mod tests;
