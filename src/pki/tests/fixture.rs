//! The reference cluster and its `pki` folder, for the tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use time::OffsetDateTime;
use time::macros::datetime;

use crate::cluster::model::{
    Access, Base, Cluster, Components, Identity, Network, Node, ProxyMode, Runtime, WorkerPool,
};
use crate::cluster::types::Role;
use crate::pki::Pki;

/// The time of the tests; the fraction of a second must not matter.
pub(in crate::pki) const NOW: OffsetDateTime = datetime!(2026-11-23 06:00:00.5 UTC);

pub(in crate::pki) fn node(name: &str, role: Role, last: u8) -> Node {
    Node {
        name: name.parse().unwrap(),
        role,
        address: [192, 168, 31, last].into(),
        attachment: Default::default(),
        identity: Identity::default(),
        storage: Default::default(),
        etcd: role == Role::Master,
        labels: BTreeMap::new(),
    }
}

/// The reference cluster and a pool.
pub(in crate::pki) fn cluster() -> Cluster {
    let nodes = [
        node("k8s-master1", Role::Master, 71),
        node("k8s-master2", Role::Master, 74),
        node("k8s-master3", Role::Master, 75),
        node("k8s-node1", Role::Worker, 72),
        node("k8s-node2", Role::Worker, 73),
        node("k8s-lb1", Role::Lb, 81),
    ];
    let pool =
        WorkerPool { name: "pool-a".parse().unwrap(), storage: Default::default(), labels: BTreeMap::new() };
    Cluster {
        name: "prod".parse().unwrap(),
        kubernetes: "1.20.2".parse().unwrap(),
        runtime: Runtime::Containerd,
        proxy_mode: ProxyMode::Iptables,
        pod_network: Default::default(),
        domain: "cluster.local".parse().unwrap(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        vip: [192, 168, 31, 88].into(),
        base: Base { release: "centos-7".parse().unwrap(), iso: None, image: None, rpms: vec![] },
        access: Access::default(),
        network: Network {
            subnet: "192.168.31.0/24".parse().unwrap(),
            gateway: None,
            mtu: None,
            dns: Vec::new(),
            ntp: Vec::new(),
        },
        components: Components::default(),
        etcd_form: Default::default(),
        preflight: Default::default(),
        serial: None,
        nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
        worker_pools: [(pool.name.clone(), pool)].into(),
    }
}

pub(in crate::pki) fn folder() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("pki");
    (temp, dir)
}

pub(in crate::pki) fn made() -> (tempfile::TempDir, PathBuf, Pki) {
    let (temp, dir) = folder();
    let pki = Pki::open_or_create(&dir, &cluster(), NOW).unwrap();
    (temp, dir, pki)
}
