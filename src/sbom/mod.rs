//! The bill of materials of a medium: what `kiln build` knew of its parts ([`Parts`], a file of the medium), and the same as an
//! SPDX 2.3 document ([`spdx`]), which `kiln inspect --sbom` prints.
//!
//! Plain data: nothing here reads a medium; `image::inspect::sbom` does. No clock: an SPDX document needs a time, and gets the
//! medium's own. Not here: the vendor's packages, of which the base's own metadata tell.

pub mod parts;
pub mod spdx;

pub use parts::Parts;

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::payload::manifest::Manifest;

/// A medium's parts and files, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// The manifest.
    pub manifest: Manifest,
    /// What the build wrote down.
    pub parts: Parts,
    /// Files of the payload by path on the medium.
    pub files: BTreeMap<String, Sums>,
    /// Files of components by path on nodes.
    pub programs: BTreeMap<String, Sums>,
}

/// Digests of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// SHA-1, which SPDX demands of every file (FIPS 180-4). It proves nothing here.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: Sha256,
}
