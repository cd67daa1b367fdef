//! Profiles: what a role is made of, as data. `profiles/<role>.toml` includes what roles share (`profiles/common.toml`,
//! `profiles/pods.toml`) and says what to add always, and what to add when something is so (`[[when]]`).
//!
//! A profile knows no cluster. [`Profile::resolve`] answers for given [`Facts`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assets::Assets;
use crate::cluster::Cluster;
use crate::cluster::diag::{Diagnostic, Severity};
use crate::cluster::model::{PodNetwork, ProxyMode, Runtime};
use crate::cluster::types::Role;
use crate::error::{Context, Error, Result};

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

/// When a `[[when]]` holds: all given parts must be so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Condition {
    /// One of these Enterprise Linux majors.
    el: Option<Vec<u8>>,
    /// Kubernetes of this minor or later.
    since: Option<u8>,
    /// Kubernetes of this minor or earlier.
    until: Option<u8>,
    /// `containerd` or `docker`.
    runtime: Option<String>,
    /// `iptables`, `nftables` or `ipvs`.
    proxy: Option<String>,
    /// `flannel` or `bridge`.
    pod_network: Option<String>,
    /// Whether the cluster has load balancers of its own.
    lb: Option<bool>,
    /// Whether the node runs an etcd member.
    etcd: Option<bool>,
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
    /// Other files of `profiles/`, by name, that come first. They include nothing themselves.
    include: Vec<String>,
    selinux: Option<Selinux>,
    add: Section,
    when: Vec<When>,
}

/// What a `[[when]]` can ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Major version of Enterprise Linux.
    pub el: u8,
    /// Minor version of Kubernetes.
    pub minor: u8,
    /// Container runtime.
    pub runtime: Runtime,
    /// Back end of kube-proxy.
    pub proxy: ProxyMode,
    /// How pods reach each other.
    pub pod_network: PodNetwork,
    /// Whether the cluster has load balancers of its own.
    pub lb: bool,
    /// Whether the node runs an etcd member.
    pub etcd: bool,
}

impl Facts {
    /// Facts of a cluster, for nodes with or without an etcd member.
    pub fn of(cluster: &Cluster, etcd: bool) -> Self {
        Self {
            el: cluster.base.release.el,
            minor: cluster.kubernetes.minor,
            runtime: cluster.runtime,
            proxy: cluster.proxy_mode,
            pod_network: cluster.pod_network,
            lb: cluster.nodes_of(Role::Lb).next().is_some(),
            etcd,
        }
    }
}

/// Name of a runtime as profiles and templates write it.
pub fn runtime_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Containerd => "containerd",
        Runtime::Docker => "docker",
    }
}

/// Name of a proxy mode as profiles, templates and kube-proxy write it.
pub fn proxy_name(mode: ProxyMode) -> &'static str {
    match mode {
        ProxyMode::Iptables => "iptables",
        ProxyMode::Nftables => "nftables",
        ProxyMode::Ipvs => "ipvs",
    }
}

impl Condition {
    pub(crate) fn holds(&self, facts: &Facts) -> bool {
        self.el.as_ref().is_none_or(|el| el.contains(&facts.el))
            && self.since.is_none_or(|minor| facts.minor >= minor)
            && self.until.is_none_or(|minor| facts.minor <= minor)
            && self.runtime.as_ref().is_none_or(|name| name == runtime_name(facts.runtime))
            && self.proxy.as_ref().is_none_or(|name| name == proxy_name(facts.proxy))
            && self.pod_network.as_ref().is_none_or(|name| name == facts.pod_network.as_str())
            && self.lb.is_none_or(|lb| lb == facts.lb)
            && self.etcd.is_none_or(|etcd| etcd == facts.etcd)
    }

    /// The first part that can never hold, in words.
    pub(crate) fn fault(&self) -> Option<String> {
        let one_of = |value: &Option<String>, key: &str, known: &[&str]| match value {
            Some(value) if !known.contains(&value.as_str()) => {
                Some(format!("{key} = \"{value}\": it is one of {}", known.join(", ")))
            }
            _ => None,
        };
        one_of(&self.runtime, "runtime", &["containerd", "docker"])
            .or_else(|| one_of(&self.proxy, "proxy", &["iptables", "nftables", "ipvs"]))
            .or_else(|| one_of(&self.pod_network, "pod_network", &PodNetwork::ALL.map(PodNetwork::as_str)))
            .or_else(|| {
                let strange = self.el.iter().flatten().find(|el| !(7..=10).contains(*el))?;
                Some(format!("el = {strange}: Enterprise Linux is 7 to 10"))
            })
    }
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
    let raw: Raw = toml::from_str(&text).map_err(|error| {
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

/// Something the firewall lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Opening {
    /// A port or range of ports of a transport: `6443`, `30000-32767`; `tcp` or `udp`.
    Port {
        /// Port or range as firewalld writes it.
        port: String,
        /// `tcp` or `udp`.
        protocol: String,
    },
    /// A whole IP protocol by its name in `/etc/protocols`.
    Protocol {
        /// Name: `vrrp`.
        name: String,
    },
}

impl Opening {
    /// Reads `6443/tcp`, `30000-32767/udp` or `protocol/vrrp`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || {
            format!("firewall `{}`: write 6443/tcp, 30000-32767/udp or protocol/vrrp", text.escape_debug())
        };
        let (left, right) = text.split_once('/').ok_or_else(fault)?;
        if left == "protocol" && !right.is_empty() && right.bytes().all(|b| b.is_ascii_lowercase()) {
            return Ok(Self::Protocol { name: right.to_owned() });
        }
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text && *port > 0);
        let (first, last) = left.split_once('-').unwrap_or((left, left));
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last && matches!(right, "tcp" | "udp") => {
                Ok(Self::Port { port: left.to_owned(), protocol: right.to_owned() })
            }
            _ => Err(fault()),
        }
    }
}

/// A label that SELinux is to know a TCP port by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortLabel {
    /// Type of the policy: `http_port_t`.
    pub label: String,
    /// The port.
    pub port: u16,
}

impl PortLabel {
    /// Reads `http_port_t:6443`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let word = |label: &str| {
            label.ends_with("_port_t")
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        text.split_once(':')
            .filter(|(label, _)| word(label))
            .and_then(|(label, port)| Some(Self { label: label.to_owned(), port: port.parse().ok()? }))
            .filter(|it| it.port > 0)
            .ok_or_else(|| format!("SELinux port `{}`: write http_port_t:6443", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn openings_are_ports_or_protocols() {
        assert!(Opening::parse("30000-32767/udp").is_ok() && Opening::parse("protocol/vrrp").is_ok());
        for bad in ["", "80", "80/icmp", "0/tcp", "9-8/tcp", "70000/tcp", "protocol/a b", "+80/tcp"] {
            assert!(Opening::parse(bad).is_err(), "{bad}");
        }
    }
}
