//! A master without systemd: the tree that `kiln build` would put on its medium, laid down in a folder, and its programs, started
//! by the words of their units in a network and mount namespace of the test's own. There they have the addresses of the inventory,
//! and nothing to reach but themselves.

mod client;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::types::Role;
use kiln::pki::Pki;
use kiln::plan::{Versions, plan};
use serde_json::Value;
use time::OffsetDateTime;

use crate::common;
use crate::common::lay::lay;

/// One master that holds the VIP, two workers and a pool.
fn cluster(kubernetes: &str) -> Cluster {
    let mut cluster = common::reference_cluster();
    cluster.kubernetes = kubernetes.parse().unwrap();
    let gone = ["k8s-master2", "k8s-master3", "k8s-lb1", "k8s-lb2"];
    cluster.nodes.retain(|name, _| !gone.contains(&name.as_str()));
    if cluster.worker_pools.is_empty() {
        common::add_pool(&mut cluster);
    }
    cluster
}

/// A process that ends with the test.
struct Running(&'static str, Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.1.kill();
        let _ = self.1.wait();
    }
}

pub struct Master {
    work: tempfile::TempDir,
    components: PathBuf,
    kubectl: PathBuf,
    cluster: Cluster,
    pki: Pki,
    namespace: Running,
    running: Mutex<Vec<Running>>,
}

impl Master {
    pub fn start(components: &Path, kubernetes: &str) -> Self {
        let work = tempfile::tempdir().unwrap();
        let cluster = cluster(kubernetes);
        let pki = Pki::open_or_create(&work.path().join("pki"), &cluster, OffsetDateTime::now_utc()).unwrap();
        let root = work.path().join("root");
        let node = cluster.nodes_of(Role::Master).next().unwrap();
        let plan = plan(&cluster, &Assets::new(None).unwrap(), Role::Master, &Versions::new()).unwrap();
        for tree in [&plan.common, &plan.nodes[&node.name].tree] {
            lay(tree, &root);
        }
        lay(&pki.role_tree(Role::Master).unwrap(), &root);
        lay(&pki.node_tree(&cluster, node).unwrap(), &root);
        programs(components, "kubernetes", &root.join("opt/kubernetes/bin"));
        programs(components, "etcd", &root.join("opt/etcd/bin"));
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        let kubectl = root.join("usr/bin/kubectl");
        std::os::unix::fs::symlink(root.join("opt/kubernetes/bin/kubectl"), &kubectl).unwrap();
        std::fs::create_dir_all(root.join("opt/kubernetes/logs")).unwrap();

        let mut sleep = Command::new("unshare");
        sleep.args(["--net", "--mount", "--propagation", "private", "--", "sleep", "infinity"]);
        let namespace = Running("namespace", sleep.spawn().expect("unshare of util-linux"));
        let master = Self {
            work,
            components: components.to_owned(),
            kubectl,
            cluster,
            pki,
            namespace,
            running: Mutex::default(),
        };
        master.furnish();
        master.unit("etcd", "etcd");
        master.unit("kube-apiserver", "kube-apiserver");
        master.unit("kube-controller-manager", "kube-controller-manager");
        master
    }

    /// The namespaces get the machine's addresses and folders.
    fn furnish(&self) {
        let namespaces = || {
            let own = |what: &str| std::fs::read_link(format!("/proc/self/ns/{what}")).unwrap();
            let pid = self.namespace.1.id();
            let theirs = |what: &str| std::fs::read_link(format!("/proc/{pid}/ns/{what}"));
            match (theirs("net"), theirs("mnt")) {
                (Ok(net), Ok(mnt)) if net != own("net") && mnt != own("mnt") => Ok(()),
                other => Err(format!("{other:?}: this test needs root")),
            }
        };
        self.until("namespaces of the test's own", Duration::from_secs(5), namespaces);
        let root = self.path("");
        let root = root.to_str().unwrap();
        let address = self.cluster.nodes_of(Role::Master).next().unwrap().address;
        self.inside(&["ip", "link", "set", "lo", "up"]);
        self.inside(&["ip", "address", "add", &format!("{address}/24"), "dev", "lo"]);
        self.inside(&["mount", "--bind", &format!("{root}/opt"), "/opt"]);
        self.inside(&["mount", "-t", "tmpfs", "tmpfs", "/var/lib"]);
        self.inside(&["mkdir", "-p", "/var/lib/etcd"]);
    }

