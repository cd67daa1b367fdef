//! `[[when]]`: what a profile can ask about a cluster and a node, and when that holds.

use serde::Deserialize;

use crate::cluster::Cluster;
use crate::cluster::model::{PodNetwork, ProxyMode, Runtime};
use crate::cluster::types::Role;

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
