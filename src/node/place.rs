//! `kiln node place`, run by `%post`: lays down under the new system's root what the node gets: the archive of its role,
//! its own archive and no other, kiln itself, and who the node is.
//!
//! No link of the new system is ever followed, so nothing lands outside of it; a file is complete before it has its name.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;

use super::layer::Layer;
use super::prepare::NodeFile;
use super::seed;
use super::source::Source;
use crate::blob::Blob;
use crate::cluster::types::{HostName, LabelKey, LabelValue};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::tar::read::{Member, MemberKind, Reader};
use crate::image::pxe::list::TreeUrl;
use crate::payload::manifest::{Manifest, ManifestFile, Spread};
use crate::payload::{COMMON, IMAGES, KILN, MANIFEST, node_archive, pool_archive};
use crate::plan::{Machine, machine_tree};
use crate::progress::Progress;
use crate::tree::{Entry, NodePath, Tree};

/// What to lay down, and where.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Where the medium is mounted; of a PXE tree the folder with kiln and the manifest.
    pub media: &'a Path,
    /// The PXE tree that all other files come from.
    pub from: Option<&'a TreeUrl>,
    /// The answers of `kiln node prepare`.
    pub prepared: &'a Path,
    /// Root of the new system.
    pub target: &'a Path,
    /// Root of the running system: `/`.
    pub root: &'a Path,
}

/// What was laid down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The node.
    pub node: NodeFile,
    /// Number of files, folders and links.
    pub members: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Lays everything down. Archives are compared with the manifest as they are read; a difference is an error, and the
/// installation stops.
pub fn place(options: &Options<'_>, progress: &dyn Progress) -> Result<Placed> {
    let Options { media, from, prepared, target, root } = *options;
    let manifest = Manifest::load(media)?;
    let source = from.map_or(Source::Folder(media), Source::Tree);
    let node = node_file(prepared, &manifest)?;
    let mut layer = Layer::open(target)?;
    // A medium without secrets has a seed with them: for each of its archives there is one more, with what is not for all.
    let kept = match manifest.spread {
        Spread::Split => Some(seed::kept(prepared, &manifest)?),
        Spread::Whole | Spread::Beside => None,
    };
    let secrets = |layer: &mut Layer, name: &str| match &kept {
        Some((folder, seed)) => archive(layer, Source::Folder(folder), name, &seed.files, progress),
        None => Ok(()),
    };
    progress.step("placing what the profile shares");
    archive(&mut layer, source, COMMON, &manifest.files, progress)?;
    secrets(&mut layer, crate::payload::seed::COMMON)?;
    let name: HostName = node.name.parse().map_err(|rule| Error::input(format!("node.json: {rule}")))?;
    progress.step(&format!("placing what only {name} gets"));
    match &node.pool {
        None => archive(&mut layer, source, &node_archive(&name), &manifest.files, progress)?,
        Some(pool) => {
            let pool: HostName = pool.parse().map_err(|rule| Error::input(format!("node.json: {rule}")))?;
            archive(&mut layer, source, &pool_archive(&pool), &manifest.files, progress)?;
            tree(&mut layer, &pool_member(&name, pool.as_str(), &manifest, root)?)?;
        }
    }
    secrets(&mut layer, &seed::own_archive(&node)?)?;
    tree(&mut layer, &own_files(media, &node)?)?;
    images(&mut layer, source, &manifest, progress)?;
    layer.sync()?;
    Ok(Placed { node, members: layer.members, bytes: layer.bytes })
}

/// What `prepare` found out, if it was for this medium.
fn node_file(prepared: &Path, manifest: &Manifest) -> Result<NodeFile> {
    let path = prepared.join("node.json");
    let text = std::fs::read_to_string(&path).at("reading", &path);
    let text = text.map_err(|error| error.hint("`kiln node prepare` makes it; it runs in %pre"))?;
    let node: NodeFile = serde_json::from_str(&text)
        .map_err(|error| Error::input(format!("{} is damaged: {error}", path.display())))?;
    if node.build_id != manifest.build_id {
        return Err(Error::input(format!(
            "{} was made for the medium {}, but this is {}",
            path.display(),
            node.label,
            manifest.label
        )));
    }
    Ok(node)
}

