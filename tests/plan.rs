//! The whole of a plan for the reference cluster, compared with checked-in output: what is planned, and every rendered file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::model::{PodNetwork, ProxyMode, Runtime};
use kiln::cluster::types::Role;
use kiln::plan::{RolePlan, Versions, plan, show};
use kiln::tree::{Kind, Tree};

struct Case {
    name: &'static str,
    release: &'static str,
    kubernetes: &'static str,
    runtime: Runtime,
    proxy: ProxyMode,
    containerd: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        name: "el7-1.20-docker",
        release: "centos-7",
        kubernetes: "1.20.2",
        runtime: Runtime::Docker,
        proxy: ProxyMode::Iptables,
        containerd: "1.4.13",
    },
    Case {
        name: "el9-1.20",
        release: "centos-stream-9",
        kubernetes: "1.20.2",
        runtime: Runtime::Containerd,
        proxy: ProxyMode::Iptables,
        containerd: "1.6.20",
    },
    Case {
        name: "el9-1.37",
        release: "centos-stream-9",
        kubernetes: "1.37.2",
        runtime: Runtime::Containerd,
        proxy: ProxyMode::Iptables,
        containerd: "2.3.4",
    },
    Case {
        name: "el9-1.37-docker",
        release: "centos-stream-9",
        kubernetes: "1.37.2",
        runtime: Runtime::Docker,
        proxy: ProxyMode::Iptables,
        containerd: "2.3.4",
    },
    Case {
        name: "el10-1.37-no-lb",
        release: "centos-stream-10",
        kubernetes: "1.37.2",
        runtime: Runtime::Containerd,
        proxy: ProxyMode::Nftables,
        containerd: "2.3.4",
    },
];

fn cluster(case: &Case) -> Cluster {
    let mut cluster = common::reference_cluster();
    cluster.base.release = case.release.parse().unwrap();
    cluster.kubernetes = case.kubernetes.parse().unwrap();
    cluster.runtime = case.runtime;
    cluster.proxy_mode = case.proxy;
    if case.name.ends_with("no-lb") {
        cluster.nodes.retain(|_, node| node.role != Role::Lb);
        cluster.worker_pools.clear();
    }
    cluster
}

fn planned(case: &Case, role: Role) -> RolePlan {
    let versions = Versions::from([("containerd".to_owned(), case.containerd.to_owned())]);
    plan(&cluster(case), &Assets::new(None).unwrap(), role, &versions).unwrap()
}

/// Each file of a tree under a line with its mode and path.
fn contents(out: &mut String, title: &str, tree: &Tree) {
    for (path, entry) in tree.iter() {
        if let Kind::File(blob) = &entry.kind {
            assert!(!entry.secret, "{path}: a plan holds no secrets");
            let text = String::from_utf8(blob.to_vec(1 << 20).unwrap()).unwrap();
            write!(out, "==> {title} {:04o} {path}\n{text}", entry.mode).unwrap();
            assert!(text.ends_with('\n'), "{path} does not end with a line break");
            out.push('\n');
        }
    }
}

#[test]
fn plans_of_the_reference_cluster() {
    let mut faults = Vec::new();
    for case in &CASES {
        for role in Role::ALL {
            if role == Role::Lb && case.name.ends_with("no-lb") {
                continue;
            }
            let plan = planned(case, role);
            let json = serde_json::to_string_pretty(&show::view(&cluster(case), &plan, None).unwrap())
                .unwrap()
                + "\n";
            let mut files = String::new();
            contents(&mut files, "common", &plan.common);
            for (name, node) in &plan.nodes {
                contents(&mut files, name.as_str(), &node.tree);
            }
            for (kind, text) in [("json", json), ("files", files)] {
                let path = format!("plan/{}/{role}.{kind}", case.name);
                let compared = std::panic::catch_unwind(|| common::golden(&path, &text));
                faults.extend(compared.err().map(|_| path));
            }
        }
    }
    assert!(faults.is_empty(), "these differ, see above: {faults:#?}");
}

/// Whoever carries no image for metrics-server gets no manifest and no certificate of it.
#[test]
fn addons_without_an_image_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let list = Assets::new(None).unwrap().text("profiles/images.toml").unwrap();
    let parts = list.split("[[image]]").filter(|part| !part.contains("\"metrics_server\""));
    let without = parts.collect::<Vec<_>>().join("[[image]]");
    std::fs::create_dir(dir.path().join("profiles")).unwrap();
    std::fs::write(dir.path().join("profiles/images.toml"), without).unwrap();
    let files = |assets: Assets| -> Vec<String> {
        let plan = plan(&cluster(&CASES[2]), &assets, Role::Master, &Versions::new()).unwrap();
        let paths = plan.common.iter().map(|(path, _)| path.to_string());
        paths.filter(|path| path.starts_with("/opt/kiln/addons/")).collect()
    };
    let all = files(Assets::new(None).unwrap());
    assert!(all.iter().any(|path| path.ends_with("/30-metrics-server.yaml")), "{all:?}");
    let few = files(Assets::new(Some(dir.path())).unwrap());
    let gone: Vec<_> = all.iter().filter(|path| !few.contains(path)).collect();
    assert_eq!(
        gone,
        [
            "/opt/kiln/addons/30-metrics-server.yaml",
            "/opt/kiln/addons/31-metrics-api.yaml",
            "/opt/kiln/addons/certificates.toml",
        ]
    );
}

