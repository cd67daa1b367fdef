//! `kiln build`: one role of a cluster into a medium. The one place where clock, PKI, lock, plan and writer meet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use time::OffsetDateTime;

use crate::assets::Assets;
use crate::blob::Blob;
use crate::cluster::Loaded;
use crate::cluster::types::{HostName, Role};
use crate::command::{ClusterArg, key};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::fetch::archives::{self, Archive};
use crate::fetch::cache::Cache;
use crate::fetch::catalogue::Catalogue;
use crate::fetch::images::Images;
use crate::fetch::lock::Lock;
use crate::image::base;
use crate::image::inspect::text::printable;
use crate::image::iso::{self, Built, Remaster};
use crate::image::label::VolumeLabel;
use crate::image::menu::MenuSpec;
use crate::node::images::ImageList;
use crate::payload::{self, Extra, Payload, PayloadInput};
use crate::pki::Pki;
use crate::plan::{self, RolePlan};
use crate::progress::Progress;
use crate::report::{Report, human_size};
use crate::sbom::{self, Parts};
use crate::sign::{self, SecretKey};
use crate::tree::{Entry, NodePath, Tree};
use crate::{airgap, fetch, kickstart, node, packages};

/// Seconds that a boot menu waits before it installs.
const MENU_TIMEOUT: u16 = 5;

/// Arguments of `kiln build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln build --profile master
  kiln build -C prod/cluster.toml --profile worker --output /srv/worker.iso
  kiln build --profile master --reinstall k8s-master2
  kiln build --profile lb --sign ops.key")]
pub struct Args {
    /// Role to build a medium for
    #[arg(long, short, value_enum)]
    pub profile: Role,
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArg,
    /// File to write; out/CLUSTER-PROFILE.iso beside the cluster file if not given
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Build a medium for one node that may wipe that node's disks, and is for no other
    #[arg(long, value_name = "NODE")]
    pub reinstall: Option<HostName>,
    /// Statically linked kiln to put on the medium; this program if not given
    #[arg(long, value_name = "FILE")]
    pub kiln: Option<PathBuf>,
    /// Sign the medium with this secret key; OUTPUT.minisig is the signature
    #[arg(long, value_name = "KEYFILE")]
    pub sign: Option<PathBuf>,
    /// Replace an output even if kiln did not make it
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// Builds the medium and says what was built.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let loaded = args.cluster.load(report)?;
    check_reinstall(args, &loaded)?;
    let base = loaded.cluster.base.iso.clone().ok_or_else(|| {
        Error::input(format!("{} names no base ISO", args.cluster.cluster.display()))
            .hint("set `iso` in [base] to the path of the vendor's install ISO")
    })?;
    report.step("planning");
    let assets = Assets::new(Some(&loaded.dir))?;
    let lock = Lock::load(&loaded.dir.join("kiln.lock"))?;
    let versions = plan::versions(&lock);
    let plan = plan::plan(&loaded.cluster, &assets, args.profile, &versions)?;
    let fingerprint = base::look(&base)?.fingerprint;
    report.step("resolving packages");
    let added = packages::check(&base, &loaded.cluster, &plan)?;
    // All that can be refused is refused before keys are made.
    let output = output_path(args, &loaded);
    iso::check_output(&base, &output, args.force)?;
    check_place(args, &loaded, &output)?;
    let signature = sign::beside(&output);
    let key = args.sign.as_deref().map(|file| SecretKey::load(file, &|| key::password(file))).transpose()?;
    key.iter().try_for_each(|_| sign::check_place(&signature))?;
    let extra = packages::medium_files(&added)?;
    let payload = assemble(args, &loaded, &assets, &lock, &plan, (fingerprint, extra), report)?;
    if args.output.is_none() {
        let out = loaded.dir.join("out");
        std::fs::create_dir_all(&out).at("making the folder", &out)?;
    }
    let request = Remaster {
        base,
        output: output.clone(),
        label: payload.label.clone(),
        menu: menu(&loaded, args, &payload),
        force: args.force,
    };
    let build_id = payload.build_id;
    let built = iso::remaster(&request, payload.files, report)?;
    match &key {
        Some(key) => signed(key, &output, &signature, &build_id.to_string(), report)?,
        None if signature.exists() => report.warn(&format!(
            "{} is of the medium that was there before; --sign makes a new one",
            signature.display()
        )),
        None => {}
    }
    tell(args, report, &output, &request, &build_id.to_string(), &built);
    Ok(())
}

/// Signs a finished medium.
fn signed(key: &SecretKey, output: &Path, signature: &Path, build_id: &str, report: &Report) -> Result<()> {
    report.step("signing the medium");
    // What was there is of another medium, and must not look as if it was of this one if signing fails.
    match std::fs::remove_file(signature) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("removing", signature, error));
        }
        _ => {}
    }
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let comment = format!("file:{} build:{build_id}", printable(&name));
    sign::put(signature, &key.sign(output, &comment, report)?)?;
    report.note(&format!("signed {} with key {}", signature.display(), key.id()));
    Ok(())
}

