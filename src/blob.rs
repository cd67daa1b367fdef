//! Content that is described, not held: a list of pieces that lie in memory, in files, or are zeros.
//!
//! A medium of many gigabytes is planned from blobs; bytes move only when a writer streams them. The length is known
//! before anything is read, so that whole layouts can be computed first.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Sha256;
use crate::error::{Class, Error, Result};
use crate::format::read_at::ReadAt;

/// A run of bytes from one source. Shown in debug output without its bytes, which may be a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
    /// Zeros.
    Zeros(u64),
    /// A range of a file. When `expect` is given it is the digest of the whole range, and a writer that streams the piece
    /// must fail if what it read differs.
    File {
        /// Where the file lies on the machine that builds.
        path: PathBuf,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
        /// Digest that the range must have.
        expect: Option<Sha256>,
    },
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Piece::Zeros(len) => write!(f, "Zeros({len})"),
            Piece::File { path, offset, len, .. } => write!(f, "File({}, {offset}+{len})", path.display()),
        }
    }
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Zeros(len) | Piece::File { len, .. } => *len,
        }
    }

    /// Whether the piece has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Content made of pieces, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob {
    pieces: Vec<Piece>,
    len: u64,
    /// Digest of the whole, if somebody vouches for it.
    known: Option<Sha256>,
}

impl Blob {
    /// Content in memory.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let mut blob = Self::default();
        blob.push(Piece::Bytes(bytes.into()));
        blob
    }

    /// A whole file of known length, with the digest it must have when it is streamed.
    pub fn file(path: impl Into<PathBuf>, len: u64, expect: Option<Sha256>) -> Self {
        let mut blob = Self::default();
        blob.push(Piece::File { path: path.into(), offset: 0, len, expect });
        blob
    }

    /// The same content, of which the digest is known. A writer that streams it must fail if it has another one.
    #[must_use]
    pub fn known(mut self, digest: Sha256) -> Self {
        self.known = Some(digest);
        self
    }

    /// The digest that the whole must have, if that is known.
    pub fn expected(&self) -> Option<Sha256> {
        match self.pieces.as_slice() {
            [Piece::File { expect: Some(known), .. }] => Some(*known),
            _ => self.known,
        }
    }

    /// Files that it needs and that are not there, or are too short.
    pub fn missing(&self) -> Vec<&Path> {
        let short = |piece: &'_ Piece| match piece {
            Piece::File { path, offset, len, .. } => {
                let there =
                    std::fs::metadata(path).is_ok_and(|facts| facts.len() >= offset.saturating_add(*len));
                !there
            }
            Piece::Bytes(_) | Piece::Zeros(_) => false,
        };
        let short = self.pieces.iter().filter(|piece| short(piece));
        short
            .filter_map(
                |piece| if let Piece::File { path, .. } = piece { Some(path.as_path()) } else { None },
            )
            .collect()
    }

    /// Adds a piece; empty ones are dropped.
    pub fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.known = None;
            self.len += piece.len();
            self.pieces.push(piece);
        }
    }

    /// Adds all pieces of another blob.
    pub fn extend(&mut self, other: Blob) {
        other.pieces.into_iter().for_each(|piece| self.push(piece));
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Reads the content as a stream; files are opened when their turn comes. A file that is shorter than planned is an
    /// error; whether its content is the expected one is for the caller to check.
    pub fn reader(&self) -> BlobReader<'_> {
        BlobReader { rest: self.pieces.iter(), current: Current::None }
    }

    /// Digest of the content. It is read unless it is one file whose digest is known.
    pub fn digest(&self) -> Result<Sha256> {
        if let Some(known) = self.expected() {
            return Ok(known);
        }
        let digest = Sha256::of_reader(self.reader());
        Ok(digest
            .map_err(|error| Error::new(Class::Io, "reading content to hash it failed").because(error))?
            .0)
    }

    /// Reads everything into memory; fails if that is more than `limit` bytes. For small files and tests.
    pub fn to_vec(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} bytes, over {limit}", self.len),
            ));
        }
        let mut out = Vec::with_capacity(self.len as usize);
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Zeros(len) => out.resize(out.len() + *len as usize, 0),
                Piece::File { path, offset, len, .. } => {
                    let mut file = std::fs::File::open(path)?;
                    file.seek(SeekFrom::Start(*offset))?;
                    if file.take(*len).read_to_end(&mut out)? as u64 != *len {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "file is shorter than planned",
                        ));
                    }
                }
            }
        }
        Ok(out)
    }
}

