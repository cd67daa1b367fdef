//! What one program tells the status board: a small JSON file below `/run/kiln/status.d`, which the agent reads and merges.
//!
//! A file is replaced as a whole, so a reader sees either the former or the new one. Nothing here reads the board.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, IoContext as _, Result};
pub use crate::node::status::Level as State;

/// Where topics lie.
pub const FOLDER: &str = "/run/kiln/status.d";
/// Longest text that is written, in characters.
const LONGEST: usize = 2000;

#[derive(Serialize)]
struct File<'a> {
    topic: &'a str,
    state: State,
    text: &'a str,
    since: String,
}

/// A topic that one program owns.
#[derive(Debug)]
pub struct Topic {
    folder: PathBuf,
    name: &'static str,
    last: Option<(State, String)>,
    since: OffsetDateTime,
}

impl Topic {
    /// A topic of this name, in a folder that is [`FOLDER`] on a node.
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.to_owned(), name, last: None, since: OffsetDateTime::UNIX_EPOCH }
    }

    /// Says how it is at `now`. Returns whether that is new. `since` is when the state became what it is.
    pub fn set(&mut self, state: State, text: &str, now: OffsetDateTime) -> Result<bool> {
        let text: String =
            text.chars().take(LONGEST).map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        match &self.last {
            Some((old, same)) if *old == state && *same == text => return Ok(false),
            Some((old, _)) if *old == state => {}
            _ => self.since = now,
        }
        let since = self
            .since
            .format(&Rfc3339)
            .map_err(|error| Error::internal("writing a time failed").because(error))?;
        let file = File { topic: self.name, state, text: &text, since };
        let json = serde_json::to_string(&file)
            .map_err(|error| Error::internal("writing a status failed").because(error))?;
        replace(&self.folder.join(format!("{}.json", self.name)), (json + "\n").as_bytes(), 0o644)?;
        self.last = Some((state, text));
        Ok(true)
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

    #[test]
    fn a_topic_says_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let mut topic = Topic::new(&dir.path().join("status.d"), "joining");
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap();
        let read = || -> serde_json::Value {
            serde_json::from_slice(&fs::read(dir.path().join("status.d/joining.json")).unwrap()).unwrap()
        };
        assert!(topic.set(State::Waiting, "for a", at(0)).unwrap());
        assert!(!topic.set(State::Waiting, "for a", at(1)).unwrap());
        assert!(topic.set(State::Waiting, "for b\u{1b}[2J", at(2)).unwrap());
        assert_eq!(
            read(),
            serde_json::json!({ "topic": "joining", "state": "waiting", "text": "for b [2J", "since": "2027-01-15T08:00:00Z" })
        );
        assert!(topic.set(State::Ok, "", at(3)).unwrap());
        assert_eq!(read()["since"], "2027-01-15T08:00:03Z");
        assert_eq!(fs::read_dir(dir.path().join("status.d")).unwrap().count(), 1);
    }
}
