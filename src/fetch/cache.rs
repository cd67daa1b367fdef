//! The cache: files by the SHA-256 of their content, shared by all projects of a user and safe for several kilns at once.
//!
//! ```text
//! blobs/<first two digits>/<digest>   whole files, read-only
//! partial/<key>                       what is being written; whoever writes it holds a lock on it (flock)
//! ```
//!
//! A file gets its name when its digest is known and it is on disk, so the cache never holds a byte under the wrong name. What a
//! killed kiln left is taken up by the next. Not here: what is fetched, and from where.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::Digest as _;

use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};

/// Variable that names the cache's folder.
const VARIABLE: &str = "KILN_CACHE";

/// A cache in a folder.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The user's cache: `$KILN_CACHE`, `$XDG_CACHE_HOME/kiln`, `~/.cache/kiln`, or `/var/cache/kiln` where there is no home. Nothing
    /// is made before something is stored.
    pub fn of_user() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set(VARIABLE)
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("kiln")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/kiln")));
        Self::at_dir(dir.unwrap_or_else(|| PathBuf::from("/var/cache/kiln")))
    }

    /// A cache in `dir`.
    pub fn at_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where the file with a digest lies, if it is there.
    pub fn path(&self, digest: Sha256) -> PathBuf {
        let name = digest.to_string();
        self.dir.join("blobs").join(&name[..2]).join(name)
    }

    /// Size of the file with a digest, if it is there.
    pub fn size(&self, digest: Sha256) -> Option<u64> {
        let facts = std::fs::symlink_metadata(self.path(digest)).ok()?;
        facts.is_file().then_some(facts.len())
    }

    /// Whether a file of this digest and size is there. Its content is not read: see [`Cache::holds`].
    pub fn has(&self, digest: Sha256, size: u64) -> bool {
        self.size(digest) == Some(size)
    }

    /// Whether a file of this digest and size is there and has that digest; one that has not is removed.
    pub fn holds(&self, digest: Sha256, size: u64) -> Result<bool> {
        let path = self.path(digest);
        if !self.has(digest, size) {
            return Ok(false);
        }
        let file = File::open(&path).at("opening", &path)?;
        if Sha256::of_reader(file).at("reading", &path)?.0 == digest {
            return Ok(true);
        }
        std::fs::remove_file(&path).at("removing a damaged file of the cache,", &path)?;
        Ok(false)
    }

    /// Opens a small file of the cache and reads it, compared with its digest.
    pub fn read(&self, digest: Sha256, limit: u64) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let file = File::open(&path).at("opening", &path)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).at("reading", &path)?;
        if bytes.len() as u64 > limit || Sha256::of(&bytes) != digest {
            return Err(Error::input(format!("{} is not what its name says", path.display()))
                .hint("remove it and run `kiln fetch`"));
        }
        Ok(bytes)
    }

    /// Stores bytes that are in memory.
    pub fn put(&self, bytes: &[u8]) -> Result<Sha256> {
        let digest = Sha256::of(bytes);
        let mut staged = self.stage(&digest.to_string())?;
        staged.restart()?;
        staged.write(bytes)?;
        staged.keep(Some(digest))
    }

    /// Opens the unfinished file of a key, and waits while another thread or kiln writes it. What is in it already was written by
    /// one that was stopped, and is counted in the digest.
    pub fn stage(&self, key: &str) -> Result<Staged> {
        let dir = self.dir.join("partial");
        let made = std::fs::create_dir_all(&dir).at("making the folder", &dir);
        made.map_err(|error| error.hint(format!("{VARIABLE} names the cache's folder")))?;
        let path = dir.join(key);
        loop {
            let mut open = OpenOptions::new();
            let file = open.read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.at("opening", &path)?;
            flock(&file, FlockOperation::LockExclusive).map_err(std::io::Error::from).at("locking", &path)?;
            // Another one may have finished it meanwhile: then this is a file of the store, not to be touched.
            let inode = file.metadata().at("reading", &path)?.ino();
            if std::fs::symlink_metadata(&path).is_ok_and(|there| there.ino() == inode) {
                let mut staged =
                    Staged { file, path, cache: self.clone(), hash: sha2::Sha256::new(), len: 0 };
                staged.count()?;
                return Ok(staged);
            }
        }
    }
}

