//! Puts a node's status together: topics, units, certificates, etcd; and what of that is its stage.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Etcd, Level, NodeStatus, Topic, Unit, read_topics, stamp};
use crate::cluster::types::HostName;
use crate::node::formation::etcdctl::bounded;
use time::OffsetDateTime;

/// Units that a node of kiln may have. Those that it has not are passed over.
const UNITS: [&str; 24] = [
    "chronyd.service",
    "containerd.service",
    "cri-dockerd.service",
    "docker.service",
    "etcd.service",
    "firewalld.service",
    "keepalived.service",
    "kiln-addons.service",
    "kiln-agent.service",
    "kiln-approver.service",
    "kiln-clock.service",
    "kiln-images.service",
    "kiln-routes.service",
    "kiln-services.service",
    "kiln-timekeeper.service",
    "kube-apiserver.service",
    "kube-controller-manager.service",
    "kube-proxy.service",
    "kube-scheduler.service",
    "kubelet.service",
    "nginx.service",
    "sshd.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
];

/// Who a node is: `/opt/kiln/node.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Its name.
    pub name: HostName,
    /// Its address.
    pub address: std::net::Ipv4Addr,
    /// Its role.
    pub role: String,
}

impl Me {
    /// Reads who the node is whose files lie below `root`.
    pub fn load(root: &Path) -> crate::error::Result<Self> {
        use crate::error::{Error, IoContext as _};
        let path = root.join(crate::plan::machine::NODE_ENV.trim_start_matches('/'));
        let text = std::fs::read_to_string(&path).at("reading", &path)?;
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
        };
        let bad =
            |why: String| Error::input(format!("{} does not say who this node is: {why}", path.display()));
        Ok(Self {
            name: value("KILN_NODE_NAME").parse().map_err(bad)?,
            address: value("KILN_NODE_ADDRESS").parse().map_err(|_| bad("it has no address".into()))?,
            role: value("KILN_NODE_ROLE").to_owned(),
        })
    }
}

/// The build that the node was installed from.
pub fn build_id(root: &Path) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(root.join("opt/kiln/node.json"))
        .and_then(|file| file.take(64 << 10).read_to_string(&mut text));
    let json: serde_json::Value =
        read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
    json["build_id"].as_str().map(super::clean).unwrap_or_default()
}

/// What systemd says of the node's units.
pub fn units() -> Vec<Unit> {
    let mut command = Command::new("systemctl");
    command.args([
        "show",
        "--no-pager",
        "-p",
        "Id",
        "-p",
        "LoadState",
        "-p",
        "ActiveState",
        "-p",
        "SubState",
        "-p",
        "UnitFileState",
    ]);
    command.args(UNITS);
    bounded(command, Duration::from_secs(5)).map(|text| parse_units(&text)).unwrap_or_default()
}

fn parse_units(text: &str) -> Vec<Unit> {
    let unit = |block: &str| {
        let value = |key: &str| {
            block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
        };
        let (active, file) = (value("ActiveState"), value("UnitFileState"));
        // Installed and not enabled, and not running: not one of this node's.
        let ours = value("LoadState") == "loaded" && (active != "inactive" || file == "enabled");
        ours.then(|| Unit {
            name: value("Id").to_owned(),
            active: active.to_owned(),
            sub: value("SubState").to_owned(),
        })
    };
    text.split("\n\n").filter_map(unit).collect()
}

/// What a status is made of, besides what lies in files.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The node.
    pub me: Me,
    /// Id of its build.
    pub build: String,
    /// Its units.
    pub units: Vec<Unit>,
    /// Topics of the agent's own.
    pub topics: Vec<Topic>,
    /// Its etcd.
    pub etcd: Option<Etcd>,
}

/// The status of the node at `now`. `before` is the former one: a stage that stays keeps its since.
pub fn status(root: &Path, parts: Parts, before: Option<&NodeStatus>, now: OffsetDateTime) -> NodeStatus {
    let mut topics = read_topics(root);
    topics.extend(parts.topics);
    topics.sort_by(|a, b| a.topic.cmp(&b.topic));
    let (state, stage, since) = stage(&topics, &parts.units, now);
    let since = match before {
        Some(before) if before.stage == stage && since.is_none() => before.since.clone(),
        _ => since.unwrap_or_else(|| stamp(now)),
    };
    NodeStatus {
        name: parts.me.name,
        role: parts.me.role,
        address: parts.me.address.to_string(),
        state,
        stage,
        since,
        at: stamp(now),
        age: 0,
        build: parts.build,
        units: parts.units,
        topics,
        etcd: parts.etcd,
    }
}

/// The worst there is to say, in one line, and since when if that is known.
fn stage(topics: &[Topic], units: &[Unit], _now: OffsetDateTime) -> (Level, String, Option<String>) {
    // A wait explains why units behind it do not run yet; so it is said first, and what is merely a warning last.
    let of = |level: Level| topics.iter().find(move |topic| topic.state == level);
    let unit = |level: Level| units.iter().find(move |unit| unit.level() == level);
    let say =
        |topic: &Topic| (topic.state, format!("{}: {}", topic.topic, topic.text), Some(topic.since.clone()));
    if let Some(topic) = of(Level::Failed).or_else(|| of(Level::Waiting)) {
        return say(topic);
    }
    if let Some(unit) = unit(Level::Failed).or_else(|| unit(Level::Waiting)) {
        return (unit.level(), format!("{} is {} ({})", unit.name, unit.active, unit.sub), None);
    }
    if let Some(topic) = of(Level::Warn) {
        return say(topic);
    }
    (Level::Ok, "ready".to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

    #[test]
    fn units_are_read_from_systemctl() {
        let text = "Id=etcd.service\nLoadState=loaded\nActiveState=activating\nSubState=start-pre\nUnitFileState=enabled\n\n\
                    Id=docker.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n\n\
                    Id=nginx.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n\n\
                    Id=kubelet.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\n";
        let units = parse_units(text);
        let levels: Vec<(&str, Level)> =
            units.iter().map(|unit| (unit.name.as_str(), unit.level())).collect();
        assert_eq!(levels, [("etcd.service", Level::Waiting), ("kubelet.service", Level::Failed)]);
        assert!(parse_units("").is_empty());
    }

    #[test]
    fn the_stage_is_the_worst_there_is() {
        let topic = |state| Topic::new("formation", state, "x", NOW);
        let unit = Unit { name: "etcd.service".into(), active: "failed".into(), sub: "failed".into() };
        assert_eq!(stage(&[], &[], NOW).1, "ready");
        assert_eq!(stage(&[topic(Level::Warn)], &[], NOW).0, Level::Warn);
        assert_eq!(
            stage(&[topic(Level::Warn)], std::slice::from_ref(&unit), NOW).1,
            "etcd.service is failed (failed)"
        );
        let (state, text, since) = stage(&[topic(Level::Waiting)], &[unit], NOW);
        assert_eq!((state, text.as_str()), (Level::Waiting, "formation: x"));
        assert_eq!(since.as_deref(), Some("2026-11-23T06:00:00Z"));
    }
}