/// Everything the medium carries besides the vendor's files.
fn assemble(
    args: &Args,
    loaded: &Loaded,
    assets: &Assets,
    lock: &Lock,
    plan: &RolePlan,
    (base, added): (Sha256, Vec<Extra>),
    report: &Report,
) -> Result<Payload> {
    let cluster = &loaded.cluster;
    let kiln = match &args.kiln {
        Some(path) => path.clone(),
        None => std::env::current_exe().at("finding", Path::new("this program"))?,
    };
    payload::check_program(&kiln)?;
    let Public { mut common, images, parts } = public(args, loaded, assets, lock, plan)?;
    let pki = Pki::open_or_create(&loaded.dir.join("pki"), cluster, OffsetDateTime::now_utc())?;
    pki.changes().iter().for_each(|change| report.note(&format!("    pki: {change}")));

    common.merge(pki.role_tree(args.profile)?)?;
    let mut nodes: BTreeMap<HostName, Tree> = BTreeMap::new();
    let only = args.reinstall.as_ref();
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
    payload::assemble(PayloadInput {
        cluster,
        role: args.profile,
        kiln: &kiln,
        kickstart: &|label| kickstart::render(cluster, plan, label, assets),
        common: &common,
        nodes: &nodes,
        authority: pki.id(),
        reinstall: only,
        kernel_args: &plan.kernel_args,
        base,
        pools: &pools,
        extra: std::iter::once(parts).chain(images.into_iter().map(image_file)).chain(added).collect(),
    })
}

/// What a medium carries that is no secret.
struct Public {
    common: Tree,
    images: Vec<Archive>,
    /// The list of parts.
    parts: Extra,
}

/// Gathers what is no secret, and proves that it is enough without a network.
fn public(args: &Args, loaded: &Loaded, assets: &Assets, lock: &Lock, plan: &RolePlan) -> Result<Public> {
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
    let medium = airgap::Medium {
        cluster,
        plan,
        common: &common,
        kickstart: &kickstart::render(cluster, plan, &label, assets)?,
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
    let parts = Parts::of(&catalogue, lock, cluster, args.profile, &held).to_json()?;
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

/// What the boot menus offer.
fn menu(loaded: &Loaded, args: &Args, payload: &Payload) -> MenuSpec {
    let (cluster, role) = (&loaded.cluster, args.profile);
    let own = |name: &HostName| args.reinstall.as_ref().is_none_or(|only| only == name);
    let title = match &args.reinstall {
        None => format!("Install the {role} of {} that matches this machine", cluster.name),
        Some(node) => format!("Install {node} of {} anew, if this machine is it", cluster.name),
    };
    MenuSpec {
        label: payload.label.clone(),
        default_title: title,
        nodes: cluster.nodes_of(role).map(|node| node.name.clone()).filter(own).collect(),
        timeout_seconds: MENU_TIMEOUT,
        serial: cluster.serial,
        el: cluster.base.release.el,
        ks_path: payload::KICKSTART.to_owned(),
    }
}

/// The node to reinstall must be one of the role.
fn check_reinstall(args: &Args, loaded: &Loaded) -> Result<()> {
    let Some(name) = &args.reinstall else { return Ok(()) };
    match loaded.cluster.nodes.get(name) {
        Some(node) if node.role == args.profile => Ok(()),
        Some(node) => Err(Error::input(format!("{name} is of profile {}, not {}", node.role, args.profile))
            .hint(format!("kiln build --profile {} --reinstall {name}", node.role))),
        None => Err(Error::input(format!("cluster {} has no node {name}", loaded.cluster.name))
            .hint("members of a worker pool are reinstalled by typing their name at the console")),
    }
}

/// Where the medium goes.
fn output_path(args: &Args, loaded: &Loaded) -> PathBuf {
    let what = match &args.reinstall {
        None => args.profile.to_string(),
        Some(node) => format!("reinstall-{node}"),
    };
    let usual = || loaded.dir.join("out").join(format!("{}-{what}.iso", loaded.cluster.name));
    args.output.clone().unwrap_or_else(usual)
}

/// Refuses an output in a folder that is not there, and one that would replace what media are built from.
fn check_place(args: &Args, loaded: &Loaded, output: &Path) -> Result<()> {
    if args.output.is_some() {
        let parent =
            output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let found = std::fs::read_dir(parent).at("opening the folder", parent);
        found.map_err(|error| error.hint("make the folder, or choose another output"))?;
    }
    let Ok(there) = output.canonicalize() else { return Ok(()) };
    let own = [args.cluster.cluster.clone(), loaded.dir.join("kiln.lock"), loaded.dir.join("pki")];
    let folders = loaded.cluster.components.dir.iter().chain(&loaded.cluster.base.rpms);
    let inputs = own.iter().chain(folders).chain(&args.kiln).chain(&args.sign);
    for input in inputs.filter_map(|path| path.canonicalize().ok()) {
        if there.starts_with(&input) {
            return Err(Error::input(format!("{} is what media are built from", output.display()))
                .hint("choose another output"));
        }
    }
    Ok(())
}

fn tell(args: &Args, report: &Report, output: &Path, request: &Remaster, build_id: &str, built: &Built) {
    if args.json {
        let result = json!({
            "output": output,
            "size": built.size,
            "sha256": built.sha256,
            "label": request.label.as_str(),
            "build_id": build_id,
            "profile": args.profile.as_str(),
            "reflinked": built.reflinked,
            "signature": args.sign.as_ref().map(|_| sign::beside(output)),
        });
        report.data(&format!("{result}\n"));
        return;
    }
    report.note(&format!("built {} ({}, label {})", output.display(), human_size(built.size), request.label));
    report.note(&format!("      SHA-256 {}", built.sha256));
    report.note(match args.profile {
        Role::Master => "      It holds the masters' keys: keep it as safe as a root password.",
        Role::Worker => {
            "      It holds the workers' keys and the token with which machines join: keep it safe."
        }
        Role::Lb => "      It is made for machines of this cluster only: keep it safe.",
    });
}
