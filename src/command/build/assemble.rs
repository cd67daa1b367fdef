//! What media of all formats carry: the payload. What differs between formats comes in as [`More`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::{Args, Build};
use crate::blob::Blob;
use crate::cluster::types::{HostName, Role};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::fetch::archives::{self, Archive};
use crate::fetch::cache::Cache;
use crate::fetch::catalogue::Catalogue;
use crate::fetch::images::Images;
use crate::image::MediumFile;
use crate::image::label::VolumeLabel;
use crate::node::images::ImageList;
use crate::payload::manifest::Spread;
use crate::payload::seed::{self, SeedInput, Trees};
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

/// Everything a medium carries besides the vendor's files, and its seed.
pub struct Assembled {
    /// What the medium carries.
    pub payload: Payload,
    /// What its seed carries, if secrets go there.
    pub seed: Option<Vec<MediumFile>>,
}

/// Everything a medium carries besides the vendor's files.
pub fn assemble(build: &Build<'_>, more: More<'_>, report: &Report) -> Result<Assembled> {
    let proved = more.boot;
    assemble_for(build, more, (Delivery::Medium, proved), report)
}

/// The same for a way of delivery; the proof that all is there looks at `proved` in place of what sets the machine up.
pub fn assemble_for(
    build: &Build<'_>,
    more: More<'_>,
    (delivery, proved): (Delivery, Boot<'_>),
    report: &Report,
) -> Result<Assembled> {
    let Build { args, loaded, plan, .. } = build;
    let More { base, boot, added, packages } = more;
    let cluster = &loaded.cluster;
    let kiln = program(args)?;
    let Public { common, images, parts } = public(build, proved, packages)?;
    let pki = Pki::open_or_create(&loaded.dir.join("pki"), cluster, OffsetDateTime::now_utc())?;
    pki.changes().iter().for_each(|change| report.note(&format!("    pki: {change}")));
    let (only, spread) = (args.only(), build.spread());
    let whole = with_secrets(build, common, &pki)?;
    let hash = cluster.access.root_password_hash.as_ref();
    let (open, closed) = match spread {
        Spread::Split => {
            let secrets: Vec<&str> = hash.iter().map(|hash| hash.as_str()).collect();
            check_texts(boot, &build.label(), &secrets)?;
            let (open, closed) = seed::split(whole, &secrets)?;
            (open, Some(closed))
        }
        Spread::Whole | Spread::Beside => (whole, None),
    };

    report.step("reading the payload");
    let input = PayloadInput {
        cluster,
        role: args.profile,
        kiln: &kiln,
        boot,
        common: &open.common,
        nodes: &open.nodes,
        authority: pki.id(),
        spread,
        reinstall: only,
        kernel_args: &plan.kernel_args,
        base,
        pools: &open.pools,
        extra: std::iter::once(parts).chain(images.into_iter().map(image_file)).chain(added).collect(),
    };
    let payload = payload::assemble_for(input, delivery)?;
    let seed = closed.map(|closed| {
        seed::assemble(&SeedInput {
            payload: &payload,
            cluster: &cluster.name,
            role: args.profile,
            authority: pki.id(),
            reinstall: only,
            closed: &closed,
            root_password: hash,
        })
    });
    Ok(Assembled { seed: seed.transpose()?, payload })
}

/// All that nodes get: what is common, and what is each one's own, secrets with it.
fn with_secrets(build: &Build<'_>, mut common: Tree, pki: &Pki) -> Result<Trees> {
    let Build { args, loaded, plan, .. } = build;
    let (cluster, only) = (&loaded.cluster, args.only());
    common.merge(pki.role_tree(args.profile)?)?;
    let mut nodes: BTreeMap<HostName, Tree> = BTreeMap::new();
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
    Ok(Trees { common, nodes, pools })
}

/// Refuses texts of the public medium that tell a secret: a project may have templates of its own.
fn check_texts(boot: Boot<'_>, label: &VolumeLabel, secrets: &[&str]) -> Result<()> {
    for (path, text) in boot(label)? {
        if let Some(what) = seed::secret_in(&text, secrets) {
            return Err(Error::input(format!("{path} holds {what}, and would be on the public medium"))
                .hint("take it out of the project's own templates below kickstart/"));
        }
    }
    Ok(())
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
    let label = build.label();
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