    /// Starts what a unit starts, with the environment that it names. What formation decides on a node is decided here: one
    /// member, new.
    fn unit(&self, unit: &str, name: &'static str) {
        let text =
            std::fs::read_to_string(self.path(&format!("usr/lib/systemd/system/{unit}.service"))).unwrap();
        let of = |key: &str| -> Vec<String> {
            text.lines()
                .filter_map(|line| line.strip_prefix(key))
                .map(|file| file.trim_start_matches('-').to_owned())
                .collect()
        };
        let node = self.cluster.nodes_of(Role::Master).next().unwrap();
        let mut script = "set -ae\n".to_owned();
        for file in of("EnvironmentFile=").iter().filter(|file| file.starts_with("/opt/")) {
            script += &format!(". {file}\n");
        }
        script += &format!(
            "ETCD_INITIAL_CLUSTER={}=https://{}:2380\nETCD_INITIAL_CLUSTER_STATE=new\n",
            node.name, node.address
        );
        let [start] = of("ExecStart=").try_into().unwrap();
        self.spawn(name, &["sh", "-c", &format!("{script}exec {start}")]);
    }

    /// Minor version of its Kubernetes.
    pub fn minor(&self) -> u8 {
        self.cluster.kubernetes.minor
    }

    /// A path below the root of the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.work.path().join("root").join(path)
    }

    /// A folder for the test's own.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.work.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A command that runs inside.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.namespace.1.id().to_string(), "--wd=/", "--"]);
        command.args(words);
        command
    }

    /// Runs a command inside, which must succeed; what it wrote.
    pub fn inside(&self, words: &[&str]) -> String {
        self.run(&mut self.command(words))
    }

    /// Runs a command, which must succeed; what it wrote.
    pub fn run(&self, command: &mut Command) -> String {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Starts a program inside, which goes on.
    pub fn spawn(&self, name: &'static str, words: &[&str]) {
        let log = std::fs::File::create(self.log(name)).unwrap();
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.running.lock().unwrap().push(Running(name, command.spawn().unwrap()));
    }

    /// Logs outlive the test, so that a failure can be understood.
    fn log(&self, name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apiserver");
        let folder = folder.join(self.cluster.kubernetes.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{name}.log"))
    }

    /// Fails if any of the programs has ended.
    pub fn stays(&self) {
        for Running(name, child) in self.running.lock().unwrap().iter_mut() {
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.log(name)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                panic!("{name} ended: {status}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
            }
        }
    }

    /// Waits until something succeeds.
    pub fn until<E: std::fmt::Display>(
        &self,
        what: &str,
        limit: Duration,
        mut attempt: impl FnMut() -> Result<(), E>,
    ) {
        let started = Instant::now();
        loop {
            let error = match attempt() {
                Ok(()) => return,
                Err(error) => error,
            };
            self.stays();
            assert!(started.elapsed() < limit, "waited in vain for {what}: {error}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until something is the same twice in a row: controllers have done what follows.
    pub fn settled<T: PartialEq>(&self, mut look: impl FnMut() -> T) {
        let mut last = look();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_secs(3));
            let now = look();
            if now == last {
                return;
            }
            last = now;
        }
        panic!("it never comes to rest");
    }

    /// `kiln node COMMAND --once` on this machine.
    pub fn node(&self, command: &str) -> Result<(), String> {
        let root = self.path("");
        let words = [env!("CARGO_BIN_EXE_kiln"), "node", command, "--once", "--root", root.to_str().unwrap()];
        let output = self.command(&words).output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// A program out of a carried image.
    pub fn out_of_image(&self, image: &str, program: &str) -> PathBuf {
        let images = self.components.join("images");
        for entry in std::fs::read_dir(&images).unwrap() {
            let archive = entry.unwrap().path();
            if archive.extension().is_none_or(|end| end != "tar") {
                continue;
            }
            let listed = self.run(Command::new("tar").args(["xOf"]).arg(&archive).arg("manifest.json"));
            let manifest: Value = serde_json::from_str(&listed).unwrap();
            if manifest[0]["RepoTags"][0] != image {
                continue;
            }
            let folder = self.folder("image");
            self.run(Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(&folder));
            for layer in manifest[0]["Layers"].as_array().unwrap() {
                self.run(
                    Command::new("tar")
                        .arg("xf")
                        .arg(folder.join(layer.as_str().unwrap()))
                        .arg("-C")
                        .arg(&folder),
                );
            }
            return folder.join(program);
        }
        panic!("no archive in {} holds {image}", images.display());
    }
}

/// Links the programs of a component, whatever its version.
fn programs(components: &Path, component: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let version = std::fs::read_dir(components.join(component)).unwrap().next().unwrap().unwrap().path();
    for entry in std::fs::read_dir(version).unwrap() {
        let path = entry.unwrap().path();
        std::os::unix::fs::symlink(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
