//! Taking a bundle in. Bundles are hostile: nothing is taken that their lock does not name, nothing larger than it says, and nothing
//! under a digest that it does not have.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use super::read::{damaged, members};
use super::{LOCK, MANIFESTS, MAX_LOCK, MAX_PROGRAM, PROGRAM, STORE, manifests_of, named, store_of, strange};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::fetch::cache::Cache;
use crate::fetch::lock::Lock;
use crate::format::oci::manifest::MAX_DOCUMENT;
use crate::format::tar::read::{Member, MemberKind};
use crate::progress::Progress;

const BUFFER: usize = 1 << 20;

/// What was taken in.
#[derive(Debug)]
pub struct Added {
    /// The bundle's lock.
    pub lock: Lock,
    /// Digest of its text.
    pub lock_digest: Sha256,
    /// Files that came into the cache.
    pub new: usize,
    /// Files that were there already.
    pub there: usize,
    /// The bundle's kiln, in the cache.
    pub program: Sha256,
}

/// Takes a bundle into the cache. `files` are its parts, or its name.
pub fn add(files: &[PathBuf], cache: &Cache, progress: &dyn Progress) -> Result<Added> {
    let mut take =
        Take { cache, lock: None, program: None, manifests: BTreeMap::new(), store: None, new: 0, there: 0 };
    let shown = members(files, progress, |member, content| take.member(member, content))?;
    take.finish().map_err(|error| error.context(&shown))
}

struct Take<'a> {
    cache: &'a Cache,
    lock: Option<(Lock, Sha256)>,
    program: Option<Sha256>,
    /// What still has to come.
    manifests: BTreeMap<Sha256, u64>,
    store: Option<BTreeMap<Sha256, u64>>,
    new: usize,
    there: usize,
}

impl Take<'_> {
    fn member(&mut self, member: &Member, content: &mut dyn Read) -> Result<()> {
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

    fn take_lock(&mut self, content: &mut dyn Read) -> Result<()> {
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
        self.lock = Some((lock, Sha256::of(text.as_bytes())));
        Ok(())
    }

    /// What the store has to hold; known once all manifests are there.
    fn wanted(&mut self) -> Result<&mut BTreeMap<Sha256, u64>> {
        if let Some(digest) = self.manifests.keys().next() {
            return Err(Error::input(format!("the manifest {digest} is not in it")));
        }
        let (lock, _) = self.lock.as_ref().ok_or_else(|| Error::input("its lock does not come first"))?;
        if self.store.is_none() {
            self.store = Some(store_of(lock, self.cache)?);
        }
        self.store.as_mut().ok_or_else(|| Error::internal("the store's list was just made"))
    }

    fn blob(&mut self, content: &mut dyn Read, digest: Sha256, size: u64) -> Result<()> {
        if self.cache.holds(digest, size)? {
            self.there += 1;
            return Ok(());
        }
        self.store(content, Some(digest), &digest.to_string())?;
        self.new += 1;
        Ok(())
    }

    fn store(&self, content: &mut dyn Read, digest: Option<Sha256>, key: &str) -> Result<Sha256> {
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
        let (lock, lock_digest) = self.lock.ok_or_else(|| Error::input("it has no lock"))?;
        let program = self.program.ok_or_else(|| Error::input("it has no kiln"))?;
        Ok(Added { lock, lock_digest, new: self.new, there: self.there, program })
    }
}

fn expect(known: Option<u64>, size: u64, path: &str) -> Result<()> {
    match known {
        Some(known) if known == size => Ok(()),
        Some(known) => Err(Error::input(format!("{path} has {size} bytes, its lock says {known}"))),
        None => Err(strange(path)),
    }
}
