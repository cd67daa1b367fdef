//! The checked cluster: complete, and unable to hold nonsense. Everything right of it in the flow relies on that.
//!
//! Only [`super::load`] makes one from a file. What is optional in `cluster.toml` has its default settled here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::format::oci::{Reference, Registry};
use crate::url::Url;
use crate::version::Version;

use super::attach::Attachment;
use super::preflight::Policy;
use super::storage::Storage;
use super::types::{
    ClusterName, HostName, KubeVersion, LabelKey, LabelValue, Mac, PasswordHash, Release, Role, SshKey,
    SystemUuid,
};

/// What `cluster.toml` describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Name of the cluster; part of labels and certificates.
    pub name: ClusterName,
    /// Kubernetes version.
    pub kubernetes: KubeVersion,
    /// Container runtime.
    pub runtime: Runtime,
    /// How kube-proxy programs the kernel.
    pub proxy_mode: ProxyMode,
    /// How pods reach each other.
    pub pod_network: PodNetwork,
    /// DNS domain of services, `cluster.local`.
    pub domain: HostName,
    /// Addresses of pods.
    pub pod_cidr: Ipv4Net,
    /// Addresses of services.
    pub service_cidr: Ipv4Net,
    /// The API's address, held by the load balancers (or by the masters where there are none).
    pub vip: Ipv4Addr,
    /// Vendor media to build on.
    pub base: Base,
    /// Who may log in.
    pub access: Access,
    /// The nodes' network.
    pub network: Network,
    /// Where components come from.
    pub components: Components,
    /// How etcd comes into being.
    pub etcd_form: EtcdForm,
    /// How much the findings of the installer weigh.
    pub preflight: Policy,
    /// Serial console of all nodes, if any.
    pub serial: Option<SerialConsole>,
    /// Machines, by name.
    pub nodes: BTreeMap<HostName, Node>,
    /// Pools of workers without inventory, by name.
    pub worker_pools: BTreeMap<HostName, WorkerPool>,
}

impl Cluster {
    /// Nodes of one role, sorted by name.
    pub fn nodes_of(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(move |node| node.role == role)
    }

    /// Nodes that run an etcd member, sorted by name.
    pub fn etcd_members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.etcd)
    }

    /// Address of the `kubernetes` service: the first of the service range.
    pub fn api_service_ip(&self) -> Ipv4Addr {
        nth_host(self.service_cidr, 1)
    }

    /// Address of cluster DNS: the tenth of the service range.
    pub fn dns_service_ip(&self) -> Ipv4Addr {
        nth_host(self.service_cidr, 10)
    }

    /// Port on which clients reach the API at the VIP. Load balancers of their own listen on 6443; where the masters hold
    /// the VIP the API server has that port already, and the proxy listens on 16443.
    pub fn api_port(&self) -> u16 {
        if self.nodes_of(Role::Lb).next().is_some() { 6443 } else { 16443 }
    }
}

/// Address number `n` of a network.
fn nth_host(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()).wrapping_add(n))
}

/// Container runtime of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// containerd with its CRI plugin.
    Containerd,
    /// Docker; through the kubelet's dockershim up to Kubernetes 1.23, through cri-dockerd from 1.24 on.
    Docker,
}

impl Runtime {
    /// All runtimes.
    pub const ALL: [Runtime; 2] = [Runtime::Containerd, Runtime::Docker];

    /// Name as written in `cluster.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::Containerd => "containerd",
            Runtime::Docker => "docker",
        }
    }

    /// The runtime of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| runtime.as_str() == name)
    }
}

/// Back end of kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// iptables rules.
    Iptables,
    /// nftables; Kubernetes 1.31 and kernel 5.13 on.
    Nftables,
    /// IP virtual server.
    Ipvs,
}

impl ProxyMode {
    /// All modes.
    pub const ALL: [ProxyMode; 3] = [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Ipvs];

    /// Name as written in `cluster.toml` and in kube-proxy's configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ProxyMode::Iptables => "iptables",
            ProxyMode::Nftables => "nftables",
            ProxyMode::Ipvs => "ipvs",
        }
    }

    /// The mode of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

/// How pods reach each other; `docs/pod-network.md` says what each costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodNetwork {
    /// flannel's VXLAN.
    #[default]
    Flannel,
    /// A bridge on each node, and routes between the nodes.
    Bridge,
}

