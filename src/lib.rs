//! kiln bakes the machines of a highly available Kubernetes cluster.
//!
//! Data moves one way; each arrow is one module, and everything left of the writers is pure:
//!
//! ```text
//! cluster.toml ─► Cluster ─► Plan ─► Tree ─► writers: iso · pxe · disk · seed ─► medium
//!                   ▲          ▲       ▲
//!    profiles/*.toml┘   kiln.lock,     overlays/, kickstart/ (rendered)
//!                       cache, pki/
//! ```

// What every step speaks in.
pub mod blob;
pub mod digest;
pub mod error;
pub mod format;
pub mod parallel;
pub mod progress;
pub mod tree;
pub mod units;
pub mod url;
pub mod version;
pub mod watch;

// The flow, in order.
pub mod airgap;
pub mod assets;
pub mod bundle;
pub mod cluster;
pub mod fetch;
pub mod image;
pub mod kickstart;
pub mod node;
pub mod packages;
pub mod payload;
pub mod pki;
pub mod plan;
pub mod profile;
pub mod render;
pub mod sbom;
pub mod serve;
pub mod sign;

// What tries a medium out.
pub mod boot;

// The edges: command line and terminal.
pub mod cli;
pub mod command;
pub mod report;

#[cfg(test)]
mod testing;
