//! The reader: image archives of any maker, as OCI image layout, as Docker archive, or both. Bounded: documents have a greatest
//! size, indexes a greatest depth and number, and nothing is read that no image names.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::json::{Descriptor, DockerImage, Index as IndexJson, Layout, Manifest, ReadConfig};
use super::{ARCHITECTURE, DOCKER, INDEX, LAYOUT, NAME_ANNOTATION, OS, REF_ANNOTATION, Reference, media};
use crate::digest::Sha256;
use crate::error::{Class, Error, Result};
use crate::format::read_at::{ReadAt, Window};
use crate::format::tar::index::{Extent, Index};
use crate::progress::Progress;

/// Largest JSON document that is read; registries allow 4 MiB.
const MAX_JSON: u64 = 4 << 20;
/// How deep indexes may name indexes.
const MAX_DEPTH: usize = 3;
/// Most images of an archive, attestations among them.
const MAX_IMAGES: usize = 256;

/// What loads an archive on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// `ctr images import`: takes the OCI layout if there is one.
    Containerd,
    /// `docker load`: takes `manifest.json`, in every version.
    Docker,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Images of the OCI layout, if the archive is one.
    pub oci: Option<Vec<Image>>,
    /// Images of `manifest.json`, if the archive has it.
    pub docker: Option<Vec<Image>>,
    /// Images that the layout's index names, and whose blobs are not there.
    pub absent: usize,
}

/// An image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its names.
    pub names: BTreeSet<Reference>,
    /// What each name stands for: the digest of the document that carries it, the image's manifest or an index that leads to it.
    /// A Docker archive says none.
    pub targets: BTreeMap<Reference, Sha256>,
    /// `linux`, if it is of use.
    pub os: String,
    /// `amd64`, if it is of use.
    pub architecture: String,
    /// Digest of its configuration, which is how runtimes know it.
    pub id: Sha256,
    /// Its configuration, manifest and layers.
    pub blobs: Vec<Blob>,
    /// Number of layers.
    pub layers: usize,
}

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// Where it lies.
    pub extent: Extent,
    /// What it must be; nothing for layers of old Docker archives, which are named by chance.
    pub digest: Option<Sha256>,
}

impl Image {
    /// Bytes of all parts.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.extent.len).fold(0, u64::saturating_add)
    }

    /// Whether it runs on the nodes.
    pub fn is_for_nodes(&self) -> bool {
        self.os == OS && self.architecture == ARCHITECTURE
    }
}

impl Archive {
    /// The images that a loader sees.
    pub fn images(&self, loader: Loader) -> &[Image] {
        let images = match loader {
            Loader::Containerd => self.oci.as_ref().or(self.docker.as_ref()),
            Loader::Docker => self.docker.as_ref(),
        };
        images.map(Vec::as_slice).unwrap_or_default()
    }

    /// The names that a loader gives.
    pub fn names(&self, loader: Loader) -> BTreeSet<Reference> {
        self.images(loader).iter().flat_map(|image| image.names.iter().cloned()).collect()
    }

    /// Why nodes could not load the archive, if that is so. An image for several machines of which one is there does not load
    /// everywhere (containerd issue 6906), so every image has to be for the nodes and none may be absent.
    pub fn fault(&self, loader: Loader) -> Option<String> {
        let images = self.images(loader);
        if images.is_empty() {
            return Some(match loader {
                Loader::Docker if self.oci.is_some() => {
                    "it has no manifest.json, which docker load needs".into()
                }
                _ => "it holds no image".into(),
            });
        }
        if let Some(image) = images.iter().find(|image| !image.is_for_nodes()) {
            return Some(format!(
                "it holds an image for {}/{}; nodes are {OS}/{ARCHITECTURE}",
                image.os.escape_debug(),
                image.architecture.escape_debug()
            ));
        }
        if loader == Loader::Containerd && self.oci.is_some() && self.absent > 0 {
            return Some(format!(
                "it names {} images of other platforms and does not hold them",
                self.absent
            ));
        }
        None
    }

