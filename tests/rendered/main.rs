//! Rendered files, read by the programs they are for: systemd, nginx, keepalived, containerd, etcd, chronyd, shellcheck.
//!
//! A program that is missing is a failure that names its package, never a skipped test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod balancer;
mod firewall;

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::model::{PodNetwork, ProxyMode, Runtime};
use kiln::cluster::types::Role;
use kiln::node::formation::run::{environment, founders};
use kiln::node::inventory::Inventory;
use kiln::plan::{RolePlan, Versions, plan};

/// Runs a program of a package; its output.
fn run(package: &str, command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| {
        panic!("{name} cannot be run ({error}): this test needs the Debian package {package}")
    })
}

/// Runs a program that must succeed; both of its streams.
fn accepts(package: &str, command: &mut Command) -> String {
    let output = run(package, command);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

fn planned(cluster: &Cluster, role: Role, containerd: &str) -> RolePlan {
    let versions = Versions::from([("containerd".to_owned(), containerd.to_owned())]);
    plan(cluster, &Assets::new(None).unwrap(), role, &versions).unwrap()
}

/// Every shape of the reference cluster whose files differ much.
fn shapes() -> Vec<(String, Cluster)> {
    let mut shapes = Vec::new();
    for (release, kubernetes, lb) in [
        ("centos-7", "1.20.2", true),
        ("centos-stream-8", "1.31.4", true),
        ("centos-stream-9", "1.20.2", true),
        ("centos-stream-9", "1.37.2", true),
        ("centos-stream-10", "1.34.1", false),
        ("centos-stream-10", "1.37.2", false),
    ] {
        let mut cluster = common::reference_cluster();
        cluster.base.release = release.parse().unwrap();
        cluster.kubernetes = kubernetes.parse().unwrap();
        if release == "centos-7" || kubernetes == "1.31.4" {
            cluster.runtime = Runtime::Docker;
        }
        if !lb {
            cluster.nodes.retain(|_, node| node.role != Role::Lb);
            cluster.proxy_mode = ProxyMode::Nftables;
            cluster.network.ntp = vec!["192.168.31.1".to_owned(), "ntp.example.com".to_owned()];
        }
        // The newest is the one with a bridge.
        if lb && kubernetes == "1.37.2" {
            cluster.pod_network = PodNetwork::Bridge;
        }
        shapes.push((format!("{release}, Kubernetes {kubernetes}"), cluster));
    }
    shapes
}

/// All plans of all shapes.
fn plans() -> Vec<(String, RolePlan)> {
    let mut plans = Vec::new();
    for (name, cluster) in shapes() {
        for role in Role::ALL.into_iter().filter(|role| cluster.nodes_of(*role).next().is_some()) {
            plans.push((format!("{name}, {role}"), planned(&cluster, role, "1.7.28")));
        }
    }
    plans
}

/// Lays the common tree and one node's own down in a fresh folder.
fn root_of(plan: &RolePlan, node: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    common::lay::lay(&plan.common, root.path());
    common::lay::lay(&plan.nodes.values().nth(node).unwrap().tree, root.path());
    root
}

fn stub(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    if !path.exists() {
        std::fs::write(path, "#!/bin/sh\n").unwrap();
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The programs that the root's units start, as stubs, and the vendor's units that ours extend.
fn furnish(root: &Path) {
    let programs = ["containerd", "etcd", "kubelet", "kube-proxy"];
    let control = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    for name in programs.iter().chain(&control) {
        for dir in ["usr/local/bin", "opt/etcd/bin", "opt/kubernetes/bin"] {
            stub(&root.join(dir).join(name));
        }
    }
    for path in [
        "opt/kiln/bin/kiln",
        "sbin/modprobe",
        "usr/bin/dockerd",
        "usr/bin/cri-dockerd",
        "bin/kill",
        "bin/sh",
        "usr/sbin/nginx",
        "usr/sbin/keepalived",
    ] {
        stub(&root.join(path));
    }
    for name in ["nginx", "keepalived"] {
        let unit = root.join("usr/lib/systemd/system").join(format!("{name}.service"));
        std::fs::create_dir_all(unit.parent().unwrap()).unwrap();
        let text = format!("[Unit]\nDescription={name}\n[Service]\nExecStart=/usr/sbin/{name}\n");
        std::fs::write(unit, text).unwrap();
    }
    for target in
        ["multi-user", "network", "network-online", "local-fs", "time-sync", "sysinit", "basic", "shutdown"]
    {
        let unit = root.join("usr/lib/systemd/system").join(format!("{target}.target"));
        std::fs::write(unit, format!("[Unit]\nDescription={target}\n")).unwrap();
    }
}

#[test]
fn systemd_takes_every_unit() {
    for (name, plan) in plans() {
        let root = root_of(&plan, 0);
        furnish(root.path());
        let units: Vec<PathBuf> = ["usr/lib/systemd/system", "etc/systemd/system"]
            .iter()
            .filter_map(|dir| std::fs::read_dir(root.path().join(dir)).ok())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "service" || end == "timer"))
            .collect();
        assert!(!units.is_empty(), "{name}");
        let mut command = Command::new("systemd-analyze");
        command.arg("verify").arg("--man=no").arg("--recursive-errors=no").arg("--root").arg(root.path());
        command.args(units.iter().map(|unit| unit.file_name().unwrap()));
        let said = accepts("systemd", &mut command);
        let ours: Vec<&str> = said.lines().filter(|line| !line.contains("Failed to put bus name")).collect();
        assert!(ours.is_empty(), "{name}:\n{said}");
    }
}

#[test]
fn units_start_what_the_node_has() {
    for (name, plan) in plans() {
        let root = root_of(&plan, 0);
        for unit in plan.units.iter().filter(|unit| !unit.starts_with("sshd") && !unit.starts_with("chronyd"))
        {
            let ours = root.path().join("usr/lib/systemd/system").join(unit);
            let vendor =
                ["firewalld.service", "nginx.service", "keepalived.service"].contains(&unit.as_str());
            assert!(ours.exists() || vendor, "{name}: {unit} is enabled, but nothing brings it");
        }
    }
}

/// What containerd 1 makes of our file must hold what we wrote. containerd 2 reads version 3, which version 1 refuses, so
/// that file is checked for being TOML with the new names.
#[test]
fn containerd_takes_its_configuration() {
    let (_, cluster) = shapes().remove(2);
    let root = root_of(&planned(&cluster, Role::Worker, "1.6.20"), 0);
    let conf = root.path().join("etc/containerd/config.toml");
    let said =
        accepts("containerd", Command::new("containerd").arg("-c").arg(&conf).args(["config", "dump"]));
    let dumped: toml::Table = said.parse().unwrap_or_else(|error| panic!("{error}\n{said}"));
    let cri = &dumped["plugins"]["io.containerd.grpc.v1.cri"];
    assert_eq!(cri["sandbox_image"].as_str(), Some("registry.k8s.io/pause:3.2"));
    assert_eq!(cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"].as_bool(), Some(true));
    assert_eq!(cri["registry"]["config_path"].as_str(), Some("/etc/containerd/certs.d"));
    assert_eq!(cri["cni"]["bin_dir"].as_str(), Some("/opt/cni/bin"));

    for (_, cluster) in shapes() {
        let plan = planned(&cluster, Role::Worker, "2.3.4");
        if cluster.runtime == Runtime::Containerd {
            let text =
                std::fs::read_to_string(root_of(&plan, 0).path().join("etc/containerd/config.toml")).unwrap();
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table["version"].as_integer(), Some(3));
            assert!(
                table["plugins"]
                    .as_table()
                    .unwrap()
                    .keys()
                    .all(|key| key.starts_with("io.containerd.cri.v1."))
            );
        }
    }
}

/// Starts etcd with its file, and with what `kiln node form` adds. It cannot come far: there is no such address and no certificate.
fn etcd_says(added: &str) -> String {
    let (_, cluster) = shapes().remove(3);
    let root = root_of(&planned(&cluster, Role::Master, "1.7.28"), 0);
    let text = std::fs::read_to_string(root.path().join("opt/etcd/cfg/etcd.conf")).unwrap() + added;
    let data = root.path().join("data");
    let mut command = Command::new("etcd");
    command.env_clear();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (key, value) = line.split_once('=').unwrap();
        let value = match (key, value.trim_matches('"')) {
            // The node's address is not this machine's; any free port will do.
            (key, value) if key.starts_with("ETCD_LISTEN_") => {
                format!("{}://127.0.0.1:0", value.split(':').next().unwrap())
            }
            (_, value) => value.replace("/var/lib/etcd/default.etcd", data.to_str().unwrap()),
        };
        command.env(key, value);
    }
    let output = run("etcd-server", &mut command);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "etcd started without certificates\n{said}");
    assert!(!data.join("member/wal").exists(), "{said}");
    for word in ["unrecognized environment variable", "conflicting environment", "shadowed", "flag provided"]
    {
        assert!(!said.contains(word), "{said}");
    }
    said
}

