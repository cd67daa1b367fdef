//! Images from registries: what a tag stands for is looked up once and pinned by digest; parts go into the cache, each once; and
//! media carry one archive of all. No container engine takes part.

use std::collections::{BTreeMap, BTreeSet};

use super::cache::Cache;
use super::lock::{Pulled, PulledImage};
use super::meter::Meter;
use super::parallel;
use super::registry::{By, Registries};
use crate::blob::Blob;
use crate::cluster::model::Runtime;
use crate::error::{Error, Result};
use crate::format::oci::manifest::{self, Document, ImageManifest, MAX_DOCUMENT, Part};
use crate::format::oci::{Gathered, Reference, gather};

/// Name of the archive on media. In a components folder it would be an archive of the user's.
pub const FILE: &str = "pulled.tar";

/// What pulling goes through.
pub struct Pull<'a> {
    /// The registries.
    pub registries: &'a Registries<'a>,
    /// Where parts end up.
    pub cache: &'a Cache,
    /// How many downloads run at once.
    pub jobs: usize,
    /// Who is told.
    pub meter: &'a Meter<'a>,
    /// What loads the images.
    pub runtime: Runtime,
}

impl Pull<'_> {
    /// Looks up what tags stand for now.
    pub fn look_up(&self, names: &BTreeSet<Reference>) -> Result<BTreeMap<Reference, PulledImage>> {
        let one = |name: &Reference| {
            let found = self.look_up_one(name).map_err(|error| error.context(name))?;
            Ok((name.clone(), found))
        };
        let tasks = names.iter().map(|name| move || one(name)).collect();
        Ok(parallel::run(self.jobs, tasks)?.into_iter().collect())
    }

    fn look_up_one(&self, name: &Reference) -> Result<PulledImage> {
        let repository = self.registries.open(name)?;
        let (mut bytes, tag) = repository.document(By::Tag(name.tag()))?;
        let mut digest = tag;
        if let Document::Index(part) = manifest::read(&bytes)? {
            (bytes, digest) = repository.document(By::Digest(part.digest))?;
        }
        self.usable(&bytes)?;
        self.cache.put(&bytes)?;
        Ok(PulledImage { manifest: digest, size: bytes.len() as u64, tag })
    }

    /// Brings all parts of images into the cache, as far as they are not there, and pins the archive of them.
    pub fn ensure(&self, images: BTreeMap<Reference, PulledImage>) -> Result<Pulled> {
        let manifests = images.iter().map(|(name, image)| {
            move || {
                if !self.cache.holds(image.manifest, image.size)? {
                    let (bytes, _) = self.registries.open(name)?.document(By::Digest(image.manifest))?;
                    self.cache.put(&bytes)?;
                }
                self.usable(&self.cache.read(image.manifest, MAX_DOCUMENT)?)
                    .map_err(|error| error.context(name))
            }
        });
        let manifests = parallel::run(self.jobs, manifests.collect())?;
        let mut wanted: BTreeMap<Part, &Reference> = BTreeMap::new();
        for (name, manifest) in images.keys().zip(&manifests) {
            for part in manifest.layers.iter().chain([&manifest.config]) {
                wanted.entry(*part).or_insert(name);
            }
        }
        let parts = wanted.iter().map(|(part, name)| {
            move || {
                if self.cache.holds(part.digest, part.size)? {
                    self.meter.expect(part.size);
                    self.meter.advance(part.size);
                    return Ok(());
                }
                let repository = self.registries.open(name)?;
                repository.part(*part, self.cache, self.meter).map_err(|error| error.context(name))
            }
        });
        parallel::run(self.jobs, parts.collect())?;
        for (name, manifest) in images.keys().zip(&manifests) {
            let config = self.cache.read(manifest.config.digest, manifest.config.size)?;
            manifest::check_config(&config, manifest.layers.len()).map_err(|error| error.context(name))?;
        }
        let archive = describe(self.cache, &images)?;
        Ok(Pulled { size: archive.len(), sha256: archive.digest()?, images })
    }

    /// Reads a manifest, and refuses an image that the nodes' runtime could not load.
    fn usable(&self, bytes: &[u8]) -> Result<ImageManifest> {
        match manifest::read(bytes)? {
            Document::Manifest(image) if image.zstd && self.runtime == Runtime::Docker => Err(Error::input(
                "its layers are packed with zstd, which Docker knows from 23.0 on; use containerd",
            )),
            Document::Manifest(image) => Ok(image),
            Document::Index(_) => Err(Error::input("the index names an index, not an image")),
        }
    }
}

/// The archive of pinned images, out of the cache. Its parts have the digests that they must have.
pub fn archive(cache: &Cache, pulled: &Pulled) -> Result<Blob> {
    let absent = |lines: Vec<String>| {
        Error::input(format!("parts of images are not in the cache:\n  {}", lines.join("\n  ")))
            .hint("`kiln fetch` brings them")
    };
    let manifests = pulled.images.iter().filter(|(_, image)| !cache.has(image.manifest, image.size));
    let manifests =
        manifests.map(|(name, image)| format!("{name}: {}", cache.path(image.manifest).display()));
    let manifests: Vec<String> = manifests.collect();
    if !manifests.is_empty() {
        return Err(absent(manifests));
    }
    let blob = describe(cache, &pulled.images)?;
    let missing = blob.missing();
    if !missing.is_empty() {
        return Err(absent(missing.iter().map(|path| path.display().to_string()).collect()));
    }
    if blob.len() != pulled.size {
        return Err(Error::input("the archive of the pulled images is not as pinned")
            .hint("kiln.lock was made by another version of kiln: `kiln fetch --update` pins anew"));
    }
    Ok(blob.known(pulled.sha256))
}

fn describe(cache: &Cache, images: &BTreeMap<Reference, PulledImage>) -> Result<Blob> {
    let mut gathered = Vec::new();
    for (name, image) in images {
        let bytes = cache.read(image.manifest, MAX_DOCUMENT).map_err(|error| {
            error.context(name).or_hint("`kiln fetch` brings what kiln.lock pins into the cache")
        })?;
        let Document::Manifest(found) = manifest::read(&bytes)? else {
            return Err(Error::input(format!("{name}: kiln.lock pins an index, not an image")));
        };
        let manifest = Part { digest: image.manifest, size: image.size };
        gathered.push(Gathered { name: name.clone(), manifest, image: found });
    }
    gather(&gathered, &|part| Blob::file(cache.path(part.digest), part.size, Some(part.digest)))
}
