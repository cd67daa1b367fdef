//! All packages that a medium has, compact: a dependency that many packages share is kept once, and of files only what
//! `primary.xml` has, until others are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::repodata::Offered;
use crate::format::rpm::{Dependency, Evr, Sense};

/// Number of a package.
pub type PackageId = u32;
/// Number of a dependency.
type DependencyId = u32;

/// Architectures whose packages a node can have, its own first.
const ARCHES: [&str; 8] = ["x86_64", "noarch", "x86_64_v2", "x86_64_v3", "i686", "i586", "i486", "i386"];
/// How many of them are the node's own.
const NATIVE: usize = 4;
/// Most packages and dependencies of all repositories together.
const MOST: usize = 16_000_000;

/// A package.
#[derive(Debug)]
pub(super) struct Item {
    pub name: Arc<str>,
    pub arch: &'static str,
    pub evr: Evr,
    pub requires: Vec<DependencyId>,
}

impl Item {
    /// Whether it is for the node's own architecture, and not only for its elder programs.
    pub fn is_native(&self) -> bool {
        ARCHES[..NATIVE].contains(&self.arch)
    }
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.evr, self.arch)
    }
}

/// The packages of all repositories.
#[derive(Debug, Default)]
pub struct Universe {
    items: Vec<Item>,
    dependencies: Vec<Arc<Dependency>>,
    numbers: BTreeMap<Arc<Dependency>, DependencyId>,
    names: BTreeMap<Arc<str>, Vec<PackageId>>,
    /// Who provides a name, and how.
    provides: BTreeMap<Arc<str>, Vec<(PackageId, DependencyId)>>,
    files: BTreeMap<Box<str>, Vec<PackageId>>,
    /// Packages by repository and checksum.
    ids: BTreeMap<(usize, Box<str>), PackageId>,
    entries: usize,
}

impl Universe {
    /// Adds a package of a repository; those for other machines are passed over.
    pub fn add(&mut self, repository: usize, offered: Offered) -> Result<()> {
        let package = offered.package;
        let Some(arch) = ARCHES.iter().find(|arch| **arch == package.arch) else { return Ok(()) };
        self.entries += 1 + package.provides.len() + package.requires.len() + package.files.len();
        let id = self.items.len() as PackageId;
        if self.entries > MOST {
            return Err(Error::input("the repositories hold more packages and dependencies than any do"));
        }
        let name: Arc<str> = package.name.as_str().into();
        self.names.entry(Arc::clone(&name)).or_default().push(id);
        self.ids.insert((repository, offered.id.into()), id);
        // Every package provides itself, whether it says so or not.
        let range = Some((Sense::Equal, package.evr.clone()));
        let own = Dependency { range, ..Dependency::on(package.name) };
        for provided in package.provides.into_iter().chain([own]) {
            let name: Arc<str> = provided.name.as_str().into();
            let number = self.number(provided);
            self.provides.entry(name).or_default().push((id, number));
        }
        for file in package.files {
            self.files.entry(file.path.into()).or_default().push(id);
        }
        let requires = package.requires.into_iter().map(|requirement| self.number(requirement)).collect();
        self.items.push(Item { name, arch, evr: package.evr, requires });
        Ok(())
    }

    /// Adds a file of a package that is known by its checksum.
    pub(super) fn learn(&mut self, repository: usize, id: &str, path: String) {
        let found = self.ids.get(&(repository, Box::from(id))).copied();
        if let Some(package) = found {
            self.files.entry(path.into()).or_default().push(package);
        }
    }

    fn number(&mut self, dependency: Dependency) -> DependencyId {
        if let Some(number) = self.numbers.get(&dependency) {
            return *number;
        }
        let (number, shared) = (self.dependencies.len() as DependencyId, Arc::new(dependency));
        self.dependencies.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        number
    }

    /// Number of packages.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no packages.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A package by its number, which came from here.
    pub(super) fn item(&self, id: PackageId) -> &Item {
        &self.items[id as usize]
    }

    /// A dependency by its number, which came from here.
    pub(super) fn dependency(&self, id: DependencyId) -> &Dependency {
        &self.dependencies[id as usize]
    }

    /// All packages with their numbers.
    pub(super) fn items(&self) -> impl Iterator<Item = (PackageId, &Item)> {
        self.items.iter().enumerate().map(|(id, item)| (id as PackageId, item))
    }

    /// Names of all packages.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// Packages of a name.
    pub(super) fn named(&self, name: &str) -> &[PackageId] {
        self.names.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Packages that provide what is required.
    pub(super) fn providers(&self, requirement: &Dependency) -> Vec<PackageId> {
        let listed = self.provides.get(requirement.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let meets =
            |(_, provided): &&(PackageId, DependencyId)| requirement.is_met_by(self.dependency(*provided));
        let mut found: Vec<PackageId> = listed.iter().filter(meets).map(|(id, _)| *id).collect();
        if requirement.is_file() {
            found.extend(self.files.get(requirement.name.as_str()).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
