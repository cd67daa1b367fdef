//! A client of image registries (OCI Distribution 1.1), reading only: documents and blobs, by tag or digest, with the logins that
//! docker and podman keep. A registry is not believed: what it gives is hashed here.

mod auth;
mod credentials;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use auth::Session;
pub use credentials::Credentials;

use super::cache::Cache;
use super::http::{Client, Download, body, download};
use super::meter::Meter;
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::oci::manifest::{ACCEPT, MAX_DOCUMENT, Part};
use crate::format::oci::{Reference, Registry};
use crate::url::Url;

/// Registries as a project sees them.
pub struct Registries<'a> {
    client: &'a Client,
    credentials: Credentials,
    /// Where a registry is asked for, in place of it.
    instead: &'a BTreeMap<Registry, Url>,
}

/// How a document is asked for.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// What the tag stands for now.
    Tag(&'a str),
    /// What has a digest.
    Digest(Sha256),
}

impl<'a> Registries<'a> {
    /// `client` asks no mirror of release files.
    pub fn new(client: &'a Client, credentials: Credentials, instead: &'a BTreeMap<Registry, Url>) -> Self {
        Self { client, credentials, instead }
    }

    /// Opens the repository of an image.
    pub fn open(&self, name: &Reference) -> Result<Repository<'_>> {
        let registry = name.registry();
        let server = match self.instead.get(&registry) {
            Some(url) if url.file().is_some() => {
                return Err(Error::input(format!("{url} is no registry"))
                    .hint("images in files go into the folder `images` of a components folder"));
            }
            Some(url) => url.clone(),
            // Docker's own registry answers under another name than images have.
            None if registry.as_str() == "docker.io" => url("https://registry-1.docker.io")?,
            None => url(&format!("https://{registry}"))?,
        };
        // `https://host/prefix`: the prefix is a part of the repository's name, as in Harbor's caches.
        let mut parts = server.as_str().trim_end_matches('/').splitn(4, '/');
        let root = parts.by_ref().take(3).collect::<Vec<_>>().join("/");
        let repository = match parts.next() {
            None => name.repository().to_owned(),
            Some(prefix) => format!("{prefix}/{}", name.repository()),
        };
        let host = server.host().to_owned();
        // A login for docker.io is one for its registry, and not for a mirror of it.
        let login = if self.instead.contains_key(&registry) { host } else { registry.to_string() };
        let basic = self.credentials.of(&login);
        let session = Session::new(self.client, &server, &repository, basic);
        Ok(Repository { client: self.client, base: url(&format!("{root}/v2/{repository}"))?, session })
    }
}

/// The repository of one image.
pub struct Repository<'a> {
    client: &'a Client,
    base: Url,
    session: Session<'a>,
}

impl Repository<'_> {
    /// A document and its digest; one that was asked for by digest has it.
    pub fn document(&self, by: By<'_>) -> Result<(Vec<u8>, Sha256)> {
        let what = match by {
            By::Tag(tag) => tag.to_owned(),
            By::Digest(digest) => format!("sha256:{digest}"),
        };
        let place = self.at(&format!("manifests/{what}"))?;
        let accept = [("Accept", ACCEPT.to_owned())];
        let bytes = self.client.patiently(|| {
            let own = self.session.headers()?;
            let answer = self.client.get(&place, &own, &accept)?;
            match answer.status().as_u16() {
                200 => body(answer, &place, MAX_DOCUMENT),
                401 => Err(self.session.challenged(&place, &answer)),
                _ => Err(super::http::Failure::status(&place, &answer)),
            }
        })?;
        let digest = Sha256::of(&bytes);
        match by {
            By::Digest(wanted) if wanted != digest => {
                Err(Error::new(crate::error::Class::Network, format!("{place}: it has the SHA-256 {digest}"))
                    .hint("the registry, or something in between, gives another document than was asked for"))
            }
            _ => Ok((bytes, digest)),
        }
    }

    /// Brings a part into the cache.
    pub fn part(&self, part: Part, cache: &Cache, meter: &Meter<'_>) -> Result<()> {
        let url = self.at(&format!("blobs/sha256:{}", part.digest))?;
        let want = Download {
            url: &url,
            size: Some(part.size),
            sha256: Some(part.digest),
            limit: part.size,
            login: Some(&self.session),
        };
        download(self.client, cache, &want, meter).map(drop)
    }

    fn at(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(Error::input)
    }
}

fn url(text: &str) -> Result<Url> {
    text.parse().map_err(Error::input)
}
