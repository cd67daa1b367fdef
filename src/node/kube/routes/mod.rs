//! The pod network without an image ([`PodNetwork::Bridge`](crate::cluster::model::PodNetwork)): each node has a bridge that
//! the CNI plugins make, and routes to the pods of the others. Here is what keeps both, on every node that runs pods.
//!
//! What the API says of nodes is judged ([`wanted`]); what becomes of it ([`memory`]) is pure; [`kernel`] carries it out with
//! `ip` and `iptables`. It announces nothing to anybody and speaks no routing protocol.

pub mod kernel;
pub mod memory;
pub mod wanted;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde_json::json;

use super::client::Client;
use super::config::KubeConfig;
use crate::error::{Error, Result};
use crate::node::inventory::Inventory;
use crate::node::status::Level;
use crate::node::topic::replace;

use memory::{Memory, Step};
use wanted::Wanted;

/// The bridge of the pods.
const BRIDGE: &str = "cni0";

/// Where things lie on the node.
#[derive(Debug, Clone)]
pub struct Places {
    /// A kubeconfig that may list nodes: kube-proxy's. Kubelets may see themselves only, since Kubernetes 1.32.
    pub config: PathBuf,
    /// The CNI configuration that is written.
    pub cni: PathBuf,
}

/// What keeps the routes of one node.
#[derive(Debug)]
pub struct Router {
    client: Client,
    inventory: Inventory,
    name: String,
    places: Places,
    memory: Memory,
}

/// What a round came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// What was done, as sentences for the journal.
    pub done: Vec<String>,
    /// Nodes that have no route, and why.
    pub refused: Vec<String>,
    /// What this node's own pods get.
    pub own: Option<Ipv4Net>,
    /// Routes that are there.
    pub routes: usize,
    /// Nodes of the cluster.
    pub nodes: usize,
}

impl Round {
    /// For the board.
    pub fn status(&self) -> (Level, String) {
        let routes = format!("routes to the pods of {} nodes", self.routes);
        match self.own {
            None if self.refused.is_empty() => (
                Level::Waiting,
                "for the range of this node's pods, which the controller manager gives".to_owned(),
            ),
            None => (Level::Waiting, self.refused.join("; ")),
            Some(own) if self.refused.is_empty() => (Level::Ok, format!("pods of {own}, {routes}")),
            Some(_) => (Level::Warn, format!("{routes}; {}", self.refused.join("; "))),
        }
    }

    /// Pause before the next round: all nodes ask, so that many ask seldom.
    pub fn pause(&self) -> Duration {
        let usual = Duration::from_millis(200) * u32::try_from(self.nodes).unwrap_or(u32::MAX).min(600);
        match self.own {
            None => Duration::from_secs(2).max(usual / 10),
            Some(_) => Duration::from_secs(10).max(usual),
        }
    }
}

impl Router {
    /// The routes of the node `name`.
    pub fn new(places: Places, name: &str, inventory: Inventory) -> Result<Self> {
        let client = Client::new(&KubeConfig::load(&places.config)?)?;
        Ok(Self { client, inventory, name: name.to_owned(), places, memory: Memory::default() })
    }

    /// Asks, judges, and does what follows. `clock` is the time since any moment in the past, the same for all rounds. A
    /// failure changes nothing that is there.
    pub fn round(&mut self, clock: Duration) -> Result<Round> {
        // What other programs undo (a firewall's reload) must come back even while no API server answers.
        let masquerade = kernel::masquerade(self.inventory.pod_cidr);
        let nodes = self.client.list("/api/v1/nodes")?;
        let wanted = wanted::judge(&nodes, &self.name, &self.inventory);
        let mut round = Round {
            own: wanted.own,
            refused: wanted.refused.clone(),
            nodes: nodes.len(),
            ..Round::default()
        };
        self.steps(&wanted, clock, &mut round)?;
        if let Some(own) = wanted.own {
            let text = cni(own)?;
            if std::fs::read(&self.places.cni).ok().as_deref() != Some(text.as_bytes()) {
                replace(&self.places.cni, text.as_bytes(), 0o644)?;
                round.done.push(format!("this node's pods have addresses of {own}"));
            }
        }
        if masquerade? {
            round.done.push("what pods send out of the cluster is masqueraded".to_owned());
        }
        Ok(round)
    }

    /// Changes routes one by one: one that the kernel refuses must not keep others from being made.
    fn steps(&mut self, wanted: &Wanted, clock: Duration, round: &mut Round) -> Result<()> {
        let have = kernel::routes()?;
        let steps = self.memory.steps(wanted, &have, clock);
        let mut routes = have.len();
        let mut failed = None;
        for step in &steps {
            match (kernel::apply(step), step) {
                (Ok(()), Step::Set(net, hop)) => {
                    routes += usize::from(!have.contains_key(net));
                    round.done.push(format!("{net} is reached by {hop}"));
                }
                (Ok(()), Step::Remove(net, hop)) => {
                    routes -= 1;
                    round.done.push(format!("{net} is no longer reached by {hop}"));
                }
                (Err(error), _) => failed = failed.or(Some(error)),
            }
        }
        round.routes = routes;
        failed.map_or(Ok(()), Err)
    }
}

/// The CNI configuration of a node whose pods have addresses of `own` (github.com/containernetworking/cni, SPEC.md 0.3.1; what
/// the plugins take, cni.dev/plugins). The plugins masquerade nothing: they would do it between nodes, too.
fn cni(own: Ipv4Net) -> Result<String> {
    let bridge = json!({
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": true,
        "isDefaultGateway": true,
        // A node that is given another range takes another address.
        "forceAddress": true,
        "hairpinMode": true,
        "ipMasq": false,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": own }]] },
    });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let all = json!({ "cniVersion": "0.3.1", "name": "kiln", "plugins": [bridge, portmap] });
    serde_json::to_string_pretty(&all)
        .map(|text| text + "\n")
        .map_err(|error| Error::internal("writing the CNI configuration failed").because(error))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
