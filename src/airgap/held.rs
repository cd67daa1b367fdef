//! Which images a medium gives: names, and the digests that they stand for. A name is given to the letter, registry and tag
//! included; a name by digest (`name@sha256:…`, OCI Distribution, "Pulling manifests") only where the digest is known.

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::format::oci::Reference;

/// Images by the archives of a medium.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    names: BTreeMap<Reference, Image>,
    /// Whether the runtime gives images names by digest: containerd does, `docker load` does not.
    by_digest: bool,
}

/// Where a named image lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The archive that holds it, as a file of the medium.
    pub archive: String,
    /// Digest of its configuration, by which runtimes know it.
    pub id: Sha256,
    /// What its name stands for: the digest of its manifest, or of the index that carries the name.
    pub digest: Option<Sha256>,
}

/// A name by digest, as nodes make it: of another name of the same image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByDigest {
    /// The name that the archive gives.
    pub name: Reference,
    /// The archive, as a file of the medium.
    pub archive: String,
}

/// Why an image is not had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// It is no name at all.
    NoName(String),
    /// No archive gives the name.
    Absent,
    /// The name is given, with another digest.
    Digest(Sha256),
    /// The name is given, and no digest with it.
    NoDigest,
}

impl Held {
    /// Nothing yet. `by_digest`: whether the runtime knows images by digest too.
    pub fn new(by_digest: bool) -> Self {
        Self { names: BTreeMap::new(), by_digest }
    }

    /// Adds a name that an archive gives.
    pub fn add(&mut self, name: Reference, image: Image) {
        self.names.insert(name, image);
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = (&Reference, &Image)> {
        self.names.iter()
    }

    /// Takes an image away, as if no archive gave it.
    pub fn remove(&mut self, name: &Reference) -> Option<Image> {
        self.names.remove(name)
    }

    /// The name by digest that a runtime looks for when a pod asks for `asked`, and the name that gives it. Nothing for a name
    /// by tag, and for a digest that is not held.
    pub(super) fn by_digest(&self, asked: &str) -> Option<(String, ByDigest)> {
        let (name, digest) = asked.split_once('@')?;
        let name = name.parse::<Reference>().ok()?;
        let wanted: Sha256 = digest.strip_prefix("sha256:")?.parse().ok()?;
        let held = |(known, image): &(&Reference, &Image)| {
            repository(known) == repository(&name) && image.digest == Some(wanted)
        };
        let (known, image) = self.names.iter().find(held).filter(|_| self.by_digest)?;
        let given = ByDigest { name: known.clone(), archive: image.archive.clone() };
        Some((format!("{}@sha256:{wanted}", repository(&name)), given))
    }

    /// Why an image is not had, as a pod would ask for it.
    pub(super) fn lack(&self, asked: &str) -> Option<Lack> {
        let Some((name, digest)) = asked.split_once('@') else {
            return match asked.parse::<Reference>() {
                Err(why) => Some(Lack::NoName(why)),
                Ok(name) if self.names.contains_key(&name) => None,
                Ok(_) => Some(Lack::Absent),
            };
        };
        let parsed = name.parse::<Reference>().and_then(|name| {
            let hex = digest.strip_prefix("sha256:").ok_or("its digest is no SHA-256")?;
            Ok((name, hex.parse::<Sha256>()?))
        });
        let (name, digest) = match parsed {
            Ok(parsed) => parsed,
            Err(why) => return Some(Lack::NoName(why)),
        };
        // With a digest the tag says nothing: runtimes ignore it.
        let known = self.names.iter().filter(|(known, _)| repository(known) == repository(&name));
        let digests: Vec<Option<Sha256>> = known.map(|(_, image)| image.digest).collect();
        if digests.is_empty() {
            return Some(Lack::Absent);
        }
        if !self.by_digest {
            return Some(Lack::NoDigest);
        }
        if digests.contains(&Some(digest)) {
            return None;
        }
        Some(digests.into_iter().flatten().next().map_or(Lack::NoDigest, Lack::Digest))
    }
}

/// A name without its tag.
fn repository(name: &Reference) -> &str {
    let full = name.as_str();
    &full[..full.len() - name.tag().len() - 1]
}
