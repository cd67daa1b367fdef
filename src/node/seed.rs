//! The seed of a medium without secrets: found among the machine's volumes by its label, held against the medium, read to its last
//! byte, and kept in memory as far as it is this node's. It is read by kiln's own reader, and never mounted.
//!
//! A seed is hostile input: what it names is typed and bounded, links are no files, and nothing of it is used that does not fit.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use super::prepare::NodeFile;
use crate::cluster::types::{HostName, PasswordHash};
use crate::digest::Sha256;
use crate::error::{Class, Error, IoContext, Result};
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::iso9660::tree::{Kind, Node};
use crate::format::read_at::{ReadAt as _, Window};
use crate::image::inspect::text::printable;
use crate::image::volume::OEMDRV;
use crate::kickstart::RootPassword;
use crate::payload::manifest::{Manifest, ManifestFile};
use crate::payload::seed::{self, SeedManifest};
use crate::progress::Progress;

/// Folder of the answers that holds what was kept of the seed.
const KEPT: &str = "seed";
/// Names of block devices that carry no seed of their own: what is made of others, and what is slow to find out about.
const NO_CARRIERS: [&str; 8] = ["loop", "ram", "zram", "fd", "dm-", "md", "nbd", "mtdblock"];
/// Longest hash of a password that is read.
const MAX_HASH: u64 = 1024;

/// A volume that may be the seed.
#[derive(Debug)]
struct Candidate {
    /// Name of its device: `sdb`.
    device: String,
    /// What it is, or why it is none.
    found: Result<Seed>,
}

/// A seed on a device.
#[derive(Debug)]
pub struct Seed {
    /// Name of its device.
    pub device: String,
    /// What it is for.
    pub manifest: SeedManifest,
    iso: Iso<Window<File>>,
}

/// Finds the seed of a medium, checks all of it, and keeps in `out` what `node` gets. A device may take a while to show up after
/// the machine's start: where none is there that fits, it is looked for again until `wait` is over.
///
/// # Errors
/// Input: there is no seed that fits, or more than one, or it is damaged. Nothing is kept then.
pub fn fetch(
    root: &Path,
    medium: &Manifest,
    node: &NodeFile,
    out: &Path,
    wait: Duration,
    progress: &dyn Progress,
) -> Result<SeedManifest> {
    progress.step("looking for the seed");
    let pause = Duration::from_secs(1);
    let mut left = wait;
    let fits =
        |one: &Candidate| one.found.as_ref().is_ok_and(|seed| misfit(medium, &seed.manifest).is_none());
    let candidates = loop {
        let candidates = look(root)?;
        if candidates.iter().any(fits) || left.is_zero() {
            break candidates;
        }
        std::thread::sleep(pause.min(left));
        left = left.saturating_sub(pause);
    };
    let seed = choose(medium, candidates)?;
    progress.step("checking the seed");
    seed.verify(progress)?;
    seed.keep(node, out)?;
    Ok(seed.manifest)
}

/// What was kept of the seed: where it lies, and what its manifest says.
pub fn kept(prepared: &Path, medium: &Manifest) -> Result<(std::path::PathBuf, SeedManifest)> {
    let folder = prepared.join(KEPT);
    let path = folder.join(seed::MANIFEST.trim_start_matches('/'));
    let mut json = Vec::new();
    let file = File::open(&path).at("opening", &path);
    let file =
        file.map_err(|error| error.hint("`kiln node prepare` takes it from the seed; it runs in %pre"))?;
    file.take(seed::MAX_MANIFEST).read_to_end(&mut json).at("reading", &path)?;
    let manifest = SeedManifest::from_json(&json, &path.display().to_string())?;
    match misfit(medium, &manifest) {
        None => Ok((folder, manifest)),
        Some(why) => Err(Error::input(format!("{}: {why}", path.display()))),
    }
}

/// Forgets what an earlier attempt kept.
pub fn clear(out: &Path) -> Result<()> {
    let folder = out.join(KEPT);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("removing", &folder, error))
        }
        _ => Ok(()),
    }
}

/// Path of the archive of a node, or of the pool that it is a member of.
pub fn own_archive(node: &NodeFile) -> Result<String> {
    let host =
        |text: &str| text.parse::<HostName>().map_err(|rule| Error::input(format!("node.json: {rule}")));
    match &node.pool {
        None => Ok(seed::node_archive(&host(&node.name)?)),
        Some(pool) => Ok(seed::pool_archive(&host(pool)?)),
    }
}