/// Lays down an archive of the medium.
fn archive(
    layer: &mut Layer,
    source: Source<'_>,
    name: &str,
    files: &BTreeMap<String, ManifestFile>,
    progress: &dyn Progress,
) -> Result<()> {
    let want = files.get(name);
    let want = *want.ok_or_else(|| Error::input(format!("the manifest of the medium names no {name}")))?;
    let mut hashed = Hashed::open(source, name, &want, progress)?;
    let mut reader = Reader::new(&mut hashed);
    while let Some(member) = reader.next_member()? {
        layer.put(&member, &mut reader.content())?;
    }
    drop(reader);
    hashed.compare(want)
}

/// Copies the medium's image archives, from which the node loads its images at every boot that needs them.
fn images(layer: &mut Layer, source: Source<'_>, manifest: &Manifest, progress: &dyn Progress) -> Result<()> {
    for (name, want) in manifest.files.range(IMAGES.to_owned()..) {
        let Some(file) = name.strip_prefix(IMAGES) else { break };
        progress.step(&format!("placing the image archive {file}"));
        let member = Member {
            path: NodePath::new(format!("{}/{file}", super::images::FOLDER))?,
            mode: 0o600,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mtime: 0,
            kind: MemberKind::File(want.size),
        };
        let mut hashed = Hashed::open(source, name, want, progress)?;
        layer.put(&member, &mut hashed)?;
        hashed.compare(*want)?;
    }
    Ok(())
}

/// Lays down a tree, by way of an archive: there is one way to write a file.
pub(super) fn tree(layer: &mut Layer, tree: &Tree) -> Result<()> {
    let archive = crate::format::tar::write(tree, 0)?;
    let mut reader = Reader::new(archive.reader());
    while let Some(member) = reader.next_member()? {
        layer.put(&member, &mut reader.content())?;
    }
    Ok(())
}

/// kiln itself, the manifest and who the node is, below `/opt/kiln`.
fn own_files(media: &Path, node: &NodeFile) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut add = |path: &str, mode: u16, blob: Blob| {
        tree.insert(NodePath::new(path)?, Entry::file(mode, blob, "medium"))
    };
    let program = media.join(KILN.trim_start_matches('/'));
    let len = std::fs::metadata(&program).at("looking at", &program)?.len();
    add("/opt/kiln/bin/kiln", 0o755, Blob::file(program, len, None))?;
    let path = media.join(MANIFEST.trim_start_matches('/'));
    let len = std::fs::metadata(&path).at("looking at", &path)?.len();
    add("/opt/kiln/manifest.json", 0o644, Blob::file(path, len, None))?;
    for pin in &node.pins {
        add(&pin.path(), 0o644, Blob::bytes(pin.text().into_bytes()))?;
    }
    let node = serde_json::to_vec_pretty(node);
    let node = node.map_err(|error| Error::internal("writing node.json").because(error))?;
    add("/opt/kiln/node.json", 0o644, Blob::bytes(node))?;
    Ok(tree)
}

/// The files of a member of a pool, which the builder could not know.
fn pool_member(name: &HostName, pool: &str, manifest: &Manifest, root: &Path) -> Result<Tree> {
    let pool = manifest.pools.iter().find(|known| known.name.as_str() == pool);
    let pool = pool.ok_or_else(|| Error::input("node.json names a pool that the medium does not know"))?;
    let mut labels: BTreeMap<LabelKey, LabelValue> = BTreeMap::new();
    for (key, value) in &pool.labels {
        let fault = |rule: String| Error::input(format!("manifest: label {}: {rule}", key.escape_debug()));
        labels.insert(key.parse().map_err(fault)?, value.parse().map_err(fault)?);
    }
    let subnet = manifest.network.subnet;
    let address = addresses(root)?.into_iter().find(|address| subnet.contains(address)).ok_or_else(|| {
        Error::input(format!("{name} has no address in {}", subnet.trunc()))
            .hint("members of a pool have their address from DHCP: it must answer while they are installed")
    })?;
    machine_tree(&Machine { name, address, role: manifest.role, labels: &labels })
}

