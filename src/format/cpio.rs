//! cpio archives in the "newc" form (Linux `Documentation/driver-api/early-userspace/buffer-format.rst`), as the kernel unpacks them
//! from an initrd and as packages of rpm carry them.
//!
//! [`write`] makes a layer for an initrd out of a tree: the same tree gives the same bytes. [`Reader`] reads any archive of this form,
//! bounded. Not here: other forms of cpio, checksums ("070702" is read, its sums are not compared), several names of one file.

use std::io::{Read, Write};

use sha2::Digest as _;

use crate::blob::Blob;
use crate::digest::Sha256;
use crate::error::{Class, Error, Result};
use crate::tree::{Kind, NodePath, Tree};

/// Bytes of a header.
const HEADER: usize = 110;
/// Everything begins at a multiple of it.
const ALIGN: u64 = 4;
/// Name of the last member.
const TRAILER: &str = "TRAILER!!!";
/// Longest name that is read: Linux's own limit.
const MAX_NAME: u64 = 4096;
/// File type bits of a mode.
const TYPE: u32 = 0o170_000;
const DIR: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Folders that the initrd below a layer has already. An entry for one would replace its mode and owner, and one for `bin` the link to
/// `usr/bin` itself: then nothing starts.
const OF_BASE: [&str; 14] = [
    "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr",
    "/var", "/mnt",
];
/// Links of an initrd, below which nothing may be put.
const LINKS: [&str; 4] = ["/bin", "/lib", "/lib64", "/sbin"];

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// gzip, which every kernel reads.
    Gzip,
    /// zstd in one frame; kernels from 5.9 read it.
    Zstd,
}

impl Packing {
    /// What the kernel of a major release of Enterprise Linux reads best.
    pub fn for_el(major: u8) -> Self {
        if major >= 9 { Packing::Zstd } else { Packing::Gzip }
    }
}

/// Writes a layer for an initrd to `out`, which is filled up to a multiple of four bytes. Members come in path order, each folder before
/// what it holds; folders that the tree does not name are made with mode 0755, or the kernel would drop their files without a word.
/// Everything belongs to root and has the time 0.
pub fn write(tree: &Tree, packing: Packing, out: &mut dyn Write) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::new(Class::Io, "writing a layer of an initrd failed").because(error);
    let mut counted = Counted { out, written: 0 };
    match packing {
        Packing::Plain => members(tree, &mut counted)?,
        Packing::Gzip => {
            // No name, no time: both would be in the bytes.
            let mut packed =
                flate2::GzBuilder::new().mtime(0).write(&mut counted, flate2::Compression::new(6));
            members(tree, &mut packed)?;
            packed.finish().map_err(failed)?;
        }
        Packing::Zstd => {
            let mut packed = zstd::stream::write::Encoder::new(&mut counted, 3).map_err(failed)?;
            // Without a worker the bytes differ from those with any number of workers.
            packed.multithread(1).map_err(failed)?;
            members(tree, &mut packed)?;
            packed.finish().map_err(failed)?;
        }
    }
    pad(&mut counted).map_err(failed)
}

/// Counts what goes through it.
struct Counted<W> {
    out: W,
    written: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let done = self.out.write(bytes)?;
        self.written += done as u64;
        Ok(done)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn pad<W: Write>(out: &mut Counted<W>) -> std::io::Result<()> {
    let rest = padding(out.written);
    out.write_all(&[0; ALIGN as usize][..rest as usize])
}

/// All members and the trailer.
fn members(tree: &Tree, out: &mut dyn Write) -> Result<()> {
    tree.check_hierarchy()?;
    let mut out = Counted { out, written: 0 };
    let mut inode = 0;
    let mut made: Vec<String> = Vec::new();
    for (path, entry) in tree.iter() {
        let context =
            |error: Error| error.context(format!("a layer of an initrd: {path} (from {})", entry.origin));
        check(path, entry.mode).map_err(context)?;
        for folder in parents(path) {
            let named = tree.get(folder.as_str()).is_some();
            if !named && !OF_BASE.contains(&folder.as_str()) && !made.contains(&folder) {
                inode += 1;
                member(&mut out, inode, &folder, DIR | 0o755, &Blob::default()).map_err(context)?;
                made.push(folder);
            }
        }
        inode += 1;
        let mode = u32::from(entry.mode);
        match &entry.kind {
            Kind::Dir if OF_BASE.contains(&path.as_str()) => {}
            Kind::Dir => {
                member(&mut out, inode, path.as_str(), DIR | mode, &Blob::default()).map_err(context)?
            }
            Kind::File(blob) => member(&mut out, inode, path.as_str(), FILE | mode, blob).map_err(context)?,
            Kind::Symlink(target) => {
                let target = Blob::bytes(target.as_bytes());
                member(&mut out, inode, path.as_str(), LINK | 0o777, &target).map_err(context)?;
            }
        }
    }
    member(&mut out, 0, &format!("/{TRAILER}"), 0, &Blob::default())
}

/// Refuses what would break the initrd below.
fn check(path: &NodePath, mode: u16) -> Result<()> {
    if mode > 0o7777 {
        return Err(Error::input(format!("mode {mode:o} is more than permission bits")));
    }
    let path = path.as_str();
    match LINKS.iter().find(|link| path.strip_prefix(**link).is_some_and(|rest| rest.starts_with('/'))) {
        Some(link) => Err(Error::input(format!("{link} of an initrd is a link, which this would replace"))
            .hint(format!("put it below /usr{link}"))),
        None => Ok(()),
    }
}

/// Folders above a path, the outermost first.
fn parents(path: &NodePath) -> Vec<String> {
    let mut all: Vec<String> = std::iter::successors(path.parent(), NodePath::parent)
        .map(|folder| folder.as_str().to_owned())
        .collect();
    all.reverse();
    all
}

fn member<W: Write>(out: &mut Counted<W>, inode: u32, path: &str, mode: u32, content: &Blob) -> Result<()> {
    let name = path.trim_start_matches('/');
    let size =
        u32::try_from(content.len()).map_err(|_| Error::input("a file of 4 GiB or more does not fit"))?;
    let links = if mode & TYPE == DIR { 2 } else { 1 };
    // Inode, mode, uid, gid, links, mtime, size, the device twice, the device's own number twice, name's length, checksum.
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    let header: String = fields.iter().map(|field| format!("{field:08X}")).collect();
    let mut body = || -> std::io::Result<()> {
        write!(out, "070701{header}{name}\0")?;
        pad(out)?;
        let mut hashed = Hashed { inner: content.reader(), hash: sha2::Sha256::new() };
        std::io::copy(&mut hashed, out)?;
        let found = Sha256(hashed.hash.finalize().into());
        match content.expected().filter(|expected| *expected != found) {
            Some(expected) => Err(std::io::Error::other(format!("it has SHA-256 {found}, not {expected}"))),
            None => pad(out),
        }
    };
    body().map_err(|error| Error::new(Class::Io, format!("writing {name} failed")).because(error))
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hash: sha2::Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.hash.update(&buffer[..got]);
        Ok(got)
    }
}

