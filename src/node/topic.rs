//! What one program tells the status board: a small JSON file below [`TOPICS`], which the agent reads and merges.
//!
//! A file is replaced as a whole, so a reader sees either the former or the new one. This is the only writer; [`Topic`] is what
//! is written, and [`crate::node::status`] reads it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::error::{Error, IoContext as _, Result};
use crate::node::status::{Level, TOPICS, Topic, read_topic, visible};

/// The file of a topic that one program owns.
#[derive(Debug)]
pub struct TopicFile {
    path: PathBuf,
    name: &'static str,
    last: Option<Topic>,
    told: bool,
}

impl TopicFile {
    /// The file of a topic of the node whose files lie below `root`. What a former run of the program wrote is taken up.
    pub fn new(root: &Path, name: &'static str) -> Self {
        let path = root.join(TOPICS).join(format!("{name}.json"));
        Self { last: read_topic(&path), path, name, told: false }
    }

    /// Says how it is at `now`. Returns whether this program says it for the first time. `since` is when the state became what
    /// it is: a text that counts down, or names one node fewer, is still the same wait.
    pub fn set(&mut self, state: Level, text: &str, now: OffsetDateTime) -> Result<bool> {
        let mut topic = Topic::new(self.name, state, visible(text), now);
        if let Some(last) = self.last.as_ref().filter(|last| last.state == state) {
            topic.since.clone_from(&last.since);
        }
        let same = self.last.as_ref() == Some(&topic);
        if same && self.told {
            return Ok(false);
        }
        if !same || !self.path.exists() {
            let json = serde_json::to_string(&topic)
                .map_err(|error| Error::internal("writing a topic failed").because(error))?;
            replace(&self.path, (json + "\n").as_bytes(), 0o644)?;
        }
        self.last = Some(topic);
        self.told = true;
        Ok(true)
    }

    /// Takes the topic off the board.
    pub fn withdraw(&mut self) -> Result<()> {
        self.last = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("removing", &self.path, error))
            }
            _ => Ok(()),
        }
    }
}

/// Puts a file at `path` in one step; its folder is made if it is not there.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::internal(format!("{} is no file", path.display())));
    };
    fs::create_dir_all(folder).at("making the folder", folder)?;
    let staging = folder.join(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_file(&staging) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("removing", &staging, error));
        }
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&staging)
        .at("making", &staging)?;
    file.write_all(content).and_then(|()| file.sync_all()).at("writing", &staging)?;
    fs::rename(&staging, path).at("renaming into place", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::status::read_topics;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_topic_says_since_when() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(TOPICS).join("joining.json");
        let mut topic = TopicFile::new(root.path(), "joining");
        let read = || -> serde_json::Value { serde_json::from_slice(&fs::read(&file).unwrap()).unwrap() };
        assert!(topic.set(Level::Waiting, "for a", at(0)).unwrap());
        assert!(!topic.set(Level::Waiting, "for a", at(1)).unwrap());
        assert!(topic.set(Level::Waiting, "for b\u{1b}[2J", at(2)).unwrap());
        assert_eq!(
            read(),
            serde_json::json!({ "topic": "joining", "state": "waiting", "text": "for b [2J", "since": "2027-01-15T08:00:00Z" })
        );
        assert!(topic.set(Level::Ok, "", at(3)).unwrap());
        assert_eq!(read()["since"], "2027-01-15T08:00:03Z");
        assert_eq!(fs::read_dir(root.path().join(TOPICS)).unwrap().count(), 1);
    }

    #[test]
    fn a_program_that_starts_again_goes_on_waiting() {
        let root = tempfile::tempdir().unwrap();
        let start = || TopicFile::new(root.path(), "formation");
        let since = || read_topics(root.path())[0].since.clone();
        start().set(Level::Waiting, "for a", at(0)).unwrap();
        let mut again = start();
        assert!(again.set(Level::Waiting, "for a", at(9)).unwrap(), "the journal of this run has it too");
        assert_eq!(since(), "2027-01-15T08:00:00Z");
        again.set(Level::Failed, "no disk", at(10)).unwrap();
        start().set(Level::Waiting, "for a", at(11)).unwrap();
        assert_eq!(since(), "2027-01-15T08:00:11Z");
    }

    #[test]
    fn what_is_withdrawn_is_gone_and_may_come_again() {
        let root = tempfile::tempdir().unwrap();
        let mut topic = TopicFile::new(root.path(), "kubelet");
        topic.withdraw().unwrap();
        topic.set(Level::Waiting, "x", at(0)).unwrap();
        topic.withdraw().unwrap();
        assert!(read_topics(root.path()).is_empty());
        assert!(topic.set(Level::Waiting, "x", at(5)).unwrap());
        assert_eq!(read_topics(root.path())[0].since, "2027-01-15T08:00:05Z");
    }
}
