//! `kiln.lock`: which version and which bytes of each component and image go on media, and where they came from. TOML, sorted,
//! made by kiln, kept with the cluster file under version control.

mod diff;
mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::Deserialize;

use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::oci::Reference;
use crate::url::Url;
use crate::version::Version;

/// Name of the file, beside the cluster file.
pub const FILE: &str = "kiln.lock";
/// The form of the file that this kiln writes. It reads the first one too, which knew folders only.
const SCHEMA: u32 = 2;
const LIMIT: u64 = 1 << 20;

/// What is pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Components by name.
    pub components: BTreeMap<String, Pin>,
    /// Image archives of the components folder, by file name.
    pub images: BTreeMap<String, ImagePin>,
    /// Images that come from registries.
    pub pulled: Option<Pulled>,
}

/// A pinned image archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePin {
    /// Images that it is there for.
    pub names: BTreeSet<Reference>,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
}

/// Images from registries, and the one archive that media carry them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Size of the archive in bytes.
    pub size: u64,
    /// Digest of the archive.
    pub sha256: Sha256,
    /// The images by name.
    pub images: BTreeMap<Reference, PulledImage>,
}

/// An image of a registry, for the nodes' platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PulledImage {
    /// Digest of its manifest, which names all its parts.
    pub manifest: Sha256,
    /// Size of the manifest in bytes.
    pub size: u64,
    /// Digest of what the tag stood for: the manifest, or an index of manifests for several platforms.
    pub tag: Sha256,
}

/// A pinned component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Version.
    pub version: Version,
    /// The archive that its files were taken out of, if there was one.
    pub archive: Option<ArchivePin>,
    /// Files by name.
    pub files: BTreeMap<String, FilePin>,
}

impl Pin {
    /// Whether its files lie in the components folder.
    pub fn is_local(&self) -> bool {
        self.files.values().all(|file| file.from == Origin::Folder)
    }

    /// Whether something of it was taken as it came, for want of a published digest.
    pub fn is_unchecked(&self) -> bool {
        let unchecked = |published: &Published| published.checked.is_none();
        let archive = self.archive.as_ref().is_some_and(|archive| unchecked(&archive.published));
        let file = |file: &FilePin| matches!(&file.from, Origin::Url(published) if unchecked(published));
        archive || self.files.values().any(file)
    }
}

/// A release archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePin {
    /// Where it is published.
    pub published: Published,
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256,
}

/// An address, and who vouches for what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The address.
    pub url: Url,
    /// The publisher's file of digests that the content was compared with. Without one, what came first was taken.
    pub checked: Option<Url>,
}

/// A pinned file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePin {
    /// Size in bytes.
    pub size: u64,
    /// Digest of the content.
    pub sha256: Sha256,
    /// Where it comes from.
    pub from: Origin,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From the components folder.
    Folder,
    /// From an address of its own.
    Url(Published),
    /// Out of the component's archive; its name there.
    Member(String),
}

/// Only the schema, so that a newer file gets the right message whatever else it holds.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u32,
}

impl Lock {
    /// Reads `kiln.lock`. A missing file is an error that says how to make one.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_if_there(path)?.ok_or_else(|| {
            Error::input(format!("there is no {}", path.display()))
                .hint("`kiln fetch` makes it: it pins the components folder by size and SHA-256")
        })
    }

    /// Reads `kiln.lock`, if it is there.
    pub fn load_if_there(path: &Path) -> Result<Option<Self>> {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.at("opening", path)?,
        };
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).at("reading", path)?;
        Self::parse(path, &text).map(Some)
    }

    /// Reads the text of a lock; `file` names it in errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::input(format!("{}: {why}", file.display()))
                .hint("it is written by `kiln fetch`; move it away and run `kiln fetch` to make it anew")
        };
        if let Ok(SchemaOnly { schema }) = toml::from_str(text)
            && !(1..=SCHEMA).contains(&schema)
        {
            return Err(Error::input(format!(
                "{} has schema {schema}, and this kiln knows schema {SCHEMA}",
                file.display()
            ))
            .hint("use the kiln that wrote it, or a newer one"));
        }
        let raw: raw::Lock = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        raw.check().map_err(wrong)
    }

    /// The text of the file. The same lock is the same text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Written by `kiln fetch`: what goes on media, to the byte. Keep it with cluster.toml.\nschema = {SCHEMA}\n"
        );
        // Names and versions are plain, so quotes are all they need. Writing to a String does not fail.
        for (name, pin) in &self.components {
            let _ = write!(text, "\n[component.\"{name}\"]\nversion = \"{}\"\n", pin.version);
            if let Some(ArchivePin { published, size, sha256 }) = &pin.archive {
                let published = published_text(published);
                let _ = writeln!(text, "archive = {{ size = {size}, sha256 = \"{sha256}\", {published} }}");
            }
            let _ = write!(text, "\n[component.\"{name}\".files]\n");
            for (file, pin) in &pin.files {
                let from = match &pin.from {
                    Origin::Folder => String::new(),
                    Origin::Url(published) => format!(", {}", published_text(published)),
                    Origin::Member(member) => format!(", member = \"{member}\""),
                };
                let (size, sha256) = (pin.size, pin.sha256);
                let _ = writeln!(text, "\"{file}\" = {{ size = {size}, sha256 = \"{sha256}\"{from} }}");
            }
        }
        for (file, pin) in &self.images {
            let names: Vec<String> = pin.names.iter().map(|name| format!("\"{name}\"")).collect();
            let _ = write!(
                text,
                "\n[image.\"{file}\"]\nnames = [{}]\nsize = {}\nsha256 = \"{}\"\n",
                names.join(", "),
                pin.size,
                pin.sha256
            );
        }
        if let Some(pulled) = &self.pulled {
            let _ = write!(
                text,
                "\n[pulled]\nsize = {}\nsha256 = \"{}\"\n\n[pulled.images]\n",
                pulled.size, pulled.sha256
            );
            for (name, PulledImage { manifest, size, tag }) in &pulled.images {
                let _ = writeln!(
                    text,
                    "\"{name}\" = {{ manifest = \"{manifest}\", size = {size}, tag = \"{tag}\" }}"
                );
            }
        }
        text
    }

    /// Writes the file in one step: the old one or the new one is there, never a part.
    pub fn save(&self, path: &Path) -> Result<()> {
        // Another kiln may write its own at the same time.
        let staged = path.with_extension(format!("lock.{}.new", std::process::id()));
        let write = || {
            let mut file = std::fs::File::create(&staged).at("making", &staged)?;
            file.write_all(self.to_text().as_bytes()).at("writing", &staged)?;
            file.sync_all().at("writing", &staged)?;
            std::fs::rename(&staged, path).at("renaming into place", path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&staged)))
    }
}

/// Addresses and members have neither quotes nor backslashes, so quotes are all they need.
fn published_text(published: &Published) -> String {
    let checked = published.checked.as_ref().map(|url| format!(", checked = \"{url}\""));
    format!("url = \"{}\"{}", published.url, checked.unwrap_or_default())
}

#[cfg(test)]
mod tests;
