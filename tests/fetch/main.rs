//! `kiln fetch` as a user runs it, against real servers: nginx with release files, a registry with images, TLS by a private
//! authority and a login. What it brings is what a build takes, without a network. Needs `make setup`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/bases.rs"]
mod bases;
#[path = "../common/images.rs"]
mod images;
mod servers;

mod interrupted;
mod site;
mod whole;
