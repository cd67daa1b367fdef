//! What runs on the machines: in the installer (`kiln node prepare`, `verify`, `place`) and later on the node.
//!
//! It needs no shared library and Linux 3.10 or later. In the installer it runs `wipefs` of util-linux.

pub mod adopt;
pub mod agent;
pub mod answers;
pub mod attach;
pub mod boot_disk;
pub mod child;
pub mod claim;
pub mod clock;
pub mod console;
pub mod disk;
pub mod formation;
pub mod identity;
pub mod images;
pub mod inventory;
pub mod knock;
pub mod kube;
mod layer;
pub mod mend;
pub mod netfiles;
pub mod place;
pub mod preflight;
pub mod prepare;
pub mod probe_disk;
pub mod release;
pub mod seed;
pub mod source;
pub mod status;
pub mod topic;
pub mod unfinished;
pub mod verify;
