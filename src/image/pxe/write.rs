//! The writer of trees: files are streamed and hashed into a folder beside the output, which gets its name when all is on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use sha2::Digest as _;

use super::list::{LIST, Listed, TreeList};
use super::{Built, Planned};
use crate::digest::Sha256;
use crate::error::{Class, Error, IoContext, Result};
use crate::image::{Content, Digests};
use crate::progress::Progress;

/// Bytes that are moved at a time.
const PIECE: usize = 1 << 20;

/// Refuses an output that is there and is no tree of kiln's.
pub fn check_output(output: &Path, force: bool) -> Result<()> {
    let shown = output.display();
    match fs::symlink_metadata(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("looking at", output, error).hint("choose another output")),
        Ok(found) if !found.is_dir() => {
            Err(Error::input(format!("{shown} is there and is no folder")).hint("choose another output"))
        }
        Ok(_) if force || output.join(LIST).is_file() => Ok(()),
        Ok(_) => Err(Error::input(format!("{shown} is there and is no tree that kiln made"))
            .hint("choose another output, or --force to replace it")),
    }
}

/// A folder under construction; removed when dropped, unless it was published. Its lock tells it from one that a killed run left.
struct Staging {
    path: PathBuf,
    lock: File,
}

impl Staging {
    fn create(output: &Path) -> Result<Self> {
        let name = output.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| Error::input(format!("{} is no name for a folder", output.display())))?;
        let parent =
            output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let prefix = format!(".{name}.kiln-");
        for entry in fs::read_dir(parent).at("opening the folder", parent)?.flatten() {
            let found = entry.file_name();
            let ours =
                found.to_str().is_some_and(|found| found.starts_with(&prefix) && found.ends_with(".tree"));
            let Ok(folder) = File::open(entry.path()) else { continue };
            if ours && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = parent.join(format!("{prefix}{}.tree", std::process::id()));
        // It holds keys.
        DirBuilder::new().mode(0o700).create(&path).at("making", &path)?;
        let lock = File::open(&path).at("opening", &path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| Error::io("locking", &path, error.into()))?;
        Ok(Self { path, lock })
    }

    /// Checks that so many bytes fit.
    fn room(&self, bytes: u64) -> Result<()> {
        let stat = rustix::fs::fstatvfs(&self.lock)
            .map_err(|error| Error::io("looking at", &self.path, error.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if bytes <= free {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let text = format!("no room for the tree: {} MiB needed, {} MiB free", mib(bytes), mib(free));
        Err(Error::new(Class::Io, text).hint("make room, or choose an output on another file system"))
    }

    /// Puts all on the disk and gives it its name; an older tree of that name is exchanged and removed.
    fn publish(&self, output: &Path) -> Result<()> {
        let flushed = rustix::fs::syncfs(&self.lock);
        flushed.map_err(|error| Error::io("flushing", &self.path, error.into()))?;
        let renamed = match fs::symlink_metadata(output) {
            Ok(_) => renameat_with(CWD, &self.path, CWD, output, RenameFlags::EXCHANGE),
            Err(_) => renameat_with(CWD, &self.path, CWD, output, RenameFlags::NOREPLACE),
        };
        renamed.map_err(|error| Error::io("renaming the finished tree to", output, error.into()))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left of a failure, or the tree that was there before; nothing can be done if that fails.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Writes a tree of these files; `list` gets their digests.
pub(super) fn write(
    output: &Path,
    files: Vec<Planned>,
    mut list: TreeList,
    progress: &dyn Progress,
) -> Result<Built> {
    let staging = Staging::create(output)?;
    let total = files.iter().map(|file| file.content.len()).fold(0, u64::saturating_add);
    // Every file ends in a block that is not full.
    staging.room(total.saturating_add(files.len() as u64 * 4096))?;
    progress.step("writing the tree");
    progress.total(total);
    let mut digests = Digests::new();
    let mut buffer = vec![0; PIECE];
    for Planned { path, mode, content, to } in files {
        let (size, sha256) = file(&staging.path.join(&path), mode, content, &digests, &mut buffer, progress)?;
        digests.insert(format!("/{path}"), (size, sha256));
        list.files.insert(path, Listed { size, sha256, to });
    }
    let json = list.to_json()?;
    let sha256 = Sha256::of(&json);
    let at = staging.path.join(LIST);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&at).at("making", &at)?;
    out.write_all(&json).at("writing", &at)?;
    let mode = if list.files.values().any(|listed| listed.to.is_secret()) { 0o700 } else { 0o755 };
    fs::set_permissions(&staging.path, fs::Permissions::from_mode(mode))
        .at("setting the mode of", &staging.path)?;
    progress.step("flushing");
    staging.publish(output)?;
    Ok(Built {
        files: list.files.len() as u64 + 1,
        bytes: total + json.len() as u64,
        sha256,
        notes: Vec::new(),
    })
}

/// Writes one file; its size and digest.
fn file(
    at: &Path,
    mode: u16,
    content: Content,
    digests: &Digests,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<(u64, Sha256)> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent).at("making the folder", parent)?;
    }
    // Closed to others until its mode is known to be set.
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(at).at("making", at)?;
    let (len, expected) =
        (content.len(), if let Content::Blob(blob) = &content { blob.expected() } else { None });
    let done = match content {
        Content::Blob(blob) => copy(&mut blob.reader(), &mut out, buffer, progress).at("writing", at)?,
        Content::Deferred(deferred) => {
            let bytes = (deferred.make)(digests)?;
            copy(&mut bytes.as_slice(), &mut out, buffer, progress).at("writing", at)?
        }
    };
    if done.0 != len {
        return Err(Error::internal(format!("{} has not the length that was planned", at.display())));
    }
    if let Some(expected) = expected.filter(|expected| *expected != done.1) {
        let text = format!("what goes to {} has SHA-256 {}, not {expected}", at.display(), done.1);
        return Err(Error::input(text).hint("a source file changed while the tree was written: build again"));
    }
    out.set_permissions(fs::Permissions::from_mode(mode.into())).at("setting the mode of", at)?;
    Ok(done)
}

fn copy(
    from: &mut dyn Read,
    to: &mut File,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> io::Result<(u64, Sha256)> {
    let (mut hash, mut done) = (sha2::Sha256::new(), 0);
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok((done, Sha256(hash.finalize().into()))),
            Ok(got) => {
                hash.update(&buffer[..got]);
                to.write_all(&buffer[..got])?;
                done += got as u64;
                progress.advance(got as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
