//! Checks a mounted medium against its manifest: every file, its size, then its digest. All findings are told at once.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::digest::Sha256;
use crate::error::{Class, Error, IoContext, Result};
use crate::payload::MANIFEST;
use crate::payload::manifest::{Manifest, ManifestFile};
use crate::progress::Progress;

/// How deep folders below `/kiln` may be nested.
const MAX_DEPTH: usize = 16;

/// What was checked and found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Checks every file that `manifest` names below `media`, and that nothing else lies below `/kiln`. An error names all
/// findings, one a line; its class is `Io` if something could not be read, else `Input`.
pub fn verify(media: &Path, manifest: &Manifest, progress: &dyn Progress) -> Result<Verified> {
    progress.total(manifest.files.values().map(|file| file.size).fold(0, u64::saturating_add));
    let mut findings = Vec::new();
    let mut class = Class::Input;
    let mut done = Verified { files: 0, bytes: 0 };
    for (path, want) in &manifest.files {
        match check(&media.join(path.trim_start_matches('/')), want, progress) {
            Ok(None) => {
                done.files += 1;
                done.bytes = done.bytes.saturating_add(want.size);
            }
            Ok(Some(fault)) => findings.push(format!("{path}: {fault}")),
            Err(error) => {
                class = Class::Io;
                findings.push(format!("{path}: cannot be read: {error}"));
            }
        }
    }
    extras(media, "/kiln", manifest, MAX_DEPTH, &mut findings)?;
    if findings.is_empty() {
        return Ok(done);
    }
    let message = format!(
        "the medium is not as it was made ({} findings)\n  {}",
        findings.len(),
        findings.join("\n  ")
    );
    Err(Error::new(class, message).hint("write the medium again; if that does not help, make it again"))
}

/// What is wrong with a file, if anything.
fn check(path: &Path, want: &ManifestFile, progress: &dyn Progress) -> std::io::Result<Option<String>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some("is missing".into())),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        return Ok(Some("is no regular file".into()));
    }
    if found.len() != want.size {
        return Ok(Some(format!("has {} bytes, not {}", found.len(), want.size)));
    }
    let (digest, _) = Sha256::of_reader(Counted(File::open(path)?, progress))?;
    if digest != want.sha256 {
        return Ok(Some(format!("has SHA-256 {digest}, not {}", want.sha256)));
    }
    Ok(None)
}

/// Files below a folder of the medium that the manifest does not name.
fn extras(
    media: &Path,
    below: &str,
    manifest: &Manifest,
    depth: usize,
    findings: &mut Vec<String>,
) -> Result<()> {
    let dir = media.join(below.trim_start_matches('/'));
    let mut names: Vec<(String, bool)> = Vec::new();
    for entry in fs::read_dir(&dir).at("listing", &dir)? {
        let entry = entry.at("listing", &dir)?;
        let kind = entry.file_type().at("looking at", &entry.path())?;
        names.push((entry.file_name().to_string_lossy().into_owned(), kind.is_dir()));
    }
    names.sort();
    for (name, is_dir) in names {
        let path = format!("{below}/{name}");
        if is_dir && depth > 0 {
            extras(media, &path, manifest, depth - 1, findings)?;
        } else if path != MANIFEST && !manifest.files.contains_key(&path) {
            findings.push(format!("{path}: is not in the manifest"));
        }
    }
    Ok(())
}

/// Tells how much was read.
struct Counted<'a>(File, &'a dyn Progress);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.0.read(buffer)?;
        self.1.advance(got as u64);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::types::Role;
    use crate::progress::Silent;
    use crate::testing::{cluster, medium};

    #[test]
    fn a_medium_is_as_it_was_made() {
        let media = medium(&cluster(), Role::Master);
        let manifest = Manifest::load(media.path()).unwrap();
        let bytes = manifest.files.values().map(|file| file.size).sum();
        assert_eq!(verify(media.path(), &manifest, &Silent).unwrap(), Verified { files: 6, bytes });
    }

    #[test]
    fn all_findings_are_told_at_once() {
        let media = medium(&cluster(), Role::Master);
        let manifest = Manifest::load(media.path()).unwrap();
        let at = |path: &str| media.path().join(path);
        let mut program = fs::read(at("kiln/kiln")).unwrap();
        program[100] ^= 1;
        fs::write(at("kiln/kiln"), program).unwrap();
        fs::write(at("ks.cfg"), "short").unwrap();
        fs::remove_file(at("kiln/nodes/k8s-master2.tar")).unwrap();
        fs::remove_file(at("kiln/common.tar")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("kiln/common.tar")).unwrap();
        fs::create_dir(at("kiln/more")).unwrap();
        fs::write(at("kiln/more/evil"), "x").unwrap();
        let error = verify(media.path(), &manifest, &Silent).unwrap_err();
        assert_eq!(error.class(), Class::Input);
        let text = error.to_string();
        for part in [
            "5 findings",
            "/kiln/kiln: has SHA-256",
            "/ks.cfg: has 5 bytes, not",
            "/kiln/nodes/k8s-master2.tar: is missing",
            "/kiln/common.tar: is no regular file",
            "/kiln/more/evil: is not in the manifest",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
