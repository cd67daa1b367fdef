//! A medium's files as a folder: what a PXE tree is made of, and what tests read. Modes are set, owners are not.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{Content, Digests, MediumFile};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::tree::NodePath;

/// Writes the files below `dir`, which exists. Refuses to replace anything.
pub fn write(files: Vec<MediumFile>, dir: &Path) -> Result<Digests> {
    let mut digests = Digests::new();
    for file in files {
        let path = NodePath::new(file.path.as_str())?;
        let at = dir.join(path.relative());
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent).at("making the folder", parent)?;
        }
        // Closed to others until its mode is known to be set.
        let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at);
        let mut out = out.at("making", &at)?;
        match file.content {
            Content::Blob(blob) => {
                std::io::copy(&mut blob.reader(), &mut out).at("writing", &at)?;
            }
            Content::Deferred(deferred) => {
                let bytes = (deferred.make)(&digests)?;
                if bytes.len() as u64 != deferred.len {
                    return Err(Error::internal(format!("{path} has not the length that was planned")));
                }
                out.write_all(&bytes).at("writing", &at)?;
            }
        }
        out.set_permissions(fs::Permissions::from_mode(file.mode.into())).at("setting the mode of", &at)?;
        let (digest, len) = Sha256::of_reader(File::open(&at).at("opening", &at)?).at("reading", &at)?;
        digests.insert(file.path, (len, digest));
    }
    Ok(digests)
}
