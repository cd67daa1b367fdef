//! Tests of pinning a folder and of the tree that comes of it, on made-up programs.

use std::path::Path;

use super::cache::Cache;
use super::catalogue::Catalogue;
use super::lock::Lock;
use super::{component_tree, local};
use crate::cluster::model::Cluster;
use crate::cluster::types::Role;
use crate::digest::Sha256;
use crate::error::Result;
use crate::progress::Silent;
use crate::tree::Kind;

const CATALOGUE: &str = include_str!("../../profiles/components.toml");

fn catalogue() -> Catalogue {
    Catalogue::parse(Path::new("profiles/components.toml"), CATALOGUE).unwrap()
}

/// The reference cluster with its components below `dir`.
fn cluster(dir: &Path) -> Cluster {
    let text = crate::cluster::SAMPLE.replace("1.37.2", "1.20.2");
    let mut cluster = crate::cluster::parse(&dir.join("cluster.toml"), &text).unwrap().0;
    cluster.components.dir = Some(dir.to_owned());
    cluster
}

/// A file with the head of an x86-64 program, which holds `text`; with an interpreter when `dynamic`.
fn cache() -> Cache {
    Cache::at_dir("/nowhere".into())
}

pub(super) fn program(text: &str, dynamic: bool) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (at, value) in [(16, 2_u16), (18, 62), (54, 56), (56, 1)] {
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    bytes[32] = 64;
    bytes[64] = if dynamic { 3 } else { 1 };
    bytes.extend(text.as_bytes());
    bytes
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

const FILES: [&str; 18] = [
    "kubernetes/1.20.2/kube-apiserver",
    "kubernetes/1.20.2/kube-controller-manager",
    "kubernetes/1.20.2/kube-proxy",
    "kubernetes/1.20.2/kube-scheduler",
    "kubernetes/1.20.2/kubectl",
    "kubernetes/1.20.2/kubelet",
    "etcd/3.4.23/etcd",
    "etcd/3.4.23/etcdctl",
    "containerd/1.6.20/containerd",
    "containerd/1.6.20/containerd-shim-runc-v2",
    "containerd/1.6.20/ctr",
    "runc/1.1.5/runc",
    "cni-plugins/1.1.1/bridge",
    "cni-plugins/1.1.1/host-local",
    "cni-plugins/1.1.1/loopback",
    "cni-plugins/1.1.1/portmap",
    "cni-plugins/1.1.1/vlan",
    "cri-tools/1.26.0/crictl",
];

fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    FILES.iter().for_each(|name| put(dir.path(), name, &program(name, false)));
    dir
}

fn pin(dir: &Path) -> Result<local::Pinned> {
    local::pin(&cluster(dir), &catalogue(), &Silent)
}

#[test]
fn a_folder_is_pinned_and_becomes_trees() {
    let dir = filled();
    let pinned = pin(dir.path()).unwrap();
    assert_eq!(pinned.warnings, [] as [String; 0]);
    let count: usize = pinned.lock.components.values().map(|pin| pin.files.len()).sum();
    assert_eq!(count, FILES.len());
    let again = Lock::parse(Path::new("kiln.lock"), &pinned.lock.to_text()).unwrap();
    assert_eq!(again, pinned.lock);

    let cluster = cluster(dir.path());
    let tree = |role| component_tree(&catalogue(), &again, &cluster, role, &cache()).unwrap();
    let master = tree(Role::Master);
    assert_eq!(master.len(), FILES.len());
    let entry = master.get("/opt/etcd/bin/etcd").unwrap();
    assert_eq!((entry.mode, entry.origin.as_str(), entry.secret), (0o755, "component etcd", false));
    let Kind::File(blob) = &entry.kind else { panic!("a file") };
    let want = program("etcd/3.4.23/etcd", false);
    assert_eq!(blob.to_vec(1000).unwrap(), want);
    let crate::blob::Piece::File { expect, .. } = &blob.pieces()[0] else { panic!("a file") };
    assert_eq!(*expect, Some(Sha256::of(&want)));

    let worker = tree(Role::Worker);
    let paths: Vec<&str> = worker.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/opt/cni/bin/bridge",
            "/opt/cni/bin/host-local",
            "/opt/cni/bin/loopback",
            "/opt/cni/bin/portmap",
            "/opt/cni/bin/vlan",
            "/opt/kubernetes/bin/kube-proxy",
            "/opt/kubernetes/bin/kubelet",
            "/usr/local/bin/containerd",
            "/usr/local/bin/containerd-shim-runc-v2",
            "/usr/local/bin/crictl",
            "/usr/local/bin/ctr",
            "/usr/local/bin/runc",
        ]
    );
    assert!(tree(Role::Lb).is_empty());
}

#[test]
fn etcd_goes_where_its_members_are() {
    let dir = filled();
    let mut cluster = cluster(dir.path());
    for node in cluster.nodes.values_mut() {
        node.etcd = node.role == Role::Lb;
    }
    let lock = pin(dir.path()).unwrap().lock;
    let has = |role| {
        let tree = component_tree(&catalogue(), &lock, &cluster, role, &cache()).unwrap();
        tree.get("/opt/etcd/bin/etcd").is_some()
    };
    assert_eq!(Role::ALL.map(has), [false, false, true]);
}

