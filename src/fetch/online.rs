//! Components from where they are published: what is new is found, compared with the publisher's digest and pinned; what is pinned
//! is brought into the cache. Files end up there under their own digests, taken out of their archives.

use std::collections::BTreeMap;
use std::fs::File;

use super::cache::Cache;
use super::catalogue::{Component, FileRule};
use super::http::{Client, Download, Got, download};
use super::lock::{ArchivePin, FilePin, Origin, Pin, Published};
use super::meter::Meter;
use super::parallel;
use super::source::Source;
use super::{sums, unpack};
use crate::cluster::model::Cluster;
use crate::digest::Sha256;
use crate::error::{Class, Error, IoContext, Result};
use crate::format::elf::{self, Linking};
use crate::url::Url;
use crate::version::Version;

/// Largest file or archive of a release.
const LARGEST: u64 = 4 << 30;

/// What downloads go through.
pub struct Online<'a> {
    /// The client.
    pub client: &'a Client,
    /// Where files end up.
    pub cache: &'a Cache,
    /// How many downloads run at once.
    pub jobs: usize,
    /// Who is told.
    pub meter: &'a Meter<'a>,
}

/// A component that has no pin yet.
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it consists of.
    pub component: &'a Component,
    /// The version that is wanted.
    pub version: Version,
}

/// What a task found: the component's place in the list, its archive, its files.
type Part = (usize, Option<ArchivePin>, BTreeMap<String, FilePin>);

