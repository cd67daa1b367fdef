//! `/opt/kiln/cluster.json`: what every node knows of the cluster. The plan writes it into the common tree, and what runs on the
//! nodes reads it. Plain data: no secrets, no clock; the same cluster gives the same bytes.
//!
//! It is not the truth about the running cluster, only about the one that was described when the medium was built: a member
//! of a worker pool is in none, and a node that was added later is unknown to the older media.

use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::cluster::model::{EtcdForm, PodNetwork};
use crate::cluster::types::{HostName, Role};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Result};

/// Where it lies on a node.
pub const PATH: &str = "/opt/kiln/cluster.json";
/// TCP port of the agents.
pub const AGENT_PORT: u16 = 7410;
/// Layout of the file; a change that an older kiln would misread raises it.
const FORMAT: u32 = 1;
/// More is no inventory: 500 nodes need less than a tenth of it.
const LIMIT: u64 = 1 << 20;

/// What every node knows of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Layout of the file.
    pub format: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// Stable id of the cluster: hex, 64 digits.
    pub id: String,
    /// Kubernetes version, `1.37.2`.
    pub kubernetes: String,
    /// DNS domain of services.
    pub domain: String,
    /// The API's address.
    pub vip: Ipv4Addr,
    /// Port of the API at the VIP.
    pub api_port: u16,
    /// The nodes' network.
    pub subnet: Ipv4Net,
    /// Default gateway of that network.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// Addresses of pods.
    pub pod_cidr: Ipv4Net,
    /// Addresses of services.
    pub service_cidr: Ipv4Net,
    /// Address of cluster DNS.
    pub dns_service_ip: Ipv4Addr,
    /// TCP port of the agents.
    pub agent_port: u16,
    /// Machines, sorted by name.
    pub nodes: Vec<Member>,
    /// Pools of workers without inventory, sorted by name.
    pub pools: Vec<Pool>,
    /// How pods reach each other.
    pub pod_network: PodNetwork,
    /// Who must be there for etcd to form.
    pub etcd_form: EtcdForm,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Host name, and name of the Kubernetes node.
    pub name: HostName,
    /// Address in the nodes' network.
    pub address: Ipv4Addr,
    /// Role.
    pub role: Role,
    /// Whether it runs an etcd member.
    pub etcd: bool,
}

/// A pool of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Name of the pool; its members are called `<pool>-<MAC>`.
    pub name: HostName,
}

impl Inventory {
    /// The inventory of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            format: FORMAT,
            cluster: cluster.name.to_string(),
            id: Sha256::of(format!("kiln cluster {}", cluster.name).as_bytes()).to_string(),
            kubernetes: cluster.kubernetes.to_string(),
            domain: cluster.domain.to_string(),
            vip: cluster.vip,
            api_port: cluster.api_port(),
            subnet: cluster.network.subnet.trunc(),
            gateway: cluster.network.gateway,
            pod_cidr: cluster.pod_cidr,
            service_cidr: cluster.service_cidr,
            dns_service_ip: cluster.dns_service_ip(),
            agent_port: AGENT_PORT,
            nodes: cluster
                .nodes
                .values()
                .map(|node| Member {
                    name: node.name.clone(),
                    address: node.address,
                    role: node.role,
                    etcd: node.etcd,
                })
                .collect(),
            pools: cluster.worker_pools.keys().map(|name| Pool { name: name.clone() }).collect(),
            pod_network: cluster.pod_network,
            etcd_form: cluster.etcd_form,
        }
    }

    /// The bytes of the file.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("writing the inventory failed").because(error))?;
        Ok(text + "\n")
    }

    /// Reads the inventory of the node whose files lie below `root`, which is `/` on the node itself.
    pub fn load(root: &Path) -> Result<Self> {
        use std::io::Read as _;
        let path = root.join(PATH.trim_start_matches('/'));
        let mut text = String::new();
        let file = std::fs::File::open(&path).at("opening the inventory", &path)?;
        file.take(LIMIT + 1).read_to_string(&mut text).at("reading the inventory", &path)?;
        if text.len() as u64 > LIMIT {
            return Err(Error::input(format!("{} is too large to be an inventory", path.display())));
        }
        Self::parse(&text).map_err(|error| error.context(path.display()))
    }

    /// Reads the text of an inventory.
    pub fn parse(text: &str) -> Result<Self> {
        let hint = "it lies on the node as the medium brought it; put it back from there";
        let inventory: Self = serde_json::from_str(text)
            .map_err(|error| Error::input("it is no inventory").because(error).hint(hint))?;
        if inventory.format != FORMAT {
            return Err(Error::input(format!(
                "it has format {}, and this kiln knows format {FORMAT}",
                inventory.format
            ))
            .hint(hint));
        }
        Ok(inventory)
    }

    /// A machine by its name.
    pub fn node(&self, name: &str) -> Option<&Member> {
        self.nodes.iter().find(|node| node.name.as_str() == name)
    }

    /// Machines that run an etcd member, sorted by name.
    pub fn etcd_members(&self) -> impl Iterator<Item = &Member> {
        self.nodes.iter().filter(|node| node.etcd)
    }

    /// Machines of a role, sorted by name.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.nodes.iter().filter(move |node| node.role == role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    #[test]
    fn it_is_read_as_it_was_written() {
        let inventory = Inventory::of(&cluster());
        let text = inventory.to_json().unwrap();
        assert_eq!(Inventory::parse(&text).unwrap(), inventory);
        assert_eq!(inventory.etcd_members().count(), 3);
        assert_eq!(inventory.node("k8s-lb1").unwrap().role, Role::Lb);
        assert_eq!(inventory.id.len(), 64);
    }

    #[test]
    fn what_is_no_inventory_is_refused() {
        let text = Inventory::of(&cluster()).to_json().unwrap();
        for bad in [
            "",
            "{}",
            "[1]",
            &text.replace("\"format\": 1", "\"format\": 2"),
            &text.replace("\"role\": \"lb\"", "\"role\": \"king\""),
            &text.replace("k8s-master1", "k8s/../master1"),
            &text[..text.len() / 2],
        ] {
            assert!(Inventory::parse(bad).is_err(), "{bad}");
        }
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("opt/kiln")).unwrap();
        let path = root.path().join("opt/kiln/cluster.json");
        std::fs::write(&path, " ".repeat(LIMIT as usize + 1)).unwrap();
        assert!(Inventory::load(root.path()).unwrap_err().to_string().contains("too large"));
        std::fs::write(&path, text).unwrap();
        assert!(Inventory::load(root.path()).is_ok());
    }
}
