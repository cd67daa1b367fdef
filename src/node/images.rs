//! Container images on a node: `kiln node place` puts archives of the medium into `/var/lib/kiln/images`, and `kiln node images`
//! loads them into the runtime at boot, before the kubelet starts.
//!
//! An archive is loaded once for its content; again when it is another one, and when the runtime has lost an image of it.
//! Afterwards every name that the node has to have must be there. No registry is ever asked.
//!
//! Runtimes do not wait for the disk when they unpack, and believe later what they have noted: after a power cut they start
//! programs whose files are empty. So an archive counts as loaded once the disk has it, and what was loaded and does not count is
//! thrown away before the runtime starts ([`clear`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child;
use super::topic::replace;
use crate::airgap::ByDigest;
use crate::cluster::model::Runtime;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::fetch::archives::Archive;
use crate::format::oci::Reference;
use crate::payload::image_path;
use crate::profile::runtime_name;
use crate::tree::NodePath;

/// Where the list of images lies on a node.
pub const LIST: &str = "/opt/kiln/images.json";
/// Where archives lie on a node.
pub const FOLDER: &str = "/var/lib/kiln/images";
/// Where it is noted which archives were loaded.
pub const LOADED: &str = "/var/lib/kiln/images-loaded";

const FORMAT: u32 = 1;
/// Largest list that is read.
const MAX_LIST: u64 = 1 << 20;
/// How long the runtime may take to answer, and to load one archive.
const QUICK: Duration = Duration::from_secs(20);
const LOAD: Duration = Duration::from_secs(300);
/// The label that keeps the kubelet from removing an image, where the runtime knows it (containerd 1.6.39, 1.7 and later).
const PINNED: &str = "io.cri-containerd.pinned=pinned";

/// Images that a node has to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageList {
    format: u32,
    /// `containerd` or `docker`.
    runtime: String,
    /// Archives by file name.
    images: BTreeMap<String, Listed>,
}

/// An archive of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    sha256: Sha256,
    names: BTreeSet<String>,
    /// Names by digest that pods ask for, each with the name that it is made of. Archives give none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    by_digest: BTreeMap<String, String>,
}

impl ImageList {
    /// The list of a cluster's nodes.
    pub fn of(runtime: Runtime, archives: &[Archive], by_digest: &BTreeMap<String, ByDigest>) -> Self {
        let listed = |archive: &Archive| {
            let names = archive.names.iter().map(Reference::to_string).collect();
            let path = image_path(&archive.file);
            let own = by_digest.iter().filter(|(_, one)| one.archive == path);
            let by_digest = own.map(|(digest, one)| (digest.clone(), one.name.to_string())).collect();
            (archive.file.clone(), Listed { sha256: archive.sha256, names, by_digest })
        };
        Self {
            format: FORMAT,
            runtime: runtime_name(runtime).to_owned(),
            images: archives.iter().map(listed).collect(),
        }
    }

    /// The bytes of the file.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec_pretty(self);
        json.map_err(|error| Error::internal("writing the list of images failed").because(error))
    }

    /// Reads the list.
    pub fn load(path: &Path) -> Result<Self> {
        let len = std::fs::metadata(path).at("reading", path)?.len();
        let damaged = |why: String| Error::input(format!("{} is damaged: {why}", path.display()));
        if len > MAX_LIST {
            return Err(damaged(format!("it has {len} bytes")));
        }
        let bytes = std::fs::read(path).at("reading", path)?;
        let list: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if list.format != FORMAT {
            return Err(damaged(format!("it has the format {}, and kiln knows {FORMAT}", list.format)));
        }
        for (file, listed) in &list.images {
            NodePath::new(format!("/{file}")).map_err(|error| damaged(error.to_string()))?;
            if file.contains('/') {
                return Err(damaged("a file's name is a path".to_owned()));
            }
            for name in listed.names.iter().chain(listed.by_digest.values()) {
                name.parse::<Reference>().map_err(damaged)?;
            }
            for name in listed.by_digest.keys() {
                let (name, digest) = name.split_once("@sha256:").unwrap_or((name, ""));
                name.parse::<Reference>().and_then(|_| digest.parse::<Sha256>()).map_err(damaged)?;
            }
        }
        Ok(list)
    }

    /// Whether the runtime is docker.
    pub fn is_for_docker(&self) -> bool {
        self.runtime == "docker"
    }

    /// Number of archives.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

/// Where things lie, and which programs are the runtime's.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder of archives.
    pub archives: PathBuf,
    /// Folder of notes on what was loaded.
    pub loaded: PathBuf,
    /// `ctr`.
    pub ctr: PathBuf,
    /// Socket of containerd; `ctr`'s own choice if not given.
    pub socket: Option<PathBuf>,
    /// `docker`.
    pub docker: PathBuf,
    /// Folder that the runtime keeps images in.
    pub storage: PathBuf,
    /// Folder that is there when the runtime has started since the machine was switched on.
    pub awake: PathBuf,
}

/// What loading came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Archives that were loaded now.
    pub archives: Vec<String>,
    /// Images that are there.
    pub images: usize,
    /// What did not work and stops nothing.
    pub warnings: Vec<String>,
}

