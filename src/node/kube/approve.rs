//! The approver: looks at certificate requests and approves or denies those of kubelets, by [`super::judge`].
//!
//! It runs on every master at once and no leader is needed: all judge alike, an update of a request that another master has
//! decided meanwhile is refused by the API server, and is then left alone. It may do no more than its ClusterRole allows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{ApiResult, Client};
use super::csr::{self, Request};
use super::judge::{Facts, NodeFacts, Verdict, judge};
use crate::error::Result;
use crate::node::inventory::Inventory;
use crate::node::status::Level;
use crate::url::escape;

/// Reason of what kiln approves.
pub const APPROVED: &str = "KilnApproved";
/// Reason of what kiln denies.
pub const REFUSED: &str = "KilnRefused";
/// ConfigMap of kube-system that says by whose token each node joined.
pub const RECORD: &str = "kiln-bootstrap-identities";
/// Where it is.
const RECORD_PATH: &str = "/api/v1/namespaces/kube-system/configmaps/kiln-bootstrap-identities";
/// Refusals that are told on the board, the newest.
const TOLD: usize = 5;

/// What a round came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// What was done, as sentences for the journal.
    pub done: Vec<String>,
    /// What is not decided, and why.
    pub waiting: Vec<String>,
    /// What stands refused, newest last.
    pub refused: Vec<String>,
}

impl Round {
    /// For the board.
    pub fn status(&self) -> (Level, String) {
        // The newest first: the board cuts a long text at its end.
        let told =
            |list: &[String]| list.iter().rev().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
        match (self.refused.as_slice(), self.waiting.as_slice()) {
            ([], []) => (Level::Ok, "no certificate request is open or refused".to_owned()),
            ([], waiting) => (Level::Waiting, told(waiting)),
            (refused, []) => (Level::Warn, told(refused)),
            (refused, waiting) => (Level::Warn, format!("{}; {}", told(refused), told(waiting))),
        }
    }
}

/// The approver of one cluster.
#[derive(Debug)]
pub struct Approver {
    client: Client,
    inventory: Inventory,
    requests: String,
}

impl Approver {
    /// An approver that speaks to the API by `client`.
    pub fn new(client: Client, inventory: Inventory) -> Result<Self> {
        // v1 came in 1.19, v1beta1 left in 1.22.
        let version = if super::minor(&inventory)? >= 19 { "v1" } else { "v1beta1" };
        let requests = format!("/apis/certificates.k8s.io/{version}/certificatesigningrequests");
        Ok(Self { client, inventory, requests })
    }

    /// Decides what can be decided now.
    pub fn round(&self, now: OffsetDateTime) -> Result<Round> {
        let mut round = Round::default();
        let mut open = Vec::new();
        let mut refused = Vec::new();
        for object in self.client.list(&self.requests)? {
            if let Some(text) = csr::refusal(&object) {
                let made = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
                refused.push((made.unwrap_or_default().to_owned(), text.to_owned()));
            } else if !csr::decided(&object) {
                open.push(object);
            }
        }
        refused.sort();
        round.refused = refused.into_iter().map(|(_, text)| text).collect();
        round.refused.dedup();
        if open.iter().all(|object| {
            self.judge(&Request::of(object), &BTreeMap::new(), &BTreeMap::new()) == Verdict::NotOurs
        }) {
            return Ok(round);
        }
        let nodes = nodes(&self.client)?;
        let mut record = self.client.find(RECORD_PATH)?;
        for object in open {
            let request = Request::of(&object);
            // One request that cannot be decided must not keep others from being decided.
            if let Err(error) = self.one(&object, &request, &nodes, &mut record, now, &mut round) {
                round.waiting.push(format!("{}: {error}", request.name));
                record = self.client.find(RECORD_PATH)?;
            }
        }
        Ok(round)
    }

