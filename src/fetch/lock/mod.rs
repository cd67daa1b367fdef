//! `kiln.lock`: which version and which bytes of each component go on media. TOML, sorted, made by kiln, kept with the
//! cluster file under version control.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::Deserialize;

use super::catalogue::check_name;
use super::version::Version;
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::oci::Reference;

/// Name of the file, beside the cluster file.
pub const FILE: &str = "kiln.lock";
/// The form of the file that this kiln writes and reads.
const SCHEMA: u32 = 1;
const LIMIT: u64 = 1 << 20;

/// What is pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Components by name.
    pub components: BTreeMap<String, Pin>,
    /// Image archives by file name.
    pub images: BTreeMap<String, ImagePin>,
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

/// A pinned component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Version.
    pub version: Version,
    /// Files by name.
    pub files: BTreeMap<String, FilePin>,
}

/// A pinned file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePin {
    /// Size in bytes.
    pub size: u64,
    /// Digest of the content.
    pub sha256: Sha256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    schema: u32,
    #[serde(default)]
    component: BTreeMap<String, RawPin>,
    #[serde(default)]
    image: BTreeMap<String, RawImagePin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImagePin {
    names: Vec<String>,
    size: u64,
    sha256: Sha256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPin {
    version: String,
    files: BTreeMap<String, FilePin>,
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
            && schema != SCHEMA
        {
            return Err(Error::input(format!(
                "{} has schema {schema}, and this kiln knows schema {SCHEMA}",
                file.display()
            ))
            .hint("use the kiln that wrote it, or a newer one"));
        }
        let raw: RawLock = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut components = BTreeMap::new();
        for (name, pin) in raw.component {
            std::iter::once(&name)
                .chain(pin.files.keys())
                .try_for_each(|name| check_name(name))
                .map_err(wrong)?;
            let version = pin.version.parse().map_err(wrong)?;
            components.insert(name, Pin { version, files: pin.files });
        }
        let mut images = BTreeMap::new();
        for (file, pin) in raw.image {
            check_name(&file).map_err(wrong)?;
            let names = pin.names.iter().map(|name| name.parse()).collect::<Result<_, String>>();
            let names = names.map_err(wrong)?;
            images.insert(file, ImagePin { names, size: pin.size, sha256: pin.sha256 });
        }
        debug_assert_eq!(raw.schema, SCHEMA);
        Ok(Self { components, images })
    }

    /// The text of the file. The same lock is the same text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Written by `kiln fetch`: what goes on media, to the byte. Keep it with cluster.toml.\nschema = {SCHEMA}\n"
        );
        // Names and versions are plain, so quotes are all they need. Writing to a String does not fail.
        for (name, pin) in &self.components {
            let _ = write!(
                text,
                "\n[component.\"{name}\"]\nversion = \"{}\"\n\n[component.\"{name}\".files]\n",
                pin.version
            );
            for (file, pin) in &pin.files {
                let _ = writeln!(text, "\"{file}\" = {{ size = {}, sha256 = \"{}\" }}", pin.size, pin.sha256);
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
        text
    }

    /// Writes the file in one step: the old one or the new one is there, never a part.
    pub fn save(&self, path: &Path) -> Result<()> {
        let staged = path.with_extension("lock.new");
        let mut file = std::fs::File::create(&staged).at("making", &staged)?;
        file.write_all(self.to_text().as_bytes()).at("writing", &staged)?;
        file.sync_all().at("writing", &staged)?;
        std::fs::rename(&staged, path).at("renaming into place", path)
    }

    /// What changes from this lock to `new`, one line each; empty when they are equal.
    pub fn diff(&self, new: &Lock) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, old) in &self.components {
            match new.components.get(name) {
                None => lines.push(format!("- {name} {}", old.version)),
                Some(pin) => diff_pin(name, old, pin, &mut lines),
            }
        }
        for (name, pin) in &new.components {
            if !self.components.contains_key(name) {
                lines.push(format!("+ {name} {}", pin.version));
            }
        }
        for (file, old) in &self.images {
            match new.images.get(file) {
                None => lines.push(format!("- image {file}")),
                Some(pin) if pin != old => {
                    lines.push(format!("~ image {file}: sha256 {} -> {}", old.sha256, pin.sha256));
                }
                Some(_) => {}
            }
        }
        let added = new.images.keys().filter(|file| !self.images.contains_key(*file));
        lines.extend(added.map(|file| format!("+ image {file}")));
        lines
    }
}

