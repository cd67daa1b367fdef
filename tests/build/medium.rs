//! A medium taken apart by foreign tools (xorriso), shared by the tests that look inside; and checked against its manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bases;
use crate::project::{Project, sha256};

/// Takes the payload out of a medium: `ks.cfg` and `kiln/`, in a folder beside the project.
pub fn extract(project: &Project, medium: &Path) -> PathBuf {
    let name = medium.file_stem().unwrap().to_str().unwrap();
    let to = project.beside(&format!("{name}.d"));
    let mut command = Command::new("xorriso");
    command.args(["-report_about", "WARNING", "-osirrox", "on", "-indev"]).arg(medium);
    for path in ["/ks.cfg", "/kiln"] {
        command.args(["-extract", path]).arg(to.join(&path[1..]));
    }
    bases::run(&mut command);
    // As user root xorriso keeps modes: owners may not even write in folders of 0555.
    bases::run(Command::new("chmod").args(["-R", "u+w"]).arg(&to));
    to
}

/// The manifest of an extracted medium.
pub fn manifest(media: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(media.join("kiln/manifest.json")).unwrap()).unwrap()
}

/// Files of the manifest: path on the medium and what is said of it.
fn listed(media: &Path) -> BTreeMap<String, Value> {
    serde_json::from_value(manifest(media)["files"].clone()).unwrap()
}

#[test]
fn the_manifest_tells_every_file() {
    let project = Project::new();
    let media = extract(&project, &project.build("master"));
    let files = listed(&media);
    let expected = [
        "/kiln/common.tar",
        "/kiln/images/coredns.tar",
        "/kiln/images/flannel.tar",
        "/kiln/images/flannel_cni.tar",
        "/kiln/images/metrics_server.tar",
        "/kiln/images/pause.tar",
        "/kiln/kiln",
        "/kiln/nodes/k8s-master1.tar",
        "/kiln/nodes/k8s-master2.tar",
        "/kiln/nodes/k8s-master3.tar",
        "/kiln/parts.json",
        "/ks.cfg",
    ];
    assert!(files.keys().eq(expected), "{files:?}");
    for (path, told) in &files {
        let file = media.join(&path[1..]);
        assert_eq!(told["size"], std::fs::metadata(&file).unwrap().len(), "{path}");
        assert_eq!(told["sha256"], sha256(&file).as_str(), "{path}");
    }
    assert_eq!(sha256(&media.join("kiln/kiln")), sha256(Path::new(crate::project::KILN)));
    let found = bases::run(Command::new("find").arg(&media).args(["-type", "f"]));
    assert_eq!(found.lines().count(), files.len() + 1, "and nothing else: {found}");

    let verify = ["node", "verify", "--media", media.to_str().unwrap()];
    project.pass(&verify);
    // A flipped bit anywhere is found, and named.
    for path in files.keys().map(String::as_str) {
        let file = media.join(&path[1..]);
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(&file, bad).unwrap();
        let done = project.run(&verify);
        assert_eq!(done.code, Some(2), "{path}: {}", done.err);
        assert!(done.err.contains(&format!("{path}: has SHA-256")), "{}", done.err);
        for other in files.keys().filter(|other| *other != path) {
            assert!(!done.err.contains(&format!("{other}:")), "{other} is named too: {}", done.err);
        }
        std::fs::write(&file, good).unwrap();
    }
    project.pass(&verify);
}

/// The kernel's own view of the medium verifies as well, from the program that lies on it.
#[test]
fn the_program_on_the_medium_runs_and_verifies_it() {
    let project = Project::new();
    let media = extract(&project, &project.build("lb"));
    let mut command = Command::new(media.join("kiln/kiln"));
    command.env_clear().args(["node", "verify", "--json", "--media"]).arg(&media);
    let told: Value = serde_json::from_str(&bases::run(&mut command)).unwrap();
    assert!(told.to_string().contains("\"files\":6"), "{told}");
}