/// Bridge mode brings a unit and a policy of the firewall, and takes away all of flannel.
#[test]
fn bridge_mode_needs_no_image() {
    let assets = Assets::new(None).unwrap();
    let mut bridge = cluster(&CASES[2]);
    bridge.pod_network = PodNetwork::Bridge;
    let of = |cluster: &Cluster| plan(cluster, &assets, Role::Master, &Versions::new()).unwrap();
    let (flannel, bridged) = (of(&cluster(&CASES[2])), of(&bridge));
    let files = |plan: &RolePlan| -> BTreeMap<String, Vec<u8>> {
        let file = |entry: &kiln::tree::Entry| match &entry.kind {
            Kind::File(blob) => blob.to_vec(1 << 20).unwrap(),
            _ => Vec::new(),
        };
        plan.common.iter().map(|(path, entry)| (path.to_string(), file(entry))).collect()
    };
    let (before, after) = (files(&flannel), files(&bridged));
    let gone: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    let other = after.iter().filter(|(path, text)| before.get(*path).is_some_and(|old| old != *text));
    let other: Vec<_> = other.map(|(path, _)| path).collect();
    assert_eq!(gone, ["/etc/systemd/network/50-kiln-flannel.link", "/opt/kiln/addons/15-flannel.yaml"]);
    assert_eq!(new, ["/etc/firewalld/policies/kiln-pods.xml", "/usr/lib/systemd/system/kiln-routes.service"]);
    assert_eq!(
        other,
        ["/etc/firewalld/zones/public.xml", "/etc/firewalld/zones/trusted.xml", "/opt/kiln/cluster.json",]
    );
    assert!(bridged.units.contains(&"kiln-routes.service".to_owned()));
    for (path, text) in &after {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains("8472") && !text.contains("ghcr.io/flannel"), "{path}");
    }
    let images = kiln::fetch::Images::load(&assets).unwrap().wanted(&bridge);
    assert!(!images.keys().any(|name| name.as_str().contains("flannel")), "{images:?}");
    let cluster: serde_json::Value = serde_json::from_slice(&after["/opt/kiln/cluster.json"]).unwrap();
    assert_eq!(cluster["pod_network"], "bridge");
}

#[test]
fn planning_twice_gives_the_same() {
    for role in Role::ALL {
        let (one, two) = (planned(&CASES[2], role), planned(&CASES[2], role));
        assert_eq!(one.common, two.common);
        assert!(one.nodes.iter().zip(&two.nodes).all(|(a, b)| a.0 == b.0 && a.1.tree == b.1.tree));
    }
}

#[test]
fn a_role_without_machines_is_refused() {
    let error =
        plan(&cluster(&CASES[4]), &Assets::new(None).unwrap(), Role::Lb, &Versions::new()).unwrap_err();
    assert!(error.to_string().contains("no node of profile `lb`"), "{error}");
}

#[test]
fn a_worker_with_etcd_gets_it_alone() {
    let mut cluster = cluster(&CASES[1]);
    let name: kiln::cluster::types::HostName = "k8s-node1".parse().unwrap();
    cluster.nodes.get_mut(&name).unwrap().etcd = true;
    let plan = plan(&cluster, &Assets::new(None).unwrap(), Role::Worker, &Versions::new()).unwrap();
    let unit = "/usr/lib/systemd/system/etcd.service";
    assert!(plan.common.get(unit).is_none() && plan.components.contains(&"etcd".to_owned()));
    for (other, node) in &plan.nodes {
        assert_eq!(node.tree.get(unit).is_some(), *other == name, "{other}");
        assert_eq!(node.units.contains(&"etcd.service".to_owned()), *other == name, "{other}");
    }
}

#[test]
fn nodes_differ_only_where_they_must() {
    for case in &CASES {
        for role in Role::ALL.into_iter().filter(|role| !(*role == Role::Lb && case.name.ends_with("no-lb")))
        {
            for (name, node) in planned(case, role).nodes {
                let paths: Vec<&str> = node.tree.iter().map(|(path, _)| path.as_str()).collect();
                let allowed = [
                    "/etc/hostname",
                    "/etc/keepalived/keepalived.conf",
                    "/opt/etcd/cfg/etcd.conf",
                    "/opt/kiln/node.env",
                ];
                assert!(paths.iter().all(|path| allowed.contains(path)), "{name}: {paths:?}");
            }
        }
    }
}

#[test]
fn pools_take_no_overlay_that_needs_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("overlays/common/etc/motd.j2");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "{{ node.name }}\n").unwrap();
    let assets = Assets::new(Some(dir.path())).unwrap();
    let mut cluster = cluster(&CASES[2]);
    common::add_pool(&mut cluster);
    let error = plan(&cluster, &assets, Role::Worker, &Versions::new()).unwrap_err();
    assert!(error.to_string().contains("/etc/motd"), "{error}");
    assert!(plan(&cluster, &assets, Role::Lb, &Versions::new()).is_ok());
    assert_eq!(cluster.vip, Ipv4Addr::new(192, 168, 31, 88));
}