    /// Compares every blob with its digest.
    pub fn verify(&self, source: &impl ReadAt, progress: &dyn Progress) -> Result<()> {
        let images = self.oci.iter().chain(&self.docker).flatten();
        let blobs: BTreeSet<Blob> = images.flat_map(|image| image.blobs.iter().copied()).collect();
        progress.total(blobs.iter().map(|blob| blob.extent.len).fold(0, u64::saturating_add));
        for blob in blobs {
            let Some(digest) = blob.digest else { continue };
            let window = Window::new(source, blob.extent.offset, blob.extent.len);
            let found = digest_of(&window, progress)?;
            if found != digest {
                return Err(Error::input(format!("image archive: the blob {digest} has the digest {found}"))
                    .hint("the file is damaged; save or download it again"));
            }
        }
        Ok(())
    }
}

/// Reads what an archive holds. Small documents are compared with their digests here, layers by [`Archive::verify`].
pub fn open(source: &impl ReadAt) -> Result<Archive> {
    let index = Index::read(source)?;
    let mut scan = Scan { source, index, images: Vec::new(), seen: BTreeMap::new(), absent: 0, count: 0 };
    let oci = if scan.index.file(LAYOUT).is_some() { Some(scan.oci()?) } else { None };
    let docker = if scan.index.file(DOCKER).is_some() { Some(scan.docker()?) } else { None };
    if oci.is_none() && docker.is_none() {
        return Err(Error::input("the archive has neither oci-layout nor manifest.json")
            .hint("archives of images are made by `docker save`, `ctr images export`, `skopeo copy` or `kiln image create`"));
    }
    Ok(Archive { oci, docker, absent: scan.absent })
}

struct Scan<'a, R> {
    source: &'a R,
    index: Index,
    images: Vec<Image>,
    /// Manifests that were read, and the image that each is.
    seen: BTreeMap<Sha256, usize>,
    absent: usize,
    count: usize,
}

impl<R: ReadAt> Scan<'_, R> {
    fn oci(&mut self) -> Result<Vec<Image>> {
        let layout: Layout = self.json(self.find(LAYOUT)?, LAYOUT)?;
        if !layout.image_layout_version.starts_with("1.") {
            let version = layout.image_layout_version;
            return Err(bad(format!("its layout has the version {:?}, and kiln knows 1", version)));
        }
        let index: IndexJson = self.json(self.find(INDEX)?, INDEX)?;
        self.descend(&index, &BTreeMap::new(), 0)?;
        Ok(std::mem::take(&mut self.images))
    }

    fn descend(
        &mut self,
        index: &IndexJson,
        above: &BTreeMap<Reference, Sha256>,
        depth: usize,
    ) -> Result<()> {
        for descriptor in &index.manifests {
            self.count += 1;
            if self.count > MAX_IMAGES {
                return Err(bad("its indexes name too many images".to_owned()));
            }
            if is_attestation(descriptor) {
                continue;
            }
            let digest = digest_in(&descriptor.digest)?;
            let mut names = above.clone();
            names.extend(name_of(descriptor).map(|name| (name, digest)));
            match descriptor.media_type.as_str() {
                media::INDEX | media::DOCKER_LIST if depth < MAX_DEPTH => {
                    let inner: IndexJson = self.json(self.blob(descriptor)?, &descriptor.digest)?;
                    self.descend(&inner, &names, depth + 1)?;
                }
                media::MANIFEST | media::DOCKER_MANIFEST | "" => match self.seen.get(&digest) {
                    Some(at) => {
                        self.images[*at].names.extend(names.keys().cloned());
                        self.images[*at].targets.extend(names);
                    }
                    None if self.index.file(&super::write::blob_path(digest)).is_none() => self.absent += 1,
                    None => {
                        let image = self.manifest(descriptor, names)?;
                        self.seen.insert(digest, self.images.len());
                        self.images.push(image);
                    }
                },
                other => return Err(bad(format!("its index names a document of type {other:?}"))),
            }
        }
        Ok(())
    }

    fn manifest(&self, descriptor: &Descriptor, targets: BTreeMap<Reference, Sha256>) -> Result<Image> {
        let own = self.blob(descriptor)?;
        let manifest: Manifest = self.json(own, &descriptor.digest)?;
        let at = self.blob(&manifest.config)?;
        let config: ReadConfig = self.json(at, &manifest.config.digest)?;
        let mut blobs = vec![own, at];
        for layer in &manifest.layers {
            blobs.push(self.blob(layer)?);
        }
        let id = digest_in(&manifest.config.digest)?;
        let (names, layers) = (targets.keys().cloned().collect(), manifest.layers.len());
        let (os, architecture) = (config.os, config.architecture);
        Ok(Image { names, targets, os, architecture, id, blobs, layers })
    }

    fn docker(&mut self) -> Result<Vec<Image>> {
        let images: Vec<DockerImage> = self.json(self.find(DOCKER)?, DOCKER)?;
        if images.len() > MAX_IMAGES {
            return Err(bad("its manifest.json names too many images".to_owned()));
        }
        let one = |image: DockerImage| {
            // The path of the configuration is its digest, with `.json` behind it in older archives.
            let name = image.config.rsplit('/').next().unwrap_or_default();
            let id = digest_in(&format!("sha256:{}", name.trim_end_matches(".json")))?;
            let at = Blob { digest: Some(id), ..self.find(&image.config)? };
            let config: ReadConfig = self.json(at, &image.config)?;
            let mut blobs = vec![at];
            for layer in &image.layers {
                let digest =
                    layer.strip_prefix("blobs/sha256/").map(|hex| digest_in(&format!("sha256:{hex}")));
                blobs.push(Blob { digest: digest.transpose()?, ..self.find(layer)? });
            }
            let names = image.repo_tags.iter().filter_map(|name| name.parse().ok()).collect();
            let (targets, layers) = (BTreeMap::new(), image.layers.len());
            let (os, architecture) = (config.os, config.architecture);
            Ok(Image { names, targets, os, architecture, id, blobs, layers })
        };
        images.into_iter().map(one).collect()
    }

    fn find(&self, name: &str) -> Result<Blob> {
        let extent = self.index.file(name);
        let extent = extent.ok_or_else(|| bad(format!("it has no file `{}`", name.escape_debug())))?;
        Ok(Blob { extent, digest: None })
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = digest_in(&descriptor.digest)?;
        let found = self.find(&super::write::blob_path(digest))?;
        if found.extent.len != descriptor.size {
            let (have, want) = (found.extent.len, descriptor.size);
            return Err(bad(format!("the blob {digest} has {have} bytes, and its descriptor says {want}")));
        }
        Ok(Blob { digest: Some(digest), ..found })
    }

    fn json<T: DeserializeOwned>(&self, blob: Blob, what: &str) -> Result<T> {
        let Extent { offset, len } = blob.extent;
        let what = what.escape_debug();
        if len > MAX_JSON {
            return Err(bad(format!("{what} has {len} bytes; documents have at most {MAX_JSON}")));
        }
        let bytes = self.source.read_vec_at(offset, len as usize).map_err(unreadable)?;
        if blob.digest.is_some_and(|digest| Sha256::of(&bytes) != digest) {
            return Err(bad(format!("{what} has another digest than its name says")));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| bad(format!("{what} is no document of its kind: {error}")))
    }
}

