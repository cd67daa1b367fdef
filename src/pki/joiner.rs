//! Who may ask for a kubelet's first certificate: a node of the inventory, or the members of a worker pool.
//!
//! The group that a bootstrap token carries (`system:bootstrappers:kiln:node:…`) says it, so that the API server itself
//! writes it into every certificate signing request, where no client can change it.

use std::fmt;
use std::str::FromStr;

use crate::cluster::model::Cluster;
use crate::cluster::types::{HostName, Role};

/// The group of all kiln's bootstrap tokens. Nothing but creating requests is bound to it.
pub const GROUP: &str = "system:bootstrappers:kiln";

/// The bearer of a bootstrap token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Joiner {
    /// One node of the inventory.
    Node(HostName),
    /// Any member of a worker pool.
    Pool(HostName),
}

impl Joiner {
    /// All joiners of a cluster, sorted: whatever runs a kubelet.
    pub fn all(cluster: &Cluster) -> Vec<Self> {
        let nodes = cluster.nodes.values().filter(|node| node.role != Role::Lb);
        let nodes = nodes.map(|node| Self::Node(node.name.clone()));
        nodes.chain(cluster.worker_pools.keys().cloned().map(Self::Pool)).collect()
    }

    /// The group that names it. Groups of bootstrap tokens hold no dot (kubernetes.io, "Bootstrap Tokens"), host names no
    /// colon.
    pub fn group(&self) -> String {
        let (kind, name) = match self {
            Self::Node(name) => ("node", name),
            Self::Pool(name) => ("pool", name),
        };
        format!("{GROUP}:{kind}:{}", name.as_str().replace('.', ":"))
    }

    /// The joiner that a group names; `None` for any other group.
    pub fn of_group(group: &str) -> Option<Self> {
        let rest = group.strip_prefix(GROUP)?.strip_prefix(':')?;
        let (kind, name) = rest.split_once(':')?;
        format!("{kind}/{}", name.replace(':', ".")).parse().ok()
    }
}

impl fmt::Display for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Pool(name) => write!(f, "pool/{name}"),
        }
    }
}

impl FromStr for Joiner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("node", name)) => name.parse().map(Self::Node),
            Some(("pool", name)) => name.parse().map(Self::Pool),
            _ => Err("it is neither node/NAME nor pool/NAME".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    #[test]
    fn groups_and_words_name_the_joiner_and_nothing_else() {
        for (text, group) in [
            ("node/k8s-master1", "system:bootstrappers:kiln:node:k8s-master1"),
            ("node/a.example.com", "system:bootstrappers:kiln:node:a:example:com"),
            ("pool/pool-a", "system:bootstrappers:kiln:pool:pool-a"),
        ] {
            let joiner: Joiner = text.parse().unwrap();
            assert_eq!((joiner.to_string().as_str(), joiner.group().as_str()), (text, group));
            assert_eq!(Joiner::of_group(group), Some(joiner));
        }
        for group in [
            "",
            GROUP,
            "system:bootstrappers:kiln:",
            "system:bootstrappers:kiln:node",
            "system:bootstrappers:kiln:node:",
            "system:bootstrappers:kiln:node:A",
            "system:bootstrappers:kiln:node:a::b",
            "system:bootstrappers:kilnnode:a",
            "system:bootstrappers:kiln:lb:a",
            "system:bootstrappers:kiln:node/x:a",
        ] {
            assert_eq!(Joiner::of_group(group), None, "{group}");
        }
    }

    #[test]
    fn load_balancers_do_not_join() {
        let all: Vec<String> = Joiner::all(&cluster()).iter().map(Joiner::to_string).collect();
        assert!(all.contains(&"node/k8s-worker1".to_owned()) && all.contains(&"pool/pool-a".to_owned()));
        assert!(!all.iter().any(|name| name.contains("lb")), "{all:?}");
    }
}
