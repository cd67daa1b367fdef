//! Raw file → [`Cluster`]: every value by itself, then the values together. Nothing stops at the first fault; a value that
//! is wrong is reported once and left out of the checks that would need it.

mod attach;
mod disk;
mod network;
mod nodes;
mod sources;
mod words;

use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use super::diag::Severity;
use super::findings::{At, Findings};
use super::gates::{Combination, Part, default_proxy_mode};
use super::model::{Access, Base, Cluster, EtcdForm, PodNetwork, ProxyMode, Runtime, SerialConsole};
use super::raw::{AccessTable, BaseTable, ClusterTable, RawCluster};
use super::rule::Rule;
use super::types::{ClusterName, HostName, KubeVersion, Release, SshKey};
use words::{Placed, at, inner};

/// Checks what `raw` says. Paths in it are relative to `dir`. `None` when anything is wrong; the findings say what.
pub(super) fn check(raw: RawCluster, dir: &Path, findings: &mut Findings<'_>) -> Option<Cluster> {
    Check { dir, findings }.cluster(raw)
}

/// A check under way.
struct Check<'c, 'f> {
    dir: &'c Path,
    findings: &'c mut Findings<'f>,
}

/// What `[cluster]` says, as far as it is right.
#[derive(Default)]
struct Head {
    name: Option<ClusterName>,
    kubernetes: Placed<KubeVersion>,
    pod: Placed<Ipv4Net>,
    service: Placed<Ipv4Net>,
    vip: Placed<std::net::Ipv4Addr>,
    domain: Option<HostName>,
    runtime: Option<Runtime>,
    proxy_mode: Option<ProxyMode>,
    pod_network: Option<PodNetwork>,
    runtime_at: Option<At>,
    proxy_mode_at: Option<At>,
    allow_unsupported: bool,
}

impl Check<'_, '_> {
    fn cluster(&mut self, raw: RawCluster) -> Option<Cluster> {
        let head = self.head(inner(raw.cluster));
        let base = self.base(raw.base.as_ref().map(|table| (table.get_ref(), table.span())));
        let access = self.access(&inner(raw.access));
        let components = self.components(&inner(raw.components));
        // A word that is not on the list has been reported, and taken out, by the shape check.
        let form = inner(raw.etcd).form.as_ref().and_then(|text| EtcdForm::named(text.get_ref()));
        let etcd_form = form.unwrap_or_default();
        let serial: Option<SerialConsole> =
            self.word(&inner(raw.console).serial, "console.serial", Rule::BadSerialConsole);
        let drafts: Vec<_> = raw.node.into_iter().enumerate().map(|(i, node)| self.node(i, node)).collect();
        let pools: Vec<_> = raw.worker_pool.into_iter().enumerate().map(|(i, p)| self.pool(i, p)).collect();
        let network_at =
            raw.network.as_ref().map(|table| At::new("network", table.span())).unwrap_or_default();
        let preflight = self.preflight(&inner(raw.preflight));
        let network = self.network(&inner(raw.network), &network_at, &head, &drafts);

        self.nodes_together(&drafts, &pools);
        self.roles(&drafts, &pools);
        self.combination(&head, base.as_ref());
        self.hash_is_known(&access, base.as_ref());
        if self.findings.errors() > 0 {
            return None;
        }
        let (kubernetes, base) = (head.kubernetes?.0, base?);
        Some(Cluster {
            name: head.name?,
            kubernetes,
            runtime: head.runtime.unwrap_or(Runtime::Containerd),
            proxy_mode: head.proxy_mode.unwrap_or(default_proxy_mode(kubernetes, base.release)),
            pod_network: head.pod_network.unwrap_or_default(),
            domain: match head.domain {
                Some(domain) => domain,
                None => "cluster.local".parse().ok()?,
            },
            pod_cidr: head.pod?.0,
            service_cidr: head.service?.0,
            vip: head.vip?.0,
            base,
            access,
            network: network?,
            components,
            etcd_form,
            preflight,
            serial,
            nodes: drafts.into_iter().map(nodes::Draft::finish).collect::<Option<_>>()?,
            worker_pools: pools.into_iter().map(nodes::PoolDraft::finish).collect::<Option<_>>()?,
        })
    }

    fn head(&mut self, raw: ClusterTable) -> Head {
        Head {
            name: self.word(&raw.name, "cluster.name", Rule::BadName),
            kubernetes: self
                .word(&raw.kubernetes, "cluster.kubernetes", Rule::BadVersion)
                .zip(at(&raw.kubernetes, "cluster.kubernetes")),
            pod: self.range(&raw.pod_cidr, "cluster.pod_cidr"),
            service: self.range(&raw.service_cidr, "cluster.service_cidr"),
            vip: self.address(raw.vip.as_ref(), "cluster.vip"),
            domain: self.word(&raw.domain, "cluster.domain", Rule::BadName),
            runtime: raw.runtime.as_ref().and_then(|text| Runtime::named(text.get_ref())),
            proxy_mode: raw.proxy_mode.as_ref().and_then(|text| ProxyMode::named(text.get_ref())),
            pod_network: raw.pod_network.as_ref().and_then(|text| PodNetwork::named(text.get_ref())),
            runtime_at: at(&raw.runtime, "cluster.runtime"),
            proxy_mode_at: at(&raw.proxy_mode, "cluster.proxy_mode"),
            allow_unsupported: raw.allow_unsupported.is_some_and(toml::Spanned::into_inner),
        }
    }

