//! Judges kubelets' certificate requests: pure rules, from the request, the inventory and what the cluster records.
//!
//! A client certificate (its first) is owed to the machine that the bootstrap token belongs to, and to no other name. A serving
//! certificate is owed to a node for its own name and address. `docs/joining.md` has the rules in words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::csr::{Asked, CLIENT_SIGNER, Request, SERVING_SIGNER};
use crate::cluster::types::Role;
use crate::node::identity;
use crate::node::inventory::Inventory;
use crate::pki::{BOOTSTRAP_GROUP, Joiner};

/// User of a node: this and its name.
pub const NODE_USER: &str = "system:node:";
/// Group of all nodes.
pub const NODES: &str = "system:nodes";
/// User of a bootstrap token: this and the token's id.
const BOOTSTRAP_USER: &str = "system:bootstrap:";

/// A Node of the API, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Addresses that it reports.
    pub addresses: Vec<IpAddr>,
    /// Whether it is ready now.
    pub ready: bool,
}

/// What is known besides the request.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The cluster as it was described.
    pub inventory: &'a Inventory,
    /// Nodes of the API, by name.
    pub nodes: &'a BTreeMap<String, NodeFacts>,
    /// Who got the first client certificate of each node, as recorded.
    pub record: &'a BTreeMap<String, String>,
}

/// A rule that a request breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Who asks is not who may.
    Requester,
    /// The PKCS#10 cannot be read, or holds what no kubelet asks for.
    Pkcs10,
    /// Common name or organisation.
    Subject,
    /// Usages.
    Usages,
    /// Alternative names.
    Names,
    /// Addresses.
    Address,
    /// The token, or the node's first certificate, belongs to another.
    Identity,
}

impl Rule {
    /// Its name, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Requester => "requester",
            Rule::Pkcs10 => "pkcs10",
            Rule::Subject => "subject",
            Rule::Usages => "usages",
            Rule::Names => "names",
            Rule::Address => "address",
            Rule::Identity => "identity",
        }
    }
}

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Approve it. For a client certificate: of which node, owed to whom, to be recorded first.
    Approve(Option<(String, Joiner)>),
    /// Deny it: the rule, and in words.
    Deny(Rule, String),
    /// Nothing yet: why.
    Wait(String),
    /// Somebody else's.
    NotOurs,
}

type Judgement = Result<Verdict, Verdict>;

/// Judges a request that nobody has decided.
pub fn judge(request: &Request, facts: &Facts<'_>) -> Verdict {
    let verdict = match request.signer.as_str() {
        CLIENT_SIGNER => client(request, facts),
        SERVING_SIGNER => serving(request, facts),
        _ => Ok(Verdict::NotOurs),
    };
    verdict.unwrap_or_else(|verdict| verdict)
}

/// A kubelet's first client certificate, asked for by a bootstrap token. Renewals are the controller manager's.
fn client(request: &Request, facts: &Facts<'_>) -> Judgement {
    if !request.groups.iter().any(|group| group == BOOTSTRAP_GROUP) {
        return Ok(Verdict::NotOurs);
    }
    let id = request.username.strip_prefix(BOOTSTRAP_USER).unwrap_or_default();
    let joiners: Vec<Joiner> = request.groups.iter().filter_map(|group| Joiner::of_group(group)).collect();
    let [joiner] = joiners.as_slice() else {
        return Err(deny(Rule::Requester, format!("the token belongs to {} machines", joiners.len())));
    };
    if id.len() != 6 || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(deny(Rule::Requester, format!("{} is no bootstrap token", shown(&request.username))));
    }
    let asked = asked(request)?;
    usages(request, "client auth")?;
    let Some(name) = asked.common_name.strip_prefix(NODE_USER) else {
        return Err(deny(Rule::Subject, format!("{} is no node", shown(&asked.common_name))));
    };
    organization(&asked)?;
    if !asked.dns.is_empty() || !asked.addresses.is_empty() {
        return Err(deny(Rule::Names, "a client certificate has no alternative names".to_owned()));
    }
    let owner = owner(name, facts.inventory);
    if owner.as_ref() != Some(joiner) {
        let text = format!("the token of {joiner} asked to be {}", shown(name));
        return Err(deny(Rule::Identity, text));
    }
    match facts.record.get(name) {
        Some(first) if *first != joiner.to_string() => {
            let text =
                format!("{name} joined by the token of {}, and now {joiner} asked to be it", shown(first));
            return Err(deny(Rule::Identity, text));
        }
        _ => {}
    }
    // All members of a pool hold its token. A node that lives needs no first certificate: who asks is another machine, or
    // the same one that was installed anew, whose former self is not ready for long.
    if matches!(joiner, Joiner::Pool(_)) && facts.nodes.get(name).is_some_and(|node| node.ready) {
        return Err(Verdict::Wait(format!(
            "{name} asks for a first certificate, but is a node that is ready"
        )));
    }
    Ok(Verdict::Approve(Some((name.to_owned(), joiner.clone()))))
}

