//! Pins the components folder: finds each file that the cluster needs as `<component>/<version>/<file>`, checks that it is a
//! program and takes its size and SHA-256. The result is a [`Lock`]; nothing is written here.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::catalogue::{Catalogue, Component};
use super::lock::{FilePin, Lock, Origin, Pin};
use crate::cluster::gates::{COMPONENT_GATES, ComponentGate};
use crate::cluster::model::Cluster;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::elf::{self, Linking};
use crate::progress::Progress;
use crate::version::Version;

/// A pinned folder.
#[derive(Debug)]
pub struct Pinned {
    /// What to write to `kiln.lock`.
    pub lock: Lock,
    /// Components that the folder does not have and that are to be downloaded.
    pub absent: Vec<String>,
    /// What is odd but stops nothing: unknown files, programs that need a C library of the node.
    pub warnings: Vec<String>,
}

/// What was found so far.
#[derive(Default)]
struct Search {
    missing: Vec<String>,
    faults: Vec<String>,
    warnings: Vec<String>,
    /// Number of dynamically linked files by component.
    dynamic: BTreeMap<String, usize>,
}

/// Pins what the cluster needs from its components folder. All that is missing is named at once, unless it is to be downloaded.
pub fn pin(cluster: &Cluster, catalogue: &Catalogue, progress: &dyn Progress) -> Result<Pinned> {
    let mut search = Search::default();
    let mut lock = Lock::default();
    let mut absent = Vec::new();
    let dir = match folder(cluster) {
        Ok(dir) => dir,
        Err(_) if cluster.components.download => {
            let all =
                catalogue.of(cluster).filter(|(_, each)| !each.files_of_cluster(cluster, None).is_empty());
            let absent = all.map(|(name, _)| name.to_owned()).collect();
            return Ok(Pinned { lock, absent, warnings: Vec::new() });
        }
        Err(error) => return Err(error),
    };
    for (name, component) in catalogue.of(cluster) {
        if component.files_of_cluster(cluster, None).is_empty() {
            continue;
        }
        if cluster.components.download && !lies_in(&dir.join(name), name, component, cluster) {
            absent.push(name.to_owned());
            continue;
        }
        let Some(version) = choose(&dir.join(name), name, component, cluster, &mut search)? else { continue };
        search.faults.extend(unfit(cluster, name, &version));
        if let Some(pin) = pin_component(dir, name, component, &version, cluster, &mut search, progress)? {
            lock.components.insert(name.to_owned(), pin);
        }
    }
    search.note_unknown_components(dir, catalogue)?;
    search.finish(dir)?;
    if !search.dynamic.is_empty() {
        let counts: Vec<String> =
            search.dynamic.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        search.warnings.push(format!(
            "some files are linked with a C library and may not start on nodes with an older one: {}",
            counts.join(", ")
        ));
    }
    Ok(Pinned { lock, absent, warnings: search.warnings })
}

/// Whether a component's folder has the version that is wanted, or any if none is.
fn lies_in(folder: &Path, name: &str, component: &Component, cluster: &Cluster) -> bool {
    match wanted_version(name, component, cluster) {
        Some(version) => folder.join(version.to_string()).is_dir(),
        None => folder.is_dir(),
    }
}

/// The version that the cluster file asks for.
pub(super) fn wanted_version(name: &str, component: &Component, cluster: &Cluster) -> Option<Version> {
    match component.follows_kubernetes {
        true => component.usual_version(cluster),
        false => cluster.components.versions.get(name).cloned(),
    }
}

/// Why a component of this version cannot work in this cluster, if it cannot.
pub(super) fn unfit(cluster: &Cluster, name: &str, version: &Version) -> Option<String> {
    let within = |gate: &ComponentGate| {
        let end = |text: &str| text.parse::<Version>().ok();
        end(gate.from).is_some_and(|from| *version >= from)
            && end(gate.below).is_some_and(|below| *version < below)
    };
    let applies = |gate: &&ComponentGate| {
        gate.component == name && (gate.applies)(cluster.kubernetes, cluster.base.release) && within(gate)
    };
    let gate = COMPONENT_GATES.iter().find(applies)?;
    Some(format!("{name} {version} does not fit Kubernetes {}: {}", cluster.kubernetes, gate.reason))
}

/// The components folder that the cluster file names.
pub(super) fn folder(cluster: &Cluster) -> Result<&Path> {
    cluster.components.dir.as_deref().ok_or_else(|| {
        Error::input("the cluster file names no components folder")
            .hint("leave `download` out of [components], or add `dir = \"components\"`; docs/components.md says what goes in it")
    })
}

/// The version to take: the cluster file's, or the highest that is there.
fn choose(
    folder: &Path,
    name: &str,
    component: &Component,
    cluster: &Cluster,
    search: &mut Search,
) -> Result<Option<Version>> {
    if let Some(version) = wanted_version(name, component, cluster) {
        return Ok(Some(version));
    }
    let mut versions = Vec::new();
    for entry in names_in(folder)? {
        match entry.parse::<Version>() {
            Ok(version) if folder.join(&entry).is_dir() => versions.push(version),
            _ => search.warnings.push(format!(
                "{} is ignored: folders there are named after versions, like 1.2.3",
                folder.join(&entry).display()
            )),
        }
    }
    let chosen = versions.into_iter().max();
    if chosen.is_none() && !component.optional {
        for (file, rule) in component.files_of_cluster(cluster, None) {
            if !rule.optional && rule.since.is_none() {
                search.missing.push(folder.join("VERSION").join(file).display().to_string());
            }
        }
    }
    if let Some(version) = &chosen
        && component.files_of_cluster(cluster, Some(version)).is_empty()
    {
        search.faults.push(format!("{name} {version}: kiln knows no file of this version"));
    }
    Ok(chosen)
}

