//! How a cluster is, as the operator's machine sees it: what the API says of nodes, workloads, requests and tokens, and what
//! `pki/` says of certificates. Reads only; [`text`] makes lines of it, [`screen`] what is written for the
//! next look.
//!
//! It is not the nodes' own board (`kiln node status`), which also speaks while no API server answers.

pub mod screen;
pub mod text;

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::node::kube::client::{ApiResult, Client};
use crate::node::kube::csr::{decided, refusal};
use crate::node::status::clean;

/// Namespaces whose workloads are the cluster's own.
const OURS: [&str; 2] = ["kube-system", "kube-flannel"];
/// What ends within this many days is announced.
const SOON: i64 = 30;

/// A cluster at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Board {
    /// When it was looked at, RFC 3339.
    pub at: String,
    /// Address of the API.
    pub api: String,
    /// Version of the API server.
    pub version: String,
    /// Whether all is as it should be.
    pub well: bool,
    /// Nodes by name, those that the cluster file names and the API does not among them.
    pub nodes: Vec<Node>,
    /// The cluster's own Deployments and DaemonSets.
    pub workloads: Vec<Workload>,
    /// Requests for certificates that nobody has decided.
    pub waiting: Vec<String>,
    /// Requests for certificates that kiln refused, and why.
    pub refused: Vec<String>,
    /// What ends, and when.
    pub ends: Vec<End>,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Name.
    pub name: String,
    /// `ready`, `not ready` or `missing`.
    pub state: String,
    /// Version of the kubelet.
    pub version: String,
    /// Its address.
    pub address: String,
    /// Roles.
    pub roles: String,
    /// Pods that are to run there; absent where it could not be found out.
    pub pods: Option<usize>,
    /// What the kubelet says of not being ready.
    pub why: String,
}

/// A Deployment or DaemonSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Namespace and name.
    pub name: String,
    /// Pods that are ready.
    pub ready: u64,
    /// Pods that there should be.
    pub wanted: u64,
}

/// The end of something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct End {
    /// What.
    pub what: String,
    /// When, RFC 3339.
    pub end: String,
    /// Whole days until then; negative when it is over.
    pub days_left: i64,
}

impl End {
    /// The end of something, seen at `now`.
    pub fn new(what: impl Into<String>, end: OffsetDateTime, now: OffsetDateTime) -> Self {
        let days_left = (end - now).as_seconds_f64().div_euclid(86_400.0) as i64;
        Self { what: what.into(), end: end.format(&Rfc3339).unwrap_or_default(), days_left }
    }

    /// Whether it is to be announced.
    pub fn soon(&self) -> bool {
        self.days_left < SOON
    }
}

/// Looks at a cluster. `expected` are names of nodes that should be there; `ends` is what the caller knows to end.
pub fn look(client: &Client, expected: &[String], ends: &[End], now: OffsetDateTime) -> ApiResult<Board> {
    let version = client.get("/version")?;
    let minor: u32 = text_at(&version, "/minor").trim_end_matches('+').parse().unwrap_or(u32::MAX);
    let mut board = Board {
        at: now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default(),
        api: client.server().to_string(),
        version: text_at(&version, "/gitVersion"),
        ends: ends.to_vec(),
        ..Board::default()
    };
    let pods = client.list("/api/v1/pods").ok().map(|pods| per_node(&pods));
    board.nodes = client.list("/api/v1/nodes")?.iter().map(|node| node_of(node, pods.as_ref())).collect();
    let missing = |name: &&String| board.nodes.iter().all(|node| node.name != **name);
    let missing: Vec<&String> = expected.iter().filter(missing).collect();
    let missing = missing.into_iter().map(|name| Node {
        name: name.clone(),
        state: "missing".to_owned(),
        ..Node::default()
    });
    board.nodes.extend(missing);
    board.nodes.sort_by(|a, b| a.name.cmp(&b.name));
    for namespace in OURS {
        for kind in ["deployments", "daemonsets"] {
            let list = client.list(&format!("/apis/apps/v1/namespaces/{namespace}/{kind}"))?;
            board.workloads.extend(list.iter().map(workload_of));
        }
    }
    // v1 came in 1.19, v1beta1 left in 1.22.
    let requests = if minor >= 19 { "v1" } else { "v1beta1" };
    for request in client.list(&format!("/apis/certificates.k8s.io/{requests}/certificatesigningrequests"))? {
        let name = text_at(&request, "/metadata/name");
        if let Some(why) = refusal(&request) {
            board.refused.push(clean(&format!("{name}: {why}")));
        } else if !decided(&request) {
            board.waiting.push(clean(&format!("{name} of {}", text_at(&request, "/spec/username"))));
        }
    }
    board.ends.extend(tokens(client, now)?);
    board.well = board.faults().is_empty();
    Ok(board)
}

