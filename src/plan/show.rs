//! A plan as people and programs read it. Content is shown by size and digest only; of a secret not even the digest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::pki;
use crate::profile::{Opening, Selinux};
use crate::tree::{Kind, Tree};

use super::{NodePlan, RolePlan};

/// Largest file whose digest is computed for showing, in bytes.
const SHOWN: u64 = 16 << 20;

/// A file of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct FileView {
    /// Path on the node.
    pub path: String,
    /// Four octal digits.
    pub mode: String,
    /// `dir`, `file` or `link`.
    pub kind: &'static str,
    /// Size of a file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of a file that is no secret and lies in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Where it comes from.
    pub origin: String,
}

/// What only one node gets.
#[derive(Debug, Clone, Serialize)]
pub struct NodeView {
    /// Units besides those of the profile.
    pub units: Vec<String>,
    /// Certificates that are issued for it, by name.
    pub certificates: Vec<String>,
    /// Files.
    pub files: Vec<FileView>,
}

/// A plan without contents.
#[derive(Debug, Clone, Serialize)]
pub struct PlanView {
    /// Profile.
    pub profile: String,
    /// Components.
    pub components: Vec<String>,
    /// Packages of the base.
    pub packages: Vec<String>,
    /// Units to enable.
    pub units: Vec<String>,
    /// Words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Kernel modules.
    pub modules: Vec<String>,
    /// What the firewall lets in.
    pub firewall: Vec<Opening>,
    /// SELinux mode.
    pub selinux: Selinux,
    /// SELinux booleans set to true.
    pub selinux_booleans: Vec<String>,
    /// Labels of TCP ports for SELinux.
    pub selinux_ports: Vec<String>,
    /// Files that all nodes share.
    pub common: Vec<FileView>,
    /// What each node gets besides.
    pub nodes: BTreeMap<String, NodeView>,
}

/// View of a plan. `node` narrows it to one node.
pub fn view(cluster: &Cluster, plan: &RolePlan, node: Option<&str>) -> Result<PlanView> {
    let wanted = pki::wanted(cluster);
    let mut nodes = BTreeMap::new();
    for (name, NodePlan { tree, units }) in &plan.nodes {
        if node.is_none_or(|node| node == name.as_str()) {
            let folder = format!("nodes/{name}/");
            let certificates =
                wanted.keys().filter_map(|id| id.as_str().strip_prefix(&folder)).map(str::to_owned).collect();
            nodes.insert(
                name.to_string(),
                NodeView { units: units.clone(), certificates, files: files(tree)? },
            );
        }
    }
    Ok(PlanView {
        profile: plan.role.to_string(),
        components: plan.components.clone(),
        packages: plan.packages.clone(),
        units: plan.units.clone(),
        kernel_args: plan.kernel_args.clone(),
        modules: plan.modules.clone(),
        firewall: plan.firewall.clone(),
        selinux: plan.selinux,
        selinux_booleans: plan.selinux_booleans.clone(),
        selinux_ports: plan.selinux_ports.iter().map(|it| format!("{}:{}", it.label, it.port)).collect(),
        common: files(&plan.common)?,
        nodes,
    })
}

/// View of a tree.
pub fn files(tree: &Tree) -> Result<Vec<FileView>> {
    let mut views = Vec::new();
    for (path, entry) in tree.iter() {
        let mut view = FileView {
            path: path.to_string(),
            mode: format!("{:04o}", entry.mode),
            kind: "dir",
            size: None,
            sha256: None,
            target: None,
            origin: entry.origin.clone(),
        };
        match &entry.kind {
            Kind::Dir => {}
            Kind::Symlink(target) => (view.kind, view.target) = ("link", Some(target.clone())),
            Kind::File(blob) => {
                (view.kind, view.size) = ("file", Some(blob.len()));
                if !entry.secret && blob.len() <= SHOWN {
                    let bytes =
                        blob.to_vec(SHOWN).map_err(|error| Error::internal(format!("{path}: {error}")))?;
                    view.sha256 = Some(Sha256::of(&bytes).to_string());
                }
            }
        }
        views.push(view);
    }
    Ok(views)
}

/// The view as text: lists, then one line a file.
pub fn text(view: &PlanView) -> String {
    let openings: Vec<String> = view
        .firewall
        .iter()
        .map(|opening| match opening {
            Opening::Port { port, protocol } => format!("{port}/{protocol}"),
            Opening::Protocol { name } => name.clone(),
        })
        .collect();
    let mut out = format!("profile {}\n", view.profile);
    for (title, items) in [
        ("components", &view.components),
        ("packages", &view.packages),
        ("units", &view.units),
        ("kernel arguments", &view.kernel_args),
        ("kernel modules", &view.modules),
        ("firewall", &openings),
        ("selinux booleans", &view.selinux_booleans),
        ("selinux ports", &view.selinux_ports),
    ] {
        if !items.is_empty() {
            let _ = writeln!(out, "  {title}: {}", items.join(" "));
        }
    }
    let _ = writeln!(out, "\nfiles of every {}", view.profile);
    lines(&mut out, &view.common);
    for (name, node) in &view.nodes {
        let _ = writeln!(out, "\nfiles of {name} alone");
        for (title, items) in [("units", &node.units), ("certificates", &node.certificates)] {
            if !items.is_empty() {
                let _ = writeln!(out, "  {title}: {}", items.join(" "));
            }
        }
        lines(&mut out, &node.files);
    }
    out
}

fn lines(out: &mut String, files: &[FileView]) {
    let width = files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    for file in files {
        let size = file.size.map(|size| size.to_string()).unwrap_or_default();
        let what = match (&file.target, &file.sha256) {
            (Some(target), _) => format!("-> {target}"),
            (None, Some(digest)) => digest.chars().take(12).collect(),
            (None, None) => file.kind.to_owned(),
        };
        let _ = writeln!(out, "  {} {:width$} {size:>8} {what:12} {}", file.mode, file.path, file.origin);
    }
}