/// Loads what is not loaded yet, and makes sure that every image is there.
pub fn load(list: &ImageList, places: &Places) -> Result<Loaded> {
    let engine = Engine { docker: list.is_for_docker(), places };
    let mut present = engine.names()?;
    let mut done = Loaded::default();
    for (file, listed) in &list.images {
        let note = places.loaded.join(listed.sha256.to_string());
        if note.is_file() && listed.names.is_subset(&present) {
            continue;
        }
        let path = places.archives.join(file);
        check(&path, listed.sha256)?;
        engine.load(&path)?;
        present = engine.names()?;
        for name in listed.names.intersection(&present) {
            done.warnings.extend(engine.pin(name).err().map(|error| error.to_string()));
        }
        for (by_digest, name) in &listed.by_digest {
            engine.run(&["images", "tag", "--force", name, by_digest], QUICK)?;
            done.warnings.extend(engine.pin(by_digest).err().map(|error| error.to_string()));
        }
        on_disk(&places.storage)?;
        replace(&note, file.as_bytes(), 0o644)?;
        done.archives.push(file.clone());
    }
    let wanted = list.images.values().flat_map(|listed| &listed.names);
    let missing: Vec<&str> = wanted.filter(|name| !present.contains(*name)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(Error::tool(format!("the runtime does not have {}", missing.join(", ")))
            .hint("the archives were loaded without complaint; look at the runtime's log"));
    }
    done.images = list.images.values().map(|listed| listed.names.len()).sum();
    Ok(done)
}

/// Empties the runtime's storage if an archive was never loaded to the end. Only for a runtime that has not started yet: pods
/// run nowhere before all images are there, so nothing else is lost. Returns whether it did.
pub fn clear(list: &ImageList, places: &Places) -> Result<bool> {
    let loaded = |listed: &Listed| places.loaded.join(listed.sha256.to_string()).is_file();
    if places.awake.exists() || list.images.values().all(loaded) {
        return Ok(false);
    }
    // First what says that something is there.
    let notes = empty(&places.loaded)?;
    let stored = empty(&places.storage)?;
    Ok(notes || stored)
}

/// Removes all that is in a folder, which may not be there, and waits for the disk.
fn empty(folder: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries.at("reading", folder)?,
    };
    let mut any = false;
    for entry in entries {
        let entry = entry.at("reading", folder)?;
        let path = entry.path();
        let directory = entry.file_type().at("reading", &path)?.is_dir();
        let removed = if directory { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.at("removing", &path)?;
        any = true;
    }
    on_disk(folder)?;
    Ok(any)
}

/// Waits until the disk has everything of the file system that a folder is on.
fn on_disk(folder: &Path) -> Result<()> {
    let open = match File::open(folder) {
        // The runtime keeps its things elsewhere.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            rustix::fs::sync();
            return Ok(());
        }
        open => open.at("opening", folder)?,
    };
    rustix::fs::syncfs(open).map_err(std::io::Error::from).at("writing to the disk", folder)
}

/// Whether an archive is the one that the medium was made with.
fn check(path: &Path, want: Sha256) -> Result<()> {
    let file = File::open(path).at("opening", path)?;
    let (digest, _) = Sha256::of_reader(file).at("reading", path)?;
    if digest != want {
        return Err(Error::input(format!("{} is not what the medium was made with", path.display()))
            .hint("the disk lost it: install the node again"));
    }
    Ok(())
}

/// The container runtime, by its own program.
struct Engine<'a> {
    docker: bool,
    places: &'a Places,
}

impl Engine<'_> {
    /// Names of all images, in full.
    fn names(&self) -> Result<BTreeSet<String>> {
        let output = if self.docker {
            self.run(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], QUICK)?
        } else {
            self.run(&["images", "ls", "-q"], QUICK)?
        };
        // docker shortens names; names by digest are none that a pod says.
        let full = |line: &str| line.trim().parse::<Reference>().ok();
        Ok(output.lines().filter_map(full).map(|name| name.to_string()).collect())
    }

    fn load(&self, path: &Path) -> Result<()> {
        let path = path.to_str().ok_or_else(|| Error::internal("the path of an archive is not UTF-8"))?;
        let args: &[&str] =
            if self.docker { &["image", "load", "--input", path] } else { &["images", "import", path] };
        self.run(args, LOAD).map(|_| ())
    }

    fn pin(&self, name: &str) -> Result<()> {
        if self.docker {
            return Ok(());
        }
        self.run(&["images", "label", name, PINNED], QUICK).map(|_| ())
    }

    fn run(&self, args: &[&str], limit: Duration) -> Result<String> {
        let mut command = if self.docker {
            Command::new(&self.places.docker)
        } else {
            let mut command = Command::new(&self.places.ctr);
            if let Some(socket) = &self.places.socket {
                command.arg("--address").arg(socket);
            }
            command.args(["--namespace", "k8s.io"]);
            command
        };
        let name = command.get_program().to_string_lossy().into_owned();
        command.args(args);
        let ended = child::run(command, b"", limit)?;
        if ended.success {
            return Ok(ended.output);
        }
        let last = ended.messages.trim().lines().last().unwrap_or("no message").to_owned();
        Err(Error::tool(format!("{name} {}: {last}", args.join(" "))))
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
