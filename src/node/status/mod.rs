//! How a node is, as it tells the others and shows people: its stage, what it waits for and since when, units, warnings.
//!
//! Any program on the node contributes by a file, `/run/kiln/status.d/<topic>.json` ([`crate::node::topic`]). What comes from peers is cut and cleaned
//! before it is kept: it ends up on consoles.

pub mod board;
pub mod certs;
pub mod console;
pub mod fetch;
pub mod gather;
pub mod joining;

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cluster::types::HostName;

/// Folder of the topics, below the root of a node's files.
pub const TOPICS: &str = "run/kiln/status.d";
/// Most topics and units of one node.
const MOST: usize = 48;
/// Longest text, in characters.
const LONGEST: usize = 300;

/// How well something is; greater is worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    #[default]
    Ok,
    /// Someone should look at it some day.
    Warn,
    /// Something has yet to happen.
    Waiting,
    /// It does not work.
    Failed,
}

impl Level {
    /// The word of files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Waiting => "waiting",
            Level::Failed => "failed",
        }
    }
}

/// One thing that some program says about the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// What it is about: `formation`, `certificates`, `addons`.
    pub topic: String,
    /// How it is.
    pub state: Level,
    /// A sentence for people.
    pub text: String,
    /// Since when it has been so, RFC 3339.
    pub since: String,
}

/// A unit, as systemd sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// `active`, `activating`, `failed`, …
    pub active: String,
    /// `running`, `start-pre`, `auto-restart`, …
    pub sub: String,
}

impl Unit {
    /// How well it is.
    pub fn level(&self) -> Level {
        match (self.active.as_str(), self.sub.as_str()) {
            ("failed", _) | (_, "auto-restart") => Level::Failed,
            ("active", _) => Level::Ok,
            _ => Level::Waiting,
        }
    }
}

/// etcd's membership, as far as the node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etcd {
    /// Whether the cluster is known to have formed.
    pub formed: bool,
    /// Whether its etcd has a quorum.
    pub healthy: bool,
    /// Members that nobody has heard of yet.
    pub unheard: Vec<String>,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: HostName,
    /// Its role.
    pub role: String,
    /// Its address.
    pub address: String,
    /// How it is, over all.
    pub state: Level,
    /// What it is at, in one line.
    pub stage: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// When it said so, RFC 3339, by its own clock.
    pub at: String,
    /// Seconds since it was heard, by the clock of the one who tells; 0 by itself.
    #[serde(default)]
    pub age: u64,
    /// Id of the build that it was installed from.
    #[serde(default)]
    pub build: String,
    /// Its units.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// What its programs say.
    #[serde(default)]
    pub topics: Vec<Topic>,
    /// Its etcd, if it runs one.
    #[serde(default)]
    pub etcd: Option<Etcd>,
}

impl NodeStatus {
    /// Cuts and cleans what a peer sent.
    pub fn clean(&mut self) {
        self.topics.truncate(MOST);
        self.units.truncate(MOST);
        for text in [
            &mut self.role,
            &mut self.address,
            &mut self.stage,
            &mut self.since,
            &mut self.at,
            &mut self.build,
        ] {
            *text = clean(text);
        }
        for topic in &mut self.topics {
            topic.tidy();
        }
        for unit in &mut self.units {
            for text in [&mut unit.name, &mut unit.active, &mut unit.sub] {
                *text = clean(text);
            }
        }
        if let Some(etcd) = &mut self.etcd {
            etcd.unheard.truncate(MOST);
            etcd.unheard.iter_mut().for_each(|name| *name = clean(name));
        }
    }
}

impl Topic {
    /// A topic.
    pub fn new(topic: &str, state: Level, text: impl Into<String>, since: OffsetDateTime) -> Self {
        Self { topic: topic.to_owned(), state, text: text.into(), since: stamp(since) }
    }

    fn tidy(&mut self) {
        for text in [&mut self.topic, &mut self.text, &mut self.since] {
            *text = clean(text);
        }
    }
}

/// Reads one topic; a file that is none is passed over.
pub fn read_topic(path: &Path) -> Option<Topic> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(16 << 10).read_to_string(&mut text).ok()?;
    let mut topic: Topic = serde_json::from_str(&text).ok()?;
    topic.tidy();
    Some(topic)
}

/// Reads what the node's programs say, sorted by topic.
pub fn read_topics(root: &Path) -> Vec<Topic> {
    let Ok(entries) = std::fs::read_dir(root.join(TOPICS)) else { return Vec::new() };
    let json = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "json");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(json).collect();
    paths.sort();
    paths.iter().take(MOST).filter_map(|path| read_topic(path)).collect()
}

/// A text without control characters (they would steer a terminal), of bounded length.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// As [`clean`], for one's own text: a space in place of each control character keeps words apart.
pub fn visible(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A moment, RFC 3339 in whole seconds of UTC.
pub fn stamp(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn files_that_are_no_topics_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(TOPICS);
        std::fs::create_dir_all(&folder).unwrap();
        let topic = Topic::new("x", Level::Waiting, "for a\u{7}", datetime!(2026-01-01 00:00 UTC));
        std::fs::write(folder.join("x.json"), serde_json::to_string(&topic).unwrap()).unwrap();
        std::fs::write(folder.join("bad.json"), "{").unwrap();
        std::fs::write(folder.join("y.new"), "{}").unwrap();
        let read = read_topics(root.path());
        assert_eq!(read.iter().map(|topic| topic.text.as_str()).collect::<Vec<_>>(), ["for a"]);
    }

    #[test]
    fn what_peers_send_cannot_steer_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n\rc"), "a[2Jbc");
        assert_eq!(visible("a\nb\u{1b}[2J"), "a b [2J");
        assert_eq!(clean(&"x".repeat(1000)).len(), LONGEST);
    }
}
