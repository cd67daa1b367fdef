//! Moving bytes: parts of the base without passing through this process where the kernel can, holes kept; and files of the
//! payload with their digests taken on the way. What `kiln.lock` pins is compared afterwards with what lies on the medium,
//! when the processors have less to do.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;
use sha2::Digest as _;

use crate::blob::{Blob, Piece};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::image::{Content, Digests, MediumFile};

/// Bytes moved between two reports of progress.
const STEP: u64 = 8 << 20;
/// Buffer for what must pass through memory.
const BUFFER: usize = 1 << 20;

/// Copies `len` bytes at `at` of `from` to the same place of `to`, which is all holes there, and reports how far it is.
pub fn copy(from: &File, to: &File, at: u64, len: u64, mut upto: impl FnMut(u64)) -> io::Result<()> {
    let end = at + len;
    let mut next = at;
    let mut whole = true;
    while next < end {
        let data = match seek(from, SeekFrom::Data(next)) {
            Ok(data) => data.min(end),
            Err(Errno::NXIO) => end,
            Err(_) => next,
        };
        let hole = match seek(from, SeekFrom::Hole(data)) {
            Ok(hole) if hole > data => hole.min(end),
            _ => end,
        };
        next = data;
        while next < hole {
            let now = (hole - next).min(STEP);
            let moved = if whole { range(from, to, next, now)? } else { None };
            next += match moved {
                Some(moved) => moved,
                None => {
                    whole = false;
                    through(from, to, next, now)?
                }
            };
            upto(next);
        }
        upto(next);
    }
    Ok(())
}

/// Lets the kernel copy; `None` when it cannot between these two files.
fn range(from: &File, to: &File, at: u64, len: u64) -> io::Result<Option<u64>> {
    let (mut source, mut target) = (at, at);
    match copy_file_range(from, Some(&mut source), to, Some(&mut target), len as usize) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(moved) => Ok(Some(moved as u64)),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => Ok(None),
        Err(Errno::INTR) => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}

fn through(from: &File, to: &File, at: u64, len: u64) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER.min(len as usize)];
    from.read_exact_at(&mut buffer, at)?;
    to.write_all_at(&buffer, at)?;
    Ok(buffer.len() as u64)
}

/// A range of the medium that must have a certain digest.
#[derive(Debug)]
struct Pinned {
    at: u64,
    len: u64,
    expect: Sha256,
    source: PathBuf,
    name: String,
}

/// Writes blobs into the medium, and compares them afterwards with the digests that they must have.
#[derive(Debug)]
pub struct Blobs<'a> {
    to: &'a File,
    path: &'a Path,
    pinned: Vec<Pinned>,
}

impl<'a> Blobs<'a> {
    /// Into the file `to`, which lies at `path`.
    pub fn new(to: &'a File, path: &'a Path) -> Self {
        Self { to, path, pinned: Vec::new() }
    }

    /// Writes a blob to `at`, and gives its digest. That of a single pinned file is the one it must have; whether it has
    /// it, and whether pinned files among others have theirs, [`Blobs::verify`] says.
    pub fn write(&mut self, blob: &Blob, name: &str, at: u64, mut upto: impl FnMut(u64)) -> Result<Sha256> {
        let mut digest = match blob.pieces() {
            [Piece::File { expect: Some(known), .. }] => Digest::Known(*known),
            _ => Digest::Taken(sha2::Sha256::new()),
        };
        let mut next = at;
        let mut buffer = vec![0; BUFFER];
        for piece in blob.pieces() {
            match piece {
                Piece::Bytes(bytes) => {
                    digest.take(bytes);
                    self.to.write_all_at(bytes, next).at("writing", self.path)?;
                }
                Piece::Zeros(len) => {
                    // The staging file has a hole here, and holes are zeros.
                    buffer.fill(0);
                    parts(*len).for_each(|(_, now)| digest.take(&buffer[..now]));
                }
                Piece::File { path: source, offset, len, expect } => {
                    let file = File::open(source).at("opening", source)?;
                    for (done, now) in parts(*len) {
                        let part = &mut buffer[..now];
                        file.read_exact_at(part, offset + done).map_err(|error| match error.kind() {
                            io::ErrorKind::UnexpectedEof => changed(source, name),
                            _ => Error::io("reading", source, error),
                        })?;
                        digest.take(part);
                        self.to.write_all_at(part, next + done).at("writing", self.path)?;
                        upto(next + done + now as u64);
                    }
                    if let Some(expect) = *expect {
                        let (source, name) = (source.clone(), name.to_owned());
                        self.pinned.push(Pinned { at: next, len: *len, expect, source, name });
                    }
                }
            }
            next += piece.len();
            upto(next);
        }
        let digest = digest.finish();
        match blob.expected() {
            Some(expected) if expected != digest => Err(Error::input(format!(
                "what goes to {name} has the SHA-256 {digest}, and kiln.lock pins {expected}"
            ))
            .hint("`kiln fetch --update` pins it anew")),
            _ => Ok(digest),
        }
    }

    /// Writes a file of a medium to `at`, and adds its digest to `digests`, from which those that are made late are made.
    pub fn file(
        &mut self,
        file: MediumFile,
        at: u64,
        digests: &mut Digests,
        upto: impl FnMut(u64),
    ) -> Result<()> {
        let len = file.content.len();
        let digest = match file.content {
            Content::Blob(blob) => self.write(&blob, &file.path, at, upto)?,
            Content::Deferred(deferred) => {
                let bytes = (deferred.make)(digests)?;
                if bytes.len() as u64 != len {
                    let text = format!("{} was planned with {len} bytes and has {}", file.path, bytes.len());
                    return Err(Error::internal(text));
                }
                self.to.write_all_at(&bytes, at).at("writing", self.path)?;
                Sha256::of(&bytes)
            }
        };
        digests.insert(file.path, (len, digest));
        Ok(())
    }

    /// Compares what lies in the medium with the digests that it must have.
    pub fn verify(&self) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        for Pinned { at, len, expect, source, name } in &self.pinned {
            let mut hash = sha2::Sha256::new();
            for (done, now) in parts(*len) {
                let part = &mut buffer[..now];
                self.to.read_exact_at(part, at + done).at("reading back", self.path)?;
                hash.update(&*part);
            }
            if *expect != Sha256(hash.finalize().into()) {
                return Err(changed(source, name));
            }
        }
        Ok(())
    }
}

/// The digest of a blob that is being written.
enum Digest {
    Known(Sha256),
    Taken(sha2::Sha256),
}

impl Digest {
    fn take(&mut self, bytes: &[u8]) {
        if let Digest::Taken(hash) = self {
            hash.update(bytes);
        }
    }

    fn finish(self) -> Sha256 {
        match self {
            Digest::Known(known) => known,
            Digest::Taken(hash) => Sha256(hash.finalize().into()),
        }
    }
}

/// A length in parts of the buffer's size: where each begins, and its length.
fn parts(len: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..len).step_by(BUFFER).map(move |done| (done, (len - done).min(BUFFER as u64) as usize))
}

fn changed(source: &Path, name: &str) -> Error {
    let text = format!("{} changed since it was locked (it goes to {name} on the medium)", source.display());
    Error::input(text).hint("put the file back, or run `kiln fetch --update` to lock what is there now")
}
