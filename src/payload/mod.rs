//! The payload: what a medium carries besides the vendor's files, as a list of medium files in writing order.
//!
//! It decides names, modes and order, and makes the manifest; it writes nothing. What the archives hold comes from the
//! plan and the PKI as trees.

pub mod manifest;
pub mod seed;
pub mod validity;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::blob::Blob;
use crate::cluster::Cluster;
use crate::cluster::types::{HostName, Role};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::elf::{self, Linking};
use crate::format::tar;
use crate::image::label::VolumeLabel;
use crate::image::{Content, Deferred, Digests, MediumFile};
use crate::tree::{NodePath, Tree};
use manifest::{Manifest, ManifestFile, Spread};

/// Path of the kickstart on a medium.
pub const KICKSTART: &str = "/ks.cfg";
/// Path of kiln's own program on a medium.
pub const KILN: &str = "/kiln/kiln";
/// Path of the archive that all nodes of the role share.
pub const COMMON: &str = "/kiln/common.tar";
/// Path of the manifest.
pub const MANIFEST: &str = "/kiln/manifest.json";

/// Folder of the image archives on a medium.
pub const IMAGES: &str = "/kiln/images/";

/// Path of an image archive.
pub fn image_path(file: &str) -> String {
    format!("{IMAGES}{file}")
}

/// Path of the archive that only one node may have.
pub fn node_archive(name: &HostName) -> String {
    format!("/kiln/nodes/{name}.tar")
}

/// Path of the archive that only members of a worker pool may have.
pub fn pool_archive(name: &HostName) -> String {
    format!("/kiln/pools/{name}.tar")
}

/// Time that all members of the archives carry: the epoch. Files on a node get the time at which they are laid down.
const MTIME: u64 = 0;

/// Path of the data of a disk image's first boot that cloud-init takes (NoCloud).
pub const USER_DATA: &str = "/user-data";
/// The same: which instance it is.
pub const META_DATA: &str = "/meta-data";
/// The same: the network until the node has its own.
pub const NETWORK_CONFIG: &str = "/network-config";
/// Path of the script with which a disk image's first boot begins.
pub const FIRST_BOOT: &str = "/kiln/first-boot.sh";
/// Path of the script that sets the system of a disk image up.
pub const SET_UP: &str = "/kiln/set-up.sh";

/// Texts that set a machine up, by their paths on the medium.
pub type Texts = Vec<(&'static str, String)>;

/// Renders them for a label: the kickstart of an ISO, what cloud-init reads of a disk image.
pub type Boot<'a> = &'a dyn Fn(&VolumeLabel) -> Result<Texts>;

/// What a payload is made of.
pub struct PayloadInput<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The role that the medium serves.
    pub role: Role,
    /// Digest of the cluster's certificate authority.
    pub authority: Sha256,
    /// Where the secrets lie. What is [`Spread::Split`] has none in these trees: [`seed::split`] takes them out.
    pub spread: Spread,
    /// The one node that the medium is to reinstall; then it is for no other.
    pub reinstall: Option<&'a HostName>,
    /// Words for the kernel's command line of installed nodes.
    pub kernel_args: &'a [String],
    /// Tells the base apart, so that media of two bases have two labels.
    pub base: Sha256,
    /// kiln's own program, statically linked.
    pub kiln: &'a Path,
    /// Renders what sets a machine up, for a label. Called twice: the label depends on all else that reaches the medium.
    pub boot: Boot<'a>,
    /// Files that all nodes of the role share, no node's secrets among them.
    pub common: &'a Tree,
    /// Files that only one node may have, for every node of the role.
    pub nodes: &'a BTreeMap<HostName, Tree>,
    /// Files that only members of a worker pool may have, for every pool; empty but on worker media.
    pub pools: &'a BTreeMap<HostName, Tree>,
    /// Further files of the medium: container images, packages.
    pub extra: Vec<Extra>,
}

/// A further file of a medium and where it came from, for messages.
#[derive(Debug)]
pub struct Extra {
    /// Where it came from: "container image pause:3.10".
    pub origin: String,
    /// Path, mode and content.
    pub path: String,
    /// Permission bits.
    pub mode: u16,
    /// Content.
    pub content: Blob,
}

/// A payload, ready to be written.
#[derive(Debug)]
pub struct Payload {
    /// Digest over everything that reaches the medium besides the base, the id itself taken out.
    pub build_id: Sha256,
    /// The medium's label, made from the build id.
    pub label: VolumeLabel,
    /// The files in writing order; the manifest is last.
    pub files: Vec<MediumFile>,
}

