//! What runs on the machines: in the installer (`kiln node prepare`, `verify`, `place`) and later on the node.
//!
//! It needs nothing but the kernel: no other program, no shared library, Linux 3.10 on.

pub mod agent;
pub mod attach;
pub mod child;
pub mod clock;
pub mod disk;
pub mod formation;
pub mod identity;
pub mod images;
pub mod inventory;
pub mod kube;
mod layer;
pub mod mend;
pub mod place;
pub mod preflight;
pub mod prepare;
pub mod probe_disk;
pub mod status;
pub mod topic;
pub mod verify;
