//! `cluster.toml` → [`Cluster`]. The raw form is private; what leaves this module is checked and complete.

pub mod diag;
pub mod model;
pub mod types;

pub use model::Cluster;
