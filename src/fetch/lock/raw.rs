//! The lock as it is written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ArchivePin, FilePin, ImagePin, Origin, Published, Pulled, PulledImage};
use crate::digest::Sha256;
use crate::fetch::catalogue::check_name;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    #[serde(rename = "schema")]
    _schema: u32,
    #[serde(default)]
    component: BTreeMap<String, Pin>,
    #[serde(default)]
    image: BTreeMap<String, Image>,
    pulled: Option<RawPulled>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    names: Vec<String>,
    size: u64,
    sha256: Sha256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPulled {
    size: u64,
    sha256: Sha256,
    images: BTreeMap<String, PulledImage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    version: String,
    archive: Option<File>,
    files: BTreeMap<String, File>,
}

/// A file or an archive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    size: u64,
    sha256: Sha256,
    url: Option<String>,
    checked: Option<String>,
    member: Option<String>,
}

impl Lock {
    /// Checks all names and addresses.
    pub(super) fn check(self) -> Result<super::Lock, String> {
        let mut lock = super::Lock::default();
        for (name, pin) in self.component {
            check_name(&name)?;
            let pin = pin.check().map_err(|why| format!("component {name}: {why}"))?;
            lock.components.insert(name, pin);
        }
        for (file, pin) in self.image {
            check_name(&file)?;
            let names = pin.names.iter().map(|name| name.parse()).collect::<Result<_, String>>()?;
            lock.images.insert(file, ImagePin { names, size: pin.size, sha256: pin.sha256 });
        }
        if let Some(RawPulled { size, sha256, images }) = self.pulled {
            let named = |(name, image): (String, PulledImage)| Ok((name.parse()?, image));
            let images = images.into_iter().map(named).collect::<Result<_, String>>()?;
            lock.pulled = Some(Pulled { size, sha256, images });
        }
        Ok(lock)
    }
}

impl Pin {
    fn check(self) -> Result<super::Pin, String> {
        let archive = self.archive.map(File::archive).transpose()?;
        let mut files = BTreeMap::new();
        for (name, file) in self.files {
            check_name(&name)?;
            let file = file.file().map_err(|why| format!("{name}: {why}"))?;
            if matches!(file.from, Origin::Member(_)) && archive.is_none() {
                return Err(format!("{name}: it is a member, and there is no archive"));
            }
            files.insert(name, file);
        }
        Ok(super::Pin { version: self.version.parse()?, archive, files })
    }
}

impl File {
    fn archive(self) -> Result<ArchivePin, String> {
        let (size, sha256) = (self.size, self.sha256);
        let published = self.published()?.ok_or("the archive has no url")?;
        Ok(ArchivePin { published, size, sha256 })
    }

    fn file(self) -> Result<FilePin, String> {
        let (size, sha256, member) = (self.size, self.sha256, self.member.clone());
        let from = match (self.published()?, member) {
            (None, None) => Origin::Folder,
            (Some(published), None) => Origin::Url(published),
            (None, Some(member)) => Origin::Member(check_member(member)?),
            (Some(_), Some(_)) => return Err("it has both a url and a member".to_owned()),
        };
        Ok(FilePin { size, sha256, from })
    }

    fn published(&self) -> Result<Option<Published>, String> {
        let checked = self.checked.as_deref().map(str::parse).transpose()?;
        let url = self.url.as_deref().map(str::parse).transpose()?;
        Ok(url.map(|url| Published { url, checked }))
    }
}

fn check_member(member: String) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '/');
    if member.starts_with('/')
        || member.split('/').any(|part| matches!(part, "" | ".." | "."))
        || !member.chars().all(plain)
    {
        return Err(format!("`{}` is no member of an archive", member.escape_debug()));
    }
    Ok(member)
}
