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

pub mod blob;
pub mod cluster;
pub mod digest;
pub mod error;
pub mod progress;
pub mod tree;
