//! Taking a bundle in. Bundles are hostile: nothing is taken that their lock does not name, nothing larger than it says, and nothing
//! under a digest that it does not have.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use super::parts::{Chain, find};
use super::{LOCK, MANIFESTS, MAX_PROGRAM, PROGRAM, STORE, WINDOW_LOG, manifests_of, store_of};
use crate::digest::Sha256;
use crate::error::{Class, Error, Result};
use crate::fetch::cache::Cache;
use crate::fetch::lock::Lock;
use crate::format::oci::manifest::MAX_DOCUMENT;
use crate::format::tar::read::{Member, MemberKind, Reader};
use crate::progress::Progress;

/// Largest lock.
const MAX_LOCK: u64 = 1 << 20;
const BUFFER: usize = 1 << 20;

/// What was taken in.
#[derive(Debug)]
pub struct Added {
    /// The bundle's lock.
    pub lock: Lock,
    /// Files that came into the cache.
    pub new: usize,
    /// Files that were there already.
    pub there: usize,
    /// The bundle's kiln, in the cache.
    pub program: Sha256,
}

/// Takes a bundle into the cache. `files` are its parts, or its name.
pub fn add(files: &[PathBuf], cache: &Cache, progress: &dyn Progress) -> Result<Added> {
    let parts = find(files)?;
    let shown = parts.first().map(|part| part.display().to_string()).unwrap_or_default();
    let sizes = parts.iter().filter_map(|part| std::fs::metadata(part).ok()).map(|facts| facts.len());
    progress.total(sizes.sum());
    let chain = Counted { inner: Chain::new(parts), progress };
    let bad = |error: std::io::Error| damaged(error).context(&shown);
    let mut decoder = zstd::Decoder::new(chain).map_err(bad)?;
    decoder.window_log_max(WINDOW_LOG).map_err(bad)?;
    let mut source = Source { inner: decoder, fault: None };
    let mut take =
        Take { cache, lock: None, program: None, manifests: BTreeMap::new(), store: None, new: 0, there: 0 };
    let result = take.all(&mut Reader::new(&mut source));
    // Why the source could not be read says more than what the archive's reader makes of it.
    if let Some(fault) = source.fault.take() {
        return Err(bad(fault));
    }
    result.map_err(|error| error.context(&shown))?;
    // The checksum of the frame comes after the last member.
    std::io::copy(&mut source, &mut std::io::sink()).map_err(bad)?;
    take.finish().map_err(|error| error.context(&shown))
}

/// What cannot be read: a damaged bundle, unless the device says that it failed.
fn damaged(error: std::io::Error) -> Error {
    let class = if error.raw_os_error().is_some() { Class::Io } else { Class::Input };
    Error::new(class, "it is no bundle, or a damaged one, or a part is missing")
        .because(error)
        .hint("copy it again, all of its parts")
}

/// Remembers why reading failed.
struct Source<R> {
    inner: R,
    fault: Option<std::io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != std::io::ErrorKind::Interrupted {
                self.fault = Some(error);
            }
            kind.into()
        })
    }
}

struct Take<'a> {
    cache: &'a Cache,
    lock: Option<Lock>,
    program: Option<Sha256>,
    /// What still has to come.
    manifests: BTreeMap<Sha256, u64>,
    store: Option<BTreeMap<Sha256, u64>>,
    new: usize,
    there: usize,
}

