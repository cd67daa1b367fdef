//! A site: servers that have all that the demo cluster needs, and a project beside them that has nothing.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln::digest::Sha256;

use crate::servers::{LOGIN, Servers};
use crate::{bases, images};

/// The program under test.
pub const KILN: &str = env!("CARGO_BIN_EXE_kiln");

/// Release files of Kubernetes 1.20.2 and what goes with it, by address without `https://`; and what is in them.
const RELEASES: [(&str, &str, &str); 4] = [
    (
        "github.com/etcd-io/etcd/releases/download/v3.4.27/etcd-v3.4.27-linux-amd64.tar.gz",
        "etcd/3.5.0",
        "etcd-v3.4.27-linux-amd64",
    ),
    (
        "github.com/containerd/containerd/releases/download/v1.7.32/containerd-static-1.7.32-linux-amd64.tar.gz",
        "containerd/1.6.20",
        "bin",
    ),
    (
        "github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz",
        "cni-plugins/1.1.1",
        ".",
    ),
    (
        "github.com/kubernetes-sigs/cri-tools/releases/download/v1.25.0/crictl-v1.25.0-linux-amd64.tar.gz",
        "cri-tools/1",
        ".",
    ),
];

/// Servers and a project.
pub struct Site {
    temp: tempfile::TempDir,
    pub servers: Servers,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub err: String,
}

impl Site {
    /// Everything is there, nothing is fetched.
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let servers = Servers::start(&made(&root.join("servers")));
        let components = root.join("components");
        images::components(&components);
        std::fs::create_dir_all(components.join("cri-tools/1")).unwrap();
        std::fs::copy("/bin/true", components.join("cri-tools/1/crictl")).unwrap();
        publish(&components, &servers.files);
        for archive in std::fs::read_dir(components.join("images")).unwrap() {
            let path = archive.unwrap().path();
            let name = image_name(&path);
            // A registry knows no host names: the host becomes the first part of the path.
            servers.push(&path, &name);
        }
        let project = made(&root.join("project"));
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/cluster.toml");
        let registries: Vec<String> = ["registry.k8s.io", "ghcr.io", "docker.io"]
            .map(|name| format!("\"{name}\" = \"https://{}/{name}\"", servers.registry))
            .to_vec();
        let rules = format!(
            "mirror = \"{}\"\nca = \"{}\"\nregistries = {{ {} }}",
            servers.mirror,
            servers.ca.display(),
            registries.join(", ")
        );
        let text = std::fs::read_to_string(demo).unwrap().replace("dir = \"components\"", &rules);
        std::fs::write(project.join("cluster.toml"), text).unwrap();
        std::fs::copy(bases::base("el9"), project.join("base.iso")).unwrap();
        let site = Self { temp, servers };
        site.log_in();
        site
    }

    fn log_in(&self) {
        let encoded = Command::new("base64").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut encoded.stdin.as_ref().unwrap(), LOGIN.as_bytes()).unwrap();
        let encoded = String::from_utf8(encoded.wait_with_output().unwrap().stdout).unwrap();
        let text =
            format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{}\"}}}}}}", self.servers.registry, encoded.trim());
        std::fs::write(self.beside("auth.json"), text).unwrap();
    }

    /// A path beside the project.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// The project's folder.
    pub fn project(&self) -> PathBuf {
        self.beside("project")
    }

    /// The cache's folder.
    pub fn cache(&self) -> PathBuf {
        self.beside("cache")
    }

    /// The program, to be run in the project's folder.
    pub fn kiln(&self, args: &[&str]) -> Command {
        let mut kiln = Command::new(KILN);
        kiln.args(args).current_dir(self.project()).env("KILN_CACHE", self.cache());
        kiln.env("REGISTRY_AUTH_FILE", self.beside("auth.json"))
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy");
        kiln.env_remove("ALL_PROXY").env_remove("all_proxy").stdout(Stdio::null()).stderr(Stdio::piped());
        kiln
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        let mut child = self.kiln(args).spawn().unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Run { code: child.wait().unwrap().code(), err }
    }

    /// Runs it; it must succeed.
    pub fn pass(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, Some(0), "{args:?}: {}", run.err);
        run.err
    }

    /// Runs it; it must fail with a code and these words.
    pub fn fail(&self, args: &[&str], code: i32, words: &[&str]) {
        let run = self.run(args);
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.err);
        words.iter().for_each(|word| assert!(run.err.contains(word), "{word}: {}", run.err));
    }

    /// The lock's text.
    pub fn lock(&self) -> String {
        std::fs::read_to_string(self.project().join("kiln.lock")).unwrap()
    }

    /// All files of the cache have the names that belong to their content; how many there are.
    pub fn check_cache(&self) -> usize {
        let mut count = 0;
        for (path, digest) in stored(&self.cache()) {
            let found = Sha256::of(&std::fs::read(&path).unwrap()).to_string();
            assert_eq!(found, digest, "{}", path.display());
            count += 1;
        }
        count
    }
}

/// The files of a cache: path and name.
pub fn stored(cache: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for shard in std::fs::read_dir(cache.join("blobs")).into_iter().flatten() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let file = file.unwrap();
            all.insert(file.path(), file.file_name().to_string_lossy().into_owned());
        }
    }
    all
}

fn made(dir: &Path) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    dir.to_owned()
}

/// Release files as publishers have them, with their digests, made by tar, gzip and sha256sum.
fn publish(components: &Path, files: &Path) {
    for (address, from, prefix) in RELEASES {
        let path = files.join(address);
        let folder = made(path.parent().unwrap());
        let transform = format!("s,^\\.,{prefix},");
        bases::run(
            Command::new("tar")
                .arg("czf")
                .arg(&path)
                .args(["--transform", &transform, "-C"])
                .arg(components.join(from))
                .arg("."),
        );
        let name = path.file_name().unwrap().to_str().unwrap();
        let sums = match () {
            () if name.starts_with("etcd") => "SHA256SUMS".to_owned(),
            () if name.starts_with("containerd") => format!("{name}.sha256sum"),
            () => format!("{name}.sha256"),
        };
        write_sums(&folder, name, &sums);
    }
    let runc = made(&files.join("github.com/opencontainers/runc/releases/download/v1.1.15"));
    std::fs::copy(components.join("runc/1.1.5/runc"), runc.join("runc.amd64")).unwrap();
    write_sums(&runc, "runc.amd64", "runc.sha256sum");
    let kubernetes = made(&files.join("dl.k8s.io/release/v1.20.2/bin/linux/amd64"));
    for file in std::fs::read_dir(components.join("kubernetes/1.20.2")).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().to_string_lossy().into_owned();
        std::fs::copy(file.path(), kubernetes.join(&name)).unwrap();
        write_sums(&kubernetes, &name, &format!("{name}.sha256"));
    }
}

fn write_sums(folder: &Path, name: &str, sums: &str) {
    let text = bases::run(Command::new("sha256sum").arg(name).current_dir(folder));
    // dl.k8s.io gives the digest alone.
    let text = if folder.ends_with("amd64") { text[..64].to_owned() } else { text };
    std::fs::write(folder.join(sums), text).unwrap();
}

/// The name in an archive of one image.
fn image_name(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap();
    let found = kiln::format::oci::read::open(&file).unwrap();
    let names = found.names(kiln::format::oci::read::Loader::Docker);
    names.into_iter().next().unwrap().to_string()
}
