//! `kiln build --format qcow2` and `raw`, and seeds beside cloud images: from a small disk with a GPT, root last. What a machine makes
//! of them is tested elsewhere (`tests/boot_disk.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bases;
use crate::project::{Project, names, sha256};
use crate::refused::refused;
use crate::seed::{held, mode, needles, same_but_for_public_facts, with_password};

/// A project whose base is a cloud image too.
fn project() -> Project {
    let project = Project::new();
    let image = project.dir.join("cloud.raw");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let mut sgdisk = Command::new("/usr/sbin/sgdisk");
    let parted = sgdisk.args(["-n1:2048:+8M", "-t1:ef00", "-n2:0:0", "-t2:8300"]).arg(&image).output();
    assert!(parted.expect("this test needs gdisk: run `make setup`").status.success());
    project.edit("[base]\n", "[base]\nimage = \"cloud.raw\"\n");
    with_password(&project);
    project
}

fn out(project: &Project, name: &str) -> PathBuf {
    project.dir.join("out").join(name)
}

fn inspected(project: &Project, file: &Path) -> Value {
    let file = file.to_str().unwrap();
    serde_json::from_str(&project.pass(&["inspect", "--check", "--json", file]).out).unwrap()
}

#[test]
fn an_image_says_what_it_is() {
    let project = project();
    for (format, compress) in [("raw", &[][..]), ("qcow2", &[]), ("qcow2", &["--compress", "zstd"])] {
        let build = [&["build", "-p", "lb", "--format", format, "--size", "1G"], compress].concat();
        project.pass(&build);
        let image = out(&project, &format!("demo-lb.{format}"));
        assert_eq!(mode(&image), 0o600);
        let found = inspected(&project, &image);
        assert_eq!(
            (&found["kind"], &found["form"], &found["table"]),
            (&"disk".into(), &format.into(), &"GPT".into())
        );
        assert_eq!(
            (found["disk"].as_u64(), found["partitions"].as_array().unwrap().len()),
            (Some(1 << 30), 3)
        );
        let kiln = &found["kiln"];
        assert_eq!(
            (&kiln["cluster"], &kiln["profile"], &kiln["part"]),
            (&"demo".into(), &"lb".into(), &"whole".into())
        );
        assert_eq!(kiln["problems"], serde_json::json!([]));
        let text = project.pass(&["inspect", image.to_str().unwrap()]).out;
        assert!(text.contains("EFI system") && text.contains("keep it as safe as a key"), "{text}");
        let bill = project.pass(&["inspect", "--sbom", image.to_str().unwrap()]).out;
        assert!(bill.contains("SPDX-2.3"), "{bill}");
        let first = sha256(&image);
        project.pass(&build);
        assert_eq!(sha256(&image), first, "built twice: {format}");
    }
    // A byte of the payload that has changed is found; the vendor's image is no medium of kiln's.
    let image = out(&project, "demo-lb.raw");
    let mut bytes = std::fs::read(&image).unwrap();
    let at = bytes.windows(21).rposition(|part| part == b"#cloud-config\n# KILN-").unwrap();
    bytes[at] = b'X';
    std::fs::write(&image, bytes).unwrap();
    let done = project.run(&["inspect", "--check", image.to_str().unwrap()]);
    assert!(
        done.code == Some(2) && done.out.contains("/user-data has another content"),
        "{} {}",
        done.out,
        done.err
    );
    let text = project.pass(&["inspect", "cloud.raw"]).out;
    assert!(text.contains("not made by kiln"), "{text}");
}

#[test]
fn the_public_half_of_an_image_holds_no_secret_in_any_byte() {
    let project = project();
    let build = ["build", "-p", "master", "--format", "raw", "--size", "1G"];
    project.pass(&[&build[..], &["-o", "whole.raw"]].concat());
    project.pass(&[&build[..], &["--secrets", "seed"]].concat());
    let (public, seed) = (out(&project, "demo-master.raw"), out(&project, "demo-master.seed.iso"));
    assert_eq!((mode(&public), mode(&seed)), (0o644, 0o600));
    let whole = project.dir.join("whole.raw");
    let needles = needles(&project, &std::fs::read(&whole).unwrap());
    assert_eq!(held(&public, &needles), BTreeSet::new());
    let secrets = held(&whole, &needles);
    assert!(secrets.contains("the password's hash") && secrets.len() > 2, "{secrets:?}");
    assert_eq!(held(&seed, &needles), secrets);
    assert_eq!(inspected(&project, &public)["kiln"]["part"], "public");
    assert_eq!(inspected(&project, &seed)["kiln"]["part"], "seed");
    // The seed alone is the same, and goes with the image and not with the ISO.
    project.pass(&["build", "-p", "master", "--format", "seed", "--beside", "image", "-o", "again.iso"]);
    assert_eq!(sha256(&project.dir.join("again.iso")), sha256(&seed));
    project.pass(&["build", "-p", "master", "--format", "seed", "-o", "other.iso"]);
    let id = |file: &Path| inspected(&project, file)["kiln"]["build_id"].clone();
    assert_eq!(id(&seed), id(&public));
    assert_ne!(id(&project.dir.join("other.iso")), id(&public));
}

