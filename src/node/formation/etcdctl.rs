//! The real etcd, by its own `etcdctl` (3.4 to 3.7) on the loopback: bounded in time and output.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::join::{Entry, Etcd};
use crate::error::{Error, Result};
use crate::node::child;

/// Longest run of etcdctl; it gives up by itself earlier.
const LONGEST: Duration = Duration::from_secs(12);

/// How to reach the etcd of this machine.
#[derive(Debug, Clone)]
pub struct Ctl {
    program: PathBuf,
    endpoint: String,
    ssl: PathBuf,
    metrics: SocketAddr,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    members: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
    #[serde(rename = "isLearner", default)]
    learner: bool,
}

impl Ctl {
    /// The etcd whose files lie below `root` and that listens on this address of the machine.
    pub fn new(root: &Path, address: IpAddr) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            program: root.join("opt/etcd/bin/etcdctl"),
            endpoint: format!("https://{address}:2379"),
            ssl: root.join("opt/etcd/ssl"),
            // Several etcds of one machine differ by their address, and 127/8 is all loopback.
            metrics: SocketAddr::new(if address.is_loopback() { address } else { loopback }, 2381),
        }
    }

    /// Whether etcd has a quorum and leads or follows in it: its own answer to that question.
    pub fn healthy(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let timeout = Duration::from_secs(3);
            let mut stream = TcpStream::connect_timeout(&self.metrics, timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.take(4096).read_to_string(&mut text)?;
            Ok(text)
        };
        ask().is_ok_and(|text| text.replace(' ', "").contains("\"health\":\"true\""))
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let file = |name: &str| self.ssl.join(name).into_os_string();
        let mut command = Command::new(&self.program);
        command.args([
            "--endpoints",
            &self.endpoint,
            "--command-timeout=5s",
            "--dial-timeout=3s",
            "-w",
            "json",
        ]);
        command.arg("--cacert").arg(file("ca.pem"));
        command.arg("--cert").arg(file("server.pem")).arg("--key").arg(file("server-key.pem"));
        command.args(words).env_clear();
        bounded(command, LONGEST)
    }
}

/// Runs a program for so long at most; its output, or what it complained of.
pub fn bounded(command: Command, longest: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = child::run(command, &[], longest)?;
    if ended.success {
        return Ok(ended.output);
    }
    Err(Error::tool(format!("{name}: {}", last_words(&ended.messages, &ended.output))))
}

/// The line in which a program says why it failed.
fn last_words(err: &str, out: &str) -> String {
    let lines = || err.lines().chain(out.lines()).filter(|line| !line.trim().is_empty());
    let line = lines().find(|line| line.starts_with("Error:")).or_else(|| lines().next_back());
    line.unwrap_or("it failed").chars().filter(|c| !c.is_control()).take(300).collect()
}

fn parse(text: &str) -> Result<Vec<Entry>> {
    let list: List = serde_json::from_str(text)
        .map_err(|error| Error::tool("etcdctl gave no member list").because(error))?;
    let entry = |listed: Listed| Entry {
        id: listed.id,
        name: listed.name,
        peer_urls: listed.peer_urls,
        learner: listed.learner,
    };
    Ok(list.members.into_iter().map(entry).collect())
}

impl Etcd for Ctl {
    type Error = Error;

    fn members(&mut self) -> Result<Vec<Entry>> {
        parse(&self.run(&["member", "list"])?)
    }

    fn remove(&mut self, id: u64) -> Result<()> {
        self.run(&["member", "remove", &format!("{id:x}")]).map(|_| ())
    }

    fn add_learner(&mut self, name: &str, peer_url: &str) -> Result<()> {
        self.run(&["member", "add", name, "--learner", &format!("--peer-urls={peer_url}")]).map(|_| ())
    }

    fn promote(&mut self, id: u64) -> Result<bool> {
        match self.run(&["member", "promote", &format!("{id:x}")]) {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains("in sync with leader") => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn alive(&mut self, entry: &Entry) -> bool {
        entry
            .peer_urls
            .iter()
            .filter_map(|url| address_of(url))
            .any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok())
    }
}

/// `https://192.168.31.71:2380` → its address.
fn address_of(url: &str) -> Option<SocketAddr> {
    url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?.trim_end_matches('/').parse().ok()
}

/// `a=https://…,b=https://…`, as etcd wants its first member list.
pub fn initial_cluster(list: &[(String, String)]) -> String {
    list.iter().map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

/// Names by peer URL, for entries that have not started.
pub fn names(members: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    members.map(|(name, url)| (url, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_lists_of_3_4_and_3_6_are_read() {
        let text = r#"{"header":{"cluster_id":17237436991929493444,"member_id":9372538179322589801},"members":[
            {"ID":9372538179322589801,"name":"a","peerURLs":["https://192.168.31.71:2380"],"clientURLs":["x"]},
            {"ID":10501334649042878790,"peerURLs":["https://192.168.31.74:2380"],"isLearner":true}]}"#;
        let list = parse(text).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].id, list[0].learner), (9_372_538_179_322_589_801, false));
        assert!(list[1].learner && list[1].name.is_empty());
        assert!(parse("Error: x").is_err());
        assert_eq!(address_of("https://192.168.31.74:2380"), Some("192.168.31.74:2380".parse().unwrap()));
        assert_eq!(address_of("unix://x"), None);
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let run = |words: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", words]);
            bounded(command, Duration::from_secs(5))
        };
        assert_eq!(run("echo yes").unwrap(), "yes\n");
        let error = run("echo noise >&2; echo 'Error: why' >&2; exit 3").unwrap_err();
        assert!(error.to_string().ends_with("Error: why"), "{error}");
    }
}