/// All volumes of the machine with a seed's label.
fn look(root: &Path) -> Result<Vec<Candidate>> {
    let dir = root.join("sys/block");
    let mut names = Vec::new();
    for disk in list(&dir)? {
        if NO_CARRIERS.iter().any(|no| disk.starts_with(no)) {
            continue;
        }
        let parts = list(&dir.join(&disk))?;
        names.extend(parts.into_iter().filter(|part| dir.join(&disk).join(part).join("partition").exists()));
        names.push(disk);
    }
    names.sort();
    // The kernel writes `!` for `/` in sysfs.
    let open = |name: String| open(root, name.replace('!', "/"));
    Ok(names.into_iter().filter_map(open).collect())
}

fn list(dir: &Path) -> Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("listing", dir, error)),
    }
}

/// Opens a device if it carries an ISO 9660 volume (ECMA-119 8.4) with a seed's label; a drive without a disc is not one.
fn open(root: &Path, device: String) -> Option<Candidate> {
    let mut file = File::open(root.join("dev").join(&device)).ok()?;
    let head = file.read_vec_at(16 * SECTOR, 72).ok()?;
    let label = String::from_utf8_lossy(head.get(40..72)?).trim_end().to_owned();
    if head.get(..6)? != b"\x01CD001" || label != OEMDRV {
        return None;
    }
    let len = file.seek(SeekFrom::End(0)).ok()?;
    let found = Seed::read(&device, Window::new(file, 0, len));
    Some(Candidate { device, found })
}

/// The one seed that fits the medium.
fn choose(medium: &Manifest, candidates: Vec<Candidate>) -> Result<Seed> {
    let label = &medium.label;
    let again = format!(
        "plug in the USB stick or CD with the seed of {label}, and start the machine again; \
         `kiln build --profile {} --format seed` makes it anew, from the cluster file, the lock and the pki folder of this medium",
        medium.role
    );
    if candidates.is_empty() {
        let text = format!(
            "the secrets of {label} are on its seed, and this machine has no volume labelled {OEMDRV}"
        );
        return Err(Error::input(text).hint(again));
    }
    let (mut fitting, mut reasons): (Vec<Seed>, Vec<String>) = (Vec::new(), Vec::new());
    for Candidate { device, found } in candidates {
        let why = match found {
            Ok(seed) => match misfit(medium, &seed.manifest) {
                None => {
                    fitting.push(seed);
                    continue;
                }
                Some(why) => why,
            },
            Err(error) => printable(&error.to_string()),
        };
        reasons.push(format!("\n  {device}: {why}"));
    }
    let Some(first) = fitting.pop() else {
        let text = format!(
            "the secrets of {label} are on its seed, and none of this machine's is it{}",
            reasons.concat()
        );
        return Err(Error::input(text).hint(again));
    };
    if let Some(other) = fitting.iter().find(|other| other.manifest != first.manifest) {
        return Err(Error::input(format!(
            "{} and {} are seeds of {label}, and they differ",
            other.device, first.device
        ))
        .hint("take the older one out, and start the machine again"));
    }
    Ok(first)
}

/// Why a seed is not that of a medium, if it is not.
fn misfit(medium: &Manifest, seed: &SeedManifest) -> Option<String> {
    if seed.cluster != medium.cluster {
        Some(format!("it is a seed of cluster {}, and the medium is of {}", seed.cluster, medium.cluster))
    } else if seed.authority != medium.authority {
        Some(format!(
            "it is a seed of another cluster that is called {} too: their authorities differ",
            seed.cluster
        ))
    } else if seed.role != medium.role {
        Some(format!("it is a seed for profile {}, and the medium is for {}", seed.role, medium.role))
    } else if seed.build_id != medium.build_id {
        Some(format!(
            "it is the seed of another build, {} ({:.12}); the medium is {} ({:.12})",
            seed.label,
            seed.build_id.to_string(),
            medium.label,
            medium.build_id.to_string()
        ))
    } else if seed.reinstall != medium.reinstall {
        Some("it is not for the same node as the medium".to_owned())
    } else {
        None
    }
}