    fn one(
        &self,
        object: &Value,
        request: &Request,
        nodes: &BTreeMap<String, NodeFacts>,
        record: &mut Option<Value>,
        now: OffsetDateTime,
        round: &mut Round,
    ) -> ApiResult<()> {
        let known = record.as_ref().map(entries).unwrap_or_default();
        match self.judge(request, nodes, &known) {
            Verdict::NotOurs => {}
            Verdict::Wait(why) => round.waiting.push(why),
            Verdict::Deny(rule, why) => {
                let text = format!("refused ({}): {why}", rule.as_str());
                self.decide(object, "Denied", REFUSED, &text, now, round)?;
                round.refused.push(text);
            }
            Verdict::Approve(owner) => {
                if let Some((node, joiner)) = owner
                    && !known.contains_key(&node)
                {
                    let Some(old) = record.take() else {
                        round.waiting.push(format!("{node}: kube-system/{RECORD} is not there yet"));
                        return Ok(());
                    };
                    *record = Some(self.remember(old, &node, &joiner.to_string())?);
                }
                let text = format!("{} asked for what it is owed", request.username);
                self.decide(object, "Approved", APPROVED, &text, now, round)?;
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        request: &Request,
        nodes: &BTreeMap<String, NodeFacts>,
        record: &BTreeMap<String, String>,
    ) -> Verdict {
        judge(request, &Facts { inventory: &self.inventory, nodes, record })
    }

    /// Records by whose token a node joins. Fails if another master recorded something meanwhile; the next round sees what.
    fn remember(&self, mut record: Value, node: &str, joiner: &str) -> ApiResult<Value> {
        if let Some(object) = record.as_object_mut() {
            let data = object.entry("data").or_insert_with(|| json!({}));
            if let Some(data) = data.as_object_mut() {
                data.insert(node.to_owned(), json!(joiner));
            }
        }
        self.client.replace(RECORD_PATH, &record)
    }

    fn decide(
        &self,
        object: &Value,
        kind: &str,
        reason: &str,
        message: &str,
        now: OffsetDateTime,
        round: &mut Round,
    ) -> ApiResult<()> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let condition = json!({
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default(),
        });
        let mut object = object.clone();
        match object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            Some(list) => list.push(condition),
            None => object["status"] = json!({ "conditions": [condition] }),
        }
        match self.client.replace(&format!("{}/{}/approval", self.requests, escape(name)), &object) {
            Ok(_) => round.done.push(format!("{name}: {kind}: {message}")),
            // Another master was first, or the request is gone.
            Err(error) if error.conflict() || error.not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The record's entries.
fn entries(record: &Value) -> BTreeMap<String, String> {
    let data = record.get("data").and_then(Value::as_object);
    let entry = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    data.into_iter().flatten().filter_map(entry).collect()
}

/// Nodes of the API.
fn nodes(client: &Client) -> ApiResult<BTreeMap<String, NodeFacts>> {
    let list =
        |node: &Value, at: &str| node.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let facts = |node: &Value| NodeFacts {
        addresses: list(node, "/status/addresses")
            .iter()
            .filter(|item| text(item, "type") == "InternalIP")
            .filter_map(|item| text(item, "address").parse::<IpAddr>().ok())
            .collect(),
        ready: list(node, "/status/conditions")
            .iter()
            .any(|item| text(item, "type") == "Ready" && text(item, "status") == "True"),
    };
    let name =
        |node: &Value| node.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(client.list("/api/v1/nodes")?.iter().map(|node| (name(node), facts(node))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_refusals_are_told_first() {
        let refused: Vec<String> = (0..7).map(|number| format!("csr-{number}: no")).collect();
        let waiting = vec!["csr-9 of b".to_owned()];
        let (state, text) = Round { refused, waiting, ..Round::default() }.status();
        assert_eq!(state, Level::Warn);
        assert_eq!(text, "csr-6: no; csr-5: no; csr-4: no; csr-3: no; csr-2: no; csr-9 of b");
        assert_eq!(Round::default().status().0, Level::Ok);
    }
}
