//! Profiles: what a role is made of, as data. `profiles/<role>.toml` includes what roles share (`profiles/common.toml`,
//! `profiles/pods.toml`) and says what to add always, and what to add when something is so (`[[when]]`).
//!
//! A profile knows no cluster. [`Profile::resolve`] answers for given [`Facts`].

mod condition;
mod rule;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assets::Assets;
use crate::cluster::diag::{Diagnostic, Severity};
use crate::cluster::types::Role;
use crate::error::{Context, Error, Result};
pub(crate) use condition::Condition;
pub use condition::{Facts, proxy_name, runtime_name};
pub use rule::{Opening, PortLabel};

/// What a profile adds. All lists keep the order of the files; a name given twice counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Folders below `overlays/`.
    pub overlays: Vec<String>,
    /// Components whose programs the node runs.
    pub components: Vec<String>,
    /// Packages of the base.
    pub packages: Vec<String>,
    /// Units to enable.
    pub units: Vec<String>,
    /// Kernel modules to load at boot.
    pub modules: Vec<String>,
    /// Words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// What the firewall lets in: `6443/tcp`, `30000-32767/tcp`, `protocol/vrrp`.
    pub firewall: Vec<String>,
    /// SELinux booleans to set to true.
    pub selinux_booleans: Vec<String>,
    /// Labels of TCP ports for SELinux: `http_port_t:6443`.
    pub selinux_ports: Vec<String>,
    /// sysctl(8) settings.
    pub sysctl: BTreeMap<String, String>,
}

impl Section {
    fn add(&mut self, other: &Section) {
        let pairs = [
            (&mut self.overlays, &other.overlays),
            (&mut self.components, &other.components),
            (&mut self.packages, &other.packages),
            (&mut self.units, &other.units),
            (&mut self.modules, &other.modules),
            (&mut self.kernel_args, &other.kernel_args),
            (&mut self.firewall, &other.firewall),
            (&mut self.selinux_booleans, &other.selinux_booleans),
            (&mut self.selinux_ports, &other.selinux_ports),
        ];
        for (to, from) in pairs {
            for item in from {
                if !to.contains(item) {
                    to.push(item.clone());
                }
            }
        }
        self.sysctl.extend(other.sysctl.clone());
    }
}

/// SELinux on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selinux {
    /// Denials are enforced.
    Enforcing,
    /// Denials are logged.
    Permissive,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    is: Condition,
    add: Section,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    /// Path below the assets, for messages.
    #[serde(skip)]
    path: String,
    /// Other files of `profiles/`, by name, that come first. They include nothing themselves.
    include: Vec<String>,
    selinux: Option<Selinux>,
    add: Section,
    when: Vec<When>,
}

/// A role as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The role, and the name of the file.
    pub role: Role,
    /// SELinux on the nodes.
    pub selinux: Selinux,
    parts: Vec<Raw>,
}

impl Profile {
    /// What the profile adds when these are the facts.
    pub fn resolve(&self, facts: &Facts) -> Section {
        let mut section = Section::default();
        for part in &self.parts {
            section.add(&part.add);
            part.when.iter().filter(|when| when.is.holds(facts)).for_each(|when| section.add(&when.add));
        }
        section
    }

    /// Each package that the profile adds when these are the facts, with the files that name it.
    pub fn packages_by_file(&self, facts: &Facts) -> BTreeMap<String, Vec<String>> {
        let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for part in &self.parts {
            let conditional = part.when.iter().filter(|when| when.is.holds(facts)).map(|when| &when.add);
            for package in std::iter::once(&part.add).chain(conditional).flat_map(|add| &add.packages) {
                let files = by.entry(package.clone()).or_default();
                if !files.contains(&part.path) {
                    files.push(part.path.clone());
                }
            }
        }
        by
    }
}

/// Reads the profile of a role and what it includes.
pub fn load(assets: &Assets, role: Role) -> Result<Profile> {
    let path = format!("profiles/{role}.toml");
    let own = read(assets, &path)?;
    let mut parts = Vec::new();
    for name in &own.include {
        let part = match name.contains(['/', '.']) {
            true => Err(Error::input(format!("`{}` is not the name of a profile", name.escape_debug()))),
            false => read(assets, &format!("profiles/{name}.toml")),
        };
        let part = part.context(format!("{path} includes `{name}`"))?;
        if !part.include.is_empty() {
            return Err(Error::input(format!(
                "profiles/{name}.toml is included, so it may not include others"
            ))
            .hint(format!("name them in {path}")));
        }
        parts.push(part);
    }
    parts.push(own);
    let selinux = parts.iter().rev().find_map(|part| part.selinux).unwrap_or(Selinux::Enforcing);
    Ok(Profile { role, selinux, parts })
}

fn read(assets: &Assets, path: &str) -> Result<Raw> {
    let text = assets.text(path)?;
    let mut raw: Raw = toml::from_str(&text).map_err(|error| {
        Error::diagnostics(
            format!("the profile {path} cannot be used"),
            vec![Diagnostic {
                severity: Severity::Error,
                rule: "profile",
                message: error.message().to_owned(),
                key: String::new(),
                file: assets.origin(path),
                span: error.span(),
                related: None,
                hint: Some("docs/profiles.md lists all keys".into()),
            }],
        )
    })?;
    check(assets, &raw).map_err(|fault| {
        Error::input(format!("{}: {fault}", assets.origin(path).display()))
            .hint("docs/profiles.md lists all keys")
    })?;
    raw.path = path.to_owned();
    Ok(raw)
}

