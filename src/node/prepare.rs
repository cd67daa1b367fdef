//! `kiln node prepare`, run by `%pre`: which node this is, whether the medium is whole, which disk may be used; the
//! answers are files that the kickstart includes.
//!
//! `disk.ks` is written last, when all else is known to be right: without it no installation starts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answers::disk_kickstart;
use super::attach::{self, Pin};
use super::claim::{self, Claim};
use super::disk::content::Content;
use super::disk::guard::{self, Case, Lost, Target, Verdict};
use super::disk::{self, Choice, Disk};
use super::identity::{Found, Machine};
use super::preflight::{self, Finding, Hands, Subject};
use super::verify::{Verified, verify};
use super::{release, seed};
use crate::cluster::types::HostName;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::kickstart::ACCESS;
use crate::payload::manifest::{Manifest, Spread};
use crate::progress::Progress;

/// What to prepare.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Where the medium is mounted.
    pub media: &'a Path,
    /// Folder for the answers; made if it is missing.
    pub out: &'a Path,
    /// Root of the running system: `/`.
    pub root: &'a Path,
    /// The node to be, instead of what the kernel's command line says.
    pub node: Option<&'a str>,
    /// How long to wait for the seed of a medium without secrets, if it is not there at once.
    pub seed_wait: Duration,
    /// Whether to check every file of the medium.
    pub check_medium: bool,
    /// Whether nothing is going to be installed, so that no disk is marked as taken.
    pub dry: bool,
    /// What of the machine is asked and changed to see whether it is fit; `None`: nothing is looked at.
    pub preflight: Option<&'a dyn Hands>,
}

/// Who a node is: `node.json` of the answers, and `/opt/kiln/node.json` on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Host name.
    pub name: String,
    /// Profile.
    pub profile: String,
    /// Cluster.
    pub cluster: String,
    /// Worker pool, if it is a member of one.
    pub pool: Option<String>,
    /// Address; members of a pool have it from DHCP.
    pub address: Option<std::net::Ipv4Addr>,
    /// MAC address of the interface that carries it.
    pub mac: String,
    /// Names of its NICs.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// Label of the medium.
    pub label: String,
    /// Build id of the medium.
    pub build_id: Sha256,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The machine may be installed.
    Ready(Box<Prepared>),
    /// It was installed from this medium: it is to boot this disk.
    Installed {
        /// Who it is.
        node: Box<NodeFile>,
        /// Its disk: `sda`.
        disk: String,
    },
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Who the machine is.
    pub node: NodeFile,
    /// The disks that will be installed to.
    pub disks: Choice,
    /// What is worth saying about them.
    pub notes: Vec<String>,
    /// What speaks against the machine, but does not stop it.
    pub findings: Vec<Finding>,
    /// What was checked; `None` if nothing was to be.
    pub verified: Option<Verified>,
    /// Number of files that the manifest names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Somebody at the machine's console, or nobody.
pub trait Operator {
    /// Shows why, and asks for the node's name to be typed; whether it was, in time.
    fn types_name(&self, name: &HostName, why: &str) -> Result<bool>;
}

/// Nobody at the console.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Operator for Nobody {
    fn types_name(&self, _: &HostName, _: &str) -> Result<bool> {
        Ok(false)
    }
}

/// Name of the answer of a machine that was installed from this medium: its disk.
pub const INSTALLED: &str = "installed";

/// Finds out all, then writes the answers: `node`, `node.json`, `network.ks`, `claim.json`, `disk.ks`. `disk.ks` is last, when the
/// disks have been marked as taken; up to there no disk is written to.
pub fn prepare(options: &Options<'_>, operator: &dyn Operator, progress: &dyn Progress) -> Result<Outcome> {
    let Options { media, out, root, .. } = *options;
    let mut manifest = Manifest::load(media)?;
    clear(out)?;
    release::check(root, manifest.release)?;
    progress.step("finding out which node this is");
    let mut machine = Machine::look(root)?;
    if let Some(name) = options.node {
        machine.asked_node = Some(name.to_owned());
    }
    let disks = disk::list(root, media)?;
    let found = machine.find(&manifest).map_err(|error| with_disks(error, &disks))?;
    let node = node_file(&found, &manifest, &machine);
    let json =
        serde_json::to_string(&node).map_err(|error| Error::internal("writing node.json").because(error))?;
    save(out, "node", &format!("{}\n", node.name))?;
    save(out, "node.json", &(json + "\n"))?;
    save(out, "network.ks", &attach::lines(&found, &manifest, &machine)?)?;
    progress.step(&format!("choosing the disk of {}", node.name));
    let choice = disk::choose(&disks, &found.storage)?;
    let guarded = match guard(root, &found, &manifest, &disks, &choice, operator) {
        Ok(Guarded::Installed(disk)) => {
            save(out, INSTALLED, &format!("{disk}\n"))?;
            return Ok(Outcome::Installed { node: Box::new(node), disk });
        }
        Ok(Guarded::Free(notes)) => Ok(notes),
        Err(error) => Err(error),
    };
    if manifest.spread == Spread::Split {
        match seed::fetch(root, &manifest, &node, out, options.seed_wait, progress) {
            Ok(seed) => manifest.validity = seed.validity,
            Err(error) => return Err(joined(guarded, error)),
        }
    }
    let answer = disk_kickstart(&choice, &manifest.kernel_args)?;
    let chosen: Vec<&Disk> = choice.all().map(|(_, disk)| disk).collect();
    let subject = Subject { root, manifest: &manifest, found: &found, machine: &machine, disks: &chosen };
    let findings =
        options.preflight.map(|hands| preflight::run(&subject, hands, progress)).unwrap_or_default();
    save(out, "preflight.json", &preflight::json(&findings)?)?;
    let verified = match options.check_medium {
        true => {
            progress.step("checking the medium");
            verify(media, &manifest, progress).map(Some)
        }
        false => Ok(None),
    };
    let (notes, verified) = both(guarded, preflight::settle(&node.name, &findings, verified))?;
    let claim = Claim::new(&node, &manifest, &choice);
    save(out, claim::FILE, &claim.to_json()?)?;
    if !options.dry {
        claim.take(root)?;
    }
    save(out, "disk.ks", &answer)?;
    let bytes = manifest.files.values().map(|file| file.size).fold(0, u64::saturating_add);
    let files = manifest.files.len() as u64;
    Ok(Outcome::Ready(Box::new(Prepared { node, disks: choice, notes, findings, verified, files, bytes })))
}

