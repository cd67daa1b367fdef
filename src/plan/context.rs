//! What templates see: the cluster as plain data, with everything computed that would be logic in a template.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::cluster::model::Node;
use crate::cluster::types::{HostName, Role};
use crate::digest::Sha256;
use crate::profile::{Opening, Section, proxy_name, runtime_name};

use super::Versions;
use super::flags;
use super::gates::{Gates, runtime_endpoint};

/// Port of the API server on a master.
const API_SERVER_PORT: u16 = 6443;

/// The data of one rendering. Names are documented in `docs/profiles.md`.
#[derive(Debug, Clone, Serialize)]
pub struct Data {
    cluster: ClusterData,
    network: NetworkData,
    /// Role of the nodes that the files are for.
    role: &'static str,
    /// Enterprise Linux major.
    el: u8,
    /// All nodes, by name.
    nodes: Vec<NodeData>,
    /// Those of role master.
    masters: Vec<NodeData>,
    /// Those with an etcd member.
    etcd_members: Vec<NodeData>,
    profile: ProfileData,
    lb: LbData,
    gate: Gates,
    /// Container images by what they are for.
    images: BTreeMap<String, String>,
    /// Flags of the Kubernetes programs, by program.
    flags: BTreeMap<&'static str, Vec<String>>,
    /// The node that the files are for. Only files that use it differ from node to node.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeData>,
}

#[derive(Debug, Clone, Serialize)]
struct ClusterData {
    name: String,
    kubernetes: String,
    domain: String,
    pod_cidr: String,
    service_cidr: String,
    vip: Ipv4Addr,
    /// Port of the API at the VIP.
    api_port: u16,
    /// Address of the `kubernetes` service.
    api_service_ip: Ipv4Addr,
    /// Address of cluster DNS.
    dns_service_ip: Ipv4Addr,
    runtime: &'static str,
    /// Socket that the kubelet speaks to; null with the dockershim.
    runtime_endpoint: Option<&'static str>,
    proxy_mode: &'static str,
    /// `flannel` or `bridge`.
    pod_network: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct NetworkData {
    subnet: String,
    prefix: u8,
    ntp: Vec<String>,
    /// The site's name servers; empty where there are none.
    dns: Vec<Ipv4Addr>,
}

#[derive(Debug, Clone, Serialize)]
struct NodeData {
    name: String,
    role: &'static str,
    address: Ipv4Addr,
    etcd: bool,
    /// VRRP priority among those that may hold the VIP; 0 for the others.
    vrrp_priority: u8,
}

#[derive(Debug, Clone, Serialize)]
struct ProfileData {
    modules: Vec<String>,
    sysctl: BTreeMap<String, String>,
    /// What the firewall lets in.
    firewall: Vec<Opening>,
}

#[derive(Debug, Clone, Serialize)]
struct LbData {
    /// Port that the proxy listens on.
    port: u16,
    /// Port of the API servers behind it.
    backend_port: u16,
    /// Nodes that may hold the VIP.
    holders: Vec<NodeData>,
    /// VRRP virtual router id, 1 to 255, from the cluster's name: two clusters on one segment seldom share it.
    vrid: u8,
}

impl Data {
    /// Data for the files that all nodes of a role share.
    pub fn new(cluster: &Cluster, role: Role, section: &Section, versions: &Versions) -> Self {
        let gate = Gates::new(cluster, versions);
        let holders: Vec<&Node> = holders(cluster).collect();
        let view = |node: &Node| NodeData::new(node, &holders);
        Self {
            cluster: ClusterData::new(cluster),
            network: NetworkData {
                subnet: cluster.network.subnet.trunc().to_string(),
                prefix: cluster.network.subnet.prefix_len(),
                ntp: cluster.network.ntp.clone(),
                dns: cluster.network.dns.clone(),
            },
            role: role.as_str(),
            el: cluster.base.release.el,
            nodes: cluster.nodes.values().map(view).collect(),
            masters: cluster.nodes_of(Role::Master).map(view).collect(),
            etcd_members: cluster.etcd_members().map(view).collect(),
            profile: ProfileData {
                modules: section.modules.clone(),
                sysctl: section.sysctl.clone(),
                firewall: section.firewall.iter().filter_map(|item| Opening::parse(item).ok()).collect(),
            },
            lb: LbData {
                port: cluster.api_port(),
                backend_port: API_SERVER_PORT,
                holders: holders.iter().map(|node| view(node)).collect(),
                vrid: vrid(cluster.name.as_str()),
            },
            flags: flags::all(cluster, &gate, role),
            gate,
            images: BTreeMap::new(),
            node: None,
        }
    }

    /// The same data with the names of images, by what they are for.
    #[must_use]
    pub fn with_images(self, images: BTreeMap<String, String>) -> Self {
        Self { images, ..self }
    }

    /// The same data for one node's own files.
    #[must_use]
    pub fn for_node(&self, name: &HostName) -> Self {
        let node = self.nodes.iter().find(|node| node.name == name.as_str()).cloned();
        Self { node, ..self.clone() }
    }
}

impl ClusterData {
    fn new(cluster: &Cluster) -> Self {
        Self {
            name: cluster.name.to_string(),
            kubernetes: cluster.kubernetes.to_string(),
            domain: cluster.domain.to_string(),
            pod_cidr: cluster.pod_cidr.to_string(),
            service_cidr: cluster.service_cidr.to_string(),
            vip: cluster.vip,
            api_port: cluster.api_port(),
            api_service_ip: cluster.api_service_ip(),
            dns_service_ip: cluster.dns_service_ip(),
            runtime: runtime_name(cluster.runtime),
            runtime_endpoint: runtime_endpoint(cluster.runtime, cluster.kubernetes.minor),
            proxy_mode: proxy_name(cluster.proxy_mode),
            pod_network: cluster.pod_network.as_str(),
        }
    }
}

impl NodeData {
    fn new(node: &Node, holders: &[&Node]) -> Self {
        let place = holders.iter().position(|holder| holder.name == node.name);
        Self {
            name: node.name.to_string(),
            role: node.role.as_str(),
            address: node.address,
            etcd: node.etcd,
            vrrp_priority: place.map_or(0, |place| 100u8.saturating_sub(place.min(99) as u8)),
        }
    }
}

/// Nodes that may hold the VIP: the load balancers, or the masters where there are none.
fn holders(cluster: &Cluster) -> impl Iterator<Item = &Node> {
    let lb = cluster.nodes_of(Role::Lb).next().is_some();
    cluster.nodes_of(if lb { Role::Lb } else { Role::Master })
}

/// The virtual router id of a cluster: 1 to 255, from its name.
pub(crate) fn vrid(name: &str) -> u8 {
    let Sha256([high, low, ..]) = Sha256::of(name.as_bytes());

    (u16::from_be_bytes([high, low]) % 255) as u8 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_router_ids_are_in_range_and_steady() {
        assert_eq!(vrid("prod"), vrid("prod"));
        assert_ne!(vrid("prod"), vrid("test"));
        for n in 0..2000 {
            assert_ne!(vrid(&format!("c{n}")), 0);
        }
    }
}