/// etcd reads its settings before it looks for its certificates: the first complaint must be about a missing file, and it
/// must name one of ours.
#[test]
fn etcd_takes_its_environment() {
    let (_, cluster) = shapes().remove(3);
    let said = etcd_says(&environment(&founders(&Inventory::of(&cluster)), "new"));
    assert!(said.contains("/opt/etcd/ssl/") && said.contains("no such file"), "{said}");
    assert!(said.contains("k8s-master1=https://192.168.31.71:2380"), "{said}");
}

#[test]
fn chronyd_takes_its_configuration() {
    for (name, plan) in plans() {
        let root = root_of(&plan, 0);
        let conf = root.path().join("etc/chrony.conf");
        let said = accepts("chrony", Command::new("/usr/sbin/chronyd").args(["-p", "-f"]).arg(&conf));
        let servers = said.lines().filter(|line| line.starts_with("server ")).count();
        assert!(servers >= 2, "{name}: {said}");
    }
}

#[test]
fn shellcheck_finds_nothing() {
    for (name, plan) in plans() {
        let root = root_of(&plan, 0);
        let all = plan.common.iter().chain(plan.nodes.values().next().unwrap().tree.iter());
        for (path, _) in all {
            let file = root.path().join(path.relative());
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            if text.starts_with("#!") {
                assert!(text.starts_with("#!/bin/sh\n"), "{name}: {path} is not for sh");
                accepts("shellcheck", Command::new("shellcheck").arg(&file));
            }
        }
    }
}
