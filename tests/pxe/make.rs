//! Trees for tests: kiln's own pipeline from the reference cluster to the tree, without PKI and components.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln::assets::Assets;
use kiln::cluster::Cluster;
use kiln::cluster::types::{HostName, Release, Role};
use kiln::digest::Sha256;
use kiln::error::Result;
use kiln::image::label::VolumeLabel;
use kiln::image::pxe::loaders::Supplied;
use kiln::image::pxe::{self, Request};
use kiln::kickstart::{self, Network, Way};
use kiln::payload::manifest::Manifest;
use kiln::payload::{self, Delivery, Payload, PayloadInput, UNKNOWN};
use kiln::plan::{RolePlan, Versions, plan};
use kiln::progress::Silent;

use crate::{bases, common};

/// Where a tree is that nobody fetches from.
pub const URL: &str = "http://10.77.0.1/";

/// A tree that was made.
#[derive(Debug)]
pub struct Made {
    /// Its folder.
    pub tree: PathBuf,
}

fn cluster(release: Release, role: Role) -> Cluster {
    let mut cluster = common::reference_cluster();
    cluster.base.release = release;
    if role == Role::Worker {
        common::add_pool(&mut cluster);
    }
    cluster
}

fn planned(cluster: &Cluster, role: Role) -> RolePlan {
    let versions = Versions::from([("containerd".to_owned(), "2.3.4".to_owned())]);
    plan(cluster, &Assets::new(None).unwrap(), role, &versions).unwrap()
}

fn network(url: &str) -> Network {
    let kiln = Path::new(env!("CARGO_BIN_EXE_kiln"));
    let (digest, _) = Sha256::of_reader(std::fs::File::open(kiln).unwrap()).unwrap();
    Network { url: url.parse().unwrap(), kiln: digest, manifest: UNKNOWN }
}

fn way(network: &Network) -> Way<'_> {
    Way { network: Some(network), ..Way::default() }
}

/// The kickstart of a role on a release.
pub fn kickstart(release: Release, role: Role) -> String {
    let cluster = cluster(release, role);
    let network = Network { url: URL.parse().unwrap(), kiln: UNKNOWN, manifest: UNKNOWN };
    let label = VolumeLabel::for_medium(&cluster.name, role, "0000");
    let plan = planned(&cluster, role);
    kickstart::render_for(&cluster, &plan, &label, &Assets::new(None).unwrap(), way(&network)).unwrap()
}

fn payload(cluster: &Cluster, role: Role, url: &str) -> Result<Payload> {
    let (assets, plan, network) = (Assets::new(None)?, planned(cluster, role), network(url));
    let boot = |label: &VolumeLabel| {
        let text = kickstart::render_for(cluster, &plan, label, &assets, way(&network))?;
        Ok(vec![(payload::KICKSTART, text)])
    };
    let nodes: BTreeMap<HostName, _> =
        plan.nodes.iter().map(|(name, node)| (name.clone(), node.tree.clone())).collect();
    let pools = cluster.worker_pools.keys().filter(|_| role == Role::Worker);
    let input = PayloadInput {
        cluster,
        role,
        kiln: Path::new(env!("CARGO_BIN_EXE_kiln")),
        boot: &boot,
        common: &plan.common,
        nodes: &nodes,
        authority: Sha256::of(b"authority"),
        spread: Default::default(),
        reinstall: None,
        kernel_args: &[],
        base: Sha256::of(b"base"),
        pools: &pools.map(|name| (name.clone(), Default::default())).collect(),
        extra: Vec::new(),
    };
    payload::assemble_for(input, Delivery::Network)
}

/// Makes the tree of a role on a layout's base, below `dir`.
pub fn make(layout: &str, role: Role, dir: &Path, url: &str) -> Result<Made> {
    make_from(&bases::base(layout), layout, role, dir, url, Supplied::default())
}

/// The same from a base, with loaders.
pub fn make_from(
    base: &Path,
    layout: &str,
    role: Role,
    dir: &Path,
    url: &str,
    supplied: Supplied,
) -> Result<Made> {
    let release = match layout {
        "el7" => "centos-7",
        "el9" => "centos-stream-9",
        _ => "centos-stream-10",
    };
    let cluster = cluster(release.parse().unwrap(), role);
    let payload = payload(&cluster, role, url)?;
    let manifest = Manifest::of(&cluster, role, payload.label.clone());
    let tree = dir.join("tree");
    let request = Request {
        base,
        output: tree.clone(),
        url: url.parse().unwrap(),
        manifest: &manifest,
        label: payload.label,
        build_id: payload.build_id,
        title: "Install the node that this machine is".to_owned(),
        timeout: 2,
        serial: Some(Default::default()),
        supplied,
        force: false,
    };
    pxe::build(&request, payload.files, &Silent)?;
    Ok(Made { tree })
}

/// The same, which must work.
pub fn made(layout: &str, role: Role, dir: &Path, url: &str) -> Made {
    make(layout, role, dir, url).unwrap_or_else(|error| panic!("{layout}: {error}"))
}
