//! Role + cluster → plan: what the nodes of a role get, as plain data. Pure: no clock, no disk but the assets, no secrets
//! (those are in `pki`'s trees, which the builder merges in).

pub mod context;
pub mod flags;
pub mod gates;
pub mod machine;
pub mod overlay;
pub mod show;

use std::collections::BTreeMap;

use crate::assets::Assets;
use crate::blob::Blob;
use crate::cluster::Cluster;
use crate::cluster::types::{HostName, Role};
use crate::error::{Error, Result};
use crate::fetch::images::Images;
use crate::fetch::lock::Lock;
use crate::node::inventory::{self, Inventory};
use crate::profile::{self, Facts, Opening, PortLabel, Profile, Section, Selinux};
use crate::tree::{Entry, NodePath, Tree};

use context::Data;
use overlay::Overlay;

pub(crate) use context::vrid;
pub use machine::{Machine, machine_tree};

/// Versions of components as the lock pins them, by component.
pub type Versions = BTreeMap<String, String>;

/// Versions that a lock pins.
pub fn versions(lock: &Lock) -> Versions {
    lock.components.iter().map(|(name, pin)| (name.clone(), pin.version.to_string())).collect()
}

/// What the nodes of one role get.
#[derive(Debug, Clone)]
pub struct RolePlan {
    /// Role.
    pub role: Role,
    /// The profile it was made from.
    pub profile: Profile,
    /// Files that all nodes of the role share.
    pub common: Tree,
    /// What only one node gets, by node.
    pub nodes: BTreeMap<HostName, NodePlan>,
    /// Packages of the base to install.
    pub packages: Vec<String>,
    /// The files of `profiles/` that name each of them.
    pub asked_by: BTreeMap<String, Vec<String>>,
    /// Components whose programs the nodes run.
    pub components: Vec<String>,
    /// Units to enable on all nodes of the role.
    pub units: Vec<String>,
    /// Words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Kernel modules to load at boot; `/etc/modules-load.d/kiln.conf` holds them already.
    pub modules: Vec<String>,
    /// What the firewall lets in; the files of firewalld hold it already.
    pub firewall: Vec<Opening>,
    /// SELinux on the nodes.
    pub selinux: Selinux,
    /// SELinux booleans to set to true.
    pub selinux_booleans: Vec<String>,
    /// Labels of TCP ports for SELinux.
    pub selinux_ports: Vec<PortLabel>,
}

/// What only one node gets.
#[derive(Debug, Clone, Default)]
pub struct NodePlan {
    /// Its files.
    pub tree: Tree,
    /// Units to enable besides those of the role; `tree` holds the links that do it.
    pub units: Vec<String>,
}

/// Plans a role.
///
/// Fails if the cluster has no machine of that role, and if an overlay or profile cannot be used.
pub fn plan(cluster: &Cluster, assets: &Assets, role: Role, versions: &Versions) -> Result<RolePlan> {
    let nodes: Vec<_> = cluster.nodes_of(role).collect();
    let pools = role == Role::Worker && !cluster.worker_pools.is_empty();
    if nodes.is_empty() && !pools {
        return Err(Error::input(format!("cluster `{}` has no node of profile `{role}`", cluster.name))
            .hint(format!("add a [[node]] with profile = \"{role}\", or plan another profile")));
    }
    let profile = profile::load(assets, role)?;
    // Members of a pool run no etcd, so a role with pools never has it in common.
    let all_etcd = !pools && nodes.iter().all(|node| node.etcd);
    let any_etcd = nodes.iter().any(|node| node.etcd);
    let facts = Facts::of(cluster, any_etcd);
    let (wide, asked_by) = (profile.resolve(&facts), profile.packages_by_file(&facts));
    let base = profile.resolve(&Facts::of(cluster, all_etcd));
    let images = Images::load(assets)?.by_purpose(cluster);
    let data = Data::new(cluster, role, &wide, versions).with_images(images);

    let shared = overlays(assets, &base.overlays)?;
    let mut common = Tree::default();
    shared.iter().try_for_each(|overlay| overlay.common(assets, &data, &mut common))?;
    if pools {
        refuse_per_node(&shared)?;
    }
    let inventory = Blob::bytes(Inventory::of(cluster).to_json()?.into_bytes());
    common.insert(NodePath::new(inventory::PATH)?, Entry::file(0o644, inventory, "inventory"))?;
    let extra = overlays(assets, &minus(&wide.overlays, &base.overlays))?;
    let mut plans = BTreeMap::new();
    for node in nodes {
        let data = data.for_node(&node.name);
        let mut own = NodePlan { tree: machine_tree(&node.into())?, units: Vec::new() };
        shared.iter().try_for_each(|overlay| overlay.own(assets, &data, &mut own.tree))?;
        if node.etcd {
            for overlay in &extra {
                overlay.common(assets, &data, &mut own.tree)?;
                overlay.own(assets, &data, &mut own.tree)?;
            }
            own.units = minus(&wide.units, &base.units);
            own.units.iter().try_for_each(|unit| enable(unit, &mut own.tree))?;
        }
        plans.insert(node.name.clone(), own);
    }
    let plan = assemble(cluster, profile, wide, base.units, common, plans);
    Ok(RolePlan { asked_by, ..plan })
}

fn assemble(
    cluster: &Cluster,
    profile: Profile,
    wide: Section,
    units: Vec<String>,
    common: Tree,
    nodes: BTreeMap<HostName, NodePlan>,
) -> RolePlan {
    let mut kernel_args = wide.kernel_args;
    if let Some(serial) = cluster.serial {
        kernel_args.push("console=tty0".to_owned());
        kernel_args.push(format!("console=ttyS{},{}n8", serial.port, serial.speed));
    }
    let mut packages = wide.packages;
    packages.sort();
    RolePlan {
        role: profile.role,
        selinux: profile.selinux,
        profile,
        common,
        nodes,
        packages,
        asked_by: BTreeMap::new(),
        components: wide.components,
        units,
        kernel_args,
        modules: wide.modules,
        firewall: wide.firewall.iter().filter_map(|item| Opening::parse(item).ok()).collect(),
        selinux_booleans: wide.selinux_booleans,
        selinux_ports: wide.selinux_ports.iter().filter_map(|item| PortLabel::parse(item).ok()).collect(),
    }
}

fn overlays(assets: &Assets, names: &[String]) -> Result<Vec<Overlay>> {
    names.iter().map(|name| Overlay::read(assets, name)).collect()
}

fn minus(all: &[String], known: &[String]) -> Vec<String> {
    all.iter().filter(|item| !known.contains(item)).cloned().collect()
}

/// Enables a unit by the link that `systemctl enable` would make: the kickstart knows the role's units only.
fn enable(unit: &str, tree: &mut Tree) -> Result<()> {
    let path = NodePath::new(format!("/etc/systemd/system/multi-user.target.wants/{unit}"))?;
    tree.insert(path, Entry::symlink(format!("/usr/lib/systemd/system/{unit}"), "plan"))
}

/// A pool's machines are unknown when the medium is built, so no overlay of theirs can be rendered for one.
fn refuse_per_node(overlays: &[Overlay]) -> Result<()> {
    match overlays.iter().find_map(Overlay::per_node) {
        None => Ok(()),
        Some(path) => Err(Error::input(format!(
            "{path} is rendered for each worker (it uses `node`), but workers of a pool are unknown until they boot"
        ))
        .hint("read the machine's name and address from /opt/kiln/node.env, or list the workers as [[node]]")),
    }
}
