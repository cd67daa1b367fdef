//! A few nodes of one cluster, each in a network namespace of its own on one bridge, with nothing but its agent and its etcd.
//!
//! A node has the files that its medium would bring, in a folder; only the paths of `/opt` and `/var` in etcd's file are those
//! below that folder, and a shell loop stands for systemd: `kiln node form`, then etcd, again and again.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::types::HostName;
use kiln::pki::Pki;
use kiln::plan::{Versions, plan};
use serde_json::Value;

use crate::common::lay::lay;

const KILN: &str = env!("CARGO_BIN_EXE_kiln");
/// Longest that anything may take; a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// A process group that ends with its owner.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Self {
        command.process_group(0).stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.0.id());
        let sent = Command::new("kill").args(["-s", signal, "--", &group]).stderr(Stdio::null()).status();
        assert!(sent.is_ok(), "kill cannot be run");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.0.wait();
    }
}

/// All nodes, and what connects them.
pub struct Site {
    pub cluster: Cluster,
    pki: Pki,
    dir: tempfile::TempDir,
    hub: Group,
    grace: u64,
}

/// One machine: switched on while `running` is filled.
pub struct Machine {
    pub name: HostName,
    pub address: Ipv4Addr,
    pub root: PathBuf,
    space: Group,
    running: Vec<Group>,
}