impl ReadAt for Blob {
    /// Files are opened for each reading: it is for headers and documents, not for all of the content.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut skip, mut done) = (offset, 0);
        for piece in &self.pieces {
            if done == buf.len() {
                break;
            }
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let now = (piece.len() - skip).min((buf.len() - done) as u64) as usize;
            let part = &mut buf[done..done + now];
            match piece {
                Piece::Bytes(bytes) => part.copy_from_slice(&bytes[skip as usize..skip as usize + now]),
                Piece::Zeros(_) => part.fill(0),
                Piece::File { path, offset, .. } => {
                    let named = |error: io::Error| {
                        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                    };
                    let file = std::fs::File::open(path).map_err(named)?;
                    ReadAt::read_exact_at(&file, part, offset + skip).map_err(named)?;
                }
            }
            (done, skip) = (done + now, 0);
        }
        if done == buf.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

/// Stream over a [`Blob`]'s bytes.
#[derive(Debug)]
pub struct BlobReader<'a> {
    rest: std::slice::Iter<'a, Piece>,
    current: Current<'a>,
}

#[derive(Debug)]
enum Current<'a> {
    None,
    Bytes(&'a [u8]),
    Zeros(u64),
    File(std::fs::File, u64, &'a Path),
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let (got, empty) = match &mut self.current {
                Current::None => (0, true),
                Current::Bytes(bytes) => (bytes.read(buffer)?, bytes.is_empty()),
                Current::Zeros(left) => {
                    let got = (buffer.len() as u64).min(*left) as usize;
                    buffer[..got].fill(0);
                    *left -= got as u64;
                    (got, *left == 0)
                }
                Current::File(file, left, path) => {
                    let want = (buffer.len() as u64).min(*left) as usize;
                    let got = file.read(&mut buffer[..want])?;
                    if got == 0 {
                        let message = format!("{} is shorter than planned", path.display());
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                    }
                    *left -= got as u64;
                    (got, *left == 0)
                }
            };
            if empty {
                self.current = Current::None;
            }
            if got > 0 {
                return Ok(got);
            }
            self.current = match self.rest.next() {
                None => return Ok(0),
                Some(Piece::Bytes(bytes)) => Current::Bytes(bytes),
                Some(Piece::Zeros(len)) => Current::Zeros(*len),
                Some(Piece::File { path, offset, len, .. }) => {
                    let named = |error: io::Error| {
                        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                    };
                    let mut file = std::fs::File::open(path).map_err(named)?;
                    file.seek(SeekFrom::Start(*offset)).map_err(named)?;
                    Current::File(file, *len, path)
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_gives_all_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut blob = Blob::bytes(*b"ab");
        blob.push(Piece::Zeros(3));
        blob.push(Piece::File { path: path.clone(), offset: 2, len: 5, expect: None });
        let mut out = Vec::new();
        blob.reader().read_to_end(&mut out).unwrap();
        assert_eq!(out, b"ab\0\0\x0023456");
        assert_eq!(out, blob.to_vec(100).unwrap());
        assert_eq!(blob.digest().unwrap(), Sha256::of(&out));
        for (at, len) in [(0, 10), (1, 3), (4, 6), (9, 1), (10, 0)] {
            assert_eq!(blob.read_vec_at(at as u64, len).unwrap(), out[at..at + len], "{at}+{len}");
        }
        assert!(blob.read_vec_at(9, 2).is_err() && ReadAt::size(&blob).unwrap() == 10);
        blob.push(Piece::File { path, offset: 8, len: 5, expect: None });
        let error = blob.reader().read_to_end(&mut out).unwrap_err();
        assert!(error.to_string().contains("shorter than planned"), "{error}");
    }

    #[test]
    fn debug_output_shows_no_bytes() {
        let shown = format!("{:?}", Blob::bytes(*b"-----BEGIN PRIVATE KEY-----"));
        assert!(
            shown.contains("Bytes(27)") && !shown.contains("PRIVATE") && !shown.contains("45, 45"),
            "{shown}"
        );
    }

    #[test]
    fn any_range_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"__file__").unwrap();
        let mut blob = Blob::bytes(b"abc".as_slice());
        blob.push(Piece::Zeros(2));
        blob.push(Piece::File { path, offset: 2, len: 4, expect: None });
        let whole = blob.to_vec(100).unwrap();
        assert_eq!(whole, b"abc\0\0file");
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                assert_eq!(blob.read_vec_at(from as u64, to - from).unwrap(), whole[from..to]);
            }
        }
        assert!(blob.read_vec_at(5, 5).is_err() && blob.read_vec_at(u64::MAX, 1).is_err());
    }
}