/// A kubelet's serving certificate, asked for by the node itself.
fn serving(request: &Request, facts: &Facts<'_>) -> Judgement {
    let has = |group: &str| request.groups.iter().any(|have| have == group);
    let name = request.username.strip_prefix(NODE_USER).unwrap_or_default();
    if name.is_empty() || !has(NODES) || !has("system:authenticated") {
        let text = format!("{} is no node and asked for a kubelet's certificate", shown(&request.username));
        return Err(deny(Rule::Requester, text));
    }
    let asked = asked(request)?;
    usages(request, "server auth")?;
    if asked.common_name != request.username {
        let text = format!("{} asked to be {}", shown(&request.username), shown(&asked.common_name));
        return Err(deny(Rule::Subject, text));
    }
    organization(&asked)?;
    if let Some(other) = asked.dns.iter().find(|dns| *dns != name) {
        return Err(deny(Rule::Names, format!("{} asked to be called {}", shown(name), shown(other))));
    }
    if asked.dns.is_empty() && asked.addresses.is_empty() {
        return Err(deny(Rule::Names, format!("{} asked for no name", shown(name))));
    }
    let Some(owner) = owner(name, facts.inventory) else {
        return Err(deny(Rule::Identity, format!("{} is no node of the cluster", shown(name))));
    };
    addresses(name, &owner, &asked, facts)?;
    match facts.record.get(name) {
        Some(first) if *first == owner.to_string() => Ok(Verdict::Approve(None)),
        Some(first) => {
            let text = format!("{name} joined by the token of {}, which is not {owner}", shown(first));
            Err(deny(Rule::Identity, text))
        }
        // The certificate it has may be an administrator's doing, who can approve this one by hand as well.
        None => Err(Verdict::Wait(format!(
            "kiln does not know how {name} joined; approve {} by hand",
            request.name
        ))),
    }
}

/// Addresses that a node may serve at: the inventory's; for a member of a pool the one it reports, if it can be its.
fn addresses(name: &str, owner: &Joiner, asked: &Asked, facts: &Facts<'_>) -> Result<(), Verdict> {
    let known = facts.inventory.node(name).map(|node| IpAddr::V4(node.address));
    for address in &asked.addresses {
        let refused = |why: &str| deny(Rule::Address, format!("{name} asked to serve at {address}, {why}"));
        match owner {
            Joiner::Node(_) if known == Some(*address) => {}
            Joiner::Node(_) => return Err(refused("which is not its address")),
            Joiner::Pool(_) => {
                if !free(*address, facts.inventory) {
                    return Err(refused("which is no worker's"));
                }
                let Some(node) = facts.nodes.get(name) else {
                    return Err(Verdict::Wait(format!("{name} has not said which address it has")));
                };
                if !node.addresses.contains(address) {
                    return Err(refused("and reports another address"));
                }
                let taken = |(other, node): &(&String, &NodeFacts)| {
                    *other != name && node.addresses.contains(address)
                };
                if let Some((other, _)) = facts.nodes.iter().find(taken) {
                    return Err(Verdict::Wait(format!(
                        "{name} and {other} both report the address {address}"
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Whether an address can be that of a member of a pool: in the nodes' network, and nobody else's by the inventory.
pub fn free(address: IpAddr, inventory: &Inventory) -> bool {
    let IpAddr::V4(address) = address else { return false };
    let taken: BTreeSet<Ipv4Addr> = inventory
        .nodes
        .iter()
        .map(|node| node.address)
        .chain([inventory.vip, inventory.subnet.network(), inventory.subnet.broadcast()])
        .chain(inventory.gateway)
        .collect();
    inventory.subnet.contains(&address) && !taken.contains(&address)
}

/// To whom a node's name belongs: a machine of the inventory that runs a kubelet, or a pool whose rule it follows.
pub fn owner(name: &str, inventory: &Inventory) -> Option<Joiner> {
    if let Some(node) = inventory.node(name) {
        return (node.role != Role::Lb).then(|| Joiner::Node(node.name.clone()));
    }
    let pool = inventory.pools.iter().find(|pool| identity::is_pool_member(&pool.name, name))?;
    Some(Joiner::Pool(pool.name.clone()))
}

fn asked(request: &Request) -> Result<Asked, Verdict> {
    request.asked().map_err(|why| deny(Rule::Pkcs10, why))
}

/// Exactly `purpose` and digital signature; for RSA keys key encipherment, too.
fn usages(request: &Request, purpose: &str) -> Result<(), Verdict> {
    let mut have: BTreeSet<&str> = request.usages.iter().map(String::as_str).collect();
    have.remove("key encipherment");
    if have == BTreeSet::from(["digital signature", purpose]) {
        return Ok(());
    }
    Err(deny(Rule::Usages, format!("usages {}", shown(&request.usages.join(", ")))))
}

fn organization(asked: &Asked) -> Result<(), Verdict> {
    match asked.organizations.as_slice() {
        [one] if one == NODES => Ok(()),
        other => Err(deny(Rule::Subject, format!("organisations {}", shown(&other.join(", "))))),
    }
}

fn deny(rule: Rule, text: String) -> Verdict {
    Verdict::Deny(rule, text)
}

/// Foreign text, short and without control characters.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("`{}`", short.escape_debug())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