impl Board {
    /// What is not as it should be, in words. Requests that wait may be a second old, so they are no fault.
    pub fn faults(&self) -> Vec<String> {
        let nodes = self.nodes.iter().filter(|node| node.state != "ready");
        let nodes = nodes.map(|node| format!("node {} is {}", node.name, node.state));
        let workloads = self.workloads.iter().filter(|one| one.ready < one.wanted);
        let workloads = workloads.map(|one| format!("{} has {} of {} pods", one.name, one.ready, one.wanted));
        let ends = self.ends.iter().filter(|end| end.soon());
        let ends = ends.map(|end| format!("{}: {} days left", end.what, end.days_left));
        nodes.chain(workloads).chain(ends).collect()
    }
}

fn text_at(value: &Value, at: &str) -> String {
    clean(value.pointer(at).and_then(Value::as_str).unwrap_or_default())
}

fn number_at(value: &Value, at: &str) -> u64 {
    value.pointer(at).and_then(Value::as_u64).unwrap_or_default()
}

/// Pods by the node that they are to run on; those that have ended are not counted.
fn per_node(pods: &[Value]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for pod in pods {
        if !["Succeeded", "Failed"].contains(&text_at(pod, "/status/phase").as_str()) {
            *count.entry(text_at(pod, "/spec/nodeName")).or_default() += 1;
        }
    }
    count
}

fn node_of(node: &Value, pods: Option<&BTreeMap<String, usize>>) -> Node {
    let list = |at: &str| node.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
    let name = text_at(node, "/metadata/name");
    let ready = list("/status/conditions").into_iter().find(|item| text_at(item, "/type") == "Ready");
    let ready = ready.unwrap_or_default();
    let good = text_at(&ready, "/status") == "True";
    let address = list("/status/addresses").into_iter().find(|item| text_at(item, "/type") == "InternalIP");
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let role = |label: &String| label.strip_prefix("node-role.kubernetes.io/").map(clean);
    let roles: Vec<String> = labels.into_iter().flat_map(|labels| labels.keys()).filter_map(role).collect();
    Node {
        state: if good { "ready" } else { "not ready" }.to_owned(),
        version: text_at(node, "/status/nodeInfo/kubeletVersion"),
        address: address.map(|item| text_at(&item, "/address")).unwrap_or_default(),
        roles: roles.join(","),
        pods: pods.map(|pods| pods.get(&name).copied().unwrap_or_default()),
        why: if good { String::new() } else { text_at(&ready, "/message") },
        name,
    }
}

fn workload_of(object: &Value) -> Workload {
    let name = format!("{}/{}", text_at(object, "/metadata/namespace"), text_at(object, "/metadata/name"));
    match object.pointer("/status/desiredNumberScheduled") {
        Some(wanted) => Workload {
            name,
            ready: number_at(object, "/status/numberReady"),
            wanted: wanted.as_u64().unwrap_or_default(),
        },
        None => Workload {
            name,
            ready: number_at(object, "/status/readyReplicas"),
            wanted: number_at(object, "/spec/replicas"),
        },
    }
}

/// When the bootstrap tokens end: the first of them that kiln made. Their secrets are not kept.
fn tokens(client: &Client, now: OffsetDateTime) -> ApiResult<Option<End>> {
    let path = "/api/v1/namespaces/kube-system/secrets?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken";
    let ends = client.list(path)?.into_iter().filter_map(|secret| {
        let text =
            base64::engine::general_purpose::STANDARD.decode(text_at(&secret, "/data/expiration")).ok()?;
        OffsetDateTime::parse(std::str::from_utf8(&text).ok()?, &Rfc3339).ok()
    });
    Ok(ends.min().map(|end| End::new("bootstrap tokens", end, now)))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
