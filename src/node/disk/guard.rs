//! The wipe guard: whether the disks that were chosen may be wiped. Pure: what lies on them and who asks in, a verdict out.
//!
//! - A disk that carries a node of this cluster is wiped only by a medium that was made to reinstall that node, or when
//!   somebody types its name.
//! - Anything else is wiped only if the cluster file says so (`wipe = "any"`).
//! - What an installation that was cut short has left may be wiped, as far as it is certain that nothing else is there.
//! - A machine that was installed from this very medium boots its disk.

use std::collections::BTreeMap;

use super::content::Content;
use super::record::{Record, State};
use super::rule::row;
use super::{Disk, record};
use crate::cluster::storage::Wipe;
use crate::cluster::types::{ClusterName, HostName};
use crate::digest::Sha256;
use crate::error::{Error, Result};

/// Who wants to install, from which medium.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// Cluster.
    pub cluster: &'a ClusterName,
    /// Digest of its authority.
    pub authority: Sha256,
    /// The node to be.
    pub node: &'a HostName,
    /// Build id of the medium.
    pub build_id: Sha256,
    /// What the cluster file lets be wiped.
    pub wipe: Wipe,
    /// The node that the medium was made to reinstall.
    pub reinstall: Option<&'a HostName>,
}

/// A disk, what lies on it, and the folder that is to lie on it; none for disks that are left alone.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Folder of the node.
    pub folder: Option<&'a str>,
    /// The disk.
    pub disk: &'a Disk,
    /// What lies on it.
    pub content: &'a Content,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Install; with what is worth saying.
    Install(Vec<String>),
    /// This machine was installed from this medium: boot this disk.
    Installed(String),
    /// Somebody must type the name of every node that is there; none of them is lost for another's name.
    Ask(Vec<Lost>),
}

/// A node that would be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its name.
    pub name: HostName,
    /// Where it is.
    pub why: String,
}

/// What a disk is, to who asks.
enum Holding<'a> {
    Blank,
    /// Left by an installation that was cut short.
    Unfinished(&'a Record),
    /// Installed from this medium, as this node.
    Installed(&'a Record),
    /// A node of this cluster.
    Node(&'a Record),
    /// Something else.
    Foreign(String),
}

/// Judges all disks of a machine.
pub fn judge(case: &Case<'_>, targets: &[Target<'_>]) -> Result<Verdict> {
    let mut notes = Vec::new();
    let mut foreign = Vec::new();
    let mut nodes: Vec<(&Target<'_>, &Record)> = Vec::new();
    for target in targets {
        match (holding(case, target.content), target.folder) {
            (Holding::Installed(record), Some("/")) if record.folder == "/" => {
                return Ok(Verdict::Installed(target.disk.name.clone()));
            }
            // A disk that no rule takes is of interest only if a whole node lies on it.
            (Holding::Node(record), None) if record.folder == "/" => nodes.push((target, record)),
            (_, None) => {}
            (Holding::Node(record) | Holding::Installed(record), Some(_)) => nodes.push((target, record)),
            (Holding::Unfinished(record), Some(_)) => notes.push(format!(
                "an installation of {} on {} was cut short; it begins anew",
                record.node, target.disk.name
            )),
            (Holding::Foreign(what), Some(_)) if case.wipe == Wipe::Any => {
                notes.push(format!("{} will be wiped, as wipe = \"any\" says: {what}", target.disk.name));
            }
            (Holding::Foreign(what), Some(_)) => foreign.push((target.disk, what)),
            (Holding::Blank, Some(_)) => {}
        }
    }
    if !foreign.is_empty() {
        return Err(refuse(case, &foreign));
    }
    let reinstalled = |record: &Record| case.reinstall == Some(&record.node) && record.node == *case.node;
    let mut lost: BTreeMap<&HostName, Vec<String>> = BTreeMap::new();
    for (target, record) in nodes {
        match reinstalled(record) {
            true => notes.push(format!("reinstalling: {}", on(target, record))),
            false => lost.entry(&record.node).or_default().push(on(target, record)),
        }
    }
    if lost.is_empty() {
        return Ok(Verdict::Install(notes));
    }
    let lost = lost.into_iter().map(|(name, why)| Lost { name: name.clone(), why: why.join("; ") });
    Ok(Verdict::Ask(lost.collect()))
}

fn holding<'a>(case: &Case<'_>, content: &'a Content) -> Holding<'a> {
    let rest = || match content.is_blank() {
        true => Holding::Blank,
        false => Holding::Foreign(content.words()),
    };
    let Some(record) = &content.record else { return rest() };
    if record.cluster != *case.cluster || record.authority != case.authority {
        return match (&record.state, content.is_blank()) {
            (State::Taken { .. }, true) => Holding::Blank,
            _ => Holding::Foreign(format!("{} of another cluster, {}", record.node, record.cluster)),
        };
    }
    let same = record.node == *case.node && record.build_id == case.build_id;
    let is_ours = |table: &record::TableId| content.table.as_ref() == Some(table);
    match &record.state {
        State::Complete { table } if is_ours(table) && same => Holding::Installed(record),
        State::Complete { table } if is_ours(table) => Holding::Node(record),
        State::Parted { table } if is_ours(table) && only_kilns(content) => Holding::Unfinished(record),
        // Whoever let this medium have the disk has let it have the disk as it still is.
        State::Taken { before } if same && content.before == *before => Holding::Unfinished(record),
        State::Taken { .. } if same && only_kilns(content) => Holding::Unfinished(record),
        // The table is another one than the record knows: somebody has used the disk since.
        _ => rest(),
    }
}

/// Whether all that lies on a disk are file systems as an installation of kiln's makes them. Partitions of boot code have no
/// signature, so data of an unknown kind on a partition says nothing.
fn only_kilns(content: &Content) -> bool {
    let kilns = |label: &Option<String>| label.as_ref().is_some_and(|label| label.starts_with("kiln-"));
    !content.loose_data
        && content
            .found
            .iter()
            .all(|found| found.kind == "vfat" || (found.kind == "xfs" && kilns(&found.label)))
}

fn on(target: &Target<'_>, record: &Record) -> String {
    let part = if record.folder == "/" { String::new() } else { format!("{} of ", record.folder) };
    let left = if target.folder.is_some() { "" } else { ", which no rule takes," };
    let disk = target.disk;
    format!("{}{left} carries {part}{}, installed from {}", disk.name, record.node, record.label)
}

fn refuse(case: &Case<'_>, foreign: &[(&Disk, String)]) -> Error {
    let rows: String = foreign.iter().map(|(disk, what)| row(disk, Some(&format!("holds {what}")))).collect();
    let node = case.node;
    Error::input(format!("what lies on the disk of {node} may not be wiped\n{rows}")).hint(format!(
        "if it is of no use any more, say wipe = \"any\" for {node} in cluster.toml and build again, or clear the disk by hand"
    ))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