/// What the wipe guard and preflight say; who mends the one fault shall not meet the other at the next start.
fn both<A, B>(guarded: Result<A>, fit: Result<B>) -> Result<(A, B)> {
    match (guarded, fit) {
        (Ok(notes), Ok(verified)) => Ok((notes, verified)),
        (guarded, Err(error)) => Err(joined(guarded, error)),
        (Err(error), Ok(_)) => Err(error),
    }
}

/// An error, and that of the wipe guard, if it has one.
fn joined<A>(guarded: Result<A>, machine: Error) -> Error {
    let Err(disk) = guarded else { return machine };
    let hints: Vec<&str> = [&disk, &machine].into_iter().filter_map(Error::hint_text).collect();
    let text = format!("{}\nand {machine}", disk.to_string().trim_end());
    Error::new(disk.class(), text).hint(hints.join("\n"))
}

/// What an earlier attempt left must not be taken for an answer.
fn clear(out: &Path) -> Result<()> {
    fs::create_dir_all(out).at("making the folder", out)?;
    seed::clear(out)?;
    let answers =
        ["node", "node.json", "network.ks", ACCESS, claim::FILE, INSTALLED, "preflight.json", "disk.ks"];
    for name in answers {
        match fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("removing", &out.join(name), error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn save(out: &Path, name: &str, text: &str) -> Result<()> {
    fs::write(out.join(name), text).at("writing", &out.join(name))
}

/// What the wipe guard says, once it has been answered.
enum Guarded {
    Free(Vec<String>),
    Installed(String),
}

fn guard(
    root: &Path,
    found: &Found,
    manifest: &Manifest,
    disks: &[Disk],
    choice: &Choice,
    operator: &dyn Operator,
) -> Result<Guarded> {
    let folder =
        |disk: &Disk| choice.all().find(|(_, chosen)| chosen.name == disk.name).map(|(folder, _)| folder);
    let mut looked = Vec::new();
    for disk in disks.iter().filter(|disk| disk.fault.is_none()) {
        match Content::look(root, disk) {
            Ok(content) => looked.push((disk, content)),
            // A broken disk that no rule takes keeps no node from being installed.
            Err(_) if folder(disk).is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let targets = looked.iter().map(|(disk, content)| Target { folder: folder(disk), disk, content });
    let case = Case {
        cluster: &manifest.cluster,
        authority: manifest.authority,
        node: &found.name,
        build_id: manifest.build_id,
        wipe: found.storage.wipe,
        reinstall: manifest.reinstall.as_ref(),
    };
    match guard::judge(&case, &targets.collect::<Vec<_>>())? {
        Verdict::Install(notes) => Ok(Guarded::Free(notes)),
        Verdict::Installed(disk) => Ok(Guarded::Installed(disk)),
        Verdict::Ask(nodes) => ask(&nodes, manifest, operator),
    }
}

/// Has the name of each node typed that would be lost; one that is not typed keeps all of them.
fn ask(nodes: &[Lost], manifest: &Manifest, operator: &dyn Operator) -> Result<Guarded> {
    let mut notes = Vec::new();
    for Lost { name, why } in nodes {
        if !operator.types_name(name, why)? {
            let hint = format!(
                "if {name} is to be lost, type its name at the console next time, or build a medium for it: \
                 kiln build --profile {} --reinstall {name}",
                manifest.role
            );
            return Err(Error::input(format!("this machine is not installed over a node: {why}")).hint(hint));
        }
        notes.push(format!("{why}; its name was typed at the console"));
    }
    Ok(Guarded::Free(notes))
}

/// Whoever adds an unknown machine to `cluster.toml` needs to know its disks too.
fn with_disks(error: Error, disks: &[Disk]) -> Error {
    let Some(hint) = error.hint_text().filter(|hint| hint.contains("[[node]]\n")) else { return error };
    let rows = disks.iter().map(|disk| {
        format!("\n# disk {}: {}, {}", disk.name, crate::report::human_size(disk.size), disk.known_by())
    });
    let hint = rows.fold(hint.to_owned(), |hint, row| hint + &row);
    error.hint(hint)
}

/// Who a machine is, as it was found.
pub(super) fn node_file(found: &Found, manifest: &Manifest, machine: &Machine) -> NodeFile {
    NodeFile {
        name: found.name.to_string(),
        profile: manifest.role.to_string(),
        cluster: manifest.cluster.to_string(),
        pool: found.pool.as_ref().map(ToString::to_string),
        address: found.node.as_ref().map(|node| node.address),
        mac: found.mac.to_string(),
        pins: attach::pins(machine),
        label: manifest.label.to_string(),
        build_id: manifest.build_id,
    }
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
