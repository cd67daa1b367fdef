//! Lays members of an archive down below a root, by file descriptors: every folder on the way is opened without following
//! links (open(2) `O_NOFOLLOW`; openat2 is younger than the kernel of EL 7), and a file is written under a passing name
//! and renamed when it is complete.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Class, Error, IoContext, Result};
use crate::format::tar::read::{Member, MemberKind};
use crate::tree::NodePath;

/// Name of a file while it is written.
const PASSING: &str = ".kiln-place";

/// Largest account file that is read.
const MAX_ACCOUNTS: u64 = 4 << 20;

/// A root that things are laid down in.
#[derive(Debug)]
pub(super) struct Layer {
    root: OwnedFd,
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    /// Files, folders and links so far.
    pub(super) members: u64,
    /// Bytes of files so far.
    pub(super) bytes: u64,
}

impl Layer {
    /// Opens the root, and reads its own accounts: numbers may differ from the running system's.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(std::io::Error::from);
        let fd = fd.at("opening the new system's root", root)?;
        Ok(Self {
            root: fd,
            users: accounts(&root.join("etc/passwd"))?,
            groups: accounts(&root.join("etc/group"))?,
            members: 0,
            bytes: 0,
        })
    }

    /// Lays one member down; what is there under its name is replaced, but a folder by folders only.
    pub(super) fn put(&mut self, member: &Member, content: &mut impl Read) -> Result<()> {
        let path = &member.path;
        let id = |of: &BTreeMap<String, u32>, what: &str, name: &str| {
            of.get(name).copied().ok_or_else(|| {
                Error::input(format!("{path} belongs to {what} `{name}`, which the new system does not have"))
                    .hint("the package that makes the account is missing; add it to the profile")
            })
        };
        let owner = Uid::from_raw(id(&self.users, "user", &member.owner)?);
        let group = Gid::from_raw(id(&self.groups, "group", &member.group)?);
        let mode = Mode::from_raw_mode(member.mode.into());
        let failed = |error: Errno| fault(path, error);
        let dir = self.folder(path.parent().as_ref())?;
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        match &member.kind {
            MemberKind::Dir => {
                let own = enter(&dir, name, path)?;
                rustix::fs::fchown(&own, Some(owner), Some(group)).map_err(failed)?;
                rustix::fs::fchmod(&own, mode).map_err(failed)?;
            }
            MemberKind::File(_) => {
                clear(&dir, path)?;
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let private = Mode::RUSR | Mode::WUSR;
                let fd = rustix::fs::openat(&dir, PASSING, flags, private).map_err(failed)?;
                let mut file = File::from(fd);
                let copied = std::io::copy(content, &mut file).at("writing", Path::new(path.as_str()))?;
                // The owner first: a change of owner takes set-user-id bits away.
                rustix::fs::fchown(&file, Some(owner), Some(group)).map_err(failed)?;
                rustix::fs::fchmod(&file, mode).map_err(failed)?;
                rustix::fs::renameat(&dir, PASSING, &dir, name).map_err(failed)?;
                self.bytes += copied;
            }
            MemberKind::Symlink(target) => {
                clear(&dir, path)?;
                rustix::fs::symlinkat(target.as_str(), &dir, PASSING).map_err(failed)?;
                let link = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&dir, PASSING, Some(owner), Some(group), link).map_err(failed)?;
                rustix::fs::renameat(&dir, PASSING, &dir, name).map_err(failed)?;
            }
        }
        self.members += 1;
        Ok(())
    }

    /// Waits until all is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.root).map_err(|error| {
            Error::new(Class::Io, "flushing the new system failed").because(std::io::Error::from(error))
        })
    }

    /// Opens a folder below the root; missing ones are made, mode 0755 of root.
    fn folder(&self, path: Option<&NodePath>) -> Result<OwnedFd> {
        let mut dir = self.root.try_clone().at("opening", Path::new("/"))?;
        let Some(path) = path else { return Ok(dir) };
        let mut end = 0;
        for part in path.relative().split('/') {
            end += 1 + part.len();
            dir = enter(&dir, part, &NodePath::new(&path.as_str()[..end])?)?;
        }
        Ok(dir)
    }
}

/// Opens a folder of `dir`, made if it is missing, and never through a link.
fn enter(dir: &OwnedFd, name: &str, path: &NodePath) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(dir, name, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::NOENT) => {
            rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)).map_err(|error| fault(path, error))?;
            let made = open();
            // The umask may have taken bits away.
            made.and_then(|made| rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755)).map(|()| made))
        }
        other => other,
    };
    opened.map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => {
            Error::input(format!("{path} is no folder in the new system, but a link or a file"))
                .hint("what lies below it has to go to its real path: /usr/lib, not /lib")
        }
        error => fault(path, error),
    })
}

/// Takes away what a broken attempt left.
fn clear(dir: &OwnedFd, path: &NodePath) -> Result<()> {
    match rustix::fs::unlinkat(dir, PASSING, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(fault(path, error)),
    }
}

fn fault(path: &NodePath, error: Errno) -> Error {
    Error::io("laying down", Path::new(path.as_str()), error.into())
}

/// Names and numbers of passwd(5) or group(5): the first and third field.
fn accounts(path: &Path) -> Result<BTreeMap<String, u32>> {
    let mut text = String::new();
    let file = File::open(path).at("opening", path)?;
    file.take(MAX_ACCOUNTS).read_to_string(&mut text).at("reading", path)?;
    let account = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    Ok(text.lines().filter_map(account).collect())
}
