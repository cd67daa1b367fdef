//! The air-gap proof: walks what reaches the nodes of a medium (units, scripts, manifests, configuration, the kickstart) and
//! names every image, URL, program, unit and object that is asked for and that nothing on the medium brings.
//!
//! Pure: it is given what the medium will carry, and gives findings. It runs no program and opens no archive; which names and
//! digests the archives give is said by [`Held`]. It is no parser of shell or YAML: it finds words, and what it cannot see is
//! listed in `docs/air-gap.md`. Names of packages are not judged here. Files that hold secrets are not looked into.

mod held;
mod images;
mod manifests;
mod programs;
mod text;
mod units;
mod urls;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::cluster::Cluster;
use crate::cluster::types::HostName;
use crate::error::{Error, Result};
use crate::format::oci::Reference;
use crate::plan::RolePlan;
use crate::tree::{Kind, NodePath, Tree};

pub use held::{ByDigest, Held, Image};

/// What a medium will carry, and for whom.
pub struct Medium<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The plan of the role: enabled units, packages, and what single nodes get.
    pub plan: &'a RolePlan,
    /// What all nodes of the role share: the plan's files, components, the list of images.
    pub common: &'a Tree,
    /// The kickstart.
    pub kickstart: &'a str,
    /// Paths on nodes that components bring, by the catalogue, whether they are pinned or not.
    pub components: &'a BTreeSet<NodePath>,
    /// Images by the archives of the medium.
    pub images: &'a Held,
    /// Images that nodes load, and do not start without.
    pub listed: &'a BTreeSet<Reference>,
    /// Paths of the files on the medium itself.
    pub files: &'a BTreeSet<String>,
}

/// What kind of thing is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// A container image.
    Image,
    /// Something at the other end of a network.
    Url,
    /// A program.
    Program,
    /// A file that a unit cannot start without.
    File,
    /// A unit of systemd.
    Unit,
    /// An object of the cluster that no manifest makes.
    Object,
}

/// A place that asks for something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The file, as nodes see it; `ks.cfg` for the kickstart.
    pub file: String,
    /// Its line, from 1; nothing where a file as a whole asks.
    pub line: Option<usize>,
    /// Where the file came from: `overlay addons`.
    pub origin: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map_or(String::new(), |line| format!(", line {line}"));
        write!(f, "{}{line} ({})", self.file, self.origin)
    }
}

/// Something that is asked for and not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub missing: Missing,
    /// What is wrong, naming the thing.
    pub fault: String,
    /// What to do.
    pub remedy: String,
    /// Who asks for it.
    pub asked: BTreeSet<Asked>,
}

/// Findings under way: one a fault, with all who ask.
#[derive(Debug, Default)]
struct Findings(BTreeMap<(Missing, String), (String, BTreeSet<Asked>)>);

impl Findings {
    fn add(&mut self, missing: Missing, fault: String, remedy: &str, asked: Asked) {
        let entry = self.0.entry((missing, fault)).or_insert_with(|| (remedy.to_owned(), BTreeSet::new()));
        entry.1.insert(asked);
    }
}

/// Everything that is asked for and missing, sorted by kind and name; nothing if the medium is enough.
pub fn prove(medium: &Medium<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    let sources = text::sources(medium);
    for source in &sources {
        images::walk(medium, source, &mut findings);
        urls::walk(medium, source, &mut findings);
        programs::walk(medium, source, &mut findings);
        units::walk(medium, source, &mut findings);
    }
    images::listed(medium, &mut findings);
    units::enabled(medium, &sources, &mut findings);
    manifests::walk(medium, &sources, &mut findings);
    let finding = |((missing, fault), (remedy, asked))| Finding { missing, fault, remedy, asked };
    findings.0.into_iter().map(finding).collect()
}

/// Names by digest that are asked for and held: an archive gives names by tag alone, so nodes have to make these themselves.
pub fn by_digest(medium: &Medium<'_>) -> BTreeMap<String, ByDigest> {
    let sources = text::sources(medium);
    let named = sources.iter().flat_map(|source| images::named(source, &source.lines()));
    named.filter_map(|(_, name)| medium.images.by_digest(&name)).collect()
}

/// Refuses a medium that is not enough, naming all that is missing with who asks for it.
pub fn refuse(findings: &[Finding]) -> Result<()> {
    /// Who asks is told for so many places of one finding.
    const PLACES: usize = 3;
    if findings.is_empty() {
        return Ok(());
    }
    let mut text = match findings.len() {
        1 => "the medium is not enough without a network".to_owned(),
        many => format!("the medium is not enough without a network, for {many} reasons"),
    };
    for finding in findings {
        text += &format!("\n  {}", finding.fault);
        for asked in finding.asked.iter().take(PLACES) {
            text += &format!("\n    asked for in {asked}");
        }
        if finding.asked.len() > PLACES {
            text += &format!("\n    and in {} more places", finding.asked.len() - PLACES);
        }
        text += &format!("\n    {}", finding.remedy);
    }
    Err(Error::input(text).hint("docs/air-gap.md says what is looked for, and what each finding means"))
}

/// Files that `kiln node place` makes on the machine, beside what the archives hold.
const PLACED: [&str; 5] = [
    "/opt/kiln/bin/kiln",
    "/opt/kiln/manifest.json",
    "/opt/kiln/node.json",
    "/opt/kiln/node.env",
    "/etc/hostname",
];

impl Medium<'_> {
    /// Whether something lies at a path, or below it, on all nodes that `node` stands for: one, or every node of the role.
    fn has(&self, path: &str, node: Option<&HostName>) -> bool {
        if PLACED.contains(&path) {
            return path != PLACED[0] || self.files.contains(crate::payload::KILN);
        }
        let own = |name: &HostName| self.plan.nodes.get(name).is_some_and(|own| lies(&own.tree, path));
        if lies(self.common, path) {
            return true;
        }
        match node {
            Some(name) => own(name),
            None => !self.plan.nodes.is_empty() && self.plan.nodes.keys().all(own),
        }
    }

    /// Trees with the node that each is for; the first is for all.
    fn trees(&self) -> impl Iterator<Item = (Option<&HostName>, &Tree)> {
        let own = self.plan.nodes.iter().map(|(name, own)| (Some(name), &own.tree));
        std::iter::once((None, self.common)).chain(own)
    }
}

/// Whether a tree has something at a path, or below it. A link counts if it leads into the operating system's folders, or to
/// something in the tree.
fn lies(tree: &Tree, path: &str) -> bool {
    match tree.get(path).map(|entry| &entry.kind) {
        Some(Kind::Symlink(target)) if target.starts_with('/') && target != path => {
            programs::is_of_system(target) || tree.get(target).is_some()
        }
        Some(_) => true,
        None => {
            let below = format!("{path}/");
            tree.iter().any(|(other, _)| other.as_str().starts_with(&below))
        }
    }
}

#[cfg(test)]
mod tests;
