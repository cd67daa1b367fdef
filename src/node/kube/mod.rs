//! The Kubernetes side of a node: a client of the API and what kiln does with it. Masters apply addons and judge certificate
//! requests; in bridge mode every node that runs pods keeps its routes.
//!
//! It resolves no names, holds no state but what it writes below `/var/lib/kiln`, and is given the clock.

pub mod addons;
pub mod approve;
pub mod certificates;
pub mod client;
pub mod config;
pub mod csr;
pub mod judge;
pub mod routes;
#[cfg(test)]
pub(crate) mod testing;

use crate::error::{Error, Result};
use crate::node::inventory::Inventory;

/// Minor version of the cluster's Kubernetes.
fn minor(inventory: &Inventory) -> Result<u8> {
    let version: Result<crate::cluster::types::KubeVersion, _> = inventory.kubernetes.parse();
    version.map(|version| version.minor).map_err(|_| {
        Error::input(format!("`{}` is no version of Kubernetes", inventory.kubernetes.escape_debug()))
    })
}
