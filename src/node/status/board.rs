//! All nodes at a glance: what `kiln node status` prints, and what an agent has heard lately.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Level, NodeStatus, Topic};
use crate::cluster::types::HostName;
use crate::node::inventory::Inventory;

/// A node that was not heard for so long is shown as silent.
const SILENT: u64 = 30;
/// After so long a node that the inventory does not know is forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3600);
/// Most nodes on a board; the answer that carries them is bounded too.
const MOST: usize = 1000;

/// What an agent has heard of the others.
#[derive(Debug, Default)]
pub struct Heard(BTreeMap<HostName, (NodeStatus, Instant)>);

impl Heard {
    /// Notes a report.
    pub fn note(&mut self, status: NodeStatus, now: Instant) {
        self.0.retain(|_, (_, at)| now.duration_since(*at) < FORGET);
        if self.0.len() < MOST || self.0.contains_key(&status.name) {
            self.0.insert(status.name.clone(), (status, now));
        }
    }

    /// All that was heard, with its age.
    pub fn all(&self, now: Instant) -> Vec<NodeStatus> {
        let aged = |(status, at): &(NodeStatus, Instant)| NodeStatus {
            age: now.duration_since(*at).as_secs(),
            ..status.clone()
        };
        self.0.values().map(aged).collect()
    }
}

/// The board as text: a line a node, what is wrong below it, and who has not been heard.
pub fn text(nodes: &[NodeStatus], inventory: &Inventory) -> String {
    let mut out = format!("cluster {}\n", inventory.cluster);
    let width = nodes.iter().map(|node| node.name.as_str().len()).max().unwrap_or(0).max(8);
    for node in nodes {
        let silent = node.age >= SILENT;
        let state = if silent { "silent" } else { node.state.as_str() };
        let heard = if silent { format!(" (heard {} s ago)", node.age) } else { String::new() };
        out += &format!(
            "{:width$}  {:7}  {:15}  {}{heard}, since {}\n",
            node.name.as_str(),
            state,
            node.address,
            node.stage,
            node.since
        );
        for topic in node.topics.iter().filter(|topic| topic.state != Level::Ok && !stage_says(node, topic)) {
            out += &format!("{:width$}  {:7}  {}: {}\n", "", topic.state.as_str(), topic.topic, topic.text);
        }
    }
    for member in inventory.nodes.iter().filter(|member| nodes.iter().all(|node| node.name != member.name)) {
        out += &format!(
            "{:width$}  {:7}  {:15}  never heard of\n",
            member.name.as_str(),
            "silent",
            member.address
        );
    }
    out
}

/// Whether the stage says what the topic says.
fn stage_says(node: &NodeStatus, topic: &Topic) -> bool {
    node.stage == format!("{}: {}", topic.topic, topic.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn node(name: &str, state: Level, age: u64) -> NodeStatus {
        NodeStatus {
            name: name.parse().unwrap(),
            role: "master".into(),
            address: "192.168.31.71".into(),
            state,
            stage: "ready".into(),
            since: "2026-11-23T06:00:00Z".into(),
            at: String::new(),
            age,
            build: String::new(),
            units: Vec::new(),
            topics: vec![Topic::new("certificates", Level::Warn, "soon", datetime!(2026-11-23 06:00 UTC))],
            etcd: None,
        }
    }

    #[test]
    fn the_board_shows_everyone_and_who_is_missing() {
        let inventory = Inventory::of(&crate::testing::cluster());
        let text = text(&[node("k8s-master1", Level::Ok, 0), node("k8s-master2", Level::Ok, 99)], &inventory);
        assert!(
            text.contains("k8s-master1  ok       192.168.31.71    ready, since 2026-11-23T06:00:00Z\n"),
            "{text}"
        );
        assert!(text.contains("silent") && text.contains("heard 99 s ago"), "{text}");
        assert!(text.contains("warn     certificates: soon"), "{text}");
        assert!(text.contains("k8s-lb1      silent   192.168.31.81    never heard of"), "{text}");
    }

    #[test]
    fn a_board_is_bounded() {
        let mut heard = Heard::default();
        let now = Instant::now();
        (0..MOST + 10).for_each(|n| heard.note(node(&format!("n{n}"), Level::Ok, 0), now));
        assert_eq!(heard.all(now).len(), MOST);
        heard.note(node("n1", Level::Failed, 0), now);
        assert!(heard.all(now).iter().any(|node| node.state == Level::Failed));
    }
}
