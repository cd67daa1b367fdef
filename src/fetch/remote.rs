//! What has to be fetched, and what of it is new: the lock of last time held against what the cluster needs now. Pure; the network
//! comes afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::Catalogue;
use super::local::wanted_version;
use super::lock::{Lock, Pin, PulledImage};
use crate::cluster::model::Cluster;
use crate::error::{Error, Result};
use crate::format::oci::Reference;
use crate::version::Version;

/// What of the lock is to be found anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Update {
    /// Nothing.
    #[default]
    Nothing,
    /// All.
    All,
    /// Components and images by name.
    Named(BTreeSet<String>),
}

impl Update {
    fn takes(&self, name: &str) -> bool {
        match self {
            Update::Nothing => false,
            Update::All => true,
            Update::Named(names) => names.contains(name),
        }
    }

    /// Whether a difference from the lock is wanted.
    pub fn is_wanted(&self) -> bool {
        *self != Update::Nothing
    }
}

/// What comes from elsewhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Components that are pinned already.
    pub kept: BTreeMap<String, Pin>,
    /// Components to find, with their versions.
    pub new: BTreeMap<String, Version>,
    /// Images that are pinned already.
    pub images: BTreeMap<Reference, PulledImage>,
    /// Images to look up.
    pub look_up: BTreeSet<Reference>,
}

impl Remote {
    /// Holds `old` against what is not in the components folder.
    pub fn plan(
        cluster: &Cluster,
        catalogue: &Catalogue,
        old: Option<&Lock>,
        absent: &[String],
        images: &BTreeSet<Reference>,
        update: &Update,
    ) -> Result<Self> {
        check_names(update, catalogue, absent, images)?;
        let mut remote = Self::default();
        for name in absent {
            let Some(component) = catalogue.get(name) else { continue };
            let pin = old.and_then(|old| old.components.get(name)).filter(|pin| !pin.is_local());
            let pin = pin.filter(|_| !update.takes(name));
            let version = wanted_version(name, component, cluster)
                .or_else(|| pin.map(|pin| pin.version.clone()))
                .or_else(|| component.usual_version(cluster));
            let Some(version) = version else {
                if component.optional {
                    continue;
                }
                let minor = cluster.kubernetes.minor;
                return Err(Error::input(format!(
                    "which {name} belongs to Kubernetes 1.{minor} is not known"
                ))
                .hint(format!("name one: `versions = {{ {name} = \"…\" }}` in [components]")));
            };
            if let Some(fault) = super::local::unfit(cluster, name, &version) {
                return Err(Error::input(fault).hint("choose another one with `versions` in [components]"));
            }
            let needed = component.files_of_cluster(cluster, Some(&version));
            let whole = |pin: &&Pin| {
                pin.version == version
                    && needed.iter().all(|(file, rule)| rule.optional || pin.files.contains_key(*file))
            };
            match pin.filter(whole) {
                Some(pin) => drop(remote.kept.insert(name.clone(), pin.clone())),
                None => drop(remote.new.insert(name.clone(), version)),
            }
        }
        let pinned = old.and_then(|old| old.pulled.as_ref());
        for name in images {
            let pin = pinned.and_then(|pulled| pulled.images.get(name));
            match pin.filter(|_| !update.takes(name.as_str())) {
                Some(pin) => drop(remote.images.insert(name.clone(), *pin)),
                None => drop(remote.look_up.insert(name.clone())),
            }
        }
        Ok(remote)
    }

    /// What the lock does not have yet, one line each.
    pub fn news(&self, old: &Lock) -> Vec<String> {
        let component = |(name, version): (&String, &Version)| match old.components.get(name) {
            None => format!("+ {name} {version}"),
            Some(pin) if pin.version == *version => {
                format!("~ {name} {version}: other files, or from elsewhere")
            }
            Some(pin) => format!("~ {name} {} -> {version}", pin.version),
        };
        let components = self.new.iter().map(component);
        components.chain(self.look_up.iter().map(|name| format!("+ image {name}"))).collect()
    }
}

