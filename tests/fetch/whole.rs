//! What is fetched is pinned, and what is pinned makes a medium.

use std::process::Command;

use crate::site::{Site, stored};

#[test]
fn a_cluster_is_fetched_pinned_and_built_without_a_network() {
    let mut site = Site::new();
    let said = site.pass(&["fetch"]);
    assert!(said.contains("images from registries") && said.contains("etcd 3.4.27"), "{said}");
    let lock = site.lock();
    for part in [
        "checked = \"https://github.com/etcd-io/etcd/releases/download/v3.4.27/SHA256SUMS\"",
        "member = \"bin/containerd\"",
        "url = \"https://dl.k8s.io/release/v1.20.2/bin/linux/amd64/kubelet\"",
        "\"registry.k8s.io/pause:3.2\" = { manifest = ",
    ] {
        assert!(lock.contains(part), "{part}: {lock}");
    }
    assert!(site.check_cache() > 20);
    let said = site.pass(&["fetch", "--locked"]);
    assert!(said.contains("fits"), "{said}");
    site.pass(&["build", "--profile", "master"]);
    let medium = |name: &str| std::fs::read(site.project().join(name)).unwrap();
    let first = medium("out/demo-master.iso");

    // Without servers, and without any network at all: the same bytes.
    let mut alone = Command::new("unshare");
    alone.args(["--user", "--map-root-user", "--net"]).arg(crate::site::KILN);
    alone.args(["build", "--profile", "master", "--output", "alone.iso"]);
    alone.current_dir(site.project()).env("KILN_CACHE", site.cache());
    crate::bases::run(&mut alone);
    assert!(first == medium("alone.iso"), "another medium without a network");
    drop(first);
    site.servers.stop();
    site.pass(&["fetch", "--locked"]);

    // Whatever is gone is named, and nothing is written.
    let all = stored(&site.cache());
    std::fs::remove_file(site.project().join("alone.iso")).unwrap();
    for (path, digest) in &all {
        let needed = lock.contains(digest.as_str());
        let archive = lock.lines().any(|line| line.starts_with("archive") && line.contains(digest.as_str()));
        if !needed || archive {
            continue;
        }
        let aside = path.with_extension("aside");
        std::fs::rename(path, &aside).unwrap();
        let run = site.run(&["build", "--profile", "worker", "--output", "gone.iso"]);
        let master_only = run.code == Some(0);
        assert!(master_only || run.err.contains(digest.as_str()), "{digest}: {}", run.err);
        let run = site.run(&["build", "--profile", "master", "--output", "gone.iso"]);
        assert_eq!(run.code, Some(2), "{}", run.err);
        assert!(run.err.contains(digest.as_str()) && run.err.contains("kiln fetch"), "{digest}: {}", run.err);
        let _ = std::fs::remove_file(site.project().join("gone.iso"));
        std::fs::rename(&aside, path).unwrap();
    }
}