impl Seed {
    fn read(device: &str, source: Window<File>) -> Result<Self> {
        let iso = Iso::open(source)?;
        let id = iso.tree.find(seed::MANIFEST).filter(|id| iso.tree.node(*id).kind == Kind::File);
        let id = id.ok_or_else(|| Error::input("it is no seed of kiln's: it has no manifest of one"))?;
        let json = iso.read_node(iso.tree.node(id), seed::MAX_MANIFEST)?;
        let manifest = SeedManifest::from_json(&json, seed::MANIFEST)?;
        Ok(Self { device: device.to_owned(), manifest, iso })
    }

    /// A file of the manifest, if it lies there as a file of that size.
    fn file(&self, path: &str, want: &ManifestFile) -> std::result::Result<&Node, String> {
        let id = self.iso.tree.find(path).ok_or("is missing")?;
        let node = self.iso.tree.node(id);
        match node.kind {
            Kind::File if node.size() == want.size => Ok(node),
            Kind::File => Err(format!("has {} bytes, not {}", node.size(), want.size)),
            _ => Err("is no regular file".to_owned()),
        }
    }

    /// Reads every file and compares it with the manifest. All findings are told at once.
    fn verify(&self, progress: &dyn Progress) -> Result<()> {
        progress.total(self.manifest.files.values().map(|file| file.size).fold(0, u64::saturating_add));
        let (mut findings, mut class) = (Vec::new(), Class::Input);
        for (path, want) in &self.manifest.files {
            let fault = match self.file(path, want) {
                Ok(node) => match Sha256::of_reader(self.iso.content(node)) {
                    Ok((sha256, _)) if sha256 == want.sha256 => None,
                    Ok((sha256, _)) => Some(format!("has SHA-256 {sha256}, not {}", want.sha256)),
                    Err(error) => {
                        class = Class::Io;
                        Some(format!("cannot be read: {error}"))
                    }
                },
                Err(fault) => Some(fault),
            };
            findings.extend(fault.map(|fault| format!("\n  {path} {fault}")));
            progress.advance(want.size);
        }
        if findings.is_empty() {
            return Ok(());
        }
        let text = format!("the seed on {} is not as it was made{}", self.device, findings.concat());
        Err(Error::new(class, text).hint("write the seed again; if that does not help, build it again"))
    }

    /// Keeps what one node gets, readable for root alone, as it lies on the volume: manifest, common archive, its own. The line
    /// of the kickstart that says how root may log in is made here too.
    fn keep(&self, node: &NodeFile, out: &Path) -> Result<()> {
        let own = own_archive(node)?;
        let files = &self.manifest.files;
        if !files.contains_key(seed::COMMON) || !files.contains_key(&own) {
            return Err(Error::input(format!("the seed on {} has no secrets of {}", self.device, node.name))
                .hint("build medium and seed again, with the node in the cluster file"));
        }
        let password = self.root_password()?.map_or(RootPassword::Locked, RootPassword::Hash);
        let manifest = SeedManifest {
            files: [seed::COMMON, &own]
                .iter()
                .filter_map(|path| files.get_key_value(*path))
                .map(|(path, file)| (path.clone(), *file))
                .collect(),
            ..self.manifest.clone()
        };
        let folder = out.join(KEPT);
        for (path, want) in &manifest.files {
            let node = self.file(path, want).map_err(|fault| Error::input(format!("{path} {fault}")))?;
            let mut file = private(&folder.join(path.trim_start_matches('/')))?;
            std::io::copy(&mut self.iso.content(node), &mut file).at("keeping", &folder)?;
        }
        let json = manifest.to_json()?;
        let path = folder.join(seed::MANIFEST.trim_start_matches('/'));
        private(&path)?.write_all(&json).at("writing", &path)?;
        let path = out.join(crate::kickstart::ACCESS);
        private(&path)?.write_all(password.line().as_bytes()).at("writing", &path)
    }

    fn root_password(&self) -> Result<Option<PasswordHash>> {
        let Some(want) = self.manifest.files.get(seed::ROOT_PASSWORD) else { return Ok(None) };
        let wrong = |rule: String| Error::input(format!("{} on the seed: {rule}", seed::ROOT_PASSWORD));
        let node = self.file(seed::ROOT_PASSWORD, want).map_err(wrong)?;
        let text = String::from_utf8(self.iso.read_node(node, MAX_HASH)?)
            .map_err(|_| wrong("it is no text".to_owned()))?;
        text.trim_end_matches('\n').parse().map(Some).map_err(wrong)
    }
}

/// Makes a file that only its owner may read, and the folders above it.
fn private(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).at("making the folder", parent)?;
    }
    File::options().write(true).create_new(true).mode(0o600).open(path).at("making", path)
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
