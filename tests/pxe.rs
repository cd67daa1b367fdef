//! PXE trees as kiln writes them, and as curl and the installer's part of kiln fetch from `kiln serve` and from a plain web server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bases.rs"]
mod bases;
mod common;
#[path = "pxe/make.rs"]
mod make;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln::cluster::types::{Release, Role};
use kiln::digest::Sha256;
use kiln::image::pxe::list::{Audience, LIST, TreeList};
use make::{Made, URL, made};

fn list(tree: &Path) -> TreeList {
    TreeList::from_json(&std::fs::read(tree.join(LIST)).unwrap(), "test").unwrap()
}

/// Every regular file below a folder with its digest and mode.
fn files(root: &Path) -> BTreeMap<String, (Sha256, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let digest = Sha256::of(&std::fs::read(&path).unwrap());
                found.insert(name, (digest, meta.permissions().mode() & 0o7777));
            }
        }
    }
    found
}

#[test]
fn a_tree_holds_what_its_list_says_and_the_vendors_files_as_xorriso_reads_them() {
    for layout in bases::LAYOUTS {
        let dir = tempfile::tempdir().unwrap();
        let Made { tree, .. } = made(layout, Role::Master, dir.path(), URL);
        let (list, found) = (list(&tree), files(&tree));
        let mut listed: BTreeMap<String, Sha256> =
            list.files.iter().map(|(path, listed)| (path.clone(), listed.sha256)).collect();
        listed.insert(LIST.to_owned(), found[LIST].0);
        let have: BTreeMap<String, Sha256> =
            found.iter().map(|(path, (digest, _))| (path.clone(), *digest)).collect();
        assert_eq!(have, listed, "{layout}");
        let mode = tree.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700, "it holds keys");
        assert!(found.iter().all(|(path, (_, mode))| path.starts_with("kiln/nodes/") == (*mode == 0o600)));

        let out = dir.path().join("xorriso");
        let mut xorriso = Command::new("xorriso");
        xorriso.args(["-report_about", "FAILURE", "-osirrox", "on:auto_chmod_on", "-indev"]);
        bases::run(xorriso.arg(bases::base(layout)).args(["-extract", "/"]).arg(&out));
        let vendor = files(&out);
        assert!(vendor.len() > 10);
        for (path, (digest, _)) in &vendor {
            let left_out =
                path.starts_with("isolinux/") || path.starts_with("boot/") || path.ends_with("TRANS.TBL");
            let here = found.get(&format!("repo/{path}")).map(|(digest, _)| *digest);
            assert_eq!(here, (!left_out).then_some(*digest), "{layout}: {path}");
        }
    }
}

#[test]
fn two_builds_are_the_same_and_an_old_tree_is_replaced() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) =
        (made("el9", Role::Worker, one.path(), URL).tree, made("el9", Role::Worker, two.path(), URL).tree);
    assert_eq!(files(&a), files(&b));
    assert!(matches!(list(&a).files["kiln/pools/pool-a.tar"].to, Audience::Pool(_)));
    std::fs::write(a.join("stray"), "").unwrap();
    made("el9", Role::Worker, one.path(), URL);
    assert_eq!(files(&a), files(&b));
    assert_eq!(std::fs::read_dir(one.path()).unwrap().count(), 1, "nothing stays beside it");
    // A folder of somebody else is not.
    std::fs::remove_file(a.join(LIST)).unwrap();
    let error = make::make("el9", Role::Worker, one.path(), URL).unwrap_err();
    assert!(error.to_string().contains("no tree that kiln made"), "{error}");
    assert!(a.join("ks.cfg").exists());
}

#[test]
fn the_kickstart_vouches_for_what_it_fetches() {
    let dir = tempfile::tempdir().unwrap();
    let tree = made("el9", Role::Master, dir.path(), URL).tree;
    let list = list(&tree);
    let kickstart = std::fs::read_to_string(tree.join("ks.cfg")).unwrap();
    for path in ["kiln/kiln", "kiln/manifest.json"] {
        let line = format!("kiln_fetch {path} {}", list.files[path].sha256);
        assert!(kickstart.contains(&line), "{line}");
    }
    assert!(kickstart.contains("\nurl --url=http://10.77.0.1/repo\n") && !kickstart.contains("\ncdrom\n"));
    assert!(!kickstart.contains("/run/install/repo"));
    let manifest = kiln::payload::manifest::Manifest::load(&tree).unwrap();
    assert!(!manifest.files.contains_key("/ks.cfg") && manifest.files.contains_key("/kiln/common.tar"));
}

/// Bodies of the scripts of a kickstart.
fn scripts(kickstart: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = false;
    for line in kickstart.lines() {
        match line {
            "%end" => within = false,
            line if line.starts_with('%') && line.contains("--interpreter=/bin/bash") => {
                within = true;
                found.push(String::new());
            }
            line => found
                .iter_mut()
                .last()
                .filter(|_| within)
                .into_iter()
                .for_each(|body| *body += &format!("{line}\n")),
        }
    }
    found
}

