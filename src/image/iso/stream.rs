//! Moving bytes: parts of the base without passing through this process where the kernel can, holes kept; and files of the
//! payload with their digests taken on the way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;
use sha2::Digest as _;

use crate::blob::{Blob, Piece};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};

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

/// Writes a blob to `at`, and gives its digest. Every piece is compared with the digest it must have.
pub fn blob(
    blob: &Blob,
    name: &str,
    to: &File,
    path: &Path,
    at: u64,
    mut upto: impl FnMut(u64),
) -> Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    let mut next = at;
    let mut buffer = vec![0; BUFFER];
    let alone = blob.pieces().len() == 1;
    for piece in blob.pieces() {
        match piece {
            Piece::Bytes(bytes) => {
                hash.update(bytes);
                to.write_all_at(bytes, next).at("writing", path)?;
                next += bytes.len() as u64;
            }
            Piece::Zeros(len) => {
                let mut left = *len;
                buffer.fill(0);
                while left > 0 {
                    let now = left.min(BUFFER as u64);
                    hash.update(&buffer[..now as usize]);
                    left -= now;
                }
                next += len; // the staging file has a hole here, and holes are zeros
            }
            Piece::File { path: source, offset, len, expect } => {
                let file = File::open(source).at("opening", source)?;
                let mut own = sha2::Sha256::new();
                let mut done = 0;
                while done < *len {
                    let now = (*len - done).min(BUFFER as u64) as usize;
                    let part = &mut buffer[..now];
                    file.read_exact_at(part, offset + done).map_err(|error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => changed(source, name),
                        _ => Error::io("reading", source, error),
                    })?;
                    hash.update(&*part);
                    if expect.is_some() && !alone {
                        own.update(&*part);
                    }
                    to.write_all_at(part, next).at("writing", path)?;
                    done += now as u64;
                    next += now as u64;
                    upto(next);
                }
                let digest = if alone { hash.clone().finalize() } else { own.finalize() };
                if expect.is_some_and(|expect| expect != Sha256(digest.into())) {
                    return Err(changed(source, name));
                }
            }
        }
        upto(next);
    }
    Ok(Sha256(hash.finalize().into()))
}

fn changed(source: &Path, name: &str) -> Error {
    let text = format!("{} changed since it was locked (it goes to {name} on the medium)", source.display());
    Error::input(text).hint("put the file back, or run `kiln fetch --update` to lock what is there now")
}
