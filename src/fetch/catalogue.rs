//! What components consist of: `profiles/components.toml` as checked data. Knows no folder and no digest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::source::{RawSource, Source};
use crate::assets::Assets;
use crate::cluster::model::{Cluster, Runtime};
use crate::cluster::types::Role;
use crate::error::{Error, Result};
use crate::tree::NodePath;
use crate::version::Version;

/// Where the catalogue lies among kiln's assets.
pub const FILE: &str = "profiles/components.toml";

/// All components that kiln knows, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    components: BTreeMap<String, Component>,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Whether its version is that of Kubernetes in the cluster file.
    pub follows_kubernetes: bool,
    /// Whether a cluster can do without.
    pub optional: bool,
    /// Its licence as an SPDX expression (SPDX 2.3, annex D), as far as it is known.
    pub license: Option<String>,
    /// The runtime that needs it; `None` when every cluster does.
    pub runtime: Option<Runtime>,
    /// First minor of Kubernetes whose clusters take it.
    pub since: u8,
    /// Its files, by name.
    pub files: BTreeMap<String, FileRule>,
    /// Which version belongs to which minors of Kubernetes, where the cluster file names none.
    usual: Vec<Usual>,
    /// Where its versions are published.
    sources: Vec<Source>,
}

/// The version that minors of Kubernetes get.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Usual {
    since: u8,
    until: u8,
    version: Version,
}

/// Where a file of a component goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    /// Path on the node.
    pub path: NodePath,
    /// Permission bits.
    pub mode: u16,
    /// Nodes that get it.
    pub on: BTreeSet<Place>,
    /// Whether the component works without.
    pub optional: bool,
    /// First version of the component that has it.
    pub since: Option<Version>,
    /// First version of the component that no longer has it.
    pub until: Option<Version>,
}

/// Which nodes get a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Masters.
    Master,
    /// Workers.
    Worker,
    /// Load balancers.
    Lb,
    /// Nodes that run an etcd member, whatever their role.
    Etcd,
}

impl Place {
    /// Whether a cluster has nodes of `role` in this place.
    fn covers(self, cluster: &Cluster, role: Role) -> bool {
        let present = has_role(cluster, role);
        match self {
            Place::Master => present && role == Role::Master,
            Place::Worker => present && role == Role::Worker,
            Place::Lb => present && role == Role::Lb,
            Place::Etcd => cluster.etcd_members().any(|node| node.role == role),
        }
    }
}

fn has_role(cluster: &Cluster, role: Role) -> bool {
    let pools = role == Role::Worker && !cluster.worker_pools.is_empty();
    pools || cluster.nodes_of(role).next().is_some()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    component: BTreeMap<String, RawComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    follows: Option<Follows>,
    #[serde(default)]
    optional: bool,
    license: Option<String>,
    runtime: Option<RawRuntime>,
    #[serde(default)]
    since: u8,
    files: BTreeMap<String, RawFile>,
    #[serde(default)]
    versions: Vec<RawUsual>,
    #[serde(default)]
    source: Vec<RawSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUsual {
    #[serde(default)]
    since: u8,
    until: Option<u8>,
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Follows {
    Kubernetes,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawRuntime {
    Containerd,
    Docker,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    to: String,
    on: BTreeSet<Place>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    optional: bool,
    since: Option<String>,
    until: Option<String>,
}

impl Catalogue {
    /// The catalogue among kiln's assets, or the user's own in its place.
    pub fn load(assets: &Assets) -> Result<Self> {
        Self::parse(&assets.origin(FILE), &assets.text(FILE)?)
    }

    /// Reads a catalogue; `file` names it in errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let raw: RawCatalogue = toml::from_str(text)
            .map_err(|error| Error::input(format!("{} cannot be read", file.display())).because(error))?;
        let mut components = BTreeMap::new();
        for (name, component) in raw.component {
            let component = check(&name, component)
                .map_err(|why| Error::input(format!("{}: component {name}: {why}", file.display())))?;
            components.insert(name, component);
        }
        Ok(Self { components })
    }

    /// A component by name.
    pub fn get(&self, name: &str) -> Option<&Component> {
        self.components.get(name)
    }

    /// The components that a cluster takes, sorted by name, the optional ones among them.
    pub fn of<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = (&'a str, &'a Component)> {
        self.components
            .iter()
            .filter(|(_, component)| component.runtime.is_none_or(|runtime| runtime == cluster.runtime))
            .filter(|(_, component)| cluster.kubernetes.minor >= component.since)
            .map(|(name, component)| (name.as_str(), component))
    }
}

impl Component {
    /// The files of a version that nodes of `role` get, sorted by name.
    pub fn files_for<'a>(
        &'a self,
        cluster: &'a Cluster,
        role: Role,
        version: Option<&'a Version>,
    ) -> impl Iterator<Item = (&'a str, &'a FileRule)> {
        self.files
            .iter()
            .filter(move |(_, rule)| rule.on.iter().any(|place| place.covers(cluster, role)))
            .filter(move |(_, rule)| rule.applies(version))
            .map(|(name, rule)| (name.as_str(), rule))
    }

    /// The files of a version that any node of the cluster gets, by name.
    pub fn files_of_cluster<'a>(
        &'a self,
        cluster: &'a Cluster,
        version: Option<&'a Version>,
    ) -> BTreeMap<&'a str, &'a FileRule> {
        Role::ALL.into_iter().flat_map(|role| self.files_for(cluster, role, version)).collect()
    }
}

