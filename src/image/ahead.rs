//! Reading ahead of a hash: a hash never waits for a copy out of the page cache, since another thread makes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::sync_channel;

use sha2::Digest as _;

use crate::digest::Sha256;
use crate::progress::Progress;

/// Bytes handed over at once: waking a sleeping thread costs as much as hashing a tenth of them.
const CHUNK: usize = 2 << 20;
/// Buffers in flight.
const BUFFERS: usize = 4;

/// Gives `take` the bytes of `file` from its start, in order, as far as each of `marks` says: offset and bytes.
///
/// Reading runs on a thread of its own and stops with the first error.
pub fn read(
    file: &File,
    marks: impl Iterator<Item = u64> + Send,
    mut take: impl FnMut(u64, &mut [u8]),
) -> io::Result<()> {
    let (give, free) = sync_channel(BUFFERS);
    let (send, full) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        // The channel has room for all of them, and its other end is alive.
        let _ = give.send(vec![0; CHUNK]);
    }
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut at = 0;
            for mark in marks {
                while at < mark {
                    let Ok(mut buffer) = free.recv() else { return Ok(()) };
                    let len = (mark - at).min(CHUNK as u64) as usize;
                    file.read_exact_at(&mut buffer[..len], at)?;
                    if send.send((at, len, buffer)).is_err() {
                        return Ok(());
                    }
                    at += len as u64;
                }
            }
            Ok(())
        });
        for (at, len, mut buffer) in full {
            take(at, &mut buffer[..len]);
            let _ = give.send(buffer);
        }
        reading.join().map_err(|_| io::Error::other("the thread that reads ahead failed"))?
    })
}

/// SHA-256 of the first `size` bytes of a file.
pub fn digest(file: &File, size: u64, progress: &dyn Progress) -> io::Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    read(file, std::iter::once(size), |_, part| {
        hash.update(&*part);
        progress.advance(part.len() as u64);
    })?;
    Ok(Sha256(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_once_and_in_order() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..3 * CHUNK + 17).map(|n| (n * 7 % 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let mut seen = Vec::new();
        let marks = [5, 5, CHUNK as u64 + 1, bytes.len() as u64];
        read(&file, marks.into_iter(), |at, part| {
            assert_eq!(at, seen.len() as u64);
            seen.extend_from_slice(part);
        })
        .unwrap();
        assert_eq!(seen, bytes);
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        let error = read(&file, std::iter::once(4), |_, _| panic!("nothing was read")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
