//! The files that only the machine's own name and address decide. For machines of the inventory they are made at build
//! time; a pool's machine learns who it is when it boots the medium, and `kiln node place` makes the same files there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::blob::Blob;
use crate::cluster::model::Node;
use crate::cluster::types::{HostName, LabelKey, LabelValue, Role};
use crate::error::Result;
use crate::tree::{Entry, NodePath, Tree};

/// Environment of the units that need to know the machine; systemd.exec(5) `EnvironmentFile=`.
pub const NODE_ENV: &str = "/opt/kiln/node.env";

/// What is known of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine<'a> {
    /// Host name, and name of the Kubernetes node.
    pub name: &'a HostName,
    /// Address in the nodes' network.
    pub address: Ipv4Addr,
    /// Role.
    pub role: Role,
    /// Kubernetes labels that its kubelet registers.
    pub labels: &'a BTreeMap<LabelKey, LabelValue>,
}

impl<'a> From<&'a Node> for Machine<'a> {
    fn from(node: &'a Node) -> Self {
        Self { name: &node.name, address: node.address, role: node.role, labels: &node.labels }
    }
}

/// `/etc/hostname` and `/opt/kiln/node.env` of a machine.
pub fn machine_tree(machine: &Machine<'_>) -> Result<Tree> {
    let labels: Vec<String> = machine.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    // Names, addresses and labels hold no character that systemd would take as a quote, blank or escape.
    let env = format!(
        "KILN_NODE_NAME={}\nKILN_NODE_ADDRESS={}\nKILN_NODE_ROLE={}\nKILN_NODE_LABELS={}\n",
        machine.name,
        machine.address,
        machine.role,
        labels.join(","),
    );
    let mut tree = Tree::default();
    for (path, text) in [("/etc/hostname", format!("{}\n", machine.name)), (NODE_ENV, env)] {
        let entry = Entry::file(0o644, Blob::bytes(text.into_bytes()), "machine");
        tree.insert(NodePath::new(path)?, entry)?;
    }
    Ok(tree)
}