#[test]
fn a_lock_that_does_not_fit_is_told_before_anything_is_fetched() {
    let site = Site::new();
    site.fail(&["fetch", "--locked"], 2, &["there is no"]);
    site.pass(&["fetch"]);
    let before = site.lock();
    let path = site.project().join("cluster.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("1.20.2", "1.20.3")).unwrap();
    site.fail(&["fetch"], 2, &["~ kubernetes 1.20.2 -> 1.20.3", "kiln fetch --update"]);
    site.fail(&["fetch", "--update"], 4, &["v1.20.3/bin/linux/amd64/kubelet", "mirror"]);
    assert_eq!(site.lock(), before);
    std::fs::write(&path, text.replace("mirror =", "versions = { runc = \"1.1.16\" }\nmirror =")).unwrap();
    site.fail(&["fetch"], 2, &["~ runc 1.1.15 -> 1.1.16"]);
    let releases = site.servers.files.join("github.com/opencontainers/runc/releases/download");
    crate::bases::run(
        Command::new("cp").arg("-r").arg(releases.join("v1.1.15")).arg(releases.join("v1.1.16")),
    );
    site.pass(&["fetch", "--update", "runc"]);
    assert_eq!(site.lock().lines().filter(|line| !before.contains(*line)).count(), 2, "{}", site.lock());
}

#[test]
fn servers_that_are_not_trusted_are_refused() {
    let site = Site::new();
    let path = site.project().join("cluster.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let ca = format!("ca = \"{}\"\n", site.servers.ca.display());
    assert!(text.contains(&ca));
    std::fs::write(&path, text.replace(&ca, "")).unwrap();
    site.fail(&["fetch"], 4, &["UnknownIssuer", "`ca` in [components]"]);
    std::fs::write(&path, text.replace("https://127.0.0.1", "https://localhost")).unwrap();
    site.fail(&["fetch"], 4, &["not valid for name", "for another name"]);
    std::fs::write(&path, &text).unwrap();
    std::fs::write(site.beside("auth.json"), "{}").unwrap();
    site.fail(&["fetch"], 4, &["401", "login"]);
    assert!(!site.project().join("kiln.lock").exists());
    site.check_cache();
}

#[test]
fn a_clock_that_is_wrong_is_suspected() {
    let mut site = Site::new();
    let dir = site.beside("servers");
    for (years, word) in [(2001..2002, "expired"), (2098..2099, "not valid yet")] {
        site.servers.valid_in(&dir, years);
        site.fail(&["fetch"], 4, &[word, "is the clock right?"]);
    }
    assert_eq!(site.check_cache(), 0);
}

#[test]
fn a_bundle_carries_it_all_in() {
    let mut site = Site::new();
    site.pass(&["fetch"]);
    site.pass(&["key", "create", "--no-password", "../ops.key"]);
    site.pass(&["key", "create", "--no-password", "../other.key"]);
    site.pass(&[
        "bundle",
        "create",
        "--split",
        "1M",
        "--output",
        "../demo.kilnbundle",
        "--sign",
        "../ops.key",
    ]);
    site.pass(&["build", "--profile", "worker"]);
    site.servers.stop();

    // The other side: the project's own files and the stick, and kiln out of the bundle by common programs.
    let there = site.beside("there");
    std::fs::create_dir(&there).unwrap();
    for name in ["cluster.toml", "base.iso", "pki"] {
        crate::bases::run(Command::new("cp").arg("-r").arg(site.project().join(name)).arg(&there));
    }
    let unpack = "cat demo.kilnbundle.??? | zstd -dc | tar xf - kiln && cmp kiln \"$0\"";
    crate::bases::run(
        Command::new("sh").args(["-c", unpack, crate::site::KILN]).current_dir(site.beside("")),
    );
    let kiln = |args: &[&str]| {
        let mut kiln = Command::new("unshare");
        kiln.args(["--user", "--map-root-user", "--net"]).arg(site.beside("kiln")).args(args);
        kiln.current_dir(&there).env("KILN_CACHE", site.beside("cache-there"));
        crate::bases::run(&mut kiln)
    };
    kiln(&["verify", "../demo.kilnbundle", "--key", "../ops.pub"]);
    kiln(&["bundle", "add", "--key", "../ops.pub", "../demo.kilnbundle"]);
    assert_eq!(std::fs::read_to_string(there.join("kiln.lock")).unwrap(), site.lock());
    kiln(&["fetch", "--locked"]);
    kiln(&["build", "--profile", "worker"]);
    let medium = |dir: &std::path::Path| std::fs::read(dir.join("out/demo-worker.iso")).unwrap();
    assert!(medium(&there) == medium(&site.project()), "another medium on the other side");

    // A lock that says something else stays unless somebody says otherwise.
    let lock = site.lock().replace("version = \"1.1.15\"", "version = \"1.1.14\"");
    std::fs::write(site.project().join("kiln.lock"), lock).unwrap();
    site.fail(&["bundle", "add", "../demo.kilnbundle"], 2, &["differs", "~ runc 1.1.14 -> 1.1.15"]);
    site.pass(&["bundle", "add", "--update", "../demo.kilnbundle"]);
    assert!(site.lock().contains("1.1.15"));
}

#[test]
fn a_bundle_is_taken_only_as_it_was_signed() {
    let site = Site::new();
    site.pass(&["fetch"]);
    for key in ["../ops.key", "../other.key"] {
        site.pass(&["key", "create", "--no-password", key]);
    }
    let create = ["bundle", "create", "--output", "../demo.kilnbundle"];
    site.pass(&create);
    site.fail(&["verify", "../demo.kilnbundle", "--key", "../ops.pub"], 2, &["has no signature"]);
    let add = ["bundle", "add", "--key", "../ops.pub", "../demo.kilnbundle"];
    site.fail(&add, 2, &["has no signature"]);
    site.pass(&[create.as_slice(), &["--sign", "../ops.key"]].concat());
    crate::bases::run(
        Command::new("minisign")
            .args(["-VHm", "demo.kilnbundle", "-p", "ops.pub"])
            .current_dir(site.beside("")),
    );
    let told = site.pass(&["verify", "../demo.kilnbundle", "--key", "../ops.pub"]);
    assert!(told.contains("is good: it is signed by key"), "{told}");
    site.fail(&["verify", "../demo.kilnbundle", "--key", "../other.pub"], 2, &["of another key"]);
    site.fail(&["bundle", "add", "--key", "../other.pub", "../demo.kilnbundle"], 2, &["of another key"]);
    site.pass(&add);

    let path = site.beside("demo.kilnbundle");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    site.fail(&add, 2, &["was changed"]);
    // Signed as it is: its own digests tell.
    let sign = ["-Sm", "demo.kilnbundle", "-s", "ops.key", "-W"];
    crate::bases::run(
        Command::new("minisign").args(sign).current_dir(site.beside("")).stdin(std::process::Stdio::null()),
    );
    site.fail(&["verify", "../demo.kilnbundle", "--key", "../ops.pub"], 2, &["is signed, but not whole"]);
}

/// kiln is static: it needs no name service of the system, only `/etc/resolv.conf` (or `/etc/hosts`).
#[test]
fn names_are_resolved_where_there_is_no_c_library() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    for dir in ["etc", "tmp", "site"] {
        std::fs::create_dir(root.join(dir)).unwrap();
    }
    std::fs::write(root.join("etc/resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    std::fs::copy(crate::site::KILN, root.join("kiln")).unwrap();
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/cluster.toml");
    let text = std::fs::read_to_string(demo).unwrap();
    let text = text.replace("dir = \"components\"", "mirror = \"http://mirror.example:8000\"");
    std::fs::write(root.join("site/cluster.toml"), text).unwrap();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fetch/names.py");
    let mut names = Command::new("unshare");
    names.args(["--user", "--map-root-user", "--net", "python3"]).arg(script).arg(root);
    names.args(["/kiln", "fetch", "-C", "/site/cluster.toml"]).env("KILN_CACHE", "/site/cache");
    names.env_remove("HTTPS_PROXY").env_remove("HTTP_PROXY").env_remove("http_proxy").env_remove("ALL_PROXY");
    let done = names.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    // The server has nothing: that is what it fails with, not the name.
    assert_eq!(done.status.code(), Some(4), "{out}{err}");
    assert!(out.contains("asked: mirror.example"), "{out}{err}");
    assert!(err.contains("http://mirror.example:8000/") && err.contains("501"), "{err}");
}
