//! What a node must not forget: `/var/lib/kiln/formation`, and the incarnation that lies beside etcd's data.
//!
//! `kiln node form` and the agent both change the file, so a lock is held from reading it to its being on disk. A change is
//! written aside, flushed, renamed and its folder flushed: a power cut leaves the old state or the new one.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::decide::{Known, Stage, merge};
use crate::cluster::types::HostName;
use crate::error::{Error, IoContext as _, Result};

/// The file, its lock, and the mark of a medium that only replaces.
const MEMORY: &str = "var/lib/kiln/formation";
const LOCK: &str = "var/lib/kiln/formation.lock";
const REJOIN_ONLY: &str = "var/lib/kiln/rejoin-only";
/// On the disk of etcd's data, and outside its folder, which is etcd's own.
const INCARNATION: &str = "var/lib/etcd/kiln-incarnation";
const WAL: &str = "var/lib/etcd/default.etcd/member/wal";
/// More is no file of ours.
const LIMIT: u64 = 1 << 20;
/// Lives remembered of one member. One that was re-imaged more often is suspicious enough by the first two.
const LIVES: usize = 32;

/// One life of a member's data disk: 128 random bits, in hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(String);

impl Incarnation {
    /// An incarnation of these random bits.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl TryFrom<String> for Incarnation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(digit) {
            Ok(Self(text))
        } else {
            Err("an incarnation has 32 hexadecimal digits".to_owned())
        }
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        incarnation.0
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..8).unwrap_or_default())
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Members and their lives.
pub type Lives = Known<HostName, Incarnation>;

/// What is not forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// The cluster has come into being. Never taken back.
    pub formed: bool,
    /// This life of the node has decided to form.
    pub forming: Option<Incarnation>,
    /// This life of the node has seen its etcd with a quorum.
    pub ran: Option<Incarnation>,
    /// This life of the node has asked to be taken in again.
    pub joining: Option<Incarnation>,
    /// Lives heard of.
    pub known: Lives,
    /// What was known when it learned that the cluster had formed.
    pub founders: Lives,
}

impl Memory {
    /// Notes that the cluster has formed.
    pub fn note_formed(&mut self) {
        if !self.formed {
            self.formed = true;
            self.founders = self.known.clone();
        }
    }

    /// Notes a life of a member.
    pub fn note(&mut self, name: &HostName, incarnation: &Incarnation) {
        self.note_all(&Lives::from([(name.clone(), BTreeSet::from([incarnation.clone()]))]), |_| true);
    }

    /// Notes lives of members; who is none is left out.
    pub fn note_all(&mut self, lives: &Lives, is_member: impl Fn(&HostName) -> bool) {
        for (name, lives) in lives.iter().filter(|(name, _)| is_member(name)) {
            let room = LIVES.saturating_sub(self.known.get(name).map_or(0, BTreeSet::len));
            let new = lives.iter().take(room).cloned().collect();
            merge(&mut self.known, &Lives::from([(name.clone(), new)]));
        }
    }
}

