//! Writing a bundle.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::parts::Parts;
use super::{LOCK, MANIFESTS, PROGRAM, STORE, WINDOW_LOG, manifests_of, store_of};
use crate::blob::Blob;
use crate::cluster::model::Cluster;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::fetch::cache::Cache;
use crate::fetch::lock::Lock;
use crate::fetch::{archives, local_path};
use crate::format::tar;
use crate::payload;
use crate::progress::Progress;
use crate::tree::{Entry, NodePath, Tree};

/// Compression: about what a disk writes.
const LEVEL: i32 = 3;
/// Threads of the compression. Their number is part of what makes the bytes, so it is the same everywhere.
const THREADS: u32 = 2;
const BUFFER: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Bytes of them.
    pub size: u64,
    /// Bytes of what is in them.
    pub content: u64,
    /// Files that were there already, from a run that was stopped.
    pub kept: usize,
    /// Digest of the kiln.lock in it.
    pub lock: Sha256,
    /// Digest of the kiln in it.
    pub program: Sha256,
}

/// Writes a bundle to `output`, in parts of `split` bytes if that is given.
pub fn create(
    cluster: &Cluster,
    lock: &Lock,
    cache: &Cache,
    program: &Path,
    output: &Path,
    split: Option<u64>,
    progress: &dyn Progress,
) -> Result<Created> {
    let (tree, digest) = content(cluster, lock, cache, program)?;
    let blob = tar::write(&tree, 0)?;
    progress.step("writing the bundle");
    progress.total(blob.len());
    let mut parts = Parts::new(output, split)?;
    let failed = |error: std::io::Error| Error::io("writing", output, error);
    let mut encoder = zstd::Encoder::new(&mut parts, LEVEL).map_err(failed)?;
    encoder.multithread(THREADS).map_err(failed)?;
    encoder.window_log(WINDOW_LOG).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    for piece in checked(&blob) {
        piece.stream(&mut encoder, output, progress)?;
    }
    encoder.finish().map_err(failed)?;
    let (files, size, kept) = parts.finish()?;
    let lock = Sha256::of(lock.to_text().as_bytes());
    Ok(Created { files, size, content: blob.len(), kept, lock, program: digest })
}

/// What goes in, by path, and the digest of the program.
fn content(cluster: &Cluster, lock: &Lock, cache: &Cache, program: &Path) -> Result<(Tree, Sha256)> {
    payload::check_program(program)?;
    let (own, len) = Sha256::of_reader(File::open(program).at("opening", program)?).at("reading", program)?;
    let mut tree = Tree::default();
    let mut add = |path: String, entry: Entry| tree.insert(NodePath::new(path)?, entry);
    add(PROGRAM.to_owned(), Entry::file(0o755, Blob::file(program, len, Some(own)), "kiln"))?;
    add(LOCK.to_owned(), Entry::file(0o644, Blob::bytes(lock.to_text().into_bytes()), "kiln.lock"))?;
    for folder in [MANIFESTS, STORE] {
        add(folder.to_owned(), Entry::dir(0o755, "bundle"))?;
    }
    let mut missing = Vec::new();
    let manifests = manifests_of(lock);
    for (digest, size) in &manifests {
        match cache.has(*digest, *size) {
            true => {
                let blob = Blob::file(cache.path(*digest), *size, Some(*digest));
                add(format!("{MANIFESTS}/{digest}"), Entry::file(0o644, blob, "image"))?;
            }
            false => missing.push(cache.path(*digest).display().to_string()),
        }
    }
    let store = if missing.is_empty() { store_of(lock, cache)? } else { Default::default() };
    for (digest, size) in store {
        let path = place(cluster, lock, cache, digest);
        match std::fs::metadata(&path) {
            Ok(facts) if facts.is_file() && facts.len() == size => {
                add(
                    format!("{STORE}/{digest}"),
                    Entry::file(0o644, Blob::file(path, size, Some(digest)), "bundle"),
                )?;
            }
            _ => missing.push(path.display().to_string()),
        }
    }
    if missing.is_empty() {
        return Ok((tree, own));
    }
    Err(Error::input(format!("files that kiln.lock pins are not there:\n  {}", missing.join("\n  ")))
        .hint("`kiln fetch` brings them"))
}

/// Where a file of the lock lies: in the components folder or in the cache.
fn place(cluster: &Cluster, lock: &Lock, cache: &Cache, digest: Sha256) -> PathBuf {
    for (name, pin) in &lock.components {
        if let Some((file, known)) = pin.files.iter().find(|(_, known)| known.sha256 == digest) {
            return local_path(cluster, cache, name, &pin.version, file, known);
        }
    }
    match lock.images.iter().find(|(_, pin)| pin.sha256 == digest) {
        Some((file, pin)) => archives::place(cluster, cache, file, pin),
        None => cache.path(digest),
    }
}

/// A part of the stream, and the digest that it must have.
struct Checked {
    blob: Blob,
    expect: Option<(PathBuf, Sha256)>,
}

fn checked(blob: &Blob) -> Vec<Checked> {
    use crate::blob::Piece;
    let one = |piece: &Piece| {
        let mut blob = Blob::default();
        blob.push(piece.clone());
        let expect = match piece {
            Piece::File { path, expect: Some(expect), .. } => Some((path.clone(), *expect)),
            _ => None,
        };
        Checked { blob, expect }
    };
    blob.pieces().iter().map(one).collect()
}

impl Checked {
    fn stream(&self, to: &mut impl std::io::Write, output: &Path, progress: &dyn Progress) -> Result<()> {
        use sha2::Digest as _;
        let mut reader = self.blob.reader();
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0; BUFFER];
        let source = self.expect.as_ref().map_or(output, |(path, _)| path.as_path());
        loop {
            let now = reader.read(&mut buffer).at("reading", source)?;
            if now == 0 {
                break;
            }
            if self.expect.is_some() {
                hash.update(&buffer[..now]);
            }
            to.write_all(&buffer[..now]).at("writing", output)?;
            progress.advance(now as u64);
        }
        match &self.expect {
            Some((path, expect)) if *expect != Sha256(hash.finalize().into()) => {
                Err(Error::input(format!("{} is not what kiln.lock pins", path.display()))
                    .hint("`kiln fetch` replaces damaged files of the cache; restore those of a folder"))
            }
            _ => Ok(()),
        }
    }
}