impl Online<'_> {
    /// Finds, downloads and pins components.
    pub fn pin(&self, wanted: &[New<'_>], cluster: &Cluster) -> Result<BTreeMap<String, Pin>> {
        let mut tasks: Vec<Box<dyn FnOnce() -> Result<Part> + Send + '_>> = Vec::new();
        for (at, new) in wanted.iter().enumerate() {
            let source = new.component.source(&new.version).ok_or_else(|| {
                Error::input(format!("where {} {} is published is not known", new.name, new.version))
                    .hint("add a `source` to profiles/components.toml (`kiln init --eject`), or put its files into a components folder")
            })?;
            let files = new.component.files_of_cluster(cluster, Some(&new.version));
            if source.member(&new.version, "x").map_err(Error::internal)?.is_some() {
                tasks.push(Box::new(move || {
                    let (archive, files) = self.archive(new, source, &files)?;
                    Ok((at, Some(archive), files))
                }));
                continue;
            }
            for file in files.into_keys() {
                tasks.push(Box::new(move || {
                    Ok((at, None, [(file.to_owned(), self.single(new, source, file)?)].into()))
                }));
            }
        }
        let mut pins = BTreeMap::new();
        for (at, archive, files) in parallel::run(self.jobs, tasks)? {
            let New { name, version, .. } = &wanted[at];
            let fresh = || Pin { version: version.clone(), archive: None, files: BTreeMap::new() };
            let pin = pins.entry((*name).to_owned()).or_insert_with(fresh);
            pin.archive = archive.or(pin.archive.take());
            pin.files.extend(files);
        }
        Ok(pins)
    }

    /// Brings what is pinned into the cache, as far as it is not there.
    pub fn ensure(&self, pins: &BTreeMap<String, Pin>) -> Result<()> {
        let mut tasks: Vec<Box<dyn FnOnce() -> Result<()> + Send + '_>> = Vec::new();
        for (name, pin) in pins.iter().filter(|(_, pin)| !pin.is_local()) {
            for known in pin.files.values() {
                if let Origin::Url(published) = &known.from {
                    tasks.push(Box::new(move || {
                        self.fetch(&published.url, known.size, known.sha256).map(drop)
                    }));
                }
            }
            if let Some(archive) = &pin.archive {
                tasks.push(Box::new(move || self.ensure_members(name, pin, archive)));
            }
        }
        parallel::run(self.jobs, tasks).map(drop)
    }

    fn ensure_members(&self, name: &str, pin: &Pin, archive: &ArchivePin) -> Result<()> {
        let mut wanted = BTreeMap::new();
        for (file, known) in &pin.files {
            if let Origin::Member(member) = &known.from {
                if self.cache.holds(known.sha256, known.size)? {
                    self.meter.expect(known.size);
                    self.meter.advance(known.size);
                } else {
                    wanted.insert(member.as_str(), (file, known));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.fetch(&archive.published.url, archive.size, archive.sha256)?;
        let label = format!("{name} {}", pin.version);
        let stored = unpack::members(self.cache, archive.sha256, &label, wanted.keys().copied())?;
        for (member, (file, known)) in wanted {
            let found = stored.get(member).map(|stored| stored.sha256);
            if found != Some(known.sha256) {
                return Err(Error::input(format!(
                    "{label}: {file} in its archive is not what kiln.lock pins"
                ))
                .hint("kiln.lock was changed by hand; restore it, or pin anew: `kiln fetch --update`"));
            }
        }
        Ok(())
    }

    fn fetch(&self, url: &Url, size: u64, sha256: Sha256) -> Result<Got> {
        let want = Download { url, size: Some(size), sha256: Some(sha256), limit: size, login: None };
        download(self.client, self.cache, &want, self.meter)
    }

    /// An archive and the files in it.
    fn archive(
        &self,
        new: &New<'_>,
        source: &Source,
        files: &BTreeMap<&str, &FileRule>,
    ) -> Result<(ArchivePin, BTreeMap<String, FilePin>)> {
        let (published, got) = self.published(new, source, "")?;
        let member = |file: &str| source.member(&new.version, file).ok().flatten().unwrap_or_default();
        let members: BTreeMap<String, &str> = files.keys().map(|file| (member(file), *file)).collect();
        let label = format!("{} {}", new.name, new.version);
        let stored = unpack::members(self.cache, got.sha256, &label, members.keys().map(String::as_str))?;
        let mut pins = BTreeMap::new();
        for (member, file) in members {
            match stored.get(&member) {
                Some(stored) => {
                    self.check(&label, file, stored.sha256)?;
                    let (size, sha256) = (stored.size, stored.sha256);
                    pins.insert(file.to_owned(), FilePin { size, sha256, from: Origin::Member(member) });
                }
                None if files[file].optional => {}
                None => return Err(Error::input(format!("{label}: its archive has no {member}"))),
            }
        }
        Ok((ArchivePin { published, size: got.size, sha256: got.sha256 }, pins))
    }

    /// A file that is published by itself.
    fn single(&self, new: &New<'_>, source: &Source, file: &str) -> Result<FilePin> {
        let (published, got) = self.published(new, source, file)?;
        self.check(&format!("{} {}", new.name, new.version), file, got.sha256)?;
        Ok(FilePin { size: got.size, sha256: got.sha256, from: Origin::Url(published) })
    }

    /// Downloads what a source names, compared with the publisher's digest if there is one.
    fn published(&self, new: &New<'_>, source: &Source, file: &str) -> Result<(Published, Got)> {
        let label = format!("{} {}", new.name, new.version);
        let wrong = |why: String| Error::input(format!("{label}: {why}"));
        let url = source.url(&new.version, file).map_err(wrong)?;
        let checked = source.sums(&new.version, file).map_err(wrong)?;
        let mut sha256 = None;
        if let Some(at) = &checked {
            let text = self.client.small(at, sums::LIMIT)?.ok_or_else(|| {
                let why = format!("{label}: the publisher's digests are not at {}", self.client.place(at));
                Error::new(Class::Network, why).hint("check the version; a mirror has to carry this file too")
            })?;
            let found = sums::digest_of(&text, url.name());
            sha256 = Some(found.map_err(|why| wrong(format!("{}: {why}", self.client.place(at))))?);
        }
        let want = Download { url: &url, size: None, sha256, limit: LARGEST, login: None };
        let got = download(self.client, self.cache, &want, self.meter)?;
        Ok((Published { url, checked }, got))
    }

    /// A page that says "not found" is no program.
    fn check(&self, label: &str, file: &str, digest: Sha256) -> Result<Linking> {
        let path = self.cache.path(digest);
        let program = File::open(&path).at("opening", &path)?;
        let len = program.metadata().at("reading", &path)?.len();
        elf::look(program, len).at("reading", &path)?.map_err(|fault| {
            Error::input(format!("{label}: {file} {fault}"))
                .hint("is the mirror, or a proxy in between, answering with a page of its own?")
        })
    }
}

#[cfg(test)]
#[path = "online_tests.rs"]
mod tests;