impl Component {
    /// The version that a cluster gets where nobody names one; none for a component that is taken only on request.
    pub fn usual_version(&self, cluster: &Cluster) -> Option<Version> {
        if self.follows_kubernetes {
            return cluster.kubernetes.to_string().parse().ok();
        }
        let minor = cluster.kubernetes.minor;
        let usual = self.usual.iter().find(|usual| (usual.since..=usual.until).contains(&minor));
        usual.map(|usual| usual.version.clone())
    }

    /// Where a version is published, if the catalogue knows.
    pub fn source(&self, version: &Version) -> Option<&Source> {
        self.sources.iter().find(|source| source.has(version))
    }
}

impl FileRule {
    /// Whether a version has the file. Without a version: whether the newest has it.
    fn applies(&self, version: Option<&Version>) -> bool {
        match version {
            None => self.until.is_none(),
            Some(version) => {
                self.since.as_ref().is_none_or(|since| version >= since)
                    && self.until.as_ref().is_none_or(|until| version < until)
            }
        }
    }
}

fn check(name: &str, raw: RawComponent) -> Result<Component, String> {
    check_name(name)?;
    if let Some(bad) = raw.license.as_ref().filter(|license| !is_license(license)) {
        return Err(format!(
            "`{}` is no SPDX expression of a licence, as \"Apache-2.0 AND MIT\"",
            bad.escape_debug()
        ));
    }
    let mut files = BTreeMap::new();
    for (file, rule) in raw.files {
        check_name(&file)?;
        let path = NodePath::new(format!("{}/{file}", rule.to)).map_err(|error| error.to_string())?;
        let mode = rule.mode.as_deref().unwrap_or("0755");
        let mode = u16::from_str_radix(mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| format!("`{mode}` is no mode: it is written like \"0755\""))?;
        let version = |text: Option<String>| text.map(|text| text.parse::<Version>()).transpose();
        let rule = FileRule {
            path,
            mode,
            on: rule.on,
            optional: rule.optional,
            since: version(rule.since)?,
            until: version(rule.until)?,
        };
        files.insert(file, rule);
    }
    let usual = |raw: RawUsual| {
        let version = raw.version.parse()?;
        Ok::<_, String>(Usual { since: raw.since, until: raw.until.unwrap_or(u8::MAX), version })
    };
    Ok(Component {
        usual: raw.versions.into_iter().map(usual).collect::<Result<_, _>>()?,
        sources: raw.source.into_iter().map(Source::check).collect::<Result<_, _>>()?,
        follows_kubernetes: raw.follows.is_some(),
        optional: raw.optional,
        license: raw.license,
        runtime: raw.runtime.map(|runtime| match runtime {
            RawRuntime::Containerd => Runtime::Containerd,
            RawRuntime::Docker => Runtime::Docker,
        }),
        since: raw.since,
        files,
    })
}

/// Whether a text has the characters of an SPDX expression: identifiers, operators, parentheses.
fn is_license(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | ' ' | '(' | ')');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '(') && text.chars().all(part)
}

/// Names become parts of paths, so they are plain: letters, digits, `.`, `_`, `+`, `-`, no point in front.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(format!(
            "`{}` cannot name a component or a file: letters, digits, `.`, `_`, `+`, `-` can, without a `.` in front",
            name.escape_debug()
        ));
    }
    Ok(())
}
