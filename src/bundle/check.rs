//! Whether a bundle is whole, without taking it in: every file has the digest that is its name, and the lock can be read.

use std::io::Read;
use std::path::PathBuf;

use super::read::{damaged, members};
use super::{LOCK, MANIFESTS, MAX_LOCK, MAX_PROGRAM, PROGRAM, STORE, named, strange};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::fetch::lock::Lock;
use crate::format::tar::read::MemberKind;
use crate::progress::Progress;

/// What a whole bundle has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Files besides kiln and the lock.
    pub files: usize,
    /// Digest of kiln.lock.
    pub lock: Sha256,
}

/// Reads all of a bundle. `files` are its parts, or its name.
pub fn check(files: &[PathBuf], progress: &dyn Progress) -> Result<Checked> {
    let (mut lock, mut program, mut count) = (None, false, 0);
    let shown = members(files, progress, |member, content| {
        let path = member.path.as_str();
        match (&member.kind, path, path.rsplit_once('/')) {
            (MemberKind::Dir, MANIFESTS | STORE, _) => {}
            (MemberKind::File(size), PROGRAM, _) if *size <= MAX_PROGRAM => {
                std::io::copy(content, &mut std::io::sink()).map_err(damaged)?;
                program = true;
            }
            (MemberKind::File(size), LOCK, _) if *size <= MAX_LOCK => {
                let mut text = String::new();
                content.take(MAX_LOCK).read_to_string(&mut text).map_err(damaged)?;
                Lock::parse(std::path::Path::new("kiln.lock"), &text)?;
                lock = Some(Sha256::of(text.as_bytes()));
            }
            (MemberKind::File(_), _, Some((MANIFESTS | STORE, name))) => {
                let digest = named(name)?;
                let (found, _) = Sha256::of_reader(content).map_err(damaged)?;
                if found != digest {
                    return Err(Error::input(format!("{path} has the SHA-256 {found}")));
                }
                count += 1;
            }
            _ => return Err(strange(path)),
        }
        Ok(())
    })?;
    match lock {
        Some(lock) if program => Ok(Checked { files: count, lock }),
        Some(_) => Err(Error::input(format!("{shown}: it has no kiln"))),
        None => Err(Error::input(format!("{shown}: it has no lock"))),
    }
}