/// An unfinished file of the cache, locked.
#[derive(Debug)]
pub struct Staged {
    file: File,
    path: PathBuf,
    cache: Cache,
    hash: sha2::Sha256,
    len: u64,
}

impl Staged {
    /// Number of bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for reading at offsets.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Digest of the bytes so far.
    pub fn digest(&self) -> Sha256 {
        Sha256(self.hash.clone().finalize().into())
    }

    /// Drops all bytes.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).at("emptying", &self.path)?;
        self.file.seek(SeekFrom::Start(0)).at("emptying", &self.path)?;
        (self.hash, self.len) = (sha2::Sha256::new(), 0);
        Ok(())
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("writing", &self.path).map_err(|error| {
            error.hint("what is there already is kept: make room, or set KILN_CACHE to another folder, and run it again")
        })?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its place in the store, once it is on disk. With `expect`, a file of another digest is dropped and refused.
    pub fn keep(self, expect: Option<Sha256>) -> Result<Sha256> {
        let digest = self.digest();
        if let Some(expect) = expect
            && expect != digest
        {
            self.discard()?;
            return Err(Error::input(format!("the content has the SHA-256 {digest}, not {expect}")));
        }
        let target = self.cache.path(digest);
        let dir = target.parent().unwrap_or(&self.cache.dir);
        std::fs::create_dir_all(dir).at("making the folder", dir)?;
        self.file.set_permissions(Permissions::from_mode(0o444)).at("setting the mode of", &self.path)?;
        self.file.sync_all().at("writing", &self.path)?;
        std::fs::rename(&self.path, &target).at("renaming into place", &target)?;
        Ok(digest)
    }

    /// Removes it.
    pub fn discard(self) -> Result<()> {
        std::fs::remove_file(&self.path).at("removing", &self.path)
    }

    /// Takes up what an earlier writer left.
    fn count(&mut self) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let now = self.file.read(&mut buffer).at("reading", &self.path)?;
            if now == 0 {
                return Ok(());
            }
            self.hash.update(&buffer[..now]);
            self.len += now as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at_dir(dir.path().join("cache"));
        (dir, cache)
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let (_dir, cache) = cache();
        let digest = Sha256::of(b"hello");
        let mut staged = cache.stage("key").unwrap();
        staged.write(b"hel").unwrap();
        drop(staged);
        assert!(!cache.has(digest, 5));

        // The next one goes on where it was stopped.
        let mut staged = cache.stage("key").unwrap();
        assert_eq!(staged.len(), 3);
        staged.write(b"lo").unwrap();
        assert_eq!(staged.keep(Some(digest)).unwrap(), digest);
        assert!(cache.holds(digest, 5).unwrap() && !cache.holds(digest, 6).unwrap());
        assert_eq!(cache.read(digest, 5).unwrap(), b"hello");
        assert!(cache.read(digest, 4).is_err());
        assert!(cache.stage("key").unwrap().is_empty());
        assert_eq!(cache.path(digest).metadata().unwrap().permissions().mode() & 0o777, 0o444);
    }

    #[test]
    fn wrong_content_gets_no_name_and_damage_is_found() {
        let (_dir, cache) = cache();
        let mut staged = cache.stage("key").unwrap();
        staged.write(b"lies").unwrap();
        let error = staged.keep(Some(Sha256::of(b"truth"))).unwrap_err().to_string();
        assert!(error.contains("not") && !cache.has(Sha256::of(b"truth"), 4), "{error}");
        assert!(cache.stage("key").unwrap().is_empty());

        let digest = cache.put(b"content").unwrap();
        let path = cache.path(digest);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, b"CONTENT").unwrap();
        assert!(cache.has(digest, 7) && !cache.holds(digest, 7).unwrap() && !path.exists());
    }

    #[test]
    fn two_writers_of_one_key_take_turns() {
        let (_dir, cache) = cache();
        let content = vec![7; 100_000];
        let digest = Sha256::of(&content);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut staged = cache.stage("key").unwrap();
                        staged.restart().unwrap();
                        content.chunks(7_000).for_each(|part| staged.write(part).unwrap());
                        assert_eq!(staged.keep(Some(digest)).unwrap(), digest);
                        assert!(cache.holds(digest, 100_000).unwrap());
                    }
                });
            }
        });
    }
}
