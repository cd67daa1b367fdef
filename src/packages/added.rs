//! Packages that a project adds to its media: all `*.rpm` of the folders that `rpms` names. Each is read and compared with its own
//! digests. On a medium they lie in one folder with repodata that kiln writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::blob::Blob;
use crate::error::{Error, IoContext, Result};
use crate::format::repodata::{self, Listed, Offered};
use crate::format::rpm::read as rpm;
use crate::payload::Extra;
use crate::sbom::parts::Package;

/// Folder of added packages on a medium.
pub const FOLDER: &str = "/kiln/rpms";

/// Architectures that may be added.
const ARCHES: [&str; 3] = ["x86_64", "noarch", "i686"];
/// Features of packages that rpm 4.11 of EL 7 does not know.
const AFTER_EL7: [&str; 4] =
    ["rpmlib(RichDependencies)", "rpmlib(LargeFiles)", "rpmlib(PayloadIsZstd)", "rpmlib(CaretInVersions)"];

/// An added package.
#[derive(Debug, Clone)]
pub struct Added {
    /// Where it lies on the machine that builds.
    pub path: PathBuf,
    /// What repodata says of it.
    pub listed: Listed,
}

impl Added {
    /// The package as a repository offers it, all its files known.
    pub(super) fn offered(&self) -> Offered {
        Offered {
            package: self.listed.rpm.package.clone(),
            id: self.listed.sha256.to_string(),
            location: self.listed.file.clone(),
        }
    }
}

/// Reads the packages of some folders. All that cannot be used are told at once.
pub fn read(folders: &[PathBuf], el: u8) -> Result<Vec<Added>> {
    let mut added: Vec<Added> = Vec::new();
    let mut faults = Vec::new();
    let (mut files, mut packages) = (BTreeMap::new(), BTreeMap::new());
    for folder in folders {
        let names = names(folder)?;
        if names.is_empty() {
            faults.push(format!("{}: it holds no *.rpm", folder.display()));
        }
        for name in names {
            let path = folder.join(&name);
            let mut fault = |fault: String| faults.push(format!("{}: {fault}", path.display()));
            let listed = match one(&path, &name, el) {
                Ok(listed) => listed,
                Err(error) if error.class() == crate::error::Class::Input => {
                    fault(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(first) = files.insert(name.clone(), path.clone()) {
                fault(format!("{} has the same name", first.display()));
            }
            if let Some(first) = packages.insert(listed.rpm.package.to_string(), path.clone()) {
                fault(format!("{} is the same package", first.display()));
            }
            added.push(Added { path, listed });
        }
    }
    if faults.is_empty() {
        return Ok(added);
    }
    Err(Error::input(format!("added packages cannot be used:\n  {}", faults.join("\n  "))).hint(
        "`rpms` in [base] names folders of whole binary packages for the nodes' release (docs/packages.md)",
    ))
}

/// Names of the packages of a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let opened = std::fs::read_dir(folder).at("opening the folder", folder);
    let opened = opened.map_err(|error| error.hint("`rpms` in [base] names folders of packages"))?;
    let mut names = Vec::new();
    for entry in opened {
        let name = entry.at("reading the folder", folder)?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".rpm") {
            names.push(name.into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn one(path: &Path, name: &str, el: u8) -> Result<Listed> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-~^".contains(c);
    if !name.chars().all(fits) || name.len() > 200 {
        return Err(Error::input("its name has characters that a repository cannot have; rename it"));
    }
    let file = File::open(path).at("opening", path)?;
    if !file.metadata().at("looking at", path)?.is_file() {
        return Err(Error::input("it is not a regular file"));
    }
    let found = rpm::open(&file)?;
    let package = &found.package;
    if !ARCHES.contains(&package.arch.as_str()) {
        return Err(Error::input(format!("it is for {}, and nodes are x86_64", package.arch)));
    }
    let requires = package.requires.iter().map(|requirement| requirement.name.as_str());
    if let Some(feature) = requires.filter(|name| AFTER_EL7.contains(name)).find(|_| el == 7) {
        return Err(Error::input(format!("EL 7 cannot install it: its rpm has no {feature}")));
    }
    let sha256 = rpm::verify(&file, &found)?;
    Ok(Listed { file: name.to_owned(), sha256, rpm: found })
}

/// Added packages for the bill of materials, by path on a medium.
pub fn bill(added: &[Added]) -> BTreeMap<String, Package> {
    let package = |one: &Added| {
        let rpm = &one.listed.rpm;
        let package = Package {
            name: rpm.package.name.clone(),
            version: rpm.package.evr.to_string(),
            arch: rpm.package.arch.clone(),
            license: rpm.about.license.clone(),
            sha256: one.listed.sha256,
        };
        (format!("{FOLDER}/{}", one.listed.file), package)
    };
    added.iter().map(package).collect()
}

/// Added packages and their repodata as files of a medium.
pub fn medium_files(added: &[Added]) -> Result<Vec<Extra>> {
    if added.is_empty() {
        return Ok(Vec::new());
    }
    let listed: Vec<Listed> = added.iter().map(|one| one.listed.clone()).collect();
    let extra = |origin: String, name: &str, content| Extra {
        origin,
        path: format!("{FOLDER}/{name}"),
        mode: 0o644,
        content,
    };
    let mut files: Vec<Extra> = added
        .iter()
        .map(|one| {
            let content = Blob::file(&one.path, one.listed.rpm.size, Some(one.listed.sha256));
            extra(format!("package {}", one.path.display()), &one.listed.file, content)
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let written = repodata::write(&listed)?;
    files.extend(
        written.into_iter().map(|(path, bytes)| extra(format!("repodata {path}"), &path, Blob::bytes(bytes))),
    );
    Ok(files)
}