/// The running system's own addresses, by the kernel's routing table (`/proc/net/fib_trie`).
fn addresses(root: &Path) -> Result<Vec<Ipv4Addr>> {
    let path = root.join("proc/net/fib_trie");
    let text = std::fs::read_to_string(&path).at("reading", &path)?;
    let mut last: Option<Ipv4Addr> = None;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.contains("/32 host LOCAL") {
            found.extend(last.take());
        }
    }
    Ok(found)
}

/// Hashes what is read through it.
struct Hashed<'a> {
    inner: Box<dyn Read>,
    name: String,
    hash: sha2::Sha256,
    len: u64,
    progress: &'a dyn Progress,
}

impl<'a> Hashed<'a> {
    /// Opens a file of the medium.
    fn open(source: Source<'_>, name: &str, want: &ManifestFile, progress: &'a dyn Progress) -> Result<Self> {
        let inner = source.open(name, want)?;
        Ok(Self { inner, name: source.name(name), hash: Default::default(), len: 0, progress })
    }

    /// Reads what is left, and compares all with the manifest.
    fn compare(mut self, want: ManifestFile) -> Result<()> {
        std::io::copy(&mut self, &mut std::io::sink())
            .map_err(|error| Error::io("reading", Path::new(&self.name), error))?;
        let sha256 = Sha256(sha2::Digest::finalize(self.hash).into());
        if (ManifestFile { size: self.len, sha256 }) != want {
            return Err(Error::input(format!("{} is not what the manifest says", self.name))
                .hint("the medium is damaged; the new system is not complete and must not be used"));
        }
        Ok(())
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(buffer)?;
        sha2::Digest::update(&mut self.hash, &buffer[..got]);
        self.len += got as u64;
        self.progress.advance(got as u64);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::prepare::{self, prepare};
    use super::*;
    use crate::cluster::types::Role;
    use crate::progress::Silent;
    use crate::testing::{Fake, cluster, medium};

    /// A medium, a machine that was prepared from it, and the root of a new system whose accounts are the tester's.
    fn set_up(role: Role, mac: &str) -> (tempfile::TempDir, Fake, tempfile::TempDir) {
        let (media, fake, target) = (medium(&cluster(), role), Fake::new(), tempfile::tempdir().unwrap());
        fake.nic("eth0", mac, true).disk("vda", 0, 40);
        let out = fake.root().join("out");
        let options = prepare::Options {
            media: media.path(),
            out: &out,
            root: fake.root(),
            node: None,
            seed_wait: std::time::Duration::ZERO,
            check_medium: true,
            dry: false,
            preflight: None,
        };
        prepare(&options, &prepare::Nobody, &Silent).unwrap();
        let me = target.path().metadata().unwrap();
        fs::create_dir(target.path().join("etc")).unwrap();
        let passwd = format!("root:x:{}:{}:root:/root:/bin/bash\n", me.uid(), me.gid());
        fs::write(target.path().join("etc/passwd"), passwd).unwrap();
        fs::write(target.path().join("etc/group"), format!("root:x:{}:\n", me.gid())).unwrap();
        (media, fake, target)
    }

    fn run(media: &Path, fake: &Fake, target: &Path) -> Result<Placed> {
        place(
            &Options { media, from: None, prepared: &fake.root().join("out"), target, root: fake.root() },
            &Silent,
        )
    }

    #[test]
    fn a_node_gets_what_is_its_own() {
        let (media, fake, target) = set_up(Role::Master, "52:54:00:00:31:74");
        let placed = run(media.path(), &fake, target.path()).unwrap();
        assert_eq!((placed.node.name.as_str(), placed.members), ("k8s-master2", 6));
        let read = |path: &str| fs::read_to_string(target.path().join(path)).unwrap();
        assert_eq!(read("opt/kubernetes/ssl/node.pem"), "key of k8s-master2\n");
        assert_eq!(read("etc/kiln-test"), "common\n");
        let mode = |path: &str| target.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode("opt/kiln/bin/kiln"), mode("opt/kiln/node.json"), mode("opt")),
            (0o755, 0o644, 0o755)
        );
        assert!(read("opt/kiln/manifest.json").contains("\"format\": 2"));
        // Again: files are replaced, nothing is left over.
        run(media.path(), &fake, target.path()).unwrap();
        assert_eq!(fs::read_dir(target.path().join("opt/kubernetes/ssl")).unwrap().count(), 1);
    }

    #[test]
    fn links_of_the_new_system_are_not_followed() {
        let (media, fake, target) = set_up(Role::Master, "52:54:00:00:31:74");
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(target.path().join("opt")).unwrap();
        std::os::unix::fs::symlink(outside.path(), target.path().join("opt/kubernetes")).unwrap();
        let error = run(media.path(), &fake, target.path()).unwrap_err();
        assert!(error.to_string().contains("/opt/kubernetes is no folder"), "{error}");
        assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
        // A file that is a link is replaced, its target is not written to.
        fs::remove_file(target.path().join("opt/kubernetes")).unwrap();
        let file = outside.path().join("file");
        fs::write(&file, "untouched").unwrap();
        fs::remove_file(target.path().join("etc/kiln-test")).unwrap();
        std::os::unix::fs::symlink(&file, target.path().join("etc/kiln-test")).unwrap();
        run(media.path(), &fake, target.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "untouched");
    }

    #[test]
    fn damage_and_foreign_answers_stop_it() {
        let (media, fake, target) = set_up(Role::Master, "52:54:00:00:31:74");
        let archive = media.path().join("kiln/common.tar");
        let mut bytes = fs::read(&archive).unwrap();
        bytes[512] ^= 1;
        fs::write(&archive, bytes).unwrap();
        let error = run(media.path(), &fake, target.path()).unwrap_err();
        assert!(error.to_string().contains("is not what the manifest says"), "{error}");
        let other = medium(&cluster(), Role::Lb);
        let error = run(other.path(), &fake, target.path()).unwrap_err();
        assert!(error.to_string().contains("was made for the medium KILN-PROD-MASTER"), "{error}");
    }

    #[test]
    fn unknown_owners_are_errors() {
        let (media, fake, target) = set_up(Role::Master, "52:54:00:00:31:74");
        fs::write(target.path().join("etc/group"), "wheel:x:10:\n").unwrap();
        let error = run(media.path(), &fake, target.path()).unwrap_err();
        assert!(error.to_string().contains("group `root`"), "{error}");
    }

    #[test]
    fn a_member_of_a_pool_learns_its_address() {
        let (media, fake, target) = set_up(Role::Worker, "52:54:00:00:31:99");
        assert!(run(media.path(), &fake, target.path()).is_err());
        let table = "Local:\n  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 192.168.31.0\n     /24 link UNICAST\n\
                     \u{20} |-- 192.168.31.140\n     /32 host LOCAL\n";
        fake.put("proc/net/fib_trie", table);
        run(media.path(), &fake, target.path()).unwrap();
        let env = fs::read_to_string(target.path().join("opt/kiln/node.env")).unwrap();
        assert!(env.contains("KILN_NODE_NAME=pool-a-003199\nKILN_NODE_ADDRESS=192.168.31.140\n"), "{env}");
        let key = fs::read_to_string(target.path().join("opt/kubernetes/ssl/pool.pem")).unwrap();
        assert_eq!(key, "key of pool-a\n");
        assert!(!target.path().join("opt/kubernetes/ssl/node.pem").exists());
    }

    #[test]
    fn image_archives_come_along() {
        let (media, fake, target) = set_up(Role::Worker, "52:54:00:00:31:72");
        run(media.path(), &fake, target.path()).unwrap();
        let image = target.path().join("var/lib/kiln/images/pause.tar");
        assert_eq!(fs::read_to_string(&image).unwrap(), "image of pause\n");
        assert_eq!(image.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let (masters, other, root) = set_up(Role::Master, "52:54:00:00:31:74");
        run(masters.path(), &other, root.path()).unwrap();
        assert!(!root.path().join("var").exists(), "this medium has no images");

        fs::write(media.path().join("kiln/images/pause.tar"), "image of Pause\n").unwrap();
        let error = run(media.path(), &fake, target.path()).unwrap_err();
        assert!(error.to_string().contains("pause.tar is not what the manifest says"), "{error}");
    }
}