#[test]
fn the_highest_version_is_taken_and_kubernetes_is_the_clusters() {
    let dir = filled();
    put(dir.path(), "runc/1.1.10/runc", &program("newer", false));
    put(dir.path(), "kubernetes/1.21.0/kubelet", &program("newer", false));
    let lock = pin(dir.path()).unwrap().lock;
    assert_eq!(lock.components["runc"].version.to_string(), "1.1.10");
    assert_eq!(lock.components["kubernetes"].version.to_string(), "1.20.2");
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let dir = filled();
    std::fs::remove_file(dir.path().join("kubernetes/1.20.2/kubelet")).unwrap();
    std::fs::remove_file(dir.path().join("cni-plugins/1.1.1/vlan")).unwrap();
    std::fs::remove_dir_all(dir.path().join("etcd")).unwrap();
    std::fs::remove_dir_all(dir.path().join("cri-tools")).unwrap();
    let error = pin(dir.path()).unwrap_err();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let want = format!(
        "3 component files are missing:\n  {}\n  {}\n  {}",
        at("etcd/VERSION/etcd"),
        at("etcd/VERSION/etcdctl"),
        at("kubernetes/1.20.2/kubelet")
    );
    assert_eq!(error.to_string(), want);
    let empty = tempfile::tempdir().unwrap();
    let error = pin(empty.path()).unwrap_err();
    assert!(error.to_string().starts_with("16 component files are missing"), "{error}");
    let mut none = cluster(dir.path());
    none.components.dir = None;
    assert!(
        local::pin(&none, &catalogue(), &Silent).unwrap_err().to_string().contains("no components folder")
    );
}

#[test]
fn what_is_no_program_for_the_nodes_is_refused() {
    let mut arm = program("", false);
    arm[18] = 183;
    let mut cut = program("", false);
    cut[40] = 121;
    let whole = program("", false);
    let cases: [(&[u8], &str); 5] = [
        (b"", "too short"),
        (&[b"#!/bin/sh\n".as_slice(), &[b'x'; 100]].concat(), "a script"),
        (&[b'<'; 100], "no ELF program"),
        (&arm, "x86-64"),
        (&cut, "cut short"),
    ];
    let dir = filled();
    for (bytes, word) in cases {
        put(dir.path(), "runc/1.1.5/runc", bytes);
        let error = pin(dir.path()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.class().exit_code(), 2);
    }
    put(dir.path(), "runc/1.1.5/runc", &whole[..100]);
    assert!(pin(dir.path()).unwrap_err().to_string().contains("cut short"));
}

#[test]
fn what_is_odd_is_warned_about() {
    let dir = filled();
    put(dir.path(), "runc/1.1.5/runc", &program("", true));
    put(dir.path(), "etcd/3.4.23/README.md", b"read me");
    put(dir.path(), "etcd/v3.5.0/etcd", &program("", false));
    put(dir.path(), "nerdctl/3.0.0/nerdctl", &program("", false));
    let warnings = pin(dir.path()).unwrap().warnings.join("\n");
    for word in [
        "nodes with an older one: runc (1)",
        "README.md is ignored",
        "v3.5.0 is ignored",
        "nerdctl is ignored",
    ] {
        assert!(warnings.contains(word), "{word}: {warnings}");
    }
}

#[test]
fn a_folder_that_moved_on_is_noticed() {
    let dir = filled();
    let lock = pin(dir.path()).unwrap().lock;
    let fails = |lock: &Lock, cluster: &Cluster, word: &str| {
        let error = component_tree(&catalogue(), lock, cluster, Role::Master, &cache()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint_text().unwrap().contains("kiln fetch --update"));
    };
    let mut other = cluster(dir.path());
    other.kubernetes = "1.20.3".parse().unwrap();
    fails(&lock, &other, "kubernetes 1.20.2 is pinned, and the cluster file wants 1.20.3");
    let mut less = lock.clone();
    less.components.remove("runc");
    less.components.get_mut("etcd").unwrap().files.remove("etcd");
    fails(&less, &cluster(dir.path()), "etcd 3.4.23: etcd is not pinned\n  runc is not pinned");
    let mut more = lock.clone();
    let runc = more.components["runc"].clone();
    more.components.insert("crun".to_owned(), runc);
    fails(&more, &cluster(dir.path()), "crun 1.1.5: runc is pinned, and kiln knows no such file");
    put(dir.path(), "etcd/3.4.23/etcd", &program("longer than before", false));
    std::fs::remove_file(dir.path().join("runc/1.1.5/runc")).unwrap();
    fails(&lock, &cluster(dir.path()), "etcd/3.4.23/etcd is not of 136 bytes as pinned");
    fails(&lock, &cluster(dir.path()), "runc/1.1.5/runc: No such file");
}

#[test]
fn a_wrong_catalogue_is_refused() {
    for (text, word) in [
        ("component = 1", "cannot be read"),
        ("[component.a]\nfiles = {}\nnews = 1", "cannot be read"),
        ("[component.'../a']\nfiles = {}", "cannot name"),
        ("[component.a.files]\n'.b' = { to = '/x', on = [] }", "cannot name"),
        ("[component.a.files]\nb = { to = '/x/..', on = [] }", "`..` part"),
        ("[component.a.files]\nb = { to = '/x', on = [], mode = '0999' }", "no mode"),
        ("[component.a.files]\nb = { to = '/x', on = ['moon'] }", "cannot be read"),
        ("[component.a.files]\nb = { to = '/x', on = [], since = 'v1' }", "no version"),
    ] {
        let error = Catalogue::parse(Path::new("components.toml"), text).unwrap_err();
        assert!(error.to_string().contains(word), "{text}: {error}");
        assert!(error.to_string().starts_with("components.toml"), "{error}");
    }
}
