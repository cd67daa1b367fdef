//! `kiln node adopt`: makes a machine that started from a disk image the node that it is. cloud-init leads here at the first boot.
//!
//! Each step may be cut short by the power and is done again: the node's files are laid down while the machine would start nothing
//! of it; then it is noted that they lie there; then the archives of all nodes are wiped from the payload's volume, or what was
//! kept of the seed is removed; then the disk gets kiln's record; then the machine is the node, and starts anew as it. A machine that
//! is unknown is left as it is.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use serde::{Deserialize, Serialize};

use super::disk::SystemDisk;
use super::disk::record::State;
use super::identity::Machine;
use super::layer::Layer;
use super::prepare::{NodeFile, node_file};
use super::topic::replace;
use super::verify::verify;
use super::{claim, netfiles, place, release, seed};
use crate::blob::Blob;
use crate::cluster::types::HostName;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::read_at::Window;
use crate::kickstart::{ACCESS, ADOPTION as PREPARED};
use crate::payload::manifest::{Manifest, Spread};
use crate::progress::Progress;
use crate::tree::{Entry, NodePath, Tree};

/// The machine is a node: nothing more is to be done.
pub const ADOPTED: &str = "/var/lib/kiln/adopted";
/// Among them: the node's files lie on the disk.
const PLACED: &str = "placed.json";
/// What the machine starts.
const DEFAULT_TARGET: &str = "/etc/systemd/system/default.target";
/// Folders of the payload whose files are secrets of one node or pool.
const SECRETS: [&str; 2] = ["/kiln/nodes/", "/kiln/pools/"];
/// Bytes that are overwritten at a time.
const STEP: u64 = 1 << 20;

/// The payload's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its device.
    pub device: PathBuf,
    /// Where it is mounted.
    pub mounted: PathBuf,
}

/// What of the machine is changed other than by files.
pub trait Hands {
    /// Finds and mounts the volume of the medium with this label.
    fn mount(&self, label: &str) -> Result<Volume>;
    /// Takes it away again.
    fn unmount(&self, volume: &Volume) -> Result<()>;
    /// Runs a step of the set-up script.
    fn set_up(&self, script: &Path, step: &str, volume: &Volume) -> Result<()>;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The machine is the node now, and has to start anew.
    Adopted(Box<NodeFile>),
    /// It was one already.
    Already,
}

/// Notes that all files lie on the disk.
#[derive(Debug, Serialize, Deserialize)]
struct Placed {
    node: NodeFile,
    build_id: Sha256,
}

/// Adopts the machine whose root is `root`: `/` but for tests. `label` is the medium's; `asked` is the node that an operator's user-data
/// names; the seed of one without secrets is waited for
/// as long as `seed_wait`.
///
/// # Errors
/// Input: the machine is unknown, the payload or its seed is damaged or missing, packages are missing; nothing was changed then.
pub fn adopt(
    root: &Path,
    label: &str,
    asked: Option<&HostName>,
    seed_wait: Duration,
    hands: &dyn Hands,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    if at(ADOPTED).exists() {
        return Ok(Outcome::Already);
    }
    let volume = hands.mount(label)?;
    let manifest = Manifest::load(&volume.mounted)?;
    let placed = placed(&at(PREPARED).join(PLACED)).filter(|placed| placed.build_id == manifest.build_id);
    let node = match placed {
        Some(placed) => placed.node,
        None => {
            let node = lay_down(root, &manifest, (&volume, asked), seed_wait, (hands, progress))?;
            let note = Placed { node: node.clone(), build_id: manifest.build_id };
            let note = serde_json::to_string(&note)
                .map_err(|error| Error::internal("writing a note").because(error))?;
            replace(&at(PREPARED).join(PLACED), note.as_bytes(), 0o600)?;
            node
        }
    };
    hands.unmount(&volume)?;
    match manifest.spread {
        Spread::Split => forget(&at(PREPARED))?,
        Spread::Whole | Spread::Beside => {
            progress.step("wiping the secrets of nodes from the payload");
            wipe(&volume.device, manifest.spread, progress)?;
        }
    }
    note_on_disk(root, &node, &manifest, progress);
    // The target first: a machine that is noted as adopted starts what it is told to start.
    target(root, "/usr/lib/systemd/system/multi-user.target")?;
    replace(&at(ADOPTED), format!("{} {}\n", node.name, manifest.label).as_bytes(), 0o644)?;
    rustix::fs::sync();
    Ok(Outcome::Adopted(Box::new(node)))
}

