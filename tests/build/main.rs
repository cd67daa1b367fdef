//! `kiln build` as a user runs it: the program itself, in a folder with a cluster file, a small base and small components.
//!
//! What is tested here is what only the whole shows: the same bytes whoever builds, what is printed and where, errors that
//! leave everything as it was, runs that are cut, and which secrets a medium holds. Needs `make setup`, and no network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/bases.rs"]
mod bases;
#[path = "../common/exec.rs"]
mod exec;
#[path = "../common/images.rs"]
mod images;

mod airgap;
mod cut;
mod disk;
mod medium;
mod output;
mod packages;
mod project;
mod refused;
mod same;
mod sbom;
mod secrets;
mod seed;
mod signed;
mod tree;
