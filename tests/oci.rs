//! Images that kiln writes, taken by programs that kiln's authors did not write: skopeo, umoci and containerd; and archives
//! that those write, read by kiln.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use kiln::format::oci::Reference;
use kiln::format::oci::read::{self, Loader};
use kiln::progress::Silent;

const NAME: &str = "registry.k8s.io/coredns/coredns:v1.14.6";

fn output(program: &str, args: &[&str]) -> Output {
    let out = Command::new(program).args(args).output();
    out.unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"))
}

fn run(program: &str, args: &[&str]) -> String {
    let out = output(program, args);
    assert!(out.status.success(), "{program} {args:?}\n{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A folder with an image of a script, a folder and a link.
fn image() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::write(root.join("bin/program"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("program", root.join("bin/sh")).unwrap();
    let (root, out) = (root.to_str().unwrap(), dir.path().join("image.tar"));
    let file = format!("{}=/etc/made:0640", Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE").display());
    run(
        env!("CARGO_BIN_EXE_kiln"),
        &[
            "image",
            "create",
            "--name",
            NAME,
            "--tree",
            root,
            "--file",
            &file,
            "--dir",
            "/tmp",
            "--entrypoint",
            "/bin/program",
            "--entrypoint",
            "--flag",
            "--cmd",
            "word",
            "--env",
            "A=b=c",
            "--label",
            "made.by=kiln",
            "--user",
            "65534:65534",
            "--workdir",
            "/tmp",
            "--output",
            out.to_str().unwrap(),
        ],
    );
    dir
}

fn names(path: &Path, loader: Loader) -> Vec<String> {
    let file = std::fs::File::open(path).unwrap();
    let archive = read::open(&file).unwrap();
    archive.verify(&file, &Silent).unwrap();
    assert_eq!(archive.fault(loader), None, "{}", path.display());
    archive.names(loader).iter().map(ToString::to_string).collect()
}

#[test]
fn skopeo_takes_both_forms_and_gives_them_back() {
    let dir = image();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for transport in ["oci-archive", "docker-archive"] {
        let from = format!("{transport}:{}", at("image.tar"));
        let config: serde_json::Value =
            serde_json::from_str(&run("skopeo", &["inspect", "--config", &from])).unwrap();
        assert_eq!(config["architecture"], "amd64");
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/program", "--flag"]));
        assert_eq!(config["config"]["Cmd"], serde_json::json!(["word"]));
        assert_eq!(config["config"]["Env"], serde_json::json!(["A=b=c"]));
        assert_eq!(config["config"]["User"], "65534:65534");
        assert_eq!(config["config"]["WorkingDir"], "/tmp");
        assert_eq!(config["config"]["Labels"]["made.by"], "kiln");
    }
    // Copying reads and verifies every blob, and the archive that comes out is of another maker.
    let from = format!("oci-archive:{}", at("image.tar"));
    run("skopeo", &["copy", "--quiet", &from, &format!("docker-archive:{}:{NAME}", at("docker.tar"))]);
    for loader in [Loader::Docker, Loader::Containerd] {
        assert_eq!(names(&dir.path().join("docker.tar"), loader), [NAME]);
    }
    let from = format!("docker-archive:{}", at("docker.tar"));
    run("skopeo", &["copy", "--quiet", &from, &format!("oci-archive:{}:{NAME}", at("oci.tar"))]);
    assert_eq!(names(&dir.path().join("oci.tar"), Loader::Containerd), [NAME]);
}

#[test]
fn umoci_unpacks_the_layer() {
    let dir = image();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(at("layout")).unwrap();
    run("tar", &["-C", &at("layout"), "-xf", &at("image.tar")]);
    let image = format!("{}:v1.14.6", at("layout"));
    run("umoci", &["unpack", "--rootless", "--image", &image, &at("bundle")]);
    let root = dir.path().join("bundle/rootfs");
    assert_eq!(std::fs::read_link(root.join("bin/sh")).unwrap(), Path::new("program"));
    assert!(std::fs::read_to_string(root.join("etc/made")).unwrap().contains("Apache License"));
    assert!(root.join("tmp").is_dir());
}

/// containerd in a folder of its own, ended when dropped.
struct Containerd {
    child: Child,
    dir: tempfile::TempDir,
}

impl Containerd {
    fn start() -> Self {
        // Short: the path of a socket has at most 107 bytes.
        let dir = tempfile::Builder::new().prefix("kc").tempdir_in("/tmp").unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{}\"\n",
            at("root"),
            at("state"),
            at("socket")
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        // Its own root, where the tester is not: it wants to own its folders.
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "env", "--default-signal=INT,TERM", "containerd", "-c"]);
        let child =
            command.arg(at("config.toml")).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let containerd = Self { child, dir };
        let end = Instant::now() + Duration::from_secs(30);
        while !output("ctr", &["-a", &containerd.at("socket"), "version"]).status.success() {
            let log = || std::fs::read_to_string(containerd.at("log")).unwrap();
            assert!(Instant::now() < end, "containerd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        containerd
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn ctr(&self, args: &[&str]) -> String {
        let socket = self.at("socket");
        run("ctr", &[&["-a", &*socket, "-n", "k8s.io"], args].concat())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

#[test]
fn containerd_imports_and_exports() {
    let (dir, containerd) = (image(), Containerd::start());
    let archive = dir.path().join("image.tar");
    containerd.ctr(&["images", "import", "--no-unpack", archive.to_str().unwrap()]);
    assert_eq!(containerd.ctr(&["images", "ls", "-q"]).trim(), NAME);
    let check = containerd.ctr(&["images", "check"]);
    assert!(check.contains("complete (2/2)"), "{check}");
    let exported = dir.path().join("exported.tar");
    containerd.ctr(&["images", "export", exported.to_str().unwrap(), NAME]);
    for loader in [Loader::Docker, Loader::Containerd] {
        assert_eq!(names(&exported, loader), [NAME]);
    }
}

/// A node's root with the archive that lies in `dir`, to be loaded.
fn node_with(dir: &Path, runtime: &str) -> PathBuf {
    let root = dir.join("node");
    for folder in ["opt/kiln", "var/lib/kiln/images"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::copy(dir.join("image.tar"), root.join("var/lib/kiln/images/coredns.tar")).unwrap();
    let sha256 = kiln::digest::Sha256::of(&std::fs::read(dir.join("image.tar")).unwrap());
    let listed = serde_json::json!({"coredns.tar": {"sha256": sha256, "names": [NAME]}});
    let list = serde_json::json!({"format": 1, "runtime": runtime, "images": listed});
    std::fs::write(root.join("opt/kiln/images.json"), list.to_string()).unwrap();
    root
}

#[test]
fn a_node_loads_its_images_once() {
    let (dir, containerd) = (image(), Containerd::start());
    let root = node_with(dir.path(), "containerd");
    let sha256 = kiln::digest::Sha256::of(&std::fs::read(dir.path().join("image.tar")).unwrap());
    let (root_arg, socket) = (root.display().to_string(), containerd.at("socket"));
    let load = || {
        run(
            env!("CARGO_BIN_EXE_kiln"),
            &["node", "images", "--once", "--root", &root_arg, "--socket", &socket],
        )
    };
    let note = root.join("var/lib/kiln/images-loaded").join(sha256.to_string());
    let told = run(
        env!("CARGO_BIN_EXE_kiln"),
        &["inspect", "--check", dir.path().join("image.tar").to_str().unwrap()],
    );
    assert!(
        told.contains(NAME) && told.contains("linux/amd64, 1 layers") && told.contains("docker     loads it"),
        "{told}"
    );
    load();
    assert!(containerd.ctr(&["images", "ls"]).contains("io.cri-containerd.pinned=pinned"));
    let status = std::fs::read_to_string(root.join("run/kiln/status.d/images.json")).unwrap();
    assert!(status.contains("\"state\":\"ok\"") && status.contains("1 images are there"), "{status}");
    let first = std::fs::metadata(&note).unwrap().modified().unwrap();
    load();
    assert_eq!(std::fs::metadata(&note).unwrap().modified().unwrap(), first, "it was loaded again");
    containerd.ctr(&["images", "rm", NAME]);
    load();
    assert_eq!(containerd.ctr(&["images", "ls", "-q"]).trim(), NAME);
    assert_ne!(std::fs::metadata(&note).unwrap().modified().unwrap(), first, "it was not loaded again");
}

/// A dockerd of its own, with the configuration that nodes get; only the driver of layers is one that needs no kernel's help.
struct Docker {
    child: Child,
    dir: tempfile::TempDir,
}

impl Docker {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("kd").tempdir_in("/tmp").unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let node = include_str!("../overlays/docker/etc/docker/daemon.json");
        let mut config: serde_json::Value = serde_json::from_str(node).unwrap();
        config["storage-driver"] = "vfs".into();
        config["group"] = "root".into();
        config["data-root"] = at("root").into();
        config["exec-root"] = at("run").into();
        config["pidfile"] = at("pid").into();
        config["hosts"] = vec![format!("unix://{}", at("socket"))].into();
        std::fs::write(at("daemon.json"), config.to_string()).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "--net", "env", "--default-signal=INT,TERM", "dockerd"]);
        command.arg("--config-file").arg(at("daemon.json"));
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let docker = Self { child, dir };
        let end = Instant::now() + Duration::from_secs(90);
        while !docker.docker(&["version"]).status.success() {
            let log = || std::fs::read_to_string(docker.dir.path().join("log")).unwrap();
            assert!(Instant::now() < end, "dockerd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        docker
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    fn docker(&self, args: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(args);
        command.output().unwrap_or_else(|error| panic!("docker: {error}: run `make setup`"))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

#[test]
fn docker_takes_the_nodes_configuration_and_loads_its_images() {
    let (dir, docker) = (image(), Docker::start());
    let root = node_with(dir.path(), "docker");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(["node", "images", "--once", "--root"]).arg(&root).env("DOCKER_HOST", docker.host());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let list = docker.docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    let listed = String::from_utf8_lossy(&list.stdout).into_owned();
    // docker shortens names of its own registry.
    assert_eq!(listed.trim().parse::<Reference>().unwrap().to_string(), NAME);
    let info =
        docker.docker(&["info", "--format", "{{.CgroupDriver}} {{.LoggingDriver}} {{.LiveRestoreEnabled}}"]);
    assert_eq!(String::from_utf8_lossy(&info.stdout).trim(), "systemd json-file true");
}

#[test]
fn the_command_refuses_what_it_cannot_make() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.tar").display().to_string();
    let refused = |args: &[&str], word: &str| {
        let result =
            output(env!("CARGO_BIN_EXE_kiln"), &[&["image", "create", "--output", &out], args].concat());
        let text = String::from_utf8_lossy(&result.stderr).into_owned();
        assert_eq!(result.status.code(), Some(2), "{text}");
        assert!(text.contains(word), "{word}: {text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    };
    refused(&["--name", "a:1"], "would be empty");
    refused(&["--name", "A:1", "--dir", "/tmp"], "no name of an image");
    refused(&["--name", "a@sha256:0", "--dir", "/tmp"], "write a tag");
    refused(&["--name", "a:1", "--file", "x=y"], "does not start with");
    refused(&["--name", "a:1", "--dir", "/tmp", "--env", "=x"], "name of a variable");
}

/// A pod that names an image by digest finds it: the name stands for the same manifest as the one by tag.
#[test]
fn a_node_makes_names_by_digest() {
    let (dir, containerd) = (image(), Containerd::start());
    let root = node_with(dir.path(), "containerd");
    let archive = std::fs::File::open(dir.path().join("image.tar")).unwrap();
    let found = read::open(&archive).unwrap();
    let digest = found.images(Loader::Containerd)[0].targets.values().next().unwrap().to_string();
    let by_digest = format!("{}@sha256:{digest}", NAME.rsplit_once(':').unwrap().0);
    let list = root.join("opt/kiln/images.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    json["images"]["coredns.tar"]["by_digest"] = serde_json::json!({ by_digest.clone(): NAME });
    std::fs::write(&list, json.to_string()).unwrap();
    let (root, socket) = (root.display().to_string(), containerd.at("socket"));
    run(env!("CARGO_BIN_EXE_kiln"), &["node", "images", "--once", "--root", &root, "--socket", &socket]);
    let listed = containerd.ctr(&["images", "ls"]);
    let lines: Vec<&str> =
        listed.lines().filter(|line| line.contains(&format!("sha256:{digest} "))).collect();
    assert_eq!(lines.len(), 2, "both names stand for one manifest: {listed}");
    assert!(lines.iter().any(|line| line.starts_with(&by_digest)), "{listed}");
    assert!(lines.iter().all(|line| line.contains("io.cri-containerd.pinned=pinned")), "{listed}");
}