/// A member of an archive, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name as it is written: `usr/bin/true`, or `./usr/bin/true` in packages of rpm.
    pub name: String,
    /// File type and permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of content; of a link its target.
    pub size: u64,
}

impl Member {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & TYPE == FILE
    }
}

/// Reads an archive from its beginning to its trailer. Memory does not grow with the archive.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    /// Bytes of the member's content that were not read yet, and the zeros behind it.
    left: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads from `source`, which is not packed.
    pub fn new(source: R) -> Self {
        Self { source, left: 0, padding: 0, ended: false }
    }

    /// The next member; `None` after the trailer. What was not read of the last one is passed over.
    ///
    /// # Errors
    /// Of class input: it is no archive of this form, or is cut.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        if self.ended {
            return Ok(None);
        }
        self.skip(self.left.saturating_add(self.padding))?;
        let mut header = [0; HEADER];
        self.fill(&mut header)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err(damaged("a member has no header of the form newc"));
        }
        let mut fields = [0_u32; 13];
        for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
            let text =
                std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|c| c.is_ascii_hexdigit()));
            let number = text.and_then(|text| u32::from_str_radix(text, 16).ok());
            *field = number.ok_or_else(|| damaged("a header holds what is no number"))?;
        }
        let [_, mode, uid, gid, _, mtime, size, _, _, _, _, named, _] = fields;
        let named = u64::from(named);
        if !(2..=MAX_NAME).contains(&named) {
            return Err(damaged("a name has no length that can be"));
        }
        let mut name = vec![0; named as usize];
        self.fill(&mut name)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(damaged("a name does not end where it should"));
        }
        self.skip(padding(HEADER as u64 + named))?;
        let name = String::from_utf8(name).map_err(|_| damaged("a name is not UTF-8"))?;
        if name == TRAILER {
            self.ended = true;
            return Ok(None);
        }
        self.left = u64::from(size);
        self.padding = padding(self.left);
        Ok(Some(Member { name, mode, owner: (uid, gid), mtime, size: u64::from(size) }))
    }

    /// Content of the member that was read last, as far as it was not read yet.
    pub fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.source.read_exact(buffer).map_err(|error| damaged("it cannot be read to its end").because(error))
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        (self.left, self.padding) = (0, 0);
        let done = std::io::copy(&mut self.source.by_ref().take(bytes), &mut std::io::sink());
        match done {
            Ok(done) if done == bytes => Ok(()),
            Ok(_) => Err(damaged("it ends too early")),
            Err(error) => Err(damaged("it cannot be read to its end").because(error)),
        }
    }
}

/// Content of a member.
#[derive(Debug)]
pub struct Content<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let want = (buffer.len() as u64).min(self.0.left) as usize;
        let got = self.0.source.read(&mut buffer[..want])?;
        if got == 0 && want > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= got as u64;
        Ok(got)
    }
}

/// Zeros behind so many bytes.
fn padding(bytes: u64) -> u64 {
    (ALIGN - bytes % ALIGN) % ALIGN
}

fn damaged(what: &str) -> Error {
    Error::input(format!("the cpio archive is damaged: {what}"))
}

#[cfg(test)]
#[path = "cpio_tests.rs"]
mod tests;