/// How the files of a payload reach the installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// On a medium that is mounted: the manifest vouches for the kickstart, too.
    Medium,
    /// From a server: the kickstart comes first and vouches for the manifest. It holds [`UNKNOWN`] once, in place of its digest.
    Network,
}

/// What stands in a kickstart of [`Delivery::Network`] in place of the manifest's digest, until that is known.
pub const UNKNOWN: Sha256 = Sha256([0; 32]);

/// Puts the payload of a medium together. Content whose digest is not known is read once for the build id.
pub fn assemble(input: PayloadInput<'_>) -> Result<Payload> {
    assemble_for(input, Delivery::Medium)
}

/// Puts a payload together, for the way that it is delivered.
pub fn assemble_for(input: PayloadInput<'_>, delivery: Delivery) -> Result<Payload> {
    let nodes = check_nodes(&input)?;
    let kiln = kiln_blob(input.kiln)?;
    let draft = VolumeLabel::for_medium(&input.cluster.name, input.role, "0000");
    let mut manifest = Manifest::of(input.cluster, input.role, draft.clone());
    (manifest.authority, manifest.spread) = (input.authority, input.spread);
    manifest.reinstall = input.reinstall.cloned();
    manifest.kernel_args = input.kernel_args.to_vec();
    let trees = || input.nodes.values().chain(input.pools.values()).chain([input.common]);
    if input.spread == Spread::Split {
        seed::check_open(trees())?;
    }
    manifest.validity = validity::of_trees(trees())?;
    let mut facts = vec![
        ("base".to_owned(), input.base),
        ("manifest".to_owned(), Sha256::of(&manifest.to_json()?)),
        (KILN.to_owned(), kiln.digest()?),
        (COMMON.to_owned(), input.common.digest()?),
    ];
    for (path, text) in (input.boot)(&draft)? {
        facts.push((path.to_owned(), Sha256::of(text.as_bytes())));
    }
    for (name, tree) in input.nodes {
        facts.push((node_archive(name), tree.digest()?));
    }
    for (name, tree) in input.pools {
        facts.push((pool_archive(name), tree.digest()?));
    }
    for extra in &input.extra {
        facts.push((format!("{} {:o}", extra.path, extra.mode), extra.content.digest()?));
    }
    let facts: String = facts.iter().map(|(what, digest)| format!("{what} {digest}\n")).collect();
    let build_id = Sha256::of(facts.as_bytes());
    let label = VolumeLabel::for_medium(&input.cluster.name, input.role, &build_id.to_string());
    (manifest.build_id, manifest.label) = (build_id, label.clone());

    // Without secrets there is no reason to keep the archives from anybody.
    let own = if input.spread == Spread::Split { 0o644 } else { 0o600 };
    let mut files = Files::default();
    let mut late = None;
    for (path, text) in (input.boot)(&label)? {
        match delivery {
            Delivery::Network if path == KICKSTART => {
                files.claim("the kickstart", KICKSTART)?;
                late = Some(text);
            }
            _ => files.add("what sets a machine up", path, 0o644, Blob::bytes(text.into_bytes()))?,
        }
    }
    files.add("kiln itself", KILN, 0o755, kiln)?;
    files.add("the role's archive", COMMON, 0o644, tar::write(input.common, MTIME)?)?;
    for (name, archive) in nodes {
        files.add(&format!("the archive of {name}"), &node_archive(&name), own, archive)?;
    }
    for (name, tree) in input.pools {
        let archive = tar::write(tree, MTIME)?;
        files.add(&format!("the archive of the pool {name}"), &pool_archive(name), own, archive)?;
    }
    for extra in input.extra {
        files.add(&extra.origin, &extra.path, extra.mode, extra.content)?;
    }
    files.claim("the manifest", MANIFEST)?;
    let mut files = files.list;
    files.push(manifest_file(manifest, &files)?);
    if let Some(text) = late {
        files.push(kickstart_file(text)?);
    }
    Ok(Payload { build_id, label, files })
}

/// The nodes' archives. There is one for every node that the medium is for and for no other, and with the common one each makes a
/// tree in which every path has one source.
fn check_nodes(input: &PayloadInput<'_>) -> Result<Vec<(HostName, Blob)>> {
    let all = input.cluster.nodes_of(input.role).map(|node| &node.name);
    let wanted: Vec<&HostName> =
        all.filter(|name| input.reinstall.is_none_or(|only| only == *name)).collect();
    if !wanted.iter().copied().eq(input.nodes.keys()) {
        return Err(Error::internal("the plan's nodes are not the cluster's nodes of the role"));
    }
    let archive = |(name, tree): (&HostName, &Tree)| {
        let mut all = input.common.clone();
        all.merge(tree.clone())
            .and_then(|()| all.check_hierarchy())
            .map_err(|error| error.context(format!("payload of {name}")))?;
        Ok((name.clone(), tar::write(tree, MTIME)?))
    };
    input.nodes.iter().map(archive).collect()
}

