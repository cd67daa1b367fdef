//! Media for the boot tests: stand-in bases remastered by kiln with a real payload, and copies of them with one bit flipped.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::types::{HostName, Role};
use kiln::digest::Sha256;
use kiln::image::iso::{Remaster, remaster};
use kiln::image::label::VolumeLabel;
use kiln::image::menu::{MenuSpec, SerialConsole};
use kiln::kickstart;
use kiln::payload::{self, Payload, PayloadInput};
use kiln::plan::{Versions, plan};
use kiln::progress::Silent;

use crate::common;

/// The node whose machine is played.
pub const NODE: &str = "k8s-master2";
/// Its address on the wire.
pub const MAC: &str = "52:54:00:00:31:74";

/// A layout of vendors' media and a release that has it.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Name that `tests/standin/make.sh` knows.
    pub name: &'static str,
    /// Release in `cluster.toml`.
    release: &'static str,
    el: u8,
}

/// All layouts.
pub const LAYOUTS: [Layout; 3] = [
    Layout { name: "el7", release: "centos-7", el: 7 },
    Layout { name: "el9", release: "centos-stream-9", el: 9 },
    Layout { name: "el10", release: "centos-stream-10", el: 10 },
];

/// Makes the medium of a layout in `dir`: kiln's own pipeline from the cluster to the ISO, without PKI and components.
pub fn make(layout: Layout, dir: &Path) -> PathBuf {
    let base = dir.join(format!("{}-base.iso", layout.name));
    let script = common::root().join("tests/standin/make.sh");
    let status = Command::new("bash").arg(script).arg(layout.name).arg(&base).status();
    assert!(status.expect("bash").success(), "the stand-in base could not be made: run `make setup`");
    let payload = payload(&cluster(layout));
    let output = dir.join(format!("{}.iso", layout.name));
    let menu = menu(layout, &payload.label);
    let request =
        Remaster { base, output: output.clone(), label: payload.label, menu, public: false, force: false };
    remaster(&request, payload.files, &Silent).unwrap_or_else(|error| panic!("{}: {error}", layout.name));
    output
}

fn cluster(layout: Layout) -> Cluster {
    let mut cluster = common::reference_cluster();
    cluster.base.release = layout.release.parse().unwrap();
    cluster
}

fn menu(layout: Layout, label: &VolumeLabel) -> MenuSpec {
    let nodes: Vec<HostName> = ["k8s-master1", NODE, "k8s-master3"].map(|name| name.parse().unwrap()).into();
    MenuSpec {
        label: label.clone(),
        default_title: "Install the node of prod that this machine is".to_owned(),
        nodes,
        timeout_seconds: 5,
        serial: Some(SerialConsole::default()),
        el: layout.el,
        ks_path: payload::KICKSTART.to_owned(),
    }
}

fn payload(cluster: &Cluster) -> Payload {
    let assets = Assets::new(None).unwrap();
    let versions = Versions::from([("containerd".to_owned(), "2.3.4".to_owned())]);
    let plan = plan(cluster, &assets, Role::Master, &versions).unwrap();
    let boot = |label: &VolumeLabel| {
        Ok(vec![(payload::KICKSTART, kickstart::render(cluster, &plan, label, &assets)?)])
    };
    let nodes: BTreeMap<HostName, _> =
        plan.nodes.iter().map(|(name, node)| (name.clone(), node.tree.clone())).collect();
    let kiln = Path::new(env!("CARGO_BIN_EXE_kiln"));
    let input = PayloadInput {
        cluster,
        role: Role::Master,
        kiln,
        boot: &boot,
        common: &plan.common,
        nodes: &nodes,
        authority: Sha256::of(b"authority"),
        spread: Default::default(),
        reinstall: None,
        kernel_args: &[],
        base: Sha256::of(b"base"),
        pools: &BTreeMap::new(),
        extra: Vec::new(),
    };
    payload::assemble(input).unwrap_or_else(|error| panic!("payload: {error}"))
}

/// A copy of `medium` in which one bit is flipped in every copy of the file that the base has at `path`.
pub fn flip(medium: &Path, path: &str, output: &Path) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("xorriso")
        .args(["-report_about", "FAILURE", "-osirrox", "on:auto_chmod_on", "-overwrite", "on", "-indev"])
        .arg(medium)
        .args(["-extract", path])
        .arg(file.path())
        .status();
    assert!(status.expect("this test needs xorriso: apt-get install xorriso").success());
    let content = std::fs::read(file.path()).unwrap();
    // A sector in the middle of its code, long enough to be found nowhere else.
    let at = content.len() / 2 / 512 * 512;
    let needle = &content[at..at + 512];
    std::fs::copy(medium, output).unwrap();
    let mut image = std::fs::OpenOptions::new().read(true).write(true).open(output).unwrap();
    let mut bytes = Vec::new();
    image.read_to_end(&mut bytes).unwrap();
    let copies: Vec<usize> = bytes
        .chunks_exact(512)
        .enumerate()
        .filter(|(_, chunk)| *chunk == needle)
        .map(|(n, _)| n * 512)
        .collect();
    assert!(
        !copies.is_empty() && copies.len() <= 4,
        "{path}: {} copies on {}",
        copies.len(),
        medium.display()
    );
    for copy in copies {
        image.seek(SeekFrom::Start(copy as u64)).unwrap();
        image.write_all(&[bytes[copy] ^ 1]).unwrap();
    }
}