impl PodNetwork {
    /// All ways.
    pub const ALL: [PodNetwork; 2] = [PodNetwork::Flannel, PodNetwork::Bridge];

    /// Name as written in `cluster.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            PodNetwork::Flannel => "flannel",
            PodNetwork::Bridge => "bridge",
        }
    }

    /// The way of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.as_str() == name)
    }
}

/// Who must be there for etcd to form, once in the cluster's life; `docs/formation.md` says what each costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtcdForm {
    /// All members at once, or a majority of them after a while.
    #[default]
    Majority,
    /// All members.
    All,
}

impl EtcdForm {
    /// All ways.
    pub const ALL: [EtcdForm; 2] = [EtcdForm::Majority, EtcdForm::All];

    /// Name as written in `cluster.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            EtcdForm::Majority => "majority",
            EtcdForm::All => "all",
        }
    }

    /// The way of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }
}

/// Vendor media that kiln builds on. Paths are absolute, or relative to the folder of `cluster.toml` resolved already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Operating system release.
    pub release: Release,
    /// Install ISO.
    pub iso: Option<PathBuf>,
    /// Cloud image.
    pub image: Option<PathBuf>,
    /// Folders of packages that media carry besides those of the vendor.
    pub rpms: Vec<PathBuf>,
}

/// Who may log in. Root is locked unless a key or a hash is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Keys for root.
    pub ssh_keys: Vec<SshKey>,
    /// Password of root, as a crypt(3) hash.
    pub root_password_hash: Option<PasswordHash>,
}

/// The nodes' network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The subnet that all nodes and the VIP are in.
    pub subnet: Ipv4Net,
    /// Default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Largest packet, where it is not 1500 bytes.
    pub mtu: Option<u16>,
    /// Name servers; may be empty.
    pub dns: Vec<Ipv4Addr>,
    /// Time servers, address or name; when empty the masters serve time to the others.
    pub ntp: Vec<String>,
}

/// Where components come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Components {
    /// Folder of component files, pinned by `kiln.lock`.
    pub dir: Option<PathBuf>,
    /// Whether what the folder does not have is downloaded.
    pub download: bool,
    /// Container images that nodes carry besides those that kiln's own parts need.
    pub images: Vec<Reference>,
    /// Versions of components, where they are not the usual ones.
    pub versions: BTreeMap<String, Version>,
    /// Where release files are asked for, in place of their publishers.
    pub mirror: Option<Url>,
    /// Certificates of authorities that are trusted besides the system's, for downloads.
    pub ca: Option<PathBuf>,
    /// Where images of a registry are asked for, in place of it.
    pub registries: BTreeMap<Registry, Url>,
}

/// A serial console: `ttyS<port>` at `speed`, 8n1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialConsole {
    /// Port number, 0 to 3.
    pub port: u8,
    /// Bits per second.
    pub speed: u32,
}

impl Default for SerialConsole {
    /// The first port at 115200 bit/s.
    fn default() -> Self {
        Self { port: 0, speed: 115_200 }
    }
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Host name, unique.
    pub name: HostName,
    /// Role; names the profile.
    pub role: Role,
    /// Address in the nodes' network, unique.
    pub address: Ipv4Addr,
    /// How it is attached to its networks.
    pub attachment: Attachment,
    /// How the machine is known. At least one part is given.
    pub identity: Identity,
    /// What it is installed to.
    pub storage: Storage,
    /// Whether it runs an etcd member. Masters do unless said otherwise.
    pub etcd: bool,
    /// Kubernetes labels besides those of the role.
    pub labels: BTreeMap<LabelKey, LabelValue>,
}

/// How a machine is known; any part that matches is a match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Permanent MAC address of the NIC that carries the node's address; with a bond, of one of its members.
    pub mac: Option<Mac>,
    /// SMBIOS system serial number.
    pub serial: Option<String>,
    /// SMBIOS system UUID.
    pub uuid: Option<SystemUuid>,
    /// SMBIOS asset tag of the chassis.
    pub asset_tag: Option<String>,
}

/// Workers that need no inventory: any machine that boots worker media joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerPool {
    /// Name of the pool; host names are made from it and the machine's MAC.
    pub name: HostName,
    /// What its machines are installed to.
    pub storage: Storage,
    /// Kubernetes labels of its nodes.
    pub labels: BTreeMap<LabelKey, LabelValue>,
}
