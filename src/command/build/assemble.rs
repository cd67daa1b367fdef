//! What media of all formats carry: the payload. What differs between formats comes in as [`More`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::{Args, Build};
use crate::blob::Blob;
use crate::cluster::types::{HostName, Role};
use crate::digest::Sha256;
use crate::error::{IoContext, Result};
use crate::fetch::archives::{self, Archive};
use crate::fetch::cache::Cache;
use crate::fetch::catalogue::Catalogue;
use crate::fetch::images::Images;
use crate::image::label::VolumeLabel;
use crate::node::images::ImageList;
use crate::payload::{self, Boot, Delivery, Extra, Payload, PayloadInput};
use crate::pki::Pki;
use crate::progress::Progress;
use crate::report::Report;
use crate::sbom::parts::Package;
use crate::sbom::{self, Parts};
use crate::tree::{Entry, NodePath, Tree};
use crate::{airgap, fetch, node};

/// What a format adds to the payload.
pub struct More<'a> {
    /// Tells the base apart.
    pub base: Sha256,
    /// What sets the machine up.
    pub boot: Boot<'a>,
    /// Further files of the medium.
    pub added: Vec<Extra>,
    /// Those of them that are packages, for the bill of materials.
    pub packages: BTreeMap<String, Package>,
}

/// kiln's program for the machines.
pub fn program(args: &Args) -> Result<PathBuf> {
    let kiln = match &args.kiln {
        Some(path) => path.clone(),
        None => std::env::current_exe().at("finding", Path::new("this program"))?,
    };
    payload::check_program(&kiln)?;
    Ok(kiln)
}

/// Everything a medium carries besides the vendor's files.
pub fn assemble(build: &Build<'_>, more: More<'_>, report: &Report) -> Result<Payload> {
    let proved = more.boot;
    assemble_for(build, more, (Delivery::Medium, proved), report)
}

/// The same for a way of delivery; the proof that all is there looks at `proved` in place of what sets the machine up.
pub fn assemble_for(
    build: &Build<'_>,
    more: More<'_>,
    (delivery, proved): (Delivery, Boot<'_>),
    report: &Report,
) -> Result<Payload> {
    let Build { args, loaded, plan, .. } = build;
    let More { base, boot, added, packages } = more;
    let cluster = &loaded.cluster;
    let kiln = program(args)?;
    let Public { mut common, images, parts } = public(build, proved, packages)?;
    let pki = Pki::open_or_create(&loaded.dir.join("pki"), cluster, OffsetDateTime::now_utc())?;
    pki.changes().iter().for_each(|change| report.note(&format!("    pki: {change}")));

    common.merge(pki.role_tree(args.profile)?)?;
    let mut nodes: BTreeMap<HostName, Tree> = BTreeMap::new();
    let only = args.only();
    for node in cluster.nodes_of(args.profile).filter(|node| only.is_none_or(|only| *only == node.name)) {
        let mut tree = plan.nodes.get(&node.name).map(|own| own.tree.clone()).unwrap_or_default();
        tree.merge(pki.node_tree(cluster, node)?)?;
        nodes.insert(node.name.clone(), tree);
    }

    let mut pools = BTreeMap::new();
    if args.profile == Role::Worker && only.is_none() {
        for pool in cluster.worker_pools.values() {
            pools.insert(pool.name.clone(), pki.pool_tree(cluster, pool)?);
        }
    }

    report.step("reading the payload");
    let input = PayloadInput {
        cluster,
        role: args.profile,
        kiln: &kiln,
        boot,
        common: &common,
        nodes: &nodes,
        authority: pki.id(),
        reinstall: only,
        kernel_args: &plan.kernel_args,
        base,
        pools: &pools,
        extra: std::iter::once(parts).chain(images.into_iter().map(image_file)).chain(added).collect(),
    };
    payload::assemble_for(input, delivery)
}

/// What a medium carries that is no secret.
struct Public {
    common: Tree,
    images: Vec<Archive>,
    /// The list of parts.
    parts: Extra,
}

/// Gathers what is no secret, and proves that it is enough without a network.
fn public(build: &Build<'_>, boot: Boot<'_>, packages: BTreeMap<String, Package>) -> Result<Public> {
    let Build { args, loaded, assets, lock, plan } = build;
    let cluster = &loaded.cluster;
    let catalogue = Catalogue::load(assets)?;
    let mut common = plan.common.clone();
    let cache = Cache::of_user();
    common.merge(fetch::component_tree(&catalogue, lock, cluster, args.profile, &cache)?)?;
    let wanted = Images::load(assets)?.wanted(cluster);
    let images = archives::for_role(lock, cluster, &wanted, args.profile, &cache)?;
    // The label says nothing that the proof would look at.
    let label = VolumeLabel::for_medium(&cluster.name, args.profile, "0000");
    let files = images.iter().map(|archive| payload::image_path(&archive.file));
    let rules = catalogue.of(cluster).flat_map(|(_, one)| one.files_for(cluster, args.profile, None));
    let held = archives::held(&images, cluster.runtime)?;
    let texts: String = boot(&label)?.into_iter().map(|(_, text)| text).collect();
    let medium = airgap::Medium {
        cluster,
        plan,
        common: &common,
        kickstart: &texts,
        components: &rules.map(|(_, rule)| rule.path.clone()).collect(),
        images: &held,
        listed: &images.iter().flat_map(|archive| archive.names.iter().cloned()).collect(),
        files: &files.chain([payload::KILN.to_owned()]).collect(),
    };
    airgap::refuse(&airgap::prove(&medium))?;
    let by_digest = airgap::by_digest(&medium);
    if !images.is_empty() {
        let list = ImageList::of(cluster.runtime, &images, &by_digest).to_json()?;
        common.insert(NodePath::new(node::images::LIST)?, Entry::file(0o644, Blob::bytes(list), "images"))?;
    }
    let mut parts = Parts::of(&catalogue, lock, cluster, args.profile, &held);
    parts.packages = packages;
    let parts = parts.to_json()?;
    let (origin, path) = ("the list of parts".to_owned(), sbom::parts::PATH.to_owned());
    let parts = Extra { origin, path, mode: 0o644, content: Blob::bytes(parts) };
    Ok(Public { common, images, parts })
}

/// An image archive as a file of the medium.
fn image_file(archive: Archive) -> Extra {
    Extra {
        origin: format!("image archive {}", archive.file),
        path: payload::image_path(&archive.file),
        mode: 0o644,
        content: archive.content,
    }
}
