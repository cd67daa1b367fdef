//! `kiln node` as the installer calls it: the program itself, on a folder that holds what a medium holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use kiln::blob::Blob;
use kiln::cluster::types::Role;
use kiln::digest::Sha256;
use kiln::image::dir;
use kiln::payload::{self, PayloadInput, assemble};
use kiln::tree::{Entry, NodePath, Tree};
use serde_json::Value;

/// The program under test; it carries itself on the medium, as a release does.
const KILN: &str = env!("CARGO_BIN_EXE_kiln");

fn medium() -> tempfile::TempDir {
    let cluster = common::reference_cluster();
    let mut common = Tree::default();
    let entry = Entry::file(0o644, Blob::bytes(*b"hello\n"), "test");
    common.insert(NodePath::new("/etc/motd").unwrap(), entry).unwrap();
    let nodes: BTreeMap<_, _> =
        cluster.nodes_of(Role::Master).map(|node| (node.name.clone(), Tree::default())).collect();
    let payload = assemble(PayloadInput {
        cluster: &cluster,
        role: Role::Master,
        kiln: Path::new(KILN),
        boot: &|label| Ok(vec![(payload::KICKSTART, format!("# {label}\n"))]),
        common: &common,
        nodes: &nodes,
        authority: Sha256::of(b"authority"),
        spread: Default::default(),
        reinstall: None,
        kernel_args: &[],
        base: Sha256::of(b"base"),
        pools: &BTreeMap::new(),
        extra: Vec::new(),
    });
    let media = tempfile::tempdir().unwrap();
    dir::write(payload.unwrap().files, media.path()).unwrap();
    let program = media.path().join("kiln/kiln");
    common::exec::program(&program, &program);
    media
}

/// Runs the kiln that lies on the medium, with nothing in its environment.
fn node(media: &Path, args: &[&str]) -> (Output, Value) {
    let out = Command::new(media.join("kiln/kiln"))
        .arg("node")
        .args(args)
        .args(["--media", media.to_str().unwrap(), "--json"])
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    (out, serde_json::from_str(&text).unwrap())
}

#[test]
fn verify_tells_in_one_line_of_json() {
    let media = medium();
    let (out, said) = node(media.path(), &["verify"]);
    assert_eq!(out.status.code(), Some(0));
    assert_eq!((&said["files"], &said["profile"]), (&Value::from(6), &Value::from("master")));
    assert!(said["bytes"].as_u64().unwrap() > 1 << 20);
    std::fs::write(media.path().join("ks.cfg"), "changed").unwrap();
    let (out, said) = node(media.path(), &["verify"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(said["error"].as_str().unwrap().contains("/ks.cfg: has 7 bytes"), "{said}");
    std::fs::remove_file(media.path().join("kiln/manifest.json")).unwrap();
    assert_eq!(node(media.path(), &["verify"]).0.status.code(), Some(5));
}

#[test]
fn prepare_does_not_take_a_foreign_machine_for_a_node() {
    let (media, out) = (medium(), tempfile::tempdir().unwrap());
    let (done, said) = node(media.path(), &["prepare", "--out", out.path().to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(2));
    assert!(said["error"].as_str().unwrap().contains("no node of cluster prod is this machine"), "{said}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("[[node]]"));
    assert!(std::fs::read_dir(out.path()).unwrap().next().is_none());
}