/// Refuses a program that would not start in the installer; reads its headers only.
pub fn check_program(path: &Path) -> Result<()> {
    require_static(path).map_err(|error| error.or_hint("--kiln takes the path of a statically linked kiln"))
}

fn require_static(path: &Path) -> Result<()> {
    let file = File::open(path).at("opening kiln's program", path)?;
    let len = file.metadata().at("reading kiln's program", path)?.len();
    let what = match elf::look(file, len).at("reading kiln's program", path)? {
        Ok(Linking::Static) => return Ok(()),
        Ok(Linking::Dynamic) => "is dynamically linked, so it would not start in the installer".to_owned(),
        Err(fault) => fault.to_string(),
    };
    Err(Error::input(format!("{} {what}", path.display())).hint(
        "kiln puts itself on the medium; build a static one with `cargo build --release` in kiln's repository \
         (its .cargo/config.toml links statically) and run that",
    ))
}

/// The program, looked at and hashed.
fn kiln_blob(path: &Path) -> Result<Blob> {
    check_program(path)?;
    let file = File::open(path).at("opening kiln's program", path)?;
    let (digest, len) = Sha256::of_reader(file).at("reading kiln's program", path)?;
    Ok(Blob::file(path, len, Some(digest)))
}

/// Files of a medium, each path claimed once.
#[derive(Default)]
struct Files {
    list: Vec<MediumFile>,
    origins: BTreeMap<String, String>,
}

impl Files {
    fn add(&mut self, origin: &str, path: &str, mode: u16, content: Blob) -> Result<()> {
        self.claim(origin, path)?;
        self.list.push(MediumFile { path: path.to_owned(), mode, content: Content::Blob(content) });
        Ok(())
    }

    fn claim(&mut self, origin: &str, path: &str) -> Result<()> {
        NodePath::new(path).map_err(|error| error.context(format!("medium file of {origin}")))?;
        match self.origins.insert(path.to_owned(), origin.to_owned()) {
            None => Ok(()),
            Some(first) => Err(Error::input(format!(
                "two files of the medium have the path {path}: {first} and {origin}"
            ))
            .hint("rename one of them")),
        }
    }
}

/// The manifest as a file whose content is made when all others have been written and hashed.
fn manifest_file(mut manifest: Manifest, files: &[MediumFile]) -> Result<MediumFile> {
    manifest.files = planned(files);
    let len = manifest.to_json()?.len() as u64;
    let content = deferred(len, move |digests| {
        fill(&mut manifest.files, digests)?;
        manifest.to_json()
    });
    Ok(MediumFile { path: MANIFEST.to_owned(), mode: 0o644, content })
}

/// Content that is made when all else was written and hashed.
fn deferred(len: u64, make: impl FnOnce(&Digests) -> Result<Vec<u8>> + Send + 'static) -> Content {
    Content::Deferred(Deferred { len, make: Box::new(make) })
}

/// Sizes of files whose digests are not known yet.
fn planned(files: &[MediumFile]) -> BTreeMap<String, ManifestFile> {
    let unknown = |file: &MediumFile| {
        (file.path.clone(), ManifestFile { size: file.content.len(), sha256: Sha256([0; 32]) })
    };
    files.iter().map(unknown).collect()
}

/// Puts the digests in.
fn fill(files: &mut BTreeMap<String, ManifestFile>, digests: &Digests) -> Result<()> {
    for (path, file) in files {
        let (size, digest) = digests
            .get(path)
            .ok_or_else(|| Error::internal(format!("{path} was not written before the manifest")))?;
        if *size != file.size {
            return Err(Error::internal(format!("{path} has {size} bytes, {} were planned", file.size)));
        }
        file.sha256 = *digest;
    }
    Ok(())
}

/// The kickstart as a file that is made when the manifest was written and hashed.
fn kickstart_file(text: String) -> Result<MediumFile> {
    let unknown = UNKNOWN.to_string();
    if text.matches(&unknown).count() != 1 {
        return Err(Error::internal("the kickstart has no one place for the manifest's digest"));
    }
    let content = deferred(text.len() as u64, move |digests| {
        let found = digests.get(MANIFEST);
        let (_, digest) =
            found.ok_or_else(|| Error::internal("the manifest was not written before the kickstart"))?;
        Ok(text.replace(&unknown, &digest.to_string()).into_bytes())
    });
    Ok(MediumFile { path: KICKSTART.to_owned(), mode: 0o644, content })
}

#[cfg(test)]
mod tests;
