//! Content that is described, not held: a list of pieces that lie in memory, in files, or are zeros.
//!
//! A medium of many gigabytes is planned from blobs; bytes move only when a writer streams them. The length is known
//! before anything is read, so that whole layouts can be computed first.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::Sha256;

/// A run of bytes from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Adds a piece; empty ones are dropped.
    pub fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
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