/// A name that is nothing to fetch is a slip.
fn check_names(
    update: &Update,
    catalogue: &Catalogue,
    absent: &[String],
    images: &BTreeSet<Reference>,
) -> Result<()> {
    let Update::Named(names) = update else { return Ok(()) };
    for name in names {
        let known = absent.contains(name) || images.iter().any(|image| image.as_str() == name);
        if !known && catalogue.get(name).is_some() {
            return Err(Error::input(format!("{name} is not downloaded for this cluster"))
                .hint("`kiln fetch --update` without a name pins what is in the components folder"));
        }
        if !known {
            let all: Vec<&str> =
                absent.iter().map(String::as_str).chain(images.iter().map(Reference::as_str)).collect();
            return Err(Error::input(format!("there is no component or image {name}"))
                .hint(format!("these are downloaded: {}", all.join(", "))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::digest::Sha256;

    const TEXT: &str = r#"
[component.kubernetes]
follows = "kubernetes"
[component.kubernetes.files]
kubelet = { to = "/a", on = ["worker"] }
[component.etcd]
versions = [{ until = 20, version = "3.4.1" }, { since = 21, version = "3.5.1" }]
[component.etcd.files]
etcd = { to = "/a", on = ["etcd"] }
[component.helm]
optional = true
[component.helm.files]
helm = { to = "/a", on = ["master"] }
"#;

    fn cluster(kubernetes: &str) -> Cluster {
        let mut cluster = crate::testing::cluster();
        cluster.kubernetes = kubernetes.parse().unwrap();
        cluster.components.download = true;
        cluster
    }

    fn absent() -> Vec<String> {
        ["etcd", "helm", "kubernetes"].map(str::to_owned).to_vec()
    }

    fn images() -> BTreeSet<Reference> {
        ["a/b:1".parse().unwrap()].into()
    }

    fn plan(cluster: &Cluster, old: Option<&Lock>, update: &Update) -> Result<Remote> {
        let catalogue = Catalogue::parse(Path::new("c"), TEXT).unwrap();
        Remote::plan(cluster, &catalogue, old, &absent(), &images(), update)
    }

    fn lock() -> Lock {
        let digest = Sha256::of(b"");
        let text = format!(
            "schema = 2\n[component.etcd]\nversion = '3.4.1'\nfiles.etcd = {{ size = 1, sha256 = '{digest}', url = 'https://e.org/e' }}\n\
             [component.kubernetes]\nversion = '1.20.2'\nfiles.kubelet = {{ size = 1, sha256 = '{digest}', url = 'https://e.org/k' }}\n\
             [pulled]\nsize = 1\nsha256 = '{digest}'\nimages.'a/b:1' = {{ manifest = '{digest}', size = 1, tag = '{digest}' }}\n"
        );
        Lock::parse(Path::new("kiln.lock"), &text).unwrap()
    }

    #[test]
    fn what_is_pinned_is_kept_and_the_rest_found() {
        let old = lock();
        let first = plan(&cluster("1.20.2"), None, &Update::Nothing).unwrap();
        let new: Vec<String> = first.new.iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(new, ["etcd 3.4.1", "kubernetes 1.20.2"]);
        assert_eq!(first.look_up.len(), 1);

        let second = plan(&cluster("1.20.2"), Some(&old), &Update::Nothing).unwrap();
        assert_eq!(
            (second.new.len(), second.kept.len(), second.images.len(), second.look_up.len()),
            (0, 2, 1, 0)
        );
        assert_eq!(second.news(&old), [] as [String; 0]);

        // A new minor brings the new usual version only when somebody asks for it: what is pinned fits as long as it can.
        let mut moved = cluster("1.21.0");
        let third = plan(&moved, Some(&old), &Update::Nothing).unwrap();
        assert_eq!(third.news(&old), ["~ kubernetes 1.20.2 -> 1.21.0"]);
        let all = plan(&moved, Some(&old), &Update::All).unwrap();
        assert_eq!(
            all.news(&old),
            ["~ etcd 3.4.1 -> 3.5.1", "~ kubernetes 1.20.2 -> 1.21.0", "+ image docker.io/a/b:1"]
        );
        let one = plan(&moved, Some(&old), &Update::Named(["docker.io/a/b:1".to_owned()].into())).unwrap();
        assert_eq!((one.look_up.len(), one.kept.len()), (1, 1));

        moved.components.versions.insert("helm".to_owned(), "3.19.0".parse().unwrap());
        moved.components.versions.insert("etcd".to_owned(), "3.4.9".parse().unwrap());
        let named = plan(&moved, Some(&old), &Update::Nothing).unwrap();
        assert_eq!(
            named.news(&old),
            ["~ etcd 3.4.1 -> 3.4.9", "+ helm 3.19.0", "~ kubernetes 1.20.2 -> 1.21.0"]
        );
    }

    #[test]
    fn slips_are_told() {
        let update = |name: &str| Update::Named([name.to_owned()].into());
        let error = plan(&cluster("1.20.2"), None, &update("etdc")).unwrap_err();
        assert!(error.hint_text().unwrap().contains("etcd, helm, kubernetes, docker.io/a/b:1"), "{error:?}");
        let catalogue = Catalogue::parse(Path::new("c"), TEXT).unwrap();
        let error =
            Remote::plan(&cluster("1.20.2"), &catalogue, None, &[], &images(), &update("etcd")).unwrap_err();
        assert!(error.to_string().contains("etcd is not downloaded"));
    }
}