/// Where a build says what it was made from: no image, though it looks like one.
fn is_attestation(descriptor: &Descriptor) -> bool {
    let unknown = descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    unknown || descriptor.annotations.contains_key("vnd.docker.reference.type")
}

/// The whole name that an index gives, if it gives one.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let whole = descriptor.annotations.get(NAME_ANNOTATION);
    // A tag alone is no name.
    let other = || descriptor.annotations.get(REF_ANNOTATION).filter(|name| name.contains([':', '/']));
    whole.or_else(other)?.parse().ok()
}

fn digest_in(text: &str) -> Result<Sha256> {
    let hex = text.strip_prefix("sha256:").ok_or_else(|| bad(format!("{text:?} is no SHA-256 digest")))?;
    hex.parse().map_err(bad)
}

fn digest_of(window: &impl ReadAt, progress: &dyn Progress) -> Result<Sha256> {
    let (mut at, size) = (0, window.size().map_err(unreadable)?);
    let mut hash = <sha2::Sha256 as sha2::Digest>::new();
    let mut buffer = vec![0; (256 << 10).min(size as usize)];
    while at < size {
        let now = (size - at).min(buffer.len() as u64) as usize;
        window.read_exact_at(&mut buffer[..now], at).map_err(unreadable)?;
        sha2::Digest::update(&mut hash, &buffer[..now]);
        progress.advance(now as u64);
        at += now as u64;
    }
    Ok(Sha256(sha2::Digest::finalize(hash).into()))
}

fn bad(what: String) -> Error {
    Error::input(format!("image archive: {what}"))
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(Class::Io, "reading the image archive failed").because(error)
}
