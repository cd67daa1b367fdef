//! The staging file: a medium under construction, beside its final name, locked by the process that writes it. Whoever
//! comes next removes those that nobody holds any more.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::digest::Sha256;
use crate::error::{Class, Error, IoContext, Result};

/// Name of the list of digests beside the output.
pub const SUMS: &str = "SHA256SUMS";

/// A staging file; removed when dropped, unless it was published.
#[derive(Debug)]
pub struct Staging {
    /// The file, open for reading and writing.
    pub file: File,
    /// Its path.
    pub path: PathBuf,
    published: bool,
}

impl Staging {
    /// Makes the staging file of an output, and removes what killed runs left behind.
    pub fn create(output: &Path) -> Result<Self> {
        Self::named(output, "")
    }

    /// Makes a second file beside an output, for what the medium is made from.
    pub fn work(output: &Path) -> Result<Self> {
        Self::named(output, "-work")
    }

    fn named(output: &Path, what: &str) -> Result<Self> {
        let (dir, name) = split(output)?;
        // Until the staging file is locked another run would take it for a killed one's.
        let _turn = lock(&dir)?;
        clean(&dir, &name);
        let path = dir.join(format!(".{name}.kiln-{}{what}.part", std::process::id()));
        // 0600: a medium carries private keys.
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file
            .at("making", &path)
            .map_err(|error| error.hint("choose an output in a folder that you may write to"))?;
        let staging = Self { file, path, published: false };
        flock(&staging.file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| Error::io("locking", &staging.path, error.into()))?;
        Ok(staging)
    }

    /// Lets the first `len` bytes share their blocks with the base, where the file system can; tells whether it did.
    pub fn share(&self, base: &File, len: u64) -> bool {
        rustix::fs::ioctl_ficlone(&self.file, base).is_ok() && self.file.set_len(len).is_ok()
    }

    /// Lets everybody read the file, whatever the umask is.
    pub fn open_to_all(&self) -> Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        self.file.set_permissions(mode).at("setting the mode of", &self.path)
    }

    /// Checks, before the first byte, that `need` more bytes will fit.
    pub fn room(&self, need: u64) -> Result<()> {
        let stat =
            rustix::fs::fstatvfs(&self.file).map_err(|e| Error::io("looking at", &self.path, e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if need <= free {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let text = format!("no room in {}: {} MiB needed, {} MiB free", dir.display(), mib(need), mib(free));
        Err(Error::new(Class::Io, text).hint("make room, or choose an output on another file system"))
    }

    /// Gives the file its final name and writes its digest, if it has one, to `SHA256SUMS`. The content is on the disk already.
    pub fn publish(mut self, output: &Path, sha256: Option<&Sha256>) -> Result<()> {
        let (dir, name) = split(output)?;
        // Several builds into one folder read and write one list.
        let _turn = lock(&dir)?;
        std::fs::rename(&self.path, output).at("renaming the finished medium to", output)?;
        self.published = true;
        sync_dir(&dir)?;
        let sums = dir.join(SUMS);
        let old = std::fs::read_to_string(&sums).unwrap_or_default();
        let mut lines: Vec<String> =
            old.lines().filter(|line| listed(line) != Some(&name)).map(str::to_owned).collect();
        if sha256.is_none() && lines.len() == old.lines().count() {
            return Ok(());
        }
        lines.extend(sha256.map(|sha256| format!("{sha256}  {name}")));
        lines.sort_by(|a, b| listed(a).cmp(&listed(b)));
        let part = dir.join(format!(".{SUMS}.kiln-{}.part", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all((lines.join("\n") + "\n").as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, &sums)
        };
        write().at("writing", &sums)?;
        sync_dir(&dir)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure here, and the next run tries again.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The file name of a line of `sha256sum`.
fn listed(line: &str) -> Option<&str> {
    line.get(64..).map(|rest| rest.trim_start_matches([' ', '*']))
}

fn split(output: &Path) -> Result<(PathBuf, String)> {
    let name = output.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::input(format!("{} is no name for a file", output.display())))?;
    let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((dir.to_owned(), name.to_owned()))
}

/// Waits for this process's turn in a folder; holds it until the file is dropped.
fn lock(dir: &Path) -> Result<File> {
    let wrong =
        |error: Error| error.hint("choose an output in a folder that is there and that you may write to");
    let file = File::open(dir).at("opening the folder", dir).map_err(wrong)?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| wrong(Error::io("locking the folder", dir, error.into())))?;
    Ok(file)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).at("flushing", dir)
}

/// Removes staging files that no process holds. The folder is locked, so none is between being made and being locked.
fn clean(dir: &Path, name: &str) {
    let prefix = format!(".{name}.kiln-");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        let found = entry.file_name();
        let Some(found) = found.to_str() else { continue };
        let sums = found.starts_with(&format!(".{SUMS}.kiln-"));
        if !(found.starts_with(&prefix) || sums) || !found.ends_with(".part") {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Says plainly what a full disk is.
pub fn no_room(error: Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(now) = cause {
        let kind = now.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(
            kind,
            Some(
                std::io::ErrorKind::StorageFull
                    | std::io::ErrorKind::QuotaExceeded
                    | std::io::ErrorKind::FileTooLarge
            )
        ) {
            let hint = "make room, or choose an output on another file system; nothing was left behind";
            return Error::new(Class::Io, format!("no room: {error}")).hint(hint);
        }
        cause = now.source();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_that_end_at_once_keep_each_others_digests() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..8).map(|i| format!("{i}.iso")).collect();
        for round in 0..20_u8 {
            std::thread::scope(|scope| {
                for name in &names {
                    let output = dir.path().join(name);
                    scope.spawn(move || {
                        let staging = Staging::create(&output).unwrap();
                        staging.publish(&output, Some(&Sha256([round; 32]))).unwrap();
                    });
                }
            });
            let sums = std::fs::read_to_string(dir.path().join(SUMS)).unwrap();
            let fresh =
                sums.lines().filter(|line| line.starts_with(&Sha256([round; 32]).to_string())).count();
            assert_eq!(fresh, names.len(), "{sums}");
        }
    }
}