fn pin_component(
    dir: &Path,
    name: &str,
    component: &Component,
    version: &Version,
    cluster: &Cluster,
    search: &mut Search,
    progress: &dyn Progress,
) -> Result<Option<Pin>> {
    let folder = dir.join(name).join(version.to_string());
    let mut files = BTreeMap::new();
    for (file, rule) in component.files_of_cluster(cluster, Some(version)) {
        let path = folder.join(file);
        if !path.is_file() {
            if !rule.optional {
                search.missing.push(path.display().to_string());
            }
            continue;
        }
        if let Some(pin) = pin_file(&path, name, search, progress)? {
            files.insert(file.to_owned(), pin);
        }
    }
    for entry in names_in(&folder)? {
        if !component.files.contains_key(&entry) {
            search.warnings.push(format!(
                "{} is ignored: kiln knows no such file of {name}",
                folder.join(&entry).display()
            ));
        }
    }
    Ok(if files.is_empty() { None } else { Some(Pin { version: version.clone(), archive: None, files }) })
}

fn pin_file(
    path: &Path,
    component: &str,
    search: &mut Search,
    progress: &dyn Progress,
) -> Result<Option<FilePin>> {
    let mut file = File::open(path).at("opening", path)?;
    let len = file.metadata().at("reading", path)?.len();
    match elf::look(&mut file, len).at("reading", path)? {
        Err(why) => {
            search.faults.push(format!("{}: it {why}", path.display()));
            return Ok(None);
        }
        Ok(Linking::Dynamic) => *search.dynamic.entry(component.to_owned()).or_default() += 1,
        Ok(Linking::Static) => {}
    }
    let file = File::open(path).at("opening", path)?;
    let (sha256, size) = Sha256::of_reader(file).at("reading", path)?;
    progress.advance(size);
    Ok(Some(FilePin { size, sha256, from: Origin::Folder }))
}

impl Search {
    fn note_unknown_components(&mut self, dir: &Path, catalogue: &Catalogue) -> Result<()> {
        for entry in names_in(dir)? {
            if catalogue.get(&entry).is_none() && entry != super::archives::FOLDER {
                self.warnings
                    .push(format!("{} is ignored: kiln knows no such component", dir.join(&entry).display()));
            }
        }
        Ok(())
    }

    fn finish(&self, dir: &Path) -> Result<()> {
        if !self.missing.is_empty() {
            let version = self.missing.iter().any(|path| path.contains("/VERSION/"));
            let version = if version { "; VERSION is one of your choice, like 1.2.3" } else { "" };
            return Err(Error::input(format!(
                "{} component files are missing:\n  {}",
                self.missing.len(),
                self.missing.join("\n  ")
            ))
            .hint(format!(
                "put the files of the official releases there{version}; for a trial `make components` fills the folder"
            )));
        }
        if !self.faults.is_empty() {
            return Err(Error::input(format!(
                "files in {} cannot be used:\n  {}",
                dir.display(),
                self.faults.join("\n  ")
            ))
            .hint("take the Linux release for amd64, unpacked, and check its digest"));
        }
        Ok(())
    }
}

/// Names in a folder, sorted, without hidden ones; none when the folder is not there.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("reading the folder", dir)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.at("reading the folder", dir)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Where a file of a pinned component lies.
pub(super) fn path_of(dir: &Path, component: &str, version: &Version, file: &str) -> PathBuf {
    dir.join(component).join(version.to_string()).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_do_not_fit_are_told() {
        let sample = |kubernetes: &str| {
            let text = crate::cluster::SAMPLE.replace("1.37.2", kubernetes);
            crate::cluster::parse(Path::new("cluster.toml"), &text).unwrap().0
        };
        let fits = |kubernetes: &str, component: &str, version: &str| {
            unfit(&sample(kubernetes), component, &version.parse().unwrap()).is_none()
        };
        assert!(fits("1.20.2", "containerd", "1.6.20") && fits("1.37.2", "containerd", "2.3.4"));
        assert!(!fits("1.22.0", "containerd", "2.0.0") && fits("1.23.0", "containerd", "2.0.0"));
        assert!(!fits("1.26.0", "containerd", "1.6.14") && fits("1.26.0", "containerd", "1.6.15"));
        assert!(!fits("1.23.0", "docker", "19.3.15") && fits("1.23.0", "docker", "20.10.0"));
        assert!(!fits("1.24.0", "docker", "20.10.24") && fits("1.24.0", "docker", "23.0.0"));
        assert!(!fits("1.24.0", "cri-dockerd", "0.3.14") && fits("1.37.2", "cri-dockerd", "0.4.0"));
        // The gates' own versions parse; one that did not would never speak.
        for gate in COMPONENT_GATES {
            assert!(gate.from.parse::<Version>().unwrap() < gate.below.parse().unwrap());
        }
    }
}
