//! Moving bytes: parts of the base without passing through this process where the kernel can, holes kept; and files of the
//! payload with their digests taken on the way. What `kiln.lock` pins is compared afterwards with what lies on the medium,
//! when the processors have less to do.

use std::borrow::Borrow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::ScopedJoinHandle;

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;
use sha2::Digest as _;

use crate::blob::{Blob, Piece};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::image::beside::joined;
use crate::image::{Content, Digests, MediumFile};

/// Bytes moved between two reports of progress.
const STEP: u64 = 8 << 20;
/// Buffer for what must pass through memory.
const BUFFER: usize = 1 << 20;
/// Buffers between a writer and the thread that takes the digest of what is written.
const BUFFERS: usize = 4;
/// A blob of this size has its digest taken on a thread of its own.
const BESIDE: u64 = 8 << 20;

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
pub struct Pinned {
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
    tell: Option<Sender<Pinned>>,
}

impl<'a> Blobs<'a> {
    /// Into the file `to`, which lies at `path`.
    pub fn new(to: &'a File, path: &'a Path) -> Self {
        Self { to, path, pinned: Vec::new(), tell: None }
    }

    /// The same; what is pinned is told as soon as it is written, for [`verify`] on another thread.
    pub fn telling(to: &'a File, path: &'a Path) -> (Self, Receiver<Pinned>) {
        let (tell, told) = channel();
        (Self { tell: Some(tell), ..Self::new(to, path) }, told)
    }

    /// Writes a blob to `at`, and gives its digest. That of a single pinned file is the one it must have; whether it has
    /// it, and whether pinned files among others have theirs, [`Blobs::verify`] says. Of any other large blob it is taken on a thread
    /// beside.
    pub fn write(&mut self, blob: &Blob, name: &str, at: u64, mut upto: impl FnMut(u64)) -> Result<Sha256> {
        let known = match blob.pieces() {
            [Piece::File { expect: Some(known), .. }] => Some(*known),
            _ => None,
        };
        let digest = std::thread::scope(|scope| {
            let mut digest = match known {
                Some(known) => Digest::Known(known),
                None if blob.len() < BESIDE => Digest::Taken(sha2::Sha256::new()),
                None => {
                    let (send, full) = sync_channel::<(Vec<u8>, usize)>(BUFFERS);
                    let (give, free) = sync_channel(BUFFERS);
                    // The channel has room for all of them, and its other end is alive.
                    (0..BUFFERS).for_each(|_| _ = give.send(vec![0; BUFFER]));
                    let hashing = scope.spawn(move || {
                        let mut hash = sha2::Sha256::new();
                        for (buffer, len) in full {
                            hash.update(&buffer[..len]);
                            let _ = give.send(buffer);
                        }
                        Sha256(hash.finalize().into())
                    });
                    Digest::Beside { send, free, hashing }
                }
            };
            self.pieces(blob, name, at, &mut digest, &mut upto)?;
            digest.finish()
        })?;
        match blob.expected() {
            Some(expected) if expected != digest => Err(Error::input(format!(
                "what goes to {name} has the SHA-256 {digest}, and kiln.lock pins {expected}"
            ))
            .hint("`kiln fetch --update` pins it anew")),
            _ => Ok(digest),
        }
    }

    fn pieces(
        &mut self,
        blob: &Blob,
        name: &str,
        at: u64,
        digest: &mut Digest<'_>,
        upto: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let (mut next, mut own) = (at, vec![0; BUFFER]);
        for piece in blob.pieces() {
            match piece {
                Piece::Bytes(bytes) => {
                    for part in bytes.chunks(BUFFER) {
                        digest.take(&mut own, part.len(), |buffer| {
                            buffer.copy_from_slice(part);
                            Ok(())
                        })?;
                    }
                    self.to.write_all_at(bytes, next).at("writing", self.path)?;
                }
                Piece::Zeros(len) => {
                    // The staging file has a hole here, and holes are zeros.
                    for (_, now) in parts(*len) {
                        digest.take(&mut own, now, |buffer| {
                            buffer.fill(0);
                            Ok(())
                        })?;
                    }
                }
                Piece::File { path: source, offset, len, expect } => {
                    let file = File::open(source).at("opening", source)?;
                    for (done, now) in parts(*len) {
                        digest.take(&mut own, now, |part| {
                            file.read_exact_at(part, offset + done).map_err(|error| match error.kind() {
                                io::ErrorKind::UnexpectedEof => changed(source, name),
                                _ => Error::io("reading", source, error),
                            })?;
                            self.to.write_all_at(part, next + done).at("writing", self.path)
                        })?;
                        upto(next + done + now as u64);
                    }
                    if let Some(expect) = *expect {
                        let (source, name) = (source.clone(), name.to_owned());
                        let pinned = Pinned { at: next, len: *len, expect, source, name };
                        match &self.tell {
                            // Who verifies goes away only with an error of its own.
                            Some(tell) => _ = tell.send(pinned),
                            None => self.pinned.push(pinned),
                        }
                    }
                }
            }
            next += piece.len();
            upto(next);
        }
        Ok(())
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
        verify((self.to, self.path), &self.pinned)
    }
}

/// Compares ranges of a medium with the digests that they must have.
pub fn verify<P: Borrow<Pinned>>(
    (to, path): (&File, &Path),
    pinned: impl IntoIterator<Item = P>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    for one in pinned {
        let Pinned { at, len, expect, source, name } = one.borrow();
        let mut hash = sha2::Sha256::new();
        for (done, now) in parts(*len) {
            let part = &mut buffer[..now];
            to.read_exact_at(part, at + done).at("reading back", path)?;
            hash.update(&*part);
        }
        if *expect != Sha256(hash.finalize().into()) {
            return Err(changed(source, name));
        }
    }
    Ok(())
}

/// The digest of a blob that is being written.
enum Digest<'scope> {
    /// It is known.
    Known(Sha256),
    /// It is taken here.
    Taken(sha2::Sha256),
    /// It is taken on another thread, which gets buffers and gives them back.
    Beside {
        send: SyncSender<(Vec<u8>, usize)>,
        free: Receiver<Vec<u8>>,
        hashing: ScopedJoinHandle<'scope, Sha256>,
    },
}

impl Digest<'_> {
    /// Takes `len` bytes, at most a buffer's, which `fill` makes: in `own`, or in a buffer that goes to the other thread.
    fn take(&mut self, own: &mut [u8], len: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
        match self {
            Digest::Known(_) => fill(&mut own[..len]),
            Digest::Taken(hash) => {
                fill(&mut own[..len])?;
                hash.update(&own[..len]);
                Ok(())
            }
            Digest::Beside { send, free, .. } => {
                let gone = |()| Error::internal("the thread that takes a digest failed");
                let mut buffer = free.recv().map_err(|_| gone(()))?;
                fill(&mut buffer[..len])?;
                send.send((buffer, len)).map_err(|_| gone(()))
            }
        }
    }

    fn finish(self) -> Result<Sha256> {
        match self {
            Digest::Known(known) => Ok(known),
            Digest::Taken(hash) => Ok(Sha256(hash.finalize().into())),
            Digest::Beside { send, free, hashing } => {
                drop((send, free));
                joined(hashing)
            }
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
