//! The reference cluster as a value: masters .71 .74 .75, workers .72 .73, load balancers .81 .82, VIP .88.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use kiln::cluster::Cluster;
use kiln::cluster::model::{
    Access, Base, Components, Identity, Network, Node, ProxyMode, Runtime, SerialConsole, WorkerPool,
};
use kiln::cluster::types::Role;

/// The cluster of the documentation.
pub fn reference_cluster() -> Cluster {
    Cluster {
        name: "prod".parse().unwrap(),
        kubernetes: "1.37.2".parse().unwrap(),
        runtime: Runtime::Containerd,
        proxy_mode: ProxyMode::Iptables,
        pod_network: Default::default(),
        domain: "cluster.local".parse().unwrap(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        vip: Ipv4Addr::new(192, 168, 31, 88),
        base: Base { release: "centos-stream-9".parse().unwrap(), iso: None, image: None, rpms: vec![] },
        access: Access::default(),
        network: Network {
            subnet: "192.168.31.0/24".parse().unwrap(),
            gateway: Some(Ipv4Addr::new(192, 168, 31, 1)),
            dns: Vec::new(),
            mtu: None,
            ntp: Vec::new(),
        },
        components: Components::default(),
        etcd_form: Default::default(),
        preflight: Default::default(),
        serial: Some(SerialConsole { port: 0, speed: 115_200 }),
        nodes: [
            ("k8s-master1", Role::Master, 71),
            ("k8s-master2", Role::Master, 74),
            ("k8s-master3", Role::Master, 75),
            ("k8s-node1", Role::Worker, 72),
            ("k8s-node2", Role::Worker, 73),
            ("k8s-lb1", Role::Lb, 81),
            ("k8s-lb2", Role::Lb, 82),
        ]
        .map(|(name, role, last)| node(name, role, last))
        .into_iter()
        .map(|node| (node.name.clone(), node))
        .collect(),
        worker_pools: BTreeMap::new(),
    }
}

fn node(name: &str, role: Role, last: u8) -> Node {
    Node {
        name: name.parse().unwrap(),
        role,
        address: Ipv4Addr::new(192, 168, 31, last),
        attachment: Default::default(),
        identity: Identity {
            mac: Some(format!("52:54:00:00:31:{last}").parse().unwrap()),
            ..Identity::default()
        },
        storage: Default::default(),
        etcd: role == Role::Master,
        labels: BTreeMap::new(),
    }
}

/// Adds a pool of workers without inventory.
pub fn add_pool(cluster: &mut Cluster) {
    let name: kiln::cluster::types::HostName = "pool-a".parse().unwrap();
    let pool = WorkerPool { name: name.clone(), storage: Default::default(), labels: BTreeMap::new() };
    cluster.worker_pools.insert(name, pool);
}