    fn base(&mut self, raw: Option<(&BaseTable, std::ops::Range<usize>)>) -> Option<Base> {
        let (raw, span) = raw?;
        // A release that is not on the list has been reported, and taken out, by the shape check.
        let release = raw.release.as_ref().and_then(|text| text.get_ref().parse::<Release>().ok());
        if raw.iso.is_none() && raw.image.is_none() && !self.findings.knows_below("base.i") {
            let at = At::new("base", span);
            self.findings
                .error(Rule::BaseWithoutMedium, &at, "`[base]` names no vendor medium to build on")
                .hint(
                    "add the vendor's install ISO: iso = \"….iso\" (or a cloud image: image = \"….qcow2\")",
                );
        }
        let (iso, image) = (self.path(&raw.iso, "base.iso"), self.path(&raw.image, "base.image"));
        let rpms = self.folders(&raw.rpms, "base.rpms");
        Some(Base { release: release?, iso, image, rpms })
    }

    /// Paths of a list, each once.
    fn folders(&mut self, raw: &[toml::Spanned<String>], list: &str) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for (index, text) in raw.iter().enumerate() {
            let key = format!("{list}[{index}]");
            match self.path(&Some(text.clone()), &key) {
                Some(path) if folders.contains(&path) => {
                    let message = format!("`{key}` is the same folder as an earlier one");
                    let at = At::new(key, text.span());
                    self.findings.warning(Rule::Duplicate, &at, message).hint("remove one of the two");
                }
                path => folders.extend(path),
            }
        }
        folders
    }

    fn access(&mut self, raw: &AccessTable) -> Access {
        let mut ssh_keys: Vec<SshKey> = Vec::new();
        for (index, text) in raw.ssh_keys.iter().enumerate() {
            let key = format!("access.ssh_keys[{index}]");
            match text.get_ref().parse::<SshKey>() {
                Ok(found) if ssh_keys.contains(&found) => {
                    let at = At::new(key, text.span());
                    self.findings
                        .warning(
                            Rule::Duplicate,
                            &at,
                            format!("`{}` is the same key as an earlier one", at.key),
                        )
                        .hint("remove one of the two");
                }
                Ok(found) => ssh_keys.push(found),
                Err(rule) => {
                    // A private key must not reach a log, not even as the source line of a finding.
                    let secret = text.get_ref().contains("PRIVATE KEY");
                    let at = At { key, span: (!secret).then(|| text.span()) };
                    self.findings
                        .error(Rule::BadSshKey, &at, format!("`{}` is not a public SSH key: {rule}", at.key))
                        .hint("give the whole line of the .pub file, without a line break at its end");
                }
            }
        }
        let mut root_password_hash = None;
        if let Some(text) = &raw.root_password_hash {
            match text.get_ref().parse() {
                Ok(hash) => root_password_hash = Some(hash),
                Err(rule) => {
                    // No place: the source line may show a password.
                    let at = At { key: "access.root_password_hash".into(), span: None };
                    let message = format!("`{}` is no password hash: {rule}", at.key);
                    self.findings.error(Rule::BadPasswordHash, &at, message).hint(
                        "make one with `openssl passwd -6`; the value is not shown, as it may be a password",
                    );
                }
            }
        }
        Access { ssh_keys, root_password_hash }
    }

    /// A kind of hash that the system does not know locks root out.
    fn hash_is_known(&mut self, access: &Access, base: Option<&Base>) {
        let (Some(hash), Some(base)) = (&access.root_password_hash, base) else { return };
        if hash.as_str().starts_with("$y$") && base.release.el < 9 {
            let at = At { key: "access.root_password_hash".into(), span: None };
            let message = format!("`{}` is a yescrypt hash, which {} does not know", at.key, base.release);
            self.findings
                .error(Rule::BadPasswordHash, &at, message)
                .hint("make one with `openssl passwd -6`");
        }
    }

    /// Holds the combination of versions against the gates.
    fn combination(&mut self, head: &Head, base: Option<&Base>) {
        let (Some((kubernetes, kubernetes_at)), Some(base)) = (&head.kubernetes, base) else { return };
        let known = |key: &str| self.findings.knows_below(key);
        if known("cluster.runtime") || known("cluster.proxy_mode") {
            return;
        }
        let combination = Combination {
            kubernetes: *kubernetes,
            release: base.release,
            runtime: head.runtime.unwrap_or(Runtime::Containerd),
            proxy_mode: head.proxy_mode.unwrap_or(default_proxy_mode(*kubernetes, base.release)),
        };
        for gate in combination.gates() {
            let named = match gate.part {
                Part::Kubernetes => Some(kubernetes_at),
                Part::Runtime => head.runtime_at.as_ref(),
                Part::ProxyMode => head.proxy_mode_at.as_ref(),
            };
            let at = named.unwrap_or(kubernetes_at);
            let message = format!("Kubernetes {kubernetes} on {}: {}", base.release, gate.reason);
            let added = match gate.verdict.severity(head.allow_unsupported) {
                Severity::Error => self.findings.error(gate.rule, at, message),
                Severity::Warning => self.findings.warning(gate.rule, at, message),
            };
            added.hint(gate.hint);
        }
    }
}