/// Finds out who the machine is, and lays its files down. Up to [`target`] nothing is changed.
fn lay_down(
    root: &Path,
    manifest: &Manifest,
    (volume, asked): (&Volume, Option<&HostName>),
    seed_wait: Duration,
    (hands, progress): (&dyn Hands, &dyn Progress),
) -> Result<NodeFile> {
    release::check(root, manifest.release)?;
    progress.step("finding out which node this is");
    let mut machine = Machine::look(root)?;
    if machine.asked_node.is_none() {
        // An image for one node is for whatever machine it is put into.
        machine.asked_node = asked.or(manifest.reinstall.as_ref()).map(ToString::to_string);
    }
    let found = machine.find(manifest)?;
    let node = node_file(&found, manifest, &machine);
    progress.step("checking the payload");
    verify(&volume.mounted, manifest, progress)?;
    let script = volume.mounted.join(crate::payload::SET_UP.trim_start_matches('/'));
    progress.step("looking at the packages");
    hands.set_up(&script, "packages", volume)?;

    let prepared = root.join(PREPARED.trim_start_matches('/'));
    fs::create_dir_all(&prepared).at("making the folder", &prepared)?;
    let json =
        serde_json::to_vec(&node).map_err(|error| Error::internal("writing node.json").because(error))?;
    replace(&prepared.join("node.json"), &json, 0o600)?;
    if manifest.spread == Spread::Split {
        forget(&prepared)?;
        seed::fetch(root, manifest, &node, &prepared, seed_wait, progress)?;
    }
    target(root, "kiln-adopt.target")?;
    let options =
        place::Options { media: &volume.mounted, from: None, prepared: &prepared, target: root, root };
    place::place(&options, progress)?;
    let mut layer = Layer::open(root)?;
    let mut tree = Tree::default();
    let mut add = |path: &str, mode: u16, text: String| {
        tree.insert(
            NodePath::new(path)?,
            Entry::file(mode, Blob::bytes(text.into_bytes()), "kiln node adopt"),
        )
    };
    add("/etc/hostname", 0o644, format!("{}\n", node.name))?;
    for file in netfiles::files(&found, manifest, &machine)? {
        add(&file.path, 0o600, file.text)?;
    }
    place::tree(&mut layer, &tree)?;
    progress.step("setting the system up");
    hands.set_up(&script, "system", volume)?;
    layer.sync()?;
    Ok(node)
}

/// Writes kiln's record to the system's disk, by which an install medium knows that a node lies there. A disk that cannot have it is
/// a node's all the same: that is said.
fn note_on_disk(root: &Path, node: &NodeFile, manifest: &Manifest, progress: &dyn Progress) {
    let record = |table| claim::record(node, manifest.authority, "/", State::Complete { table });
    let noted = SystemDisk::find(root).and_then(|disk| disk.mark(root, record));
    if let Err(why) = noted {
        progress.warn(&format!(
            "the disk has no record of {}, so an install medium with wipe = \"any\" would not spare it: {why}",
            node.name
        ));
    }
}

fn placed(path: &Path) -> Option<Placed> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// Sets what the machine starts: a link that is whole at any time.
fn target(root: &Path, to: &str) -> Result<()> {
    let link = root.join(DEFAULT_TARGET.trim_start_matches('/'));
    let passing = link.with_extension("kiln");
    match fs::remove_file(&passing) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io("removing", &passing, error));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(to, &passing).at("making the link", &passing)?;
    fs::rename(&passing, &link).at("replacing", &link)?;
    let folder = link.parent().unwrap_or(root);
    File::open(folder).and_then(|folder| folder.sync_all()).at("flushing", folder)
}

/// Removes what was kept of the seed: what the node gets of it is in its place, and nothing else of it is for this machine.
fn forget(prepared: &Path) -> Result<()> {
    seed::clear(prepared)?;
    let access = prepared.join(ACCESS);
    match fs::remove_file(&access) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("removing", &access, error)),
        _ => Ok(()),
    }
}

/// Opens a device that can be written to. One that is read-only may be opened all the same, and then refuses to be written to: its
/// head is written as it is.
fn open_to_write(device: &Path) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).open(device)?;
    let mut head = [0; SECTOR as usize];
    file.read_exact_at(&mut head, 0)?;
    file.write_all_at(&head, 0)?;
    Ok(file)
}

/// Overwrites the archives of nodes and pools on the volume with zeros, and has the disk forget them where it can. A volume beside
/// the vendor's image may be one that cannot be written to: that is said.
fn wipe(device: &Path, spread: Spread, progress: &dyn Progress) -> Result<()> {
    let file = match open_to_write(device) {
        Err(error)
            if spread == Spread::Beside
                && matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
        {
            progress.step(
                "the seed cannot be written to, and has the secrets of all nodes: take it away from this machine",
            );
            return Ok(());
        }
        opened => opened.at("opening the payload for writing", device)?,
    };
    let len = seek(&file, SeekFrom::End(0)).map_err(|error| Error::io("looking at", device, error.into()))?;
    let iso = Iso::open(Window::new(&file, 0, len))?;
    let zeros = vec![0; STEP as usize];
    let mut runs = Vec::new();
    for (path, id) in iso.tree.walk() {
        let node = iso.tree.node(id);
        if node.is_dir() || !SECRETS.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        for extent in node.extents() {
            let (at, len) =
                (u64::from(extent.block) * SECTOR, u64::from(extent.len).next_multiple_of(SECTOR));
            for done in (0..len).step_by(STEP as usize) {
                let now = (len - done).min(STEP) as usize;
                file.write_all_at(&zeros[..now], at + done).at("wiping", device)?;
            }
            runs.push((at, len));
        }
    }
    file.sync_all().at("flushing", device)?;
    for (at, len) in runs {
        // Disks, and the kernel of EL 7, need not know how; the zeros are there.
        let _ = fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, len);
    }
    file.sync_all().at("flushing", device)
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
