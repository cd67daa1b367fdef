//! The tables of docs/cluster.md, compared with what plans and `pki/` give the nodes: every unit, open port, key and certificate is
//! in them, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::model::{PodNetwork, Runtime};
use kiln::cluster::types::Role;
use kiln::pki::Pki;
use kiln::plan::{RolePlan, Versions, plan};
use kiln::tree::{Kind, Tree};
use time::macros::datetime;

/// What lies where: (`etcd.service`, `master`).
type Facts = BTreeSet<(String, String)>;

/// The rows of the table below a heading: the name in its first column, once for each word of its second.
fn table(heading: &str) -> Facts {
    let text = std::fs::read_to_string(common::root().join("docs/cluster.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        cells[2].split(' ').map(|on| (name.clone(), on.to_owned())).collect::<Vec<_>>()
    })
    .collect()
}

#[track_caller]
fn same(documented: &Facts, is: &Facts) {
    let missing: Vec<_> = is.difference(documented).collect();
    let wrong: Vec<_> = documented.difference(is).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "docs/cluster.md lacks {missing:#?}\nand has too much: {wrong:#?}"
    );
}

/// The reference cluster; the same with docker, old and new, without load balancers, and with bridges.
fn clusters() -> Vec<Cluster> {
    let mut docker = common::reference_cluster();
    docker.base.release = "centos-7".parse().unwrap();
    (docker.kubernetes, docker.runtime) = ("1.20.2".parse().unwrap(), Runtime::Docker);
    let mut cri = common::reference_cluster();
    cri.runtime = Runtime::Docker;
    let mut alone = common::reference_cluster();
    alone.nodes.retain(|_, node| node.role != Role::Lb);
    let mut bridge = common::reference_cluster();
    bridge.pod_network = PodNetwork::Bridge;
    vec![common::reference_cluster(), docker, cri, alone, bridge]
}

fn plans(cluster: &Cluster) -> Vec<RolePlan> {
    let assets = Assets::new(None).unwrap();
    let roles = Role::ALL.into_iter().filter(|role| cluster.nodes_of(*role).next().is_some());
    roles.map(|role| plan(cluster, &assets, role, &Versions::new()).unwrap()).collect()
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    match &tree.get(path)?.kind {
        Kind::File(blob) => Some(String::from_utf8(blob.to_vec(1 << 20).unwrap()).unwrap()),
        _ => None,
    }
}

/// What is there for the load balancer is documented as its own, wherever it runs.
fn place(name: &str, role: Role) -> String {
    let balancer = ["nginx.service", "keepalived.service", "protocol/vrrp"].contains(&name);
    let member = ["etcd.service", "2379/tcp", "2380/tcp"].contains(&name);
    let place = if balancer { Role::Lb.as_str() } else { role.as_str() };
    if member { "etcd" } else { place }.to_owned()
}

#[test]
fn every_unit_is_in_the_table() {
    let mut units = Facts::new();
    for plan in clusters().iter().flat_map(plans) {
        let own = plan.nodes.values().flat_map(|node| &node.units);
        units.extend(plan.units.iter().chain(own).map(|unit| (unit.clone(), place(unit, plan.role))));
    }
    same(&table("Units"), &units);
}

/// Ports of a zone file: `port="…" protocol="…"` and `<protocol value="…"/>`.
fn openings(zone: &str) -> BTreeSet<String> {
    let attribute = |line: &str, name: &str| {
        Some(line.split_once(&format!("{name}=\""))?.1.split_once('"')?.0.to_owned())
    };
    let mut found = BTreeSet::new();
    for line in zone.lines() {
        match (attribute(line, " port"), attribute(line, "protocol"), attribute(line, "value")) {
            (Some(port), Some(protocol), _) if port == "2379-2380" => {
                found.extend([format!("2379/{protocol}"), format!("2380/{protocol}")]);
            }
            (Some(port), Some(protocol), _) => {
                found.insert(format!("{port}/{protocol}"));
            }
            (None, _, Some(protocol)) => {
                found.insert(format!("protocol/{protocol}"));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_open_port_is_in_the_table() {
    let mut ports = Facts::new();
    for plan in clusters().iter().flat_map(plans) {
        let zone = text(&plan.common, "/etc/firewalld/zones/public.xml").unwrap();
        ports.extend(openings(&zone).into_iter().map(|port| {
            let place = place(&port, plan.role);
            (port, place)
        }));
    }
    same(&table("Ports that are open"), &ports);
}

#[test]
fn every_key_and_certificate_is_in_the_table() {
    let mut cluster = common::reference_cluster();
    common::add_pool(&mut cluster);
    // One master without a member, one load balancer with one: what a member gets is told from what its role gets.
    for (name, etcd) in [("k8s-master3", false), ("k8s-lb1", true)] {
        cluster.nodes.get_mut(&name.parse().unwrap()).unwrap().etcd = etcd;
    }
    let dir = tempfile::tempdir().unwrap();
    let pki =
        Pki::open_or_create(&dir.path().join("pki"), &cluster, datetime!(2026-11-23 06:00 UTC)).unwrap();
    let mut files = Facts::new();
    let mut add = |tree: &Tree, on: &str| {
        for (path, entry) in tree.iter() {
            if matches!(entry.kind, Kind::File(_)) {
                let on = if path.as_str().starts_with("/opt/etcd/") { "etcd" } else { on };
                files.insert((path.as_str().to_owned(), on.to_owned()));
            }
        }
    };
    for role in Role::ALL {
        add(&pki.role_tree(role).unwrap(), role.as_str());
    }
    for node in cluster.nodes.values() {
        add(&pki.node_tree(&cluster, node).unwrap(), node.role.as_str());
    }
    for pool in cluster.worker_pools.values() {
        add(&pki.pool_tree(&cluster, pool).unwrap(), "pool");
    }
    same(&table("Keys, certificates and credentials"), &files);
}
