//! What works beside a writer: one thread flushes, one takes a digest just behind it from what is final, so that neither begins only
//! when the writer is done.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::ScopedJoinHandle;

use sha2::Digest as _;

use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::image::ahead;

/// The writer tells a hasher how far it is after so many bytes.
pub const TELL: u64 = 4 << 20;
/// The flusher is woken after so many bytes, so that the disk works from the start and not only at the end.
///
/// Large steps leave the disk idle while the processors are busy, and then make the writer wait for a long flush.
pub const FLUSH: u64 = 32 << 20;
/// Tidings that may be on their way to a hasher.
pub const TIDINGS: usize = 256;

/// What the flusher is asked for.
pub enum Flush {
    /// What is there so far; more will come.
    Part,
    /// Everything: nothing more will be written.
    All,
}

/// Flushes whenever it is told to, until all is on the disk or nobody will tell it any more.
pub fn flush(file: &File, woken: &Receiver<Flush>) -> io::Result<()> {
    while let Ok(first) = woken.recv() {
        match woken.try_iter().last().unwrap_or(first) {
            Flush::Part => file.sync_data()?,
            Flush::All => return file.sync_all(),
        }
    }
    Ok(())
}

/// What a thread gave back.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| Error::internal("a thread that writes or reads the medium failed"))
}

/// Says how far a writer is.
#[derive(Debug)]
pub struct Mark {
    tell: SyncSender<u64>,
    told: u64,
    wake: Sender<Flush>,
    unflushed: u64,
}

impl Mark {
    /// So many bytes more have been written, wherever that was.
    pub fn wrote(&mut self, bytes: u64) {
        self.unflushed += bytes;
        if self.unflushed >= FLUSH {
            self.unflushed = 0;
            // The other side only goes away when it failed, and then its error is reported.
            let _ = self.wake.send(Flush::Part);
        }
    }

    /// All bytes before `at` are final.
    pub fn settled(&mut self, at: u64) {
        if at >= self.told + TELL {
            self.told = at;
            // Nobody listens where no digest is taken.
            let _ = self.tell.send(at);
        }
    }
}

/// Runs a writer; what it gave, once the file is on the disk, and the file's digest if that is wanted.
///
/// # Errors
/// The writer's, or Io: flushing or reading back failed.
pub fn run<T>(
    (file, path): (&File, &Path),
    digest: bool,
    write: impl FnOnce(&mut Mark) -> Result<T>,
) -> Result<(T, Option<Sha256>)> {
    std::thread::scope(|scope| {
        let ((wake, woken), (tell, told)) = (channel(), sync_channel(TIDINGS));
        let flushing = scope.spawn(move || flush(file, &woken));
        let hashing = if digest {
            Some(scope.spawn(move || follow(file, told)))
        } else {
            drop(told);
            None
        };
        let mut mark = Mark { tell, told: 0, wake, unflushed: 0 };
        let written = write(&mut mark);
        let Mark { tell, wake, .. } = mark;
        if written.is_ok() {
            let _ = tell.send(file.metadata().at("looking at", path)?.len());
            let _ = wake.send(Flush::All);
        }
        drop((tell, wake));
        let sha256 = hashing.map(joined).transpose()?;
        let flushed = joined(flushing)?.at("flushing", path);
        let written = written?;
        flushed?;
        Ok((written, sha256.transpose().at("reading back", path)?))
    })
}

/// The digest of what was written, as far as the writer is.
fn follow(file: &File, told: Receiver<u64>) -> io::Result<Sha256> {
    let mut hash = sha2::Sha256::new();
    ahead::read(file, told.into_iter(), |_, part| hash.update(&*part))?;
    Ok(Sha256(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn the_digest_is_that_of_the_finished_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let bytes: Vec<u8> = (0..9_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for digest in [true, false] {
            let (len, sha256) = run((&file, &path), digest, |mark| {
                for (at, part) in (0..).step_by(1 << 20).zip(bytes.chunks(1 << 20)) {
                    file.write_all_at(part, at).at("writing", &path)?;
                    mark.wrote(part.len() as u64);
                    mark.settled(at + part.len() as u64);
                }
                // A hole at the end is zeros.
                file.set_len(10 << 20).at("growing", &path)?;
                Ok(bytes.len())
            })
            .unwrap();
            let whole = std::fs::read(&path).unwrap();
            assert_eq!((len, sha256), (bytes.len(), digest.then(|| Sha256::of(&whole))));
        }
        let failed = run((&file, &path), true, |mark| {
            mark.settled(5 << 20);
            Err::<(), _>(Error::input("the writer's own"))
        });
        assert!(failed.unwrap_err().to_string().contains("the writer's own"));
    }
}