fn diff_pin(name: &str, old: &Pin, new: &Pin, lines: &mut Vec<String>) {
    if old.version != new.version {
        // Every file differs then; naming each would bury the one thing that matters.
        lines.push(format!("~ {name} {} -> {}", old.version, new.version));
        return;
    }
    for (file, pin) in &old.files {
        match new.files.get(file) {
            None => lines.push(format!("- {name} {}: {file}", old.version)),
            Some(other) if other != pin => lines.push(format!(
                "~ {name} {}: {file}: {} bytes, sha256 {} -> {} bytes, sha256 {}",
                old.version, pin.size, pin.sha256, other.size, other.sha256
            )),
            Some(_) => {}
        }
    }
    let added = new.files.keys().filter(|file| !old.files.contains_key(*file));
    lines.extend(added.map(|file| format!("+ {name} {}: {file}", new.version)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let file = |text: &str| FilePin { size: text.len() as u64, sha256: Sha256::of(text.as_bytes()) };
        let pin = |version: &str, files: &[&str]| Pin {
            version: version.parse().unwrap(),
            files: files.iter().map(|name| ((*name).to_owned(), file(name))).collect(),
        };
        let components = [("etcd", pin("3.4.23", &["etcdctl", "etcd"])), ("runc", pin("1.1.5", &["runc"]))];
        let names = ["registry.k8s.io/pause:3.2".parse().unwrap()].into();
        let image = ImagePin { names, size: 7, sha256: Sha256::of(b"image") };
        Lock {
            components: components.map(|(name, pin)| (name.to_owned(), pin)).into(),
            images: [("pause.tar".to_owned(), image)].into(),
        }
    }

    #[test]
    fn a_lock_comes_back_as_it_was_written() {
        let text = lock().to_text();
        let again = Lock::parse(Path::new("kiln.lock"), &text).unwrap();
        assert_eq!(again, lock());
        assert_eq!(again.to_text(), text);
        assert!(text.find("\"etcd\" =").unwrap() < text.find("\"etcdctl\" =").unwrap(), "{text}");
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let digest = Sha256::of(b"");
        let cases = [
            ("", "schema"),
            ("schema = 2\nnews = 1", "knows schema 1"),
            ("schema = 1\nmore = 1", "more"),
            ("schema = 1\n[component.etcd]\nversion = '3'\nfiles = {}\nurl = ''", "url"),
            ("schema = 1\n[component.etcd]\nversion = '../3'\nfiles = {}", "no version"),
            ("schema = 1\n[component.'../etcd']\nversion = '3'\nfiles = {}", "cannot name"),
            (
                &format!(
                    "schema = 1\n[component.e]\nversion = '3'\nfiles.'a/b' = {{ size = 1, sha256 = '{digest}' }}"
                ),
                "cannot name",
            ),
            ("schema = 1\n[component.e]\nversion = '3'\nfiles.a = { size = 1, sha256 = '00' }", "SHA-256"),
            (&format!("schema = 1\n[image.'a/b']\nnames = []\nsize = 1\nsha256 = '{digest}'"), "cannot name"),
            (
                &format!("schema = 1\n[image.a]\nnames = ['A']\nsize = 1\nsha256 = '{digest}'"),
                "no name of an image",
            ),
            ("schema = 1\n[component.e]\nversion = '3'\nfiles.a = { size = -1, sha256 = '00' }", "kiln.lock"),
        ];
        for (text, word) in cases {
            let error = Lock::parse(Path::new("kiln.lock"), text).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn differences_are_named() {
        let (old, mut new) = (lock(), lock());
        assert_eq!(old.diff(&new), [] as [String; 0]);
        let etcd = new.components.get_mut("etcd").unwrap();
        let pin = etcd.files.remove("etcdctl").unwrap();
        etcd.files.insert("etcdutl".to_owned(), pin);
        etcd.files.get_mut("etcd").unwrap().size = 5;
        let runc = new.components.remove("runc").unwrap();
        new.components.insert("crun".to_owned(), runc);
        let lines = old.diff(&new);
        assert!(lines[0].starts_with("~ etcd 3.4.23: etcd: 4 bytes, sha256 "), "{lines:?}");
        assert_eq!(
            lines[1..],
            ["- etcd 3.4.23: etcdctl", "+ etcd 3.4.23: etcdutl", "- runc 1.1.5", "+ crun 1.1.5"]
        );
        let image = new.images.remove("pause.tar").unwrap();
        assert_eq!(lock().diff(&new).last().unwrap(), "- image pause.tar");
        new.images.insert("pause.tar".to_owned(), ImagePin { size: 8, ..image });
        assert!(lock().diff(&new).last().unwrap().starts_with("~ image pause.tar: sha256 "));
        new.components.get_mut("etcd").unwrap().version = "3.5.0".parse().unwrap();
        assert_eq!(old.diff(&new)[0], "~ etcd 3.4.23 -> 3.5.0");
    }
}
