//! Container image archives: one tar that is an OCI image layout (OCI Image Format 1.0, "Image Layout") and a Docker archive
//! (`manifest.json`, what `docker save` writes) at once, so that `ctr images import`, `docker load` and skopeo all take it.
//!
//! [`write()`] describes an image of one layer for one platform, linux/amd64. [`read::open`] reads archives of any maker in either
//! form, bounded, and [`read::Archive::verify`] compares every blob with its digest. [`manifest`] reads single documents as registries
//! give them, [`gather()`] makes one archive of several images. Not here: registries themselves, signatures, unpacking. Nothing here knows what images kiln needs.

mod gather;
mod json;
pub mod manifest;
pub mod read;
mod reference;
mod write;

pub use gather::{Gathered, gather};
pub use read::Archive;
pub use reference::{Reference, Registry};
pub use write::{Config, write};

/// The one operating system that images are for.
pub const OS: &str = "linux";
/// The one architecture that images are for, in Go's words.
pub const ARCHITECTURE: &str = "amd64";

/// Names of members of an archive.
const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const DOCKER: &str = "manifest.json";

/// The annotation that containerd takes an image's whole name from; its own exports and `docker save` write it.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// The annotation of the OCI's: `docker save` puts the tag there, others the whole name.
const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// Media types (OCI Image Format 1.0, "Media Types").
mod media {
    pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// Docker's, of the same form.
    pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
}

#[cfg(test)]
mod tests;
