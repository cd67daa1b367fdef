//! Reading at an offset, without a cursor: what the readers of images stand on. A file, and bytes in memory, can do it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// A source of bytes that can be read at any place.
pub trait ReadAt {
    /// Fills `buf` with the bytes from `offset`; fails with `UnexpectedEof` when the source ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads `len` bytes from `offset`. Callers bound `len`.
    fn read_vec_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; len];
        self.read_exact_at(&mut buf, offset)?;
        Ok(buf)
    }
}

/// A source of which it can be told where it holds data. Holes read as zeros.
pub trait Sparse: ReadAt {
    /// The next run of data at or behind `from`: its first byte and its end. A run may go on right behind its end.
    fn next_data(&self, from: u64) -> io::Result<Option<(u64, u64)>>;
}

impl Sparse for File {
    fn next_data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        let size = ReadAt::size(self)?;
        if from >= size {
            return Ok(None);
        }
        let data = match seek(self, SeekFrom::Data(from)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(None),
            // A file system that cannot tell has no holes.
            Err(_) => return Ok(Some((from, size))),
        };
        let hole = seek(self, SeekFrom::Hole(data)).unwrap_or(size);
        Ok((data < size).then_some((data, hole.clamp(data + 1, size))))
    }
}

impl<T: Sparse + ?Sized> Sparse for Arc<T> {
    fn next_data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        (**self).next_data(from)
    }
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok();
        let source = from.and_then(|from| self.get(from..from.checked_add(buf.len())?));
        match source {
            Some(source) => {
                buf.copy_from_slice(source);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
}

/// Part of another source, seen as a source of its own: the inside of an image file.
#[derive(Debug, Clone)]
pub struct Window<R> {
    inner: R,
    start: u64,
    len: u64,
}

impl<R: ReadAt> Window<R> {
    /// The `len` bytes of `inner` from `start`.
    pub fn new(inner: R, start: u64, len: u64) -> Self {
        Self { inner, start, len }
    }
}

impl<R: ReadAt> ReadAt for Window<R> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.len);
        match end.and_then(|_| self.start.checked_add(offset)) {
            Some(at) => self.inner.read_exact_at(buf, at),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_it_ends() {
        let bytes: Vec<u8> = (0..10).collect();
        let window = Window::new(&bytes, 2, 4);
        assert_eq!(window.read_vec_at(1, 3).unwrap(), [3, 4, 5]);
        assert!(window.read_vec_at(1, 4).is_err());
        assert!(window.read_vec_at(u64::MAX, 2).is_err());
    }
}
