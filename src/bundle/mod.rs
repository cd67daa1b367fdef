//! Bundles: all that a build needs and kiln itself, in one file that is carried in where there is no network.
//!
//! A tar (see [`crate::format::tar`]) in one zstd frame (RFC 8878), perhaps cut into parts for FAT file systems:
//!
//! ```text
//! kiln                    the program, static: cat FILE.??? | zstd -dc | tar xf - kiln
//! kiln.lock               what is pinned
//! manifests/<digest>      manifests of images that come from registries
//! store/<digest>          files of components, archives and parts of images, each once
//! ```
//!
//! The order is that of the names, so whoever reads it knows what has to come before it comes. The same inputs are the same bytes.
//! Not here: the cluster file, its keys and the vendor's medium, which are the user's to carry.

mod add;
mod check;
mod create;
mod parts;
mod read;
#[cfg(test)]
mod tests;

pub use add::{Added, add};
pub use check::{Checked, check};
pub use create::{Created, create};
pub use parts::find;

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::fetch::cache::Cache;
use crate::fetch::lock::Lock;
use crate::format::oci::manifest::{self, Document, MAX_DOCUMENT};

const PROGRAM: &str = "/kiln";
const LOCK: &str = "/kiln.lock";
const MANIFESTS: &str = "/manifests";
const STORE: &str = "/store";

/// Largest kiln that is taken.
const MAX_PROGRAM: u64 = 256 << 20;
/// Largest lock.
const MAX_LOCK: u64 = 1 << 20;
/// Window of the compression: what whoever reads a bundle needs in memory.
const WINDOW_LOG: u32 = 23;

/// Manifests of images that a lock names: digest → size.
fn manifests_of(lock: &Lock) -> BTreeMap<Sha256, u64> {
    let images = lock.pulled.iter().flat_map(|pulled| pulled.images.values());
    images.map(|image| (image.manifest, image.size)).collect()
}

/// All else that a lock names: digest → size. The manifests have to be in the cache.
fn store_of(lock: &Lock, cache: &Cache) -> Result<BTreeMap<Sha256, u64>> {
    let files = lock.components.values().flat_map(|pin| pin.files.values());
    let mut store: BTreeMap<Sha256, u64> = files.map(|file| (file.sha256, file.size)).collect();
    store.extend(lock.images.values().map(|archive| (archive.sha256, archive.size)));
    for digest in manifests_of(lock).into_keys() {
        if let Document::Manifest(image) = manifest::read(&cache.read(digest, MAX_DOCUMENT)?)? {
            store.extend(image.layers.iter().chain([&image.config]).map(|part| (part.digest, part.size)));
        }
    }
    Ok(store)
}

/// The digest that is a file's name.
fn named(text: &str) -> Result<Sha256> {
    text.parse().map_err(|_| strange(text))
}

fn strange(path: &str) -> Error {
    Error::input(format!("it holds `{}`, which its lock does not name", path.escape_debug()))
}