#[test]
fn an_operators_user_data_names_a_node_of_the_image() {
    let project = project();
    project.pass(&["build", "-p", "lb", "--format", "qcow2", "--size", "1G"]);
    let image = "out/demo-lb.qcow2";
    let plain = project.pass(&["inspect", "--user-data", image]).out;
    let named = project.pass(&["inspect", "--user-data", "--node", "lb2", image]).out;
    assert!(plain.starts_with("#cloud-config\n") && plain != named, "{plain}");
    assert_eq!(plain.replace("'node=; [ ", "'node=lb2; [ "), named);
    let done = project.run(&["inspect", "--user-data", "--node", "k8s-master1", image]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("no node of profile lb") && done.err.contains("lb1, lb2"), "{}", done.err);
    let done = project.run(&["inspect", "--user-data", "cloud.raw"]);
    assert!(done.code == Some(2) && done.err.contains("carries no payload"), "{}", done.err);
    project.pass(&["build", "-p", "lb"]);
    let done = project.run(&["inspect", "--user-data", "out/demo-lb.iso"]);
    assert!(done.code == Some(2) && done.err.contains("no user-data on it"), "{}", done.err);
}

/// The payload of a raw image, taken apart by sfdisk and xorriso; and the bytes before it.
fn taken_apart(project: &Project, image: &Path) -> (PathBuf, Vec<u8>) {
    let told = Command::new("/usr/sbin/sfdisk").arg("--json").arg(image).output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let last = told["partitiontable"]["partitions"].as_array().unwrap().last().unwrap().clone();
    let bytes = |key: &str| usize::try_from(last[key].as_u64().unwrap() * 512).unwrap();
    let mut all = std::fs::read(image).unwrap();
    let (start, end) = (bytes("start"), bytes("start") + bytes("size"));
    let to = project.beside(image.file_stem().unwrap().to_str().unwrap());
    let volume = to.join("volume.iso");
    std::fs::write(&volume, &all[start..end]).unwrap();
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-report_about", "WARNING", "-osirrox", "on", "-indev"]).arg(&volume);
    bases::run(xorriso.args(["-extract", "/"]).arg(to.join("files")));
    all.truncate(start);
    (to.join("files"), all)
}

#[test]
fn public_images_of_two_clusters_differ_in_their_public_facts_only() {
    let project = project();
    let build = ["build", "-p", "master", "--format", "raw", "--size", "1G", "--secrets", "seed"];
    project.pass(&[&build[..], &["-o", "one.raw"]].concat());
    // Other secrets under the same authorities: the same bytes.
    std::fs::remove_dir_all(project.dir.join("pki/nodes")).unwrap();
    std::fs::remove_file(project.dir.join("pki/bootstrap-token.toml")).unwrap();
    project.pass(&[&build[..], &["-o", "again.raw"]].concat());
    assert_eq!(sha256(&project.dir.join("again.raw")), sha256(&project.dir.join("one.raw")));
    // Other authorities.
    std::fs::rename(project.dir.join("pki"), project.dir.join("old-pki")).unwrap();
    project.pass(&[&build[..], &["-o", "two.raw"]].concat());
    let [(one, first), (two, second)] =
        ["one.raw", "two.raw"].map(|file| taken_apart(&project, &project.dir.join(file)));
    let texts = ["user-data", "meta-data", "kiln/first-boot.sh", "kiln/set-up.sh", "kiln/manifest.json"];
    same_but_for_public_facts(&one, &two, &texts, &texts[..4]);
    let differ = first.chunks(512).zip(second.chunks(512)).filter(|(one, two)| one != two).count();
    assert!(
        first.len() == second.len() && differ <= 34,
        "{differ} sectors before the payload: more than a GPT"
    );
}

#[test]
fn a_seed_with_the_payload_goes_beside_the_vendors_image() {
    let project = project();
    project.pass(&["build", "-p", "lb", "--format", "seed", "--payload", "--beside", "image"]);
    let volume = out(&project, "demo-lb.cidata.iso");
    assert_eq!(mode(&volume), 0o600);
    let found = inspected(&project, &volume);
    assert_eq!((&found["label"], &found["kiln"]["part"]), (&"cidata".into(), &"beside".into()));
    assert_eq!(found["kiln"]["problems"], serde_json::json!([]));
    let listed =
        Command::new("xorriso").args(["-indev"]).arg(&volume).args(["-find", "/", "-maxdepth", "1"]).output();
    let listed = String::from_utf8(listed.expect("this test needs xorriso").stdout).unwrap();
    for name in ["/user-data", "/meta-data", "/network-config", "/kiln"] {
        assert!(listed.contains(&format!("'{name}'")), "{name}: {listed}");
    }
    project.pass(&[
        "build",
        "-p",
        "lb",
        "--format",
        "seed",
        "--payload",
        "--beside",
        "image",
        "--node",
        "lb2",
    ]);
    let nodes = inspected(&project, &out(&project, "demo-lb2.cidata.iso"))["kiln"]["nodes"].clone();
    assert_eq!(nodes.as_array().unwrap().len(), 1, "{nodes}");
    refused(&project, &["-p", "lb", "--format", "qcow2", "--size", "64M"], 2, &["no room", "--size"]);
    assert!(!names(&project.dir.join("out")).iter().any(|name| name.ends_with(".qcow2")));
}
