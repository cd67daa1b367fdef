//! Which certificates a cluster wants: pure data from the checked cluster. Nothing is issued here.
//!
//! The table is that of kubernetes.io "PKI certificates and requirements", with one difference: every master has client
//! keys of its own, so that one machine's keys can be told from another's. Kubelets get theirs by TLS bootstrap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::model::{Cluster, Node};
use crate::cluster::types::{HostName, Role};

/// Organisation of the agents' certificates of machines in the inventory: the common name is the node's.
pub const AGENT_OF_NODE: &str = "kiln:nodes";
/// Organisation of the certificate that the agents of a worker pool share: the common name is the pool's.
pub const AGENT_OF_POOL: &str = "kiln:pools";

/// The authorities. Each signs for one purpose and is trusted for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// etcd's members and clients: whoever holds a certificate of it owns the whole cluster.
    Etcd,
    /// The API server and its clients.
    Kubernetes,
    /// The API server towards aggregated APIs.
    FrontProxy,
    /// kiln's own agents on the nodes, towards each other.
    Kiln,
}

impl Authority {
    /// All authorities.
    pub const ALL: [Authority; 4] =
        [Authority::Etcd, Authority::Kubernetes, Authority::FrontProxy, Authority::Kiln];

    /// Folder below `pki/ca`.
    pub fn folder(self) -> &'static str {
        match self {
            Authority::Etcd => "etcd",
            Authority::Kubernetes => "kubernetes",
            Authority::FrontProxy => "front-proxy",
            Authority::Kiln => "kiln",
        }
    }

    /// Common name of its certificate.
    pub fn common_name(self) -> &'static str {
        match self {
            Authority::Etcd => "etcd-ca",
            Authority::Kubernetes => "kubernetes-ca",
            Authority::FrontProxy => "kubernetes-front-proxy-ca",
            Authority::Kiln => "kiln-ca",
        }
    }
}

/// What a leaf may be used for (extended key usage, RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// TLS servers only.
    Server,
    /// TLS clients only.
    Client,
    /// Both: etcd members speak to each other and to themselves.
    ServerClient,
}

impl Usage {
    /// Whether TLS clients may use it.
    pub fn client(self) -> bool {
        self != Usage::Server
    }

    /// Whether TLS servers may use it.
    pub fn server(self) -> bool {
        self != Usage::Client
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Usage::Server => "server",
            Usage::Client => "client",
            Usage::ServerClient => "server+client",
        })
    }
}

/// A name or address that a server's certificate is good for (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// DNS name.
    Dns(String),
    /// Address.
    Ip(IpAddr),
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            San::Dns(name) => f.write_str(name),
            San::Ip(address) => address.fmt(f),
        }
    }
}

/// What a leaf certificate must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafSpec {
    /// Who signs it.
    pub authority: Authority,
    /// Common name: the user, for clients of Kubernetes.
    pub common_name: String,
    /// Organisation: the group, for clients of Kubernetes.
    pub organization: Option<String>,
    /// What it may be used for.
    pub usage: Usage,
    /// Names and addresses; empty for clients.
    pub sans: BTreeSet<San>,
}

/// Name of a leaf: its folder below `pki/`, as `nodes/k8s-master1/apiserver`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafId(String);

impl LeafId {
    /// A leaf of one node.
    pub fn node(node: &HostName, leaf: &str) -> Self {
        Self(format!("nodes/{node}/{leaf}"))
    }

    /// A leaf that the members of a worker pool share.
    pub fn pool(pool: &HostName, leaf: &str) -> Self {
        Self(format!("pools/{pool}/{leaf}"))
    }

    /// A leaf of the operators.
    pub fn operator(leaf: &str) -> Self {
        Self(format!("operators/{leaf}"))
    }

    /// A leaf by its folder; used when what is on disk is listed.
    pub(super) fn from_folder(path: String) -> Self {
        Self(path)
    }

