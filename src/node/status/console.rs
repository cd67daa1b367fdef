//! What a person in front of the machine sees: the text above the login prompt (agetty's issue files), and a line on the
//! console at each change of stage.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Level, NodeStatus};
use crate::error::{IoContext as _, Result};
use crate::node::release::OsRelease;

/// agetty of util-linux 2.32 on reads every file of this folder.
const ISSUE_D: &str = "etc/issue.d/kiln.issue";
/// EL7's reads this one only; what stands there already stays above the mark.
const ISSUE: &str = "etc/issue";
const MARK: &str = "--- kiln ---";

/// Writes the text above the login prompt, if it changed.
pub fn issue(root: &Path, cluster: &str, status: &NodeStatus) -> Result<()> {
    let text = issue_text(cluster, status);
    if root.join("etc/issue.d").is_dir() || OsRelease::read(root).version != "7" {
        return replace(&root.join(ISSUE_D), &text);
    }
    let path = root.join(ISSUE);
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let above = there.split(MARK).next().unwrap_or_default().trim_end();
    replace(&path, &format!("{above}\n\n{MARK}\n{text}"))
}

fn replace(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).at("making the folder", parent)?;
    }
    let aside = path.with_extension("kiln-new");
    std::fs::write(&aside, text).at("writing", &aside)?;
    std::fs::rename(&aside, path).at("renaming into place", path)
}

fn issue_text(cluster: &str, status: &NodeStatus) -> String {
    let mut text = format!(
        "{} ({}, {}) of cluster {cluster}\n{}, since {}\n",
        status.name,
        status.role,
        status.address,
        sentence(status),
        status.since
    );
    for topic in
        status.topics.iter().filter(|topic| topic.state >= Level::Waiting || topic.state == Level::Warn)
    {
        text += &format!("{}: {}: {}\n", topic.state.as_str(), topic.topic, topic.text);
    }
    // A backslash begins one of agetty's escapes.
    text.replace('\\', "\\\\") + "\n"
}

fn sentence(status: &NodeStatus) -> String {
    match status.state {
        Level::Ok => status.stage.clone(),
        state => format!("{}: {}", state.as_str(), status.stage),
    }
}

/// One line on the console. A serial line without a terminal must not hold the agent, so what does not fit is dropped.
pub fn say(root: &Path, status: &NodeStatus) {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let path = root.join("dev/console");
    let opened = std::fs::OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path);
    if let Ok(mut console) = opened {
        // A console that takes nothing is no fault of the node's.
        let _ = write!(console, "kiln: {}: {}\r\n", status.name, sentence(status));
    }
}

/// Login prompts that nobody types at show the new text. agetty knows how from util-linux 2.32 on; EL7's does not, and shows it
/// after the next key.
pub fn again(root: &Path) {
    if root == Path::new("/") {
        let mut agetty = Command::new("agetty");
        agetty.arg("--reload").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A machine without it has no prompts either.
        let _ = agetty.status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(stage: &str) -> NodeStatus {
        serde_json::from_value(serde_json::json!({
            "name": "a", "role": "master", "address": "192.168.31.71", "state": "waiting", "stage": stage,
            "since": "2026-11-23T06:00:00Z", "at": ""
        }))
        .unwrap()
    }

    #[test]
    fn the_issue_says_what_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        issue(root.path(), "prod", &status("for b\\n")).unwrap();
        let text = std::fs::read_to_string(root.path().join(ISSUE_D)).unwrap();
        assert_eq!(
            text,
            "a (master, 192.168.31.71) of cluster prod\nwaiting: for b\\\\n, since 2026-11-23T06:00:00Z\n\n"
        );
    }

    #[test]
    fn el7_keeps_what_stands_in_its_issue() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), "NAME=x\nVERSION_ID=\"7\"\n").unwrap();
        std::fs::write(root.path().join(ISSUE), "\\S\nKernel \\r\n").unwrap();
        for stage in ["one", "two", "two"] {
            issue(root.path(), "prod", &status(stage)).unwrap();
        }
        let text = std::fs::read_to_string(root.path().join(ISSUE)).unwrap();
        assert!(text.starts_with("\\S\nKernel \\r\n\n--- kiln ---\na (") && !text.contains("one"), "{text}");
        assert_eq!(text.matches(MARK).count(), 1);
    }

    #[test]
    fn a_change_is_one_line_on_the_console() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        say(root.path(), &status("no console"));
        std::fs::write(root.path().join("dev/console"), "").unwrap();
        say(root.path(), &status("for b"));
        let text = std::fs::read_to_string(root.path().join("dev/console")).unwrap();
        assert_eq!(text, "kiln: a: waiting: for b\r\n");
    }
}