#[test]
fn pykickstart_takes_kickstarts_for_the_network_and_bash_their_scripts() {
    for el in 7..=10 {
        let dir = tempfile::tempdir().unwrap();
        let mut check = Command::new("ksvalidator");
        check.args(["-v", &format!("RHEL{el}")]);
        for release in Release::all().filter(|release| release.el == el) {
            for role in Role::ALL {
                let file = dir.path().join(format!("{release}-{role}.ks"));
                let text = make::kickstart(release, role);
                std::fs::write(&file, &text).unwrap();
                check.arg(file);
                let scripts = scripts(&text);
                assert_eq!(scripts.len(), 6);
                for body in scripts {
                    assert!(!body.contains("{{"), "{body}");
                    let out = Command::new("bash").args(["-n", "-c", &body]).output().unwrap();
                    assert!(out.status.success(), "{}\n{body}", String::from_utf8_lossy(&out.stderr));
                }
            }
        }
        let out = check.output().expect("ksvalidator does not run: pip install pykickstart");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "RHEL{el}: {said}");
    }
}

/// A process that is ended with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a tree on loopback, to all, without DHCP and TFTP.
fn serve(tree: &Path, port: u16) -> Served {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.arg("serve").arg(tree).args(["--interface", "lo", "--dhcp", "off", "--tftp-port", "0", "--any"]);
    let served = Served(command.stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "kiln serve does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    served
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn curl(args: &[&str]) -> (bool, Vec<u8>) {
    let out = Command::new("curl").args(["-sS", "-f", "--max-time", "60"]).args(args).output().expect("curl");
    (out.status.success(), out.stdout)
}

#[test]
fn curl_gets_what_a_machine_may_have_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/kiln/");
    let tree = made("el9", Role::Master, dir.path(), &url).tree;
    let _served = serve(&tree, port);
    let kernel = std::fs::read(tree.join("repo/images/pxeboot/vmlinuz")).unwrap();
    let at = format!("{url}repo/images/pxeboot/vmlinuz");
    assert_eq!(curl(&[&at]), (true, kernel.clone()));
    assert_eq!(curl(&["-r", "100-199", &at]), (true, kernel[100..200].to_vec()));
    assert_eq!(curl(&["-r", "-10", &at]), (true, kernel[kernel.len() - 10..].to_vec()));
    let head = String::from_utf8(curl(&["-I", &at]).1).unwrap().to_ascii_lowercase();
    assert!(
        head.contains(&format!("content-length: {}", kernel.len())) && head.contains("accept-ranges: bytes"),
        "{head}"
    );
    // Begun elsewhere and gone on with.
    let part = dir.path().join("part");
    std::fs::write(&part, &kernel[..777]).unwrap();
    assert!(curl(&["-C", "-", "-o", part.to_str().unwrap(), &at]).0);
    assert_eq!(std::fs::read(&part).unwrap(), kernel);
    for bad in [
        "../tree.state",
        "repo/../../tree.state",
        "%2e%2e/tree.state",
        "kiln/nodes/k8s-master1.tar",
        "nothing",
        "repo",
    ] {
        assert!(!curl(&["--path-as-is", &format!("{url}{bad}")]).0, "{bad}");
    }
    let status = curl(&[&format!("{url}status.json")]).1;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    assert_eq!((&status["profile"], status["machines"].as_array().unwrap().len()), (&"master".into(), 3));
    assert!(!curl(&["--data-binary", "x", &format!("{url}report?stage=finished")]).0, "loopback is no node");
}

#[test]
fn what_pre_fetches_is_compared_with_the_kickstart() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let tree = made("el9", Role::Worker, dir.path(), &url).tree;
    let _served = serve(&tree, port);
    let kickstart = std::fs::read_to_string(tree.join("ks.cfg")).unwrap();
    let from = kickstart.find("kiln_fetch() {").unwrap();
    let function = &kickstart[from..from + kickstart[from..].find("\n}\n").unwrap() + 3];
    let calls: Vec<&str> = kickstart.lines().filter(|line| line.contains("kiln_fetch kiln/")).collect();
    let calls = calls.join("\n").trim_end_matches("&&").trim_end().to_owned();
    let run = |calls: &str| {
        let media = dir.path().join("media");
        std::fs::create_dir_all(media.join("kiln")).unwrap();
        let script = format!("set -eu\nmedia={}\n{function}\n{calls}\n", media.display());
        Command::new("bash").args(["-c", &script]).output().unwrap()
    };
    let out = run(&calls);
    assert!(out.status.success(), "{calls}: {}", String::from_utf8_lossy(&out.stderr));
    let digest = list(&tree).files["kiln/manifest.json"].sha256.to_string();
    let wrong = calls.replace(&digest, &Sha256::of(b"other").to_string());
    assert!(!run(&wrong).status.success(), "another manifest is refused");
}
