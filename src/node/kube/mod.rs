//! The Kubernetes side of a node: a client of the API and what kiln does with it. Masters apply addons and judge certificate
//! requests; in bridge mode every node that runs pods keeps its routes.
//!
//! It resolves no names, holds no state but what it writes below `/var/lib/kiln`, and is given the clock.

pub mod client;
pub mod config;
