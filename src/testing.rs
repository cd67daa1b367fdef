//! What unit tests of several modules share: the reference cluster as a value, and a program that counts as static.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::blob::Blob;
use crate::cluster::Cluster;
use crate::cluster::model::{
    Access, Base, Components, Identity, Network, Node, ProxyMode, Runtime, WorkerPool,
};
use crate::cluster::storage::{DiskRule, Pick, Storage};
use crate::cluster::types::{HostName, Role};
use crate::digest::Sha256;
use crate::error::Result;
use crate::image::label::VolumeLabel;
use crate::payload::{Extra, Payload, PayloadInput, assemble};
use crate::tree::{Entry, NodePath, Tree};

/// A key that parses.
pub(crate) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops";

/// Masters .71 .74 .75, workers .72 .73, load balancers .81 .82, VIP .88, and a pool.
pub(crate) fn cluster() -> Cluster {
    let node = |name: &str, role, last: u8| {
        let name: HostName = name.parse().unwrap();
        let identity =
            Identity { mac: Some(format!("52:54:00:00:31:{last}").parse().unwrap()), ..Default::default() };
        let disk = DiskRule { min_size: Some(20 << 30), pick: Pick::Smallest, ..Default::default() };
        let storage = Storage { disk, ..Default::default() };
        let address = [192, 168, 31, last].into();
        (
            name.clone(),
            Node {
                name,
                role,
                address,
                attachment: Default::default(),
                identity,
                storage,
                etcd: role == Role::Master,
                labels: BTreeMap::new(),
            },
        )
    };
    let pool: HostName = "pool-a".parse().unwrap();
    let pools =
        [(pool.clone(), WorkerPool { name: pool, storage: Storage::default(), labels: BTreeMap::new() })];
    Cluster {
        name: "prod".parse().unwrap(),
        kubernetes: "1.37.2".parse().unwrap(),
        runtime: Runtime::Containerd,
        proxy_mode: ProxyMode::Nftables,
        pod_network: Default::default(),
        domain: "cluster.local".parse().unwrap(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        vip: [192, 168, 31, 88].into(),
        base: Base { release: "centos-stream-9".parse().unwrap(), iso: None, image: None, rpms: vec![] },
        access: Access { ssh_keys: vec![SSH_KEY.parse().unwrap()], root_password_hash: None },
        network: Network {
            subnet: "192.168.31.0/24".parse().unwrap(),
            gateway: Some([192, 168, 31, 1].into()),
            mtu: None,
            dns: vec![],
            ntp: vec!["192.168.31.1".into()],
        },
        components: Components::default(),
        etcd_form: Default::default(),
        preflight: Default::default(),
        serial: None,
        nodes: [
            node("k8s-master1", Role::Master, 71),
            node("k8s-master2", Role::Master, 74),
            node("k8s-master3", Role::Master, 75),
            node("k8s-worker1", Role::Worker, 72),
            node("k8s-worker2", Role::Worker, 73),
            node("k8s-lb1", Role::Lb, 81),
            node("k8s-lb2", Role::Lb, 82),
        ]
        .into(),
        worker_pools: pools.into(),
    }
}

/// A tree of one file.
pub(crate) fn tree_of(path: &str, content: &str) -> Tree {
    let mut tree = Tree::default();
    let entry = Entry::file(0o644, Blob::bytes(content.as_bytes()), format!("test {path}"));
    tree.insert(NodePath::new(path).unwrap(), entry).unwrap();
    tree
}

/// The running test: linked statically, as kiln is.
pub(crate) fn static_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Trees for every node of a role: a file with the node's name, as a secret would be.
pub(crate) fn node_trees(cluster: &Cluster, role: Role) -> BTreeMap<HostName, Tree> {
    let tree = |name: &HostName| tree_of("/opt/kubernetes/ssl/node.pem", &format!("key of {name}\n"));
    cluster.nodes_of(role).map(|node| (node.name.clone(), tree(&node.name))).collect()
}

/// A payload of a role with little in it.
pub(crate) fn payload(cluster: &Cluster, role: Role, kiln: &Path) -> Result<Payload> {
    let nodes = node_trees(cluster, role);
    let mut common = tree_of("/etc/kiln-test", "common\n");
    common.merge(tree_of("/opt/kiln/motd", "hello\n")).unwrap();
    let member = |name: &HostName| tree_of("/opt/kubernetes/ssl/pool.pem", &format!("key of {name}\n"));
    let members = cluster.worker_pools.keys().filter(|_| role == Role::Worker);
    let pools = members.map(|name| (name.clone(), member(name))).collect();
    assemble(PayloadInput {
        cluster,
        role,
        kiln,
        boot: &|label: &VolumeLabel| Ok(vec![(crate::payload::KICKSTART, format!("# {label}\n"))]),
        common: &common,
        nodes: &nodes,
        authority: Sha256::of(b"authority"),
        reinstall: None,
        kernel_args: &["quiet".to_owned()],
        base: Sha256::of(b"base"),
        pools: &pools,
        extra: image(role).into_iter().collect(),
    })
}

/// An image archive for workers.
fn image(role: Role) -> Option<Extra> {
    let content = Blob::bytes(*b"image of pause\n");
    let path = crate::payload::image_path("pause.tar");
    (role == Role::Worker).then(|| Extra { origin: "image pause".to_owned(), path, mode: 0o644, content })
}

/// The medium of a role as a folder, with a short program in place of kiln.
pub(crate) fn medium(cluster: &Cluster, role: Role) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let kiln = dir.path().join("program");
    std::fs::write(&kiln, stub_elf()).unwrap();
    let payload = payload(cluster, role, &kiln).unwrap();
    let media = tempfile::tempdir().unwrap();
    crate::image::dir::write(payload.files, media.path()).unwrap();
    media
}

/// The least file that counts as a static program: a header and one segment.
pub(crate) fn stub_elf() -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (bytes[16], bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (2, 62, 64, 56, 1, 1);
    bytes
}

/// A folder that looks like the root of a machine to `kiln node`.
pub(crate) struct Fake(tempfile::TempDir);

impl Fake {
    pub(crate) fn new() -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        fake.put("proc/self/mountinfo", "");
        fake
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, content: &str) -> &Self {
        let at = self.root().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
        self
    }

    /// A network interface; the loopback has no device behind it.
    pub(crate) fn nic(&self, name: &str, mac: &str, link: bool) -> &Self {
        let dir = format!("sys/class/net/{name}");
        if name != "lo" {
            std::fs::create_dir_all(self.root().join(&dir).join("device")).unwrap();
        }
        self.put(&format!("{dir}/address"), mac)
            .put(&format!("{dir}/carrier"), if link { "1\n" } else { "0\n" })
    }

    /// A disk of so many GiB, with device number 8:`minor` and a device file that is empty but for its length.
    pub(crate) fn disk(&self, name: &str, minor: u8, gib: u64) -> &Self {
        let dir = format!("sys/block/{name}");
        self.put(&format!("{dir}/size"), &(gib << 21).to_string())
            .put(&format!("{dir}/dev"), &format!("8:{minor}\n"))
            .put(&format!("{dir}/removable"), "0\n")
            .put(&format!("{dir}/ro"), "0\n")
            .put(&format!("{dir}/device/model"), "QEMU HARDDISK   \n")
            .put(&format!("dev/{name}"), "");
        let device =
            std::fs::OpenOptions::new().write(true).open(self.root().join("dev").join(name)).unwrap();
        device.set_len(2 << 20).unwrap();
        self
    }
}
