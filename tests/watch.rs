//! `kiln watch` on a terminal of its own (by `script` of util-linux) and in a pipe, while no API server answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln::cluster::types::Role;
use kiln::pki::Pki;
use time::OffsetDateTime;

const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// The administrators' kubeconfig, for a port of the loopback where nobody listens.
fn kubeconfig(folder: &Path) -> PathBuf {
    let cluster = common::reference_cluster();
    let pki = Pki::open_or_create(&folder.join("pki"), &cluster, OffsetDateTime::now_utc()).unwrap();
    let master = cluster.nodes_of(Role::Master).next().unwrap();
    common::lay::lay(&pki.node_tree(&cluster, master).unwrap(), &folder.join("root"));
    let text = std::fs::read_to_string(folder.join("root/opt/kubernetes/cfg/admin.kubeconfig")).unwrap();
    let server = text.lines().find(|line| line.contains("server:")).unwrap();
    let path = folder.join("admin.kubeconfig");
    std::fs::write(&path, text.replace(server, "    server: \"https://127.0.0.1:1\"")).unwrap();
    path
}

/// What a command writes within four seconds, one look a second.
fn watched(mut command: Command) -> String {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("NO_COLOR");
    let output = command.output().expect("timeout of coreutils and script of util-linux");
    // What `script` says when it is ended is not kiln's.
    let said = String::from_utf8_lossy(&output.stderr)
        .replace("Session terminated, killing shell... ...killed.", "");
    assert_eq!(said.trim(), "");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_terminal_is_drawn_anew_and_a_pipe_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(folder.path());
    let words =
        format!("{} watch --interval 1 --kubeconfig {}", env!("CARGO_BIN_EXE_kiln"), config.display());

    let mut terminal = Command::new("timeout");
    terminal.args(["4", "script", "--quiet", "--flush", "--command", &words, "/dev/null"]);
    terminal.env("TERM", "xterm");
    let said = watched(terminal);
    let frames: Vec<&str> = said.split(CLEAR).collect();
    assert!(frames.len() >= 3, "{said:?}");
    assert_eq!(frames[0], "", "something stands before the first frame: {said:?}");
    for frame in &frames[1..frames.len() - 1] {
        assert!(frame.starts_with("\u{1b}[31mno answer: ") && frame.ends_with("\u{1b}[0m\r\n"), "{said:?}");
        assert_eq!(frame.matches("no answer").count(), 1, "{said:?}");
    }

    let mut pipe = Command::new("timeout");
    pipe.arg("4").args(words.split(' '));
    let said = watched(pipe);
    assert!(said.starts_with("no answer: ") && !said.contains('\u{1b}'), "{said:?}");
    assert_eq!(said.matches("no answer").count(), 1, "what is not new is told again: {said:?}");
}