/// What serde cannot see: overlays that are not there, words that would break a file they end up in.
fn check(assets: &Assets, raw: &Raw) -> Result<(), String> {
    raw.when.iter().find_map(|when| when.is.fault()).map_or(Ok(()), Err)?;
    for section in std::iter::once(&raw.add).chain(raw.when.iter().map(|when| &when.add)) {
        let overlay = |name: &&String| !name.is_empty() && !name.contains(['/', '.']);
        if let Some(bad) = section.overlays.iter().find(|name| {
            !overlay(name)
                || (assets.list(&format!("overlays/{name}/")).is_empty()
                    && !assets.contains(&format!("overlays/{name}.toml")))
        }) {
            return Err(format!("overlay `{bad}`: there is no folder overlays/{bad}"));
        }
        let words = [&section.components, &section.packages, &section.units, &section.modules]
            .into_iter()
            .chain([&section.kernel_args, &section.selinux_booleans, &section.selinux_ports])
            .flatten();
        if let Some(bad) = words.chain(section.sysctl.keys()).find(|word| !is_word(word)) {
            return Err(format!("`{}` is not one word", bad.escape_debug()));
        }
        if let Some(bad) = section.sysctl.values().find(|value| value.chars().any(char::is_control)) {
            return Err(format!("`{}` is not one line", bad.escape_debug()));
        }
        section.selinux_ports.iter().try_for_each(|item| PortLabel::parse(item).map(|_| ()))?;
        section.firewall.iter().try_for_each(|item| Opening::parse(item).map(|_| ()))?;
    }
    Ok(())
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '%' | '`'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::model::{PodNetwork, ProxyMode, Runtime};

    fn facts() -> Facts {
        let (runtime, proxy) = (Runtime::Containerd, ProxyMode::Iptables);
        let pod_network = PodNetwork::Flannel;
        Facts { el: 9, minor: 37, runtime, proxy, pod_network, lb: true, etcd: true }
    }

    fn with(text: &str) -> Result<Profile> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("profiles")).unwrap();
        std::fs::write(dir.path().join("profiles/lb.toml"), text).unwrap();
        load(&Assets::new(Some(dir.path())).unwrap(), Role::Lb)
    }

    #[test]
    fn conditions_add_what_they_say() {
        let profile = with(
            "include = [\"common\"]\n[[when]]\nis = { el = [7], until = 20 }\nadd.packages = [\"ntp\"]\n",
        )
        .unwrap();
        let has = |facts| profile.resolve(&facts).packages.contains(&"ntp".to_owned());
        assert!(!has(facts()));
        assert!(has(Facts { el: 7, minor: 20, ..facts() }));
        assert!(!has(Facts { el: 7, minor: 21, ..facts() }));
        let by = profile.packages_by_file(&Facts { el: 7, minor: 20, ..facts() });
        assert_eq!(
            (&by["ntp"][..], &by["chrony"][..]),
            (&["profiles/lb.toml".to_owned()][..], &["profiles/common.toml".to_owned()][..])
        );
        assert!(!profile.packages_by_file(&facts()).contains_key("ntp"));
    }

    #[test]
    fn every_built_in_profile_resolves_everywhere() {
        let assets = Assets::new(None).unwrap();
        for role in Role::ALL {
            let profile = load(&assets, role).unwrap();
            for el in 7..=10 {
                let section = profile.resolve(&Facts { el, ..facts() });
                assert!(section.overlays.contains(&"common".to_owned()) && !section.packages.is_empty());
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("[add]\npackage = []\n", "unknown field"),
            ("include = [\"master\"]\n", "may not include"),
            ("include = [\"../x\"]\n", "not the name"),
            ("[add]\noverlays = [\"nope\"]\n", "no folder overlays/nope"),
            ("[add]\noverlays = [\"../etc\"]\n", "no folder"),
            ("[add]\nfirewall = [\"6443\"]\n", "6443/tcp"),
            ("[add]\nselinux_ports = [\"6443\"]\n", "http_port_t:6443"),
            ("[add]\nselinux_ports = [\"x;y_port_t:1\"]\n", "http_port_t:6443"),
            ("[add]\nkernel_args = [\"a b\"]\n", "not one word"),
            ("[[when]]\nis = { runtime = \"crio\" }\nadd.units = []\n", "containerd, docker"),
            ("[[when]]\nis = { el = [6] }\nadd.units = []\n", "7 to 10"),
        ] {
            let error = with(text).unwrap_err();
            let all = format!("{error} {:?}", error.findings());
            assert!(all.contains(word), "{text}: {all}");
        }
    }

    #[test]
    fn a_mistake_has_its_place() {
        let error = with("[add]\npackage = []\n").unwrap_err();
        assert_eq!(error.findings()[0].span, Some(6..13));
    }
}
