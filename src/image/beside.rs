//! What works beside a writer: a thread that flushes, so that flushing does not begin only when the writer is done.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::ScopedJoinHandle;

use crate::error::{Error, IoContext, Result};

/// The flusher is woken after so many bytes, so that the disk works from the start and not only at the end.
///
/// Large steps leave the disk idle while the processors are busy, and then make the writer wait for a long flush.
pub const FLUSH: u64 = 32 << 20;

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

/// Says how much a writer has written.
#[derive(Debug)]
pub struct Mark {
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
}

/// Runs a writer; what it gave, once the file is on the disk.
///
/// # Errors
/// The writer's, or Io: flushing failed.
pub fn run<T>((file, path): (&File, &Path), write: impl FnOnce(&mut Mark) -> Result<T>) -> Result<T> {
    std::thread::scope(|scope| {
        let (wake, woken) = channel();
        let flushing = scope.spawn(move || flush(file, &woken));
        let mut mark = Mark { wake, unflushed: 0 };
        let written = write(&mut mark);
        if written.is_ok() {
            let _ = mark.wake.send(Flush::All);
        }
        drop(mark);
        let flushed = joined(flushing)?.at("flushing", path);
        let written = written?;
        flushed.map(|()| written)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_the_writer_gives_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create_new(&path).unwrap();
        let written = run((&file, &path), |mark| {
            for at in 0..40_u64 {
                file.write_all_at(&[7; 1 << 20], at << 20).at("writing", &path)?;
                mark.wrote(1 << 20);
            }
            Ok(40)
        });
        assert_eq!((written.unwrap(), std::fs::metadata(&path).unwrap().len()), (40, 40 << 20));
        let failed = run((&file, &path), |_| Err::<(), _>(Error::input("the writer's own")));
        assert!(failed.unwrap_err().to_string().contains("the writer's own"));
    }
}