impl Take<'_> {
    fn all(&mut self, reader: &mut Reader<impl Read>) -> Result<()> {
        while let Some(member) = reader.next_member()? {
            self.member(&member, &mut reader.content())?;
        }
        Ok(())
    }

    fn member(&mut self, member: &Member, content: &mut impl Read) -> Result<()> {
        let path = member.path.as_str();
        let size = match member.kind {
            MemberKind::File(size) => size,
            MemberKind::Dir if matches!(path, MANIFESTS | STORE) => return Ok(()),
            _ => return Err(strange(path)),
        };
        match path {
            PROGRAM if size <= MAX_PROGRAM => {
                self.program = Some(self.store(content, None, "program")?);
                Ok(())
            }
            LOCK if size <= MAX_LOCK => self.take_lock(content),
            _ => match path.rsplit_once('/') {
                Some((MANIFESTS, digest)) => {
                    let digest = named(digest)?;
                    expect(self.manifests.remove(&digest), size, path)?;
                    self.blob(content, digest, size)
                }
                Some((STORE, digest)) => {
                    let digest = named(digest)?;
                    let known = self.wanted()?.remove(&digest);
                    expect(known, size, path)?;
                    self.blob(content, digest, size)
                }
                _ => Err(strange(path)),
            },
        }
    }

    fn take_lock(&mut self, content: &mut impl Read) -> Result<()> {
        let mut text = String::new();
        content
            .take(MAX_LOCK)
            .read_to_string(&mut text)
            .map_err(|error| Error::input("its lock cannot be read").because(error))?;
        let lock = Lock::parse(std::path::Path::new("kiln.lock"), &text)?;
        self.manifests = manifests_of(&lock);
        if let Some(size) = self.manifests.values().find(|size| **size > MAX_DOCUMENT) {
            return Err(Error::input(format!("its lock names a manifest of {size} bytes")));
        }
        self.lock = Some(lock);
        Ok(())
    }

    /// What the store has to hold; known once all manifests are there.
    fn wanted(&mut self) -> Result<&mut BTreeMap<Sha256, u64>> {
        if let Some(digest) = self.manifests.keys().next() {
            return Err(Error::input(format!("the manifest {digest} is not in it")));
        }
        let lock = self.lock.as_ref().ok_or_else(|| Error::input("its lock does not come first"))?;
        if self.store.is_none() {
            self.store = Some(store_of(lock, self.cache)?);
        }
        self.store.as_mut().ok_or_else(|| Error::internal("the store's list was just made"))
    }

    fn blob(&mut self, content: &mut impl Read, digest: Sha256, size: u64) -> Result<()> {
        if self.cache.holds(digest, size)? {
            self.there += 1;
            return Ok(());
        }
        self.store(content, Some(digest), &digest.to_string())?;
        self.new += 1;
        Ok(())
    }

    fn store(&self, content: &mut impl Read, digest: Option<Sha256>, key: &str) -> Result<Sha256> {
        let mut staged = self.cache.stage(&format!("bundle-{key}"))?;
        staged.restart()?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let now = content.read(&mut buffer).map_err(damaged)?;
            if now == 0 {
                return staged.keep(digest);
            }
            staged.write(&buffer[..now])?;
        }
    }

    fn finish(mut self) -> Result<Added> {
        let missing: Vec<String> = self.wanted()?.keys().map(|digest| format!("{STORE}/{digest}")).collect();
        if !missing.is_empty() {
            return Err(Error::input(format!(
                "files that its lock names are not in it:\n  {}",
                missing.join("\n  ")
            )));
        }
        let lock = self.lock.ok_or_else(|| Error::input("it has no lock"))?;
        let program = self.program.ok_or_else(|| Error::input("it has no kiln"))?;
        Ok(Added { lock, new: self.new, there: self.there, program })
    }
}

fn named(text: &str) -> Result<Sha256> {
    text.parse().map_err(|_| strange(text))
}

fn expect(known: Option<u64>, size: u64, path: &str) -> Result<()> {
    match known {
        Some(known) if known == size => Ok(()),
        Some(known) => Err(Error::input(format!("{path} has {size} bytes, its lock says {known}"))),
        None => Err(strange(path)),
    }
}

fn strange(path: &str) -> Error {
    Error::input(format!("it holds `{}`, which its lock does not name", path.escape_debug()))
}

/// Tells how much was read.
struct Counted<'a, R> {
    inner: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let now = self.inner.read(buffer)?;
        self.progress.advance(now as u64);
        Ok(now)
    }
}
