//! Components and image archives of a few bytes, under the names that a cluster needs.

use std::path::Path;

use kiln::blob::Blob;
use kiln::format::oci::{Config, write};
use kiln::tree::{Entry, NodePath, Tree};

/// Folder by folder, what the catalogue wants for Kubernetes 1.20.
const COMPONENTS: [(&str, &[&str]); 5] = [
    (
        "kubernetes/1.20.2",
        &["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"],
    ),
    ("etcd/3.5.0", &["etcd", "etcdctl"]),
    ("containerd/1.6.20", &["containerd", "containerd-shim-runc-v2", "ctr"]),
    ("runc/1.1.5", &["runc"]),
    (
        "cni-plugins/1.1.1",
        &["bandwidth", "bridge", "firewall", "host-local", "loopback", "portmap", "tuning"],
    ),
];

/// Fills a components folder for Kubernetes 1.20.
pub fn components(dir: &Path) {
    let program = std::fs::read("/bin/true").unwrap();
    for (folder, names) in COMPONENTS {
        let folder = dir.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for name in names {
            std::fs::write(folder.join(name), [&program[..], name.as_bytes()].concat()).unwrap();
        }
    }
    put(&dir.join("images"), "1.20");
}

/// Fills a folder of image archives for Kubernetes of a minor: `1.20`.
fn put(folder: &Path, minor: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let sample = kiln::cluster::SAMPLE.replace("1.37.2", &format!("{minor}.2"));
    let cluster = kiln::cluster::parse(Path::new("cluster.toml"), &sample).unwrap().0;
    let assets = kiln::assets::Assets::new(None).unwrap();
    for (name, purpose) in kiln::fetch::Images::load(&assets).unwrap().wanted(&cluster) {
        let mut root = Tree::default();
        let program = Entry::file(0o755, Blob::bytes(name.as_str().as_bytes()), "test");
        root.insert(NodePath::new("/program").unwrap(), program).unwrap();
        let image = write(&name, &Config::default(), &root).unwrap();
        std::fs::write(folder.join(format!("{purpose}.tar")), image.to_vec(1 << 20).unwrap()).unwrap();
    }
}
