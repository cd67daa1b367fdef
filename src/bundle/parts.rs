//! A stream cut into files of a size: `NAME.001`, `NAME.002`, …, or one file `NAME`. Each is written beside its name and renamed when
//! it is whole and on disk. One that is there already, of a run that was stopped, is compared and kept.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};

/// Smallest part: below it the number of files is the problem.
pub(super) const SMALLEST: u64 = 1 << 20;
const MAX_PARTS: usize = 999;

/// Writes parts.
pub(super) struct Parts {
    output: PathBuf,
    split: Option<u64>,
    done: Vec<PathBuf>,
    size: u64,
    kept: usize,
    current: Option<Current>,
}

struct Current {
    path: PathBuf,
    staged: PathBuf,
    file: File,
    len: u64,
    /// The file of an earlier run, as long as what was written is its beginning.
    same: Option<File>,
}

impl Parts {
    /// Parts of `output`.
    pub(super) fn new(output: &Path, split: Option<u64>) -> Result<Self> {
        if split.is_some_and(|split| split < SMALLEST) {
            return Err(Error::input(format!("parts have {SMALLEST} bytes at least")));
        }
        Ok(Self { output: output.to_owned(), split, done: Vec::new(), size: 0, kept: 0, current: None })
    }

    /// Completes the last one; gives the files, their size, and how many were there.
    pub(super) fn finish(mut self) -> Result<(Vec<PathBuf>, u64, usize)> {
        self.close().at("writing", &self.output)?;
        // Parts of a larger bundle of the same name would be taken for parts of this one.
        for number in self.done.len() + 1..=MAX_PARTS {
            let stale = name(&self.output, number);
            if self.split.is_none() || !stale.exists() {
                break;
            }
            std::fs::remove_file(&stale).at("removing", &stale)?;
        }
        Ok((std::mem::take(&mut self.done), self.size, self.kept))
    }

    fn open(&mut self) -> io::Result<()> {
        if self.done.len() >= MAX_PARTS {
            return Err(io::Error::other(format!("more than {MAX_PARTS} parts; make them larger")));
        }
        let path = match self.split {
            Some(_) => name(&self.output, self.done.len() + 1),
            None => self.output.clone(),
        };
        let mut staged = path.clone().into_os_string();
        staged.push(format!(".{}.part", std::process::id()));
        let staged = PathBuf::from(staged);
        let file = File::create(&staged)?;
        let same = File::open(&path).ok();
        self.current = Some(Current { path, staged, file, len: 0, same });
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let ends = |file: &mut File| file.read(&mut [0]).is_ok_and(|now| now == 0);
        if current.same.as_mut().is_some_and(ends) {
            std::fs::remove_file(&current.staged)?;
            self.kept += 1;
        } else {
            current.file.sync_all()?;
            std::fs::rename(&current.staged, &current.path)?;
        }
        self.done.push(current.path);
        Ok(())
    }
}

impl Current {
    /// Adds bytes. While the file of an earlier run has the same, nothing is written.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(same) = &mut self.same {
            let mut there = vec![0; bytes.len()];
            if same.read_exact(&mut there).is_ok() && there == bytes {
                self.len += bytes.len() as u64;
                return Ok(());
            }
            // It differs here: what was skipped is taken from it.
            let mut old = File::open(&self.path)?.take(self.len);
            io::copy(&mut old, &mut self.file)?;
            self.same = None;
        }
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.as_ref().zip(self.split).is_some_and(|(current, split)| current.len >= split) {
            self.close()?;
        }
        if self.current.is_none() {
            self.open()?;
        }
        let Some(current) = &mut self.current else { return Ok(0) };
        let room = self.split.map_or(u64::MAX, |split| split - current.len);
        let now = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        current.add(&bytes[..now])?;
        self.size += now as u64;
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(current) = &self.current {
            let _ = std::fs::remove_file(&current.staged);
        }
    }
}

/// Name of a part.
fn name(output: &Path, number: usize) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(format!(".{number:03}"));
    PathBuf::from(name)
}

/// The parts of a bundle as a user names them: one file, its parts when there is no such file, or a list of parts in any order.
pub fn find(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let [only] = given else { return Ok(sorted(given)) };
    if only.exists() && only.extension().is_none_or(|end| end != "001") {
        return Ok(vec![only.clone()]);
    }
    let stem = if only.exists() { only.with_extension("") } else { only.clone() };
    let parts: Vec<PathBuf> =
        (1..=MAX_PARTS).map(|number| name(&stem, number)).take_while(|part| part.exists()).collect();
    if parts.is_empty() {
        return Err(Error::input(format!(
            "there is no {} and no {}",
            only.display(),
            name(&stem, 1).display()
        )));
    }
    Ok(parts)
}

fn sorted(given: &[PathBuf]) -> Vec<PathBuf> {
    let mut parts = given.to_vec();
    parts.sort();
    parts
}

/// Reads files one after the other.
pub(super) struct Chain {
    rest: std::vec::IntoIter<PathBuf>,
    current: Option<File>,
}

impl Chain {
    /// Of these files.
    pub(super) fn new(parts: Vec<PathBuf>) -> Self {
        Self { rest: parts.into_iter(), current: None }
    }
}

impl Read for Chain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.current {
                let now = file.read(buffer)?;
                if now > 0 || buffer.is_empty() {
                    return Ok(now);
                }
            }
            match self.rest.next() {
                Some(path) => self.current = Some(File::open(path)?),
                None => return Ok(0),
            }
        }
    }
}
