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
use crate::image::MediumFile;
use crate::image::label::VolumeLabel;
use crate::payload::manifest::Spread;
use crate::payload::seed::{self, SeedInput, Trees};
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
        spread: Default::default(),
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

/// A medium without secrets as a folder, and its seed as the bytes of a volume.
pub(crate) struct Pair {
    pub(crate) media: tempfile::TempDir,
    pub(crate) seed: Vec<u8>,
}

/// A role's trees as a PKI and a plan make them: `salt` is in all that is secret, and in nothing else.
pub(crate) fn trees(cluster: &Cluster, role: Role, salt: &str) -> Trees {
    let pki = |path: &str, text: String, mode: u16| {
        let mut tree = Tree::default();
        let entry = Entry::file(mode, Blob::bytes(text.into_bytes()), crate::pki::ORIGIN);
        tree.insert(NodePath::new(path).unwrap(), entry).unwrap();
        tree
    };
    let own =
        |name: &HostName| pki("/opt/kubernetes/ssl/own-key.pem", format!("key of {name}: {salt}\n"), 0o600);
    let mut trees = Trees { common: tree_of("/etc/kiln-test", "common\n"), ..Trees::default() };
    trees.common.merge(pki("/opt/kubernetes/ssl/ca.pem", format!("authority: {salt}\n"), 0o644)).unwrap();
    for node in cluster.nodes_of(role) {
        let mut tree = tree_of("/etc/kiln-own", &format!("{}\n", node.name));
        tree.merge(own(&node.name)).unwrap();
        trees.nodes.insert(node.name.clone(), tree);
    }
    for name in cluster.worker_pools.keys().filter(|_| role == Role::Worker) {
        trees.pools.insert(name.clone(), own(name));
    }
    trees
}

/// The files of a medium without secrets, and of its seed.
pub(crate) fn halves(
    cluster: &Cluster,
    role: Role,
    authority: &str,
    salt: &str,
    kiln: &Path,
) -> (Payload, Vec<MediumFile>) {
    let authority = Sha256::of(authority.as_bytes());
    let (open, closed) = seed::split(trees(cluster, role, salt), &[]).unwrap();
    let payload = assemble(PayloadInput {
        cluster,
        role,
        kiln,
        boot: &|label: &VolumeLabel| Ok(vec![(crate::payload::KICKSTART, format!("# {label}\n"))]),
        common: &open.common,
        nodes: &open.nodes,
        authority,
        spread: Spread::Split,
        reinstall: None,
        kernel_args: &[],
        base: Sha256::of(b"base"),
        pools: &open.pools,
        extra: Vec::new(),
    });
    let payload = payload.unwrap();
    let seed = seed::assemble(&SeedInput {
        payload: &payload,
        cluster: &cluster.name,
        role,
        authority,
        reinstall: None,
        closed: &closed,
        root_password: cluster.access.root_password_hash.as_ref(),
    });
    (payload, seed.unwrap())
}

/// A medium without secrets, and its seed.
pub(crate) fn pair(cluster: &Cluster, role: Role, authority: &str, salt: &str) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let kiln = dir.path().join("program");
    std::fs::write(&kiln, stub_elf()).unwrap();
    let (payload, seed) = halves(cluster, role, authority, salt, &kiln);
    let media = tempfile::tempdir().unwrap();
    crate::image::dir::write(payload.files, media.path()).unwrap();
    Pair { media, seed: volume(seed) }
}

/// The bytes of a seed.
pub(crate) fn volume(files: Vec<MediumFile>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed");
    crate::image::seed::stage(&path, crate::image::volume::OEMDRV, files, &crate::progress::Silent)
        .unwrap()
        .publish(&path)
        .unwrap();
    std::fs::read(path).unwrap()
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

    /// A system whose `/` is the first partition of `vda`, which begins at that sector, and has an MBR with a signature.
    pub(crate) fn system(&self, start: u64) -> &Self {
        self.disk("vda", 0, 16)
            .put("proc/self/mountinfo", "1 0 252:1 / / rw - xfs x rw\n2 1 252:2 / /boot rw - xfs x rw\n")
            .put("sys/block/vda/vda1/partition", "1\n")
            .put("sys/block/vda/vda1/start", &format!("{start}\n"))
            .put("sys/block/vda/vda1/size", "4096\n")
            .put("sys/dev/block/x", "");
        let (part, link) = (self.root().join("sys/block/vda/vda1"), self.root().join("sys/dev/block/252:1"));
        std::os::unix::fs::symlink(part, link).unwrap();
        let mut sector = [0; 512];
        sector[440..444].copy_from_slice(&[1, 2, 3, 4]);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        self.on_disk("vda", &sector)
    }

    /// What lies on a disk.
    pub(crate) fn on_disk(&self, name: &str, bytes: &[u8]) -> &Self {
        let device =
            std::fs::OpenOptions::new().write(true).open(self.root().join("dev").join(name)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&device, bytes, 0).unwrap();
        self
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
