//! The `pki` folder as files: one writer at a time, nothing half-written, keys for their owner only.
//!
//! The folder as a whole, and each pair in it, is a folder that is written aside, flushed and renamed into place, so a kill
//! at any moment leaves either nothing or all of it. Knows nothing of certificates.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{Error, IoContext, Result};

/// No file here is larger; more is damage.
const LIMIT: u64 = 1 << 20;
/// Name of what is being written, below the folder that it goes to. Only the holder of the lock uses it.
const STAGING: &str = ".new";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Certificates: 0644.
    Public,
    /// Keys: 0600, and nothing else is accepted when it is read.
    Private,
}

/// A file to write: name, access, text.
pub type NewFile<'a> = (&'a str, Access, &'a str);

/// The folder, locked.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Holds the lock; closing it lets go. None where a reader may not make the lock file.
    _lock: Option<File>,
}

impl Store {
    /// Locks the folder for writing; waits for others. Clears what a killed writer left.
    pub fn for_writing(dir: &Path) -> Result<Self> {
        let path = beside(dir, "lock")?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .at("opening the lock", &path)?;
        lock(&file, FlockOperation::LockExclusive).at("locking", &path)?;
        let store = Store { dir: dir.to_owned(), _lock: Some(file) };
        remove(&beside(dir, "new")?)?;
        remove(&dir.join(STAGING))?;
        Ok(store)
    }

    /// Locks the folder for reading, where there is a lock to take.
    pub fn for_reading(dir: &Path) -> Result<Self> {
        let path = beside(dir, "lock")?;
        let file = match File::open(&path) {
            Ok(file) => {
                lock(&file, FlockOperation::LockShared).at("locking", &path)?;
                Some(file)
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => None,
            Err(error) => return Err(Error::io("opening the lock", &path, error)),
        };
        Ok(Store { dir: dir.to_owned(), _lock: file })
    }

    /// Path of a file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether the folder is there with something in it. Checks that it is closed to others.
    pub fn exists(&self) -> Result<bool> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("reading the folder", &self.dir, error)),
        };
        if entries {
            refuse_open(&self.dir, "0700")?;
        }
        Ok(entries)
    }

    /// Makes the whole folder from files that may lie in folders below it, in one step.
    pub fn create(&self, files: &[NewFile<'_>]) -> Result<()> {
        let staging = beside(&self.dir, "new")?;
        make_private_dir(&staging)?;
        write_files(&staging, files)?;
        // An empty folder that the user made may be there already; rename(2) replaces it and nothing else.
        rename(&staging, &self.dir)
    }

    /// Puts a folder of files at `name`; what lay there becomes `name.old`.
    pub fn replace_folder(&self, name: &str, files: &[NewFile<'_>]) -> Result<()> {
        let staging = self.dir.join(STAGING);
        make_private_dir(&staging)?;
        write_files(&staging, files)?;
        let target = self.path(name);
        if let Some(parent) = target.parent() {
            make_private_dirs(parent)?;
        }
        let old = self.path(&format!("{name}.old"));
        if target.exists() {
            remove(&old)?;
            rename(&target, &old)?;
        }
        rename(&staging, &target)
    }

    /// Writes a private file at `name`; a copy of what lay there stays as `name.old`.
    pub fn replace_secret(&self, name: &str, text: &str) -> Result<()> {
        if let Some(old) = self.read(name, Access::Private)? {
            self.write_over(&format!("{name}.old"), Access::Private, &old)?;
        }
        self.write_over(name, Access::Private, text)
    }

    /// Writes a public file at `name`, over what lay there.
    pub fn replace_public(&self, name: &str, text: &str) -> Result<()> {
        self.write_over(name, Access::Public, text)
    }

    fn write_over(&self, name: &str, access: Access, text: &str) -> Result<()> {
        let staging = self.dir.join(STAGING);
        remove(&staging)?;
        write_file(&staging, access, text)?;
        rename(&staging, &self.path(name))
    }

    /// Reads a file; `None` when it is not there. A private file that others may read is an error.
    pub fn read(&self, name: &str, access: Access) -> Result<Option<String>> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("opening", &path, error)),
        };
        if access == Access::Private {
            refuse_open(&path, "0600")?;
        }
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).at("reading", &path)?;
        Ok(Some(text))
    }

    /// Reads a file that must be there.
    pub fn require(&self, name: &str, access: Access) -> Result<String> {
        self.read(name, access)?.ok_or_else(|| {
            Error::input(format!("{} is missing", self.path(name).display())).hint(
                "restore it from a backup of the `pki` folder; kiln does not make a part anew, because nodes that \
                 exist would not trust it",
            )
        })
    }

    /// Names of the folders below `name`, sorted; former and unfinished ones are left out.
    pub fn folders(&self, name: &str) -> Result<Vec<String>> {
        let path = self.path(name);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("reading the folder", &path, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.at("reading the folder", &path)?;
            let folder = entry.file_type().at("reading the folder", &path)?.is_dir();
            if let (true, Some(name)) = (folder, entry.file_name().to_str())
                && !name.starts_with('.')
                && !name.ends_with(".old")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// `.pki.lock` or `.pki.new` beside `pki`.
fn beside(dir: &Path, suffix: &str) -> Result<PathBuf> {
    let name = dir.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Error::input(format!("{} cannot be the folder of the certificates", dir.display()))
            .hint("it has a plain name, by custom `pki` beside the cluster file")
    })?;
    Ok(dir.with_file_name(format!(".{name}.{suffix}")))
}

fn lock(file: &File, how: FlockOperation) -> std::io::Result<()> {
    loop {
        match rustix::fs::flock(file, how) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

fn refuse_open(path: &Path, want: &str) -> Result<()> {
    let mode = fs::metadata(path).at("reading the permissions of", path)?.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::input(format!("{} may be used by others (mode {mode:04o})", path.display()))
        .hint(format!("run: chmod {want} {}", path.display())))
}

fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path).at("making the folder", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).at("setting the permissions of", path)
}

fn make_private_dirs(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_private_dirs(parent)?;
    }
    make_private_dir(path)?;
    sync_parent(path)
}

fn write_files(dir: &Path, files: &[NewFile<'_>]) -> Result<()> {
    let mut folders = std::collections::BTreeSet::from([dir.to_owned()]);
    for (name, access, text) in files {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            make_private_dirs(parent)?;
            folders.insert(parent.to_owned());
        }
        write_file(&path, *access, text)?;
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn write_file(path: &Path, access: Access, text: &str) -> Result<()> {
    let mode = if access == Access::Private { 0o600 } else { 0o644 };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).at("making", path)?;
    // Whatever the umask takes away, the owner gets back.
    file.set_permissions(fs::Permissions::from_mode(mode)).at("setting the permissions of", path)?;
    file.write_all(text.as_bytes()).at("writing", path)?;
    file.sync_all().at("writing", path)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).at("renaming into place", to)?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).at("flushing the folder", path)
}

fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.at("removing", path),
    }
}