/// The files of one node; `root` is `/` on the node itself.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The files below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// What is remembered. A file that cannot be read is an error: forgetting would be dangerous.
    pub fn read(&self) -> Result<Memory> {
        let path = self.path(MEMORY);
        let Some(text) = read_small(&path)? else { return Ok(Memory::default()) };
        serde_json::from_str(&text).map_err(|error| {
            Error::input(format!("{} is damaged", path.display()))
                .because(error)
                .hint("reinstall this machine; it is taken in again by the other members")
        })
    }

    /// Changes what is remembered; when this returns, it is on disk.
    pub fn update<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> Result<T> {
        let path = self.path(LOCK);
        make_parent(&path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .at("opening the lock", &path)?;
        while let Err(error) = rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
            if error != rustix::io::Errno::INTR {
                return Err(Error::io("locking", &path, error.into()));
            }
        }
        let mut memory = self.read()?;
        let before = memory.clone();
        let outcome = change(&mut memory);
        if memory != before {
            let text = serde_json::to_string_pretty(&memory)
                .map_err(|error| Error::internal("writing the state of formation failed").because(error))?;
            write_durably(&self.path(MEMORY), &(text + "\n"))?;
        }
        Ok(outcome)
    }

    /// The incarnation of etcd's data disk, if it has one.
    pub fn incarnation(&self) -> Result<Option<Incarnation>> {
        let path = self.path(INCARNATION);
        let Some(text) = read_small(&path)? else { return Ok(None) };
        Incarnation::try_from(text.trim().to_owned()).map(Some).map_err(|why| {
            Error::input(format!("{} is damaged: {why}", path.display()))
                .hint("reinstall this machine; it is taken in again by the other members")
        })
    }

    /// The incarnation; the first call of a life makes it from `random`.
    pub fn own_incarnation(&self, random: [u8; 16]) -> Result<Incarnation> {
        if let Some(incarnation) = self.incarnation()? {
            return Ok(incarnation);
        }
        let incarnation = Incarnation::new(random);
        write_durably(&self.path(INCARNATION), &format!("{incarnation}\n"))?;
        Ok(incarnation)
    }

    /// Whether etcd has written a log: it may have voted.
    pub fn has_data(&self) -> Result<bool> {
        let path = self.path(WAL);
        match fs::read_dir(&path) {
            Ok(entries) => {
                let wal = |entry: std::io::Result<fs::DirEntry>| {
                    entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".wal"))
                };
                Ok(entries.into_iter().any(wal))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("reading the folder", &path, error)),
        }
    }

    /// Whether the medium said that this machine replaces another.
    pub fn rejoin_only(&self) -> bool {
        self.path(REJOIN_ONLY).exists()
    }

    /// How far the node has come, as it tells the others.
    pub fn stage(&self, memory: &Memory) -> Result<Stage> {
        Ok(if memory.formed {
            Stage::Formed
        } else if memory.forming.is_some() || self.has_data()? {
            Stage::Forming
        } else {
            Stage::Fresh
        })
    }
}

/// Writes a file so that a power cut leaves the old content or the new one.
pub fn write_durably(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .at("making", &aside)?;
    file.write_all(text.as_bytes()).at("writing", &aside)?;
    file.sync_all().at("writing", &aside)?;
    fs::rename(&aside, path).at("renaming into place", path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent).and_then(|folder| folder.sync_all()).at("flushing the folder", parent)
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).at("making the folder", parent)
}

fn read_small(path: &Path) -> Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("opening", path, error)),
    };
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text).at("reading", path)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(byte: u8) -> Incarnation {
        Incarnation::new([byte; 16])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        assert_eq!(store.read().unwrap(), Memory::default());
        let name: HostName = "a".parse().unwrap();
        store.update(|memory| memory.note(&name, &life(1))).unwrap();
        store.update(Memory::note_formed).unwrap();
        store.update(|memory| memory.note(&name, &life(2))).unwrap();
        let memory = store.read().unwrap();
        assert!(memory.formed && memory.known[&name].len() == 2 && memory.founders[&name].len() == 1);
        assert_eq!(store.own_incarnation([7; 16]).unwrap(), store.own_incarnation([8; 16]).unwrap());
        std::fs::write(root.path().join(MEMORY), "{").unwrap();
        assert!(store.read().is_err() && store.update(|_| ()).is_err(), "damage is not forgotten");
    }

    #[test]
    fn lives_are_bounded() {
        let mut memory = Memory::default();
        let name: HostName = "a".parse().unwrap();
        (0..=255).for_each(|n| memory.note(&name, &life(n)));
        assert_eq!(memory.known[&name].len(), LIVES);
        let lives = Lives::from([("b".parse().unwrap(), BTreeSet::from([life(1)]))]);
        memory.note_all(&lives, |name| name.as_str() == "a");
        assert_eq!(memory.known.len(), 1);
    }

    #[test]
    fn a_log_is_data_and_an_empty_folder_is_not() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        assert!(!store.has_data().unwrap());
        std::fs::create_dir_all(root.path().join(WAL)).unwrap();
        assert!(!store.has_data().unwrap());
        assert_eq!(store.stage(&Memory::default()).unwrap(), Stage::Fresh);
        std::fs::write(root.path().join(WAL).join("0000000000000000-0000000000000000.wal"), "").unwrap();
        assert!(store.has_data().unwrap());
        assert_eq!(store.stage(&Memory::default()).unwrap(), Stage::Forming);
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let store = Store::new(root.path());
                scope.spawn(move || {
                    let name: HostName = format!("n{n}").parse().unwrap();
                    store.update(|memory| memory.note(&name, &life(n))).unwrap();
                });
            }
        });
        assert_eq!(Store::new(root.path()).read().unwrap().known.len(), 8);
    }
}