/// Runs a program in the network of a process.
fn inside(of: &Group) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &of.0.id().to_string(), "-n"]);
    if !is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Runs a program that must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make setup`"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that holds a network namespace open: it has entered it once it has spoken.
fn holder(command: &mut Command) -> Group {
    command.args(["sh", "-c", "echo; exec sleep 100000"]).stdout(Stdio::piped());
    let mut group = Group::spawn(command);
    let mut line = [0];
    let mut out = group.0.stdout.take().unwrap();
    assert_eq!(out.read(&mut line).unwrap(), 1, "network namespaces cannot be made here");
    group
}

impl Site {
    /// A site of the reference cluster. `grace` is how long a majority waits, in seconds.
    pub fn new(change: impl FnOnce(&mut Cluster), grace: u64) -> Self {
        let mut cluster = crate::common::reference_cluster();
        change(&mut cluster);
        let dir = tempfile::tempdir().unwrap();
        let now = time::OffsetDateTime::now_utc();
        let pki = Pki::open_or_create(&dir.path().join("pki"), &cluster, now).unwrap();
        let mut unshare = Command::new("unshare");
        unshare.arg(if is_root() { "-n" } else { "-rn" });
        let hub = holder(&mut unshare);
        for words in [&["link", "add", "br0", "type", "bridge"][..], &["link", "set", "br0", "up"]] {
            run(inside(&hub).arg("ip").args(words));
        }
        Self { cluster, pki, dir, hub, grace }
    }

    /// A machine, switched off, with an empty disk.
    pub fn machine(&self, name: &str) -> Machine {
        let node = &self.cluster.nodes[&name.parse::<HostName>().unwrap()];
        let space = holder(inside(&self.hub).args(["unshare", "-n"]));
        let (pid, port) = (space.0.id().to_string(), format!("to-{}", node.address.octets()[3]));
        let ip = |words: &[&str]| run(inside(&self.hub).arg("ip").args(words));
        ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        ip(&["link", "set", &port, "master", "br0", "up"]);
        let address = format!("{}/24", node.address);
        for words in [
            &["address", "add", &address, "dev", "eth0"][..],
            &["link", "set", "eth0", "up"],
            &["link", "set", "lo", "up"],
        ] {
            run(inside(&space).arg("ip").args(words));
        }
        let root = self.dir.path().join(name);
        let machine =
            Machine { name: node.name.clone(), address: node.address, root, space, running: Vec::new() };
        self.install(&machine);
        machine
    }

    /// Puts an empty disk into a machine, with what its medium brings.
    pub fn install(&self, machine: &Machine) {
        assert!(machine.running.is_empty(), "a machine is switched off before its disk is swapped");
        let _ = std::fs::remove_dir_all(&machine.root);
        let node = &self.cluster.nodes[&machine.name];
        let versions = Versions::from([("containerd".to_owned(), "1.7.28".to_owned())]);
        let plan = plan(&self.cluster, &Assets::new(None).unwrap(), node.role, &versions).unwrap();
        let own = &plan.nodes[&node.name];
        for tree in [
            &plan.common,
            &own.tree,
            &self.pki.role_tree(node.role).unwrap(),
            &self.pki.node_tree(&self.cluster, node).unwrap(),
        ] {
            lay(tree, &machine.root);
        }
        if node.etcd {
            let (root, file) = (machine.root.display(), machine.root.join("opt/etcd/cfg/etcd.conf"));
            let text = std::fs::read_to_string(&file).unwrap();
            let text =
                text.replace("\"/opt", &format!("\"{root}/opt")).replace("\"/var", &format!("\"{root}/var"));
            std::fs::write(file, text).unwrap();
            let ctl = run(Command::new("which").arg("etcdctl"));
            std::os::unix::fs::symlink(ctl.trim(), machine.root.join("opt/etcd/bin/etcdctl")).unwrap();
        }
    }

    /// Switches a machine on.
    pub fn on(&self, machine: &mut Machine) {
        let log = |name: &str| {
            let path = self.dir.path().join(format!("{}-{name}.log", machine.name));
            std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap()
        };
        let root = machine.root.clone();
        let agent = Group::spawn(
            inside(&machine.space)
                .arg(KILN)
                .args(["node", "agent", "--root"])
                .arg(&root)
                .stdout(log("agent"))
                .stderr(log("agent")),
        );
        machine.running.push(agent);
        if self.cluster.nodes[&machine.name].etcd {
            let unit = "while :; do \"$0\" node form --root \"$1\" --grace \"$2\" && (
                    set -a; . \"$1/opt/etcd/cfg/etcd.conf\"; . \"$1/run/kiln/etcd.env\"; exec etcd
                ); sleep 1; done";
            let etcd = Group::spawn(
                inside(&machine.space)
                    .args(["sh", "-c", unit, KILN])
                    .arg(&root)
                    .arg(self.grace.to_string())
                    .stdout(log("etcd"))
                    .stderr(log("etcd")),
            );
            machine.running.push(etcd);
        }
    }

    /// What a machine's processes said, for a test that fails.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        let mut paths: Vec<_> =
            std::fs::read_dir(self.dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "log")) {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(25)..];
            all += &format!("--- {}\n{}\n", path.file_name().unwrap().to_string_lossy(), last.join("\n"));
        }
        all
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, mut is: impl FnMut() -> bool) -> Duration {
        let start = Instant::now();
        while !is() {
            assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
        start.elapsed()
    }
}

impl Machine {
    /// Cuts the power.
    pub fn off(&mut self) {
        self.running.clear();
        let _ = std::fs::remove_dir_all(self.root.join("run"));
    }

    /// Stops or resumes all of its processes, as a hypervisor does.
    pub fn pause(&self, paused: bool) {
        self.running.iter().for_each(|group| group.signal(if paused { "STOP" } else { "CONT" }));
    }

    /// Runs a program in the machine's network.
    pub fn run(&self, program: &Path, words: &[&str]) -> (bool, String) {
        let output = inside(&self.space).arg(program).args(words).stdin(Stdio::null()).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    /// Starts etcd by its file alone, as someone would who does not know of `kiln node form`.
    pub fn etcd_alone(&self) -> (bool, String) {
        let script =
            format!("set -a; . {}/opt/etcd/cfg/etcd.conf; exec timeout 10 etcd", self.root.display());
        self.run(Path::new("sh"), &["-c", &script])
    }

    /// `kiln node …`.
    pub fn kiln(&self, words: &[&str]) -> (bool, String) {
        let root = self.root.to_str().unwrap();
        self.run(Path::new(KILN), &[&["node"], words, &["--root", root]].concat())
    }

    /// `etcdctl` against this machine's own etcd.
    pub fn etcdctl(&self, words: &[&str]) -> (bool, String) {
        let ssl = |name: &str| self.root.join("opt/etcd/ssl").join(name).display().to_string();
        let endpoint = format!("https://{}:2379", self.address);
        let (ca, cert, key) = (ssl("ca.pem"), ssl("server.pem"), ssl("server-key.pem"));
        let how = [
            "--endpoints",
            &endpoint,
            "--cacert",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            "--command-timeout=3s",
        ];
        self.run(Path::new("etcdctl"), &[&how[..], words].concat())
    }

    /// Names of etcd's voting members, as this machine's etcd has them; none without a quorum.
    pub fn voters(&self) -> Vec<String> {
        let (done, text) = self.etcdctl(&["member", "list", "-w", "json"]);
        let list: Value = if done { serde_json::from_str(&text).unwrap_or_default() } else { Value::Null };
        let members = list["members"].as_array().cloned().unwrap_or_default();
        let voting = members.iter().filter(|member| member["isLearner"] != true);
        let mut names: Vec<String> =
            voting.filter_map(|member| member["name"].as_str().map(str::to_owned)).collect();
        names.sort();
        names
    }

    /// What it says of formation.
    pub fn says(&self) -> String {
        let text =
            std::fs::read_to_string(self.root.join("run/kiln/status.d/formation.json")).unwrap_or_default();
        let topic: Value = serde_json::from_str(&text).unwrap_or_default();
        topic["text"].as_str().unwrap_or_default().to_owned()
    }

    /// etcd's id of the cluster.
    pub fn cluster_id(&self) -> Option<String> {
        let (done, text) = self.etcdctl(&["endpoint", "status", "-w", "json"]);
        let status: Value = if done { serde_json::from_str(&text).ok()? } else { return None };
        Some(status[0]["Status"]["header"]["cluster_id"].to_string())
    }
}
