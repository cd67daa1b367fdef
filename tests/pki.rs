//! `kiln pki` and `kiln fetch` as processes: several at once, killed at any moment, and what they print.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/images.rs"]
mod images;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A folder with the sample cluster, for Kubernetes 1.20.2.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = kiln::cluster::SAMPLE.replace("1.37.2", "1.20.2");
    std::fs::write(dir.path().join("cluster.toml"), text).unwrap();
    dir
}

fn kiln(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = kiln(dir, args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                queue.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The files that are never made twice.
fn roots(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(&dir.join("pki/ca"));
    all.extend(files(&dir.join("pki/service-account")));
    all
}

#[test]
fn several_at_once_make_one_pki() {
    let dir = folder();
    let children: Vec<_> =
        (0..4).map(|_| kiln(dir.path(), &["pki", "init"]).stderr(Stdio::piped()).spawn().unwrap()).collect();
    let texts: Vec<String> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        })
        .collect();
    assert_eq!(texts.iter().filter(|text| text.contains("made the keys")).count(), 1, "{texts:?}");
    let before = files(&dir.path().join("pki"));
    assert_eq!(run(dir.path(), &["pki", "init"]).0, Some(0));
    assert_eq!(files(&dir.path().join("pki")), before);
}

#[test]
fn killed_at_any_moment_nothing_half_made_is_used() {
    // Delays over the whole of a run, so that kills fall before, into and after each step.
    for delay in (0..24).map(|step| Duration::from_millis(1 + step * 5)) {
        let dir = folder();
        let mut child =
            kiln(dir.path(), &["pki", "init"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        let there = dir.path().join("pki").exists();
        let before = if there { roots(dir.path()) } else { BTreeMap::new() };
        let (code, _, text) = run(dir.path(), &["pki", "init"]);
        assert_eq!(code, Some(0), "after {delay:?}: {text}");
        let after = roots(dir.path());
        assert_eq!(after.len(), 10);
        assert!(!there || before == after, "after {delay:?} an authority was replaced");
        assert!(!dir.path().join(".pki.new").exists() && !dir.path().join("pki/.new").exists());
        let (code, json, text) = run(dir.path(), &["pki", "show", "--json"]);
        assert_eq!(code, Some(0), "{text}");
        let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(shown["missing"], serde_json::json!([]));
    }
}

#[test]
fn show_tells_names_and_ends_but_no_key() {
    let dir = folder();
    let (code, _, text) = run(dir.path(), &["pki", "show"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("kiln pki init"), "{text}");
    assert_eq!(run(dir.path(), &["pki", "renew"]).0, Some(2));
    assert!(!dir.path().join("pki").exists());

    assert_eq!(run(dir.path(), &["pki", "init"]).0, Some(0));
    let (_, table, _) = run(dir.path(), &["pki", "show"]);
    let (_, json, _) = run(dir.path(), &["pki", "show", "--json"]);
    for word in
        ["nodes/k8s-master1/apiserver", "192.168.31.88", "media built now are good until 20", "364 days"]
    {
        assert!(table.contains(word), "{word}: {table}");
    }
    let secret = std::fs::read_to_string(dir.path().join("pki/bootstrap-token.toml")).unwrap();
    let secret = secret.split('"').nth(1).unwrap().split('.').nth(1).unwrap().to_owned();
    assert_eq!(secret.len(), 16);
    for text in [&table, &json] {
        assert!(!text.contains("PRIVATE") && !text.contains(&secret));
    }

    let before = roots(dir.path());
    let old = std::fs::read(dir.path().join("pki/operators/admin/key.pem")).unwrap();
    assert_eq!(run(dir.path(), &["pki", "renew"]).0, Some(0));
    assert_eq!(roots(dir.path()), before);
    assert_eq!(std::fs::read(dir.path().join("pki/operators/admin.old/key.pem")).unwrap(), old);
    assert_ne!(std::fs::read(dir.path().join("pki/operators/admin/key.pem")).unwrap(), old);
}

#[test]
fn fetch_pins_once_and_says_what_changed() {
    let dir = folder();
    let lock = dir.path().join("kiln.lock");
    let (code, _, text) = run(dir.path(), &["fetch"]);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("16 component files are missing") && text.contains("kubernetes/1.20.2/kubelet"),
        "{text}"
    );
    images::components(&dir.path().join("components"));
    let (code, _, text) = run(dir.path(), &["fetch", "--locked"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(!lock.exists());
    assert_eq!(run(dir.path(), &["fetch"]).0, Some(0));
    let first = std::fs::read(&lock).unwrap();
    assert_eq!(run(dir.path(), &["fetch", "--locked"]).0, Some(0));

    std::fs::copy("/bin/false", dir.path().join("components/runc/1.1.5/runc")).unwrap();
    for args in [&["fetch"][..], &["fetch", "--locked"]] {
        let (code, _, text) = run(dir.path(), args);
        assert_eq!(code, Some(2));
        assert!(text.contains("~ runc 1.1.5: runc: ") && text.contains("kiln fetch --update"), "{text}");
        assert_eq!(std::fs::read(&lock).unwrap(), first);
    }
    assert_eq!(run(dir.path(), &["fetch", "--update"]).0, Some(0));
    assert_ne!(std::fs::read(&lock).unwrap(), first);
    assert_eq!(run(dir.path(), &["fetch", "--locked"]).0, Some(0));
    assert!(!dir.path().join("kiln.lock.new").exists());
}
