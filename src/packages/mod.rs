//! Packages: whether what a profile asks for can be installed from the medium, told when the medium is built; and the packages that
//! a project adds to it. Files are read here and none is written.
//!
//! The repositories of the base and the added packages make a [`Universe`]; [`resolve`] holds the list against it. It is no solver:
//! it follows requirements to their ends, and leaves conflicts, boolean dependencies and modules to the installer.

mod added;
mod medium;
mod resolve;
mod spec;
mod universe;

pub use added::{Added, FOLDER, bill, medium_files, read as read_added};
pub use resolve::{Asked, resolve};
pub use universe::Universe;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::error::{Error, IoContext, Result};
use crate::format::iso9660::read::Iso;
use crate::format::repodata::{Comps, FilesOf, Limits, Repository};
use crate::kickstart;
use crate::plan::RolePlan;

/// Name of the repository of added packages in the kickstart, and in messages.
pub const REPOSITORY: &str = "kiln";

/// Reads the added packages of a cluster and checks that everything that the plan asks for can be installed from the base and
/// them. Gives the added packages.
///
/// # Errors
/// Of class input: a package cannot be read; the base has no repository; a name is nowhere; something that a package requires is
/// nowhere. All names are told at once.
pub fn check(base: &Path, cluster: &Cluster, plan: &RolePlan) -> Result<Vec<Added>> {
    let el = cluster.base.release.el;
    let added = added::read(&cluster.base.rpms, el)?;
    if plan.packages.is_empty() {
        return Ok(added);
    }
    let file = File::open(base).at("opening", base)?;
    let iso = Iso::open(Arc::new(file)).map_err(|error| error.context(format!("base {}", base.display())))?;
    let sources = medium::repositories(&iso)?;
    let mut repositories = Vec::new();
    for source in &sources {
        let opened = Repository::open(source, Limits::default()).map_err(|error| source.named(error))?;
        repositories.extend(opened.map(|repository| (source, repository)));
    }
    if repositories.is_empty() {
        return Err(Error::input(format!(
            "base {}: it has no repository of packages, and the profile {} asks for some",
            base.display(),
            plan.role
        ))
        .hint("it is a boot ISO: build from the release's DVD ISO, which has BaseOS and AppStream (EL 7: Packages)"));
    }
    let mut universe = Universe::default();
    let mut comps = Comps::default();
    for (at, (source, repository)) in repositories.iter().enumerate() {
        let each = &mut |offered| universe.add(at, offered);
        repository.packages(each).map_err(|error| source.named(error))?;
        comps.extend(repository.comps().map_err(|error| source.named(error))?);
    }
    for one in &added {
        universe.add(repositories.len(), one.offered())?;
    }
    let mut files = |wanted: &dyn Fn(&str) -> bool, each: &mut dyn FnMut(usize, FilesOf) -> Result<()>| {
        repositories.iter().enumerate().try_for_each(|(at, (source, repository))| {
            let listed = repository.filelists(wanted, &mut |of| each(at, of));
            listed.map_err(|error| source.named(error))
        })
    };
    resolve(&mut universe, &comps, &asked(cluster, plan)?, el, &mut files)?;
    Ok(added)
}

/// What the kickstart of a plan asks for, and by what.
fn asked(cluster: &Cluster, plan: &RolePlan) -> Result<Vec<Asked>> {
    let groups = kickstart::groups(cluster.base.release)?;
    let groups =
        groups.into_iter().map(|name| Asked { name: name.to_owned(), by: "the kickstart".to_owned() });
    let packages = plan.packages.iter().map(|name| {
        let by = plan.asked_by.get(name).map(|files| files.join(", "));
        Asked { name: name.clone(), by: by.unwrap_or_else(|| format!("profiles/{}.toml", plan.role)) }
    });
    Ok(groups.chain(packages).collect())
}

#[cfg(test)]
mod tests;