    /// The folder below `pki/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeafId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All leaves that the cluster wants, by name.
pub fn wanted(cluster: &Cluster) -> BTreeMap<LeafId, LeafSpec> {
    let mut leaves = BTreeMap::new();
    for node in cluster.nodes.values() {
        leaves.insert(LeafId::node(&node.name, "agent"), agent(node));
        if node.etcd {
            leaves.insert(LeafId::node(&node.name, "etcd-server"), etcd_member(node));
            leaves.insert(LeafId::node(&node.name, "etcd-peer"), etcd_member(node));
        }
        if node.role == Role::Master {
            master_leaves(cluster, node, &mut leaves);
        }
        if node.role != Role::Lb {
            leaves.insert(LeafId::node(&node.name, "kube-proxy"), kube_proxy());
        }
    }
    for pool in cluster.worker_pools.keys() {
        leaves.insert(LeafId::pool(pool, "kube-proxy"), kube_proxy());
        let member = client(Authority::Kiln, pool.as_str(), Some(AGENT_OF_POOL));
        leaves.insert(LeafId::pool(pool, "agent"), member);
    }
    let admin = client(Authority::Kubernetes, "kubernetes-admin", Some("kubeadm:cluster-admins"));
    leaves.insert(LeafId::operator("admin"), admin);
    // Bypasses RBAC and cannot be revoked: it never leaves `pki/`.
    let root = client(Authority::Kubernetes, "kubernetes-super-admin", Some("system:masters"));
    leaves.insert(LeafId::operator("super-admin"), root);
    leaves
}

fn master_leaves(cluster: &Cluster, node: &Node, leaves: &mut BTreeMap<LeafId, LeafSpec>) {
    let mut add = |leaf: &str, spec| {
        leaves.insert(LeafId::node(&node.name, leaf), spec);
    };
    add("apiserver", api_server(cluster));
    // No group: the name itself is bound to the role `system:kubelet-api-admin`.
    add("apiserver-kubelet-client", client(Authority::Kubernetes, "kube-apiserver-kubelet-client", None));
    add("apiserver-etcd-client", client(Authority::Etcd, "kube-apiserver-etcd-client", None));
    add("etcd-healthcheck-client", client(Authority::Etcd, "kube-etcd-healthcheck-client", None));
    add("front-proxy-client", client(Authority::FrontProxy, "front-proxy-client", None));
    add("controller-manager", client(Authority::Kubernetes, "system:kube-controller-manager", None));
    add("scheduler", client(Authority::Kubernetes, "system:kube-scheduler", None));
    // It may look at certificate requests and nodes, and approve: the controller manager's own rule is too wide for tokens.
    add("kiln-approver", client(Authority::Kubernetes, "kiln-approver", None));
}

fn client(authority: Authority, common_name: &str, organization: Option<&str>) -> LeafSpec {
    LeafSpec {
        authority,
        common_name: common_name.to_owned(),
        organization: organization.map(str::to_owned),
        usage: Usage::Client,
        sans: BTreeSet::new(),
    }
}

fn kube_proxy() -> LeafSpec {
    client(Authority::Kubernetes, "system:kube-proxy", None)
}

/// An agent is server and client: agents ask each other. Addresses of the loopback are left out, so that no agent can be
/// taken for another one on the same machine.
fn agent(node: &Node) -> LeafSpec {
    LeafSpec {
        authority: Authority::Kiln,
        common_name: fit_common_name(node.name.as_str()),
        organization: Some(AGENT_OF_NODE.to_owned()),
        usage: Usage::ServerClient,
        sans: [dns(node.name.as_str()), ip(node.address)].into(),
    }
}

fn etcd_member(node: &Node) -> LeafSpec {
    LeafSpec {
        authority: Authority::Etcd,
        common_name: fit_common_name(node.name.as_str()),
        organization: None,
        usage: Usage::ServerClient,
        sans: [dns(node.name.as_str()), ip(node.address), dns("localhost"), ip(Ipv4Addr::LOCALHOST)].into(),
    }
}

fn api_server(cluster: &Cluster) -> LeafSpec {
    let mut sans: BTreeSet<San> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        .into_iter()
        .map(dns)
        .collect();
    sans.insert(dns(&format!("kubernetes.default.svc.{}", cluster.domain)));
    sans.extend([ip(Ipv4Addr::LOCALHOST), ip(cluster.vip), ip(cluster.api_service_ip())]);
    for master in cluster.nodes_of(Role::Master) {
        sans.extend([dns(master.name.as_str()), ip(master.address)]);
    }
    LeafSpec {
        authority: Authority::Kubernetes,
        common_name: "kube-apiserver".to_owned(),
        organization: None,
        usage: Usage::Server,
        sans,
    }
}

/// RFC 5280 allows 64 characters in a common name and a host name may have more. Nothing matches on this one: the
/// alternative names carry the whole.
fn fit_common_name(name: &str) -> String {
    name.chars().take(64).collect()
}

fn dns(name: &str) -> San {
    San::Dns(name.to_owned())
}

fn ip(address: Ipv4Addr) -> San {
    San::Ip(IpAddr::V4(address))
}
