//! kiln's records on the disks of a node that is being installed, step by step: the disks are taken (`prepare`, before the
//! installer gets its answer), they have partitions (`bind`, in `%pre-install`), the node is complete (`finish`, at the end).
//!
//! A step that cannot write its record fails, and with it the installation: what a disk holds must never be a guess.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Choice;
use super::disk::record::{Record, State, TableId, before};
use super::prepare::NodeFile;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::payload::manifest::Manifest;

/// Name of the file with the claim, among the answers.
pub const FILE: &str = "claim.json";

/// Whose the disks are that a machine is being installed to. Lies among the answers from `prepare` to `finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    node: NodeFile,
    authority: Sha256,
    disks: Vec<Claimed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claimed {
    /// Folder of the node.
    folder: String,
    /// Device: `sda`.
    disk: String,
}

impl Claim {
    /// The claim of a node on the disks that were chosen for it.
    pub fn new(node: &NodeFile, manifest: &Manifest, disks: &Choice) -> Self {
        let claimed =
            disks.all().map(|(folder, disk)| Claimed { folder: folder.to_owned(), disk: disk.name.clone() });
        Self { node: node.clone(), authority: manifest.authority, disks: claimed.collect() }
    }

    /// Reads the claim among the answers of `prepare`.
    pub fn load(prepared: &Path) -> Result<Self> {
        let path = prepared.join(FILE);
        let text = std::fs::read_to_string(&path).at("reading", &path);
        let text = text.map_err(|error| error.hint("`kiln node prepare` makes it; it runs in %pre"))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::input(format!("{} is damaged: {error}", path.display())))
    }

    /// As it is written.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal("writing the claim").because(error))
    }

    /// Name of the node.
    pub fn node(&self) -> &str {
        &self.node.name
    }

    /// Marks the disks as taken, with what they hold now.
    pub fn take(&self, root: &Path) -> Result<()> {
        self.each(root, |disk, _| Ok(State::Taken { before: before(disk) }))
    }

    /// Marks the disks as parted, each by its table.
    pub fn bind(&self, root: &Path) -> Result<()> {
        self.each(root, |disk, path| Ok(State::Parted { table: table(disk, path)? }))
    }

    /// Marks the node as complete; the system's disk last, since that is the one that counts.
    pub fn finish(&self, root: &Path) -> Result<()> {
        self.each(root, |disk, path| Ok(State::Complete { table: table(disk, path)? }))
    }

    fn each(&self, root: &Path, state: impl Fn(&File, &Path) -> Result<State>) -> Result<()> {
        for claimed in self.disks.iter().rev() {
            let path: PathBuf = root.join("dev").join(&claimed.disk);
            let disk = File::open(&path).at("opening", &path)?;
            record(&self.node, self.authority, &claimed.folder, state(&disk, &path)?)?.write(&path)?;
        }
        Ok(())
    }
}

/// The record of a node on the disk of that folder.
pub(super) fn record(node: &NodeFile, authority: Sha256, folder: &str, state: State) -> Result<Record> {
    let wrong = |rule| Error::input(format!("whose the disk is cannot be noted: {rule}"));
    Ok(Record {
        cluster: node.cluster.parse().map_err(wrong)?,
        authority,
        node: node.name.parse().map_err(wrong)?,
        folder: folder.to_owned(),
        label: node.label.clone(),
        build_id: node.build_id,
        state,
    })
}

fn table(disk: &File, path: &Path) -> Result<TableId> {
    TableId::of_gpt(disk).ok_or_else(|| {
        Error::input(format!("{} has no GUID partition table", path.display()))
            .hint("the installer was told to make one; its logs in /tmp say why it did not")
    })
}
