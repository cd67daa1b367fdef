//! The reader: streams members, trusts nothing. It makes no file; laying members down safely is the caller's work.

use std::collections::BTreeMap;
use std::io::Read;

use super::field::{self, Field};
use super::{BLOCK, Header, MAGIC, checksum, is_account};
use crate::error::{Error, Result};
use crate::tree::NodePath;

/// Most members that an archive may have: far more than any node's tree, few enough to remember all paths.
pub const MAX_MEMBERS: usize = 200_000;

/// Longest extended header: room for a path and a link's target of 4,096 bytes each.
const MAX_PAX: u64 = 16 << 10;

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it belongs.
    pub path: NodePath,
    /// Permission bits.
    pub mode: u16,
    /// Owner by name.
    pub owner: String,
    /// Group by name.
    pub group: String,
    /// Seconds since 1970.
    pub mtime: u64,
    /// What it is.
    pub kind: MemberKind,
}

/// Kind of a [`Member`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A folder.
    Dir,
    /// A file of so many bytes, which [`Reader::content`] gives.
    File(u64),
    /// A symbolic link and its target.
    Symlink(String),
}

/// Reads an archive member by member.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Bytes read so far; for messages.
    at: u64,
    /// Content of the current member that was not read yet, and its padding.
    content: u64,
    padding: u64,
    /// Paths seen, and whether each is a folder.
    seen: BTreeMap<NodePath, bool>,
    ended: bool,
}

#[derive(Default)]
struct Pax {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl<R: Read> Reader<R> {
    /// A reader of an archive that starts at `inner`'s first byte.
    pub fn new(inner: R) -> Self {
        Self { inner, at: 0, content: 0, padding: 0, seen: BTreeMap::new(), ended: false }
    }

    /// The next member, or `None` at the end. What was left of the member before it is skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_content()?;
        let mut pax = Pax::default();
        loop {
            let header = self.block()?;
            if header.iter().all(|byte| *byte == 0) {
                self.end(&pax)?;
                return Ok(None);
            }
            self.check_header(&header)?;
            let size = self.octal(&header, field::SIZE, "size")?;
            if header[field::TYPE.0] != b'x' {
                let member = self.member(&header, pax, size)?;
                return Ok(Some(member));
            }
            if pax.path.is_some() || pax.link.is_some() || pax.size.is_some() {
                return Err(self.bad("two extended headers follow each other"));
            }
            pax = self.extended(size)?;
        }
    }

    /// Content of the current member; at its end it gives 0 bytes.
    pub fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    fn member(&mut self, header: &Header, pax: Pax, size: u64) -> Result<Member> {
        let name = match pax.path {
            Some(path) => path,
            None => {
                let name = self.text(header, field::NAME)?;
                let prefix = self.text(header, field::PREFIX)?;
                if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
            }
        };
        let size = pax.size.unwrap_or(size);
        let kind = match header[field::TYPE.0] {
            b'0' | 0 => MemberKind::File(size),
            b'5' => MemberKind::Dir,
            b'2' => {
                let target = match pax.link {
                    Some(link) => link,
                    None => self.text(header, field::LINK)?,
                };
                if target.is_empty() || target.len() > 4096 {
                    return Err(self.bad("a link's target is empty or too long"));
                }
                MemberKind::Symlink(target)
            }
            other => {
                return Err(self.bad(&format!("members of type `{}` are not read", other.escape_ascii())));
            }
        };
        if !matches!(kind, MemberKind::File(_)) && size != 0 {
            return Err(self.bad("a member that is no file has content"));
        }
        let name = if kind == MemberKind::Dir { name.strip_suffix('/').unwrap_or(&name) } else { &name };
        let path = NodePath::new(format!("/{name}"))
            .map_err(|error| error.context(format!("tar archive, byte {}", self.at)))?;
        self.remember(&path, kind == MemberKind::Dir)?;
        let mode = self.octal(header, field::MODE, "mode")?;
        let mode = u16::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| self.bad("a mode is more than permission bits"))?;
        let (owner, group) = (self.account(header, field::UNAME)?, self.account(header, field::GNAME)?);
        let mtime = self.octal(header, field::MTIME, "time")?;
        if let MemberKind::File(size) = kind {
            self.content = size;
            self.padding = size.wrapping_neg() % BLOCK;
        }
        Ok(Member { path, mode, owner, group, mtime, kind })
    }

    fn remember(&mut self, path: &NodePath, is_dir: bool) -> Result<()> {
        if self.seen.len() >= MAX_MEMBERS {
            return Err(self.bad("there are too many members"));
        }
        let mut above = path.parent();
        while let Some(parent) = above {
            if self.seen.get(&parent) == Some(&false) {
                return Err(self.bad(&format!("{path} lies below {parent}, which is no folder")));
            }
            above = parent.parent();
        }
        if self.seen.insert(path.clone(), is_dir).is_some() {
            return Err(self.bad(&format!("{path} is there twice")));
        }
        let below = format!("{path}/");
        let from = (std::ops::Bound::Included(below.as_str()), std::ops::Bound::Unbounded);
        let after = self.seen.range::<str, _>(from).next();
        if !is_dir && after.is_some_and(|(other, _)| other.as_str().starts_with(&below)) {
            return Err(self.bad(&format!("{path} is no folder, but other members lie below it")));
        }
        Ok(())
    }

    fn extended(&mut self, size: u64) -> Result<Pax> {
        if size > MAX_PAX {
            return Err(self.bad("an extended header is too long"));
        }
        let padded = size.next_multiple_of(BLOCK);
        let mut bytes = vec![0; padded as usize];
        self.fill(&mut bytes)?;
        bytes.truncate(size as usize);
        let mut text = String::from_utf8(bytes).map_err(|_| self.bad("an extended header is not UTF-8"))?;
        let mut pax = Pax::default();
        while !text.is_empty() {
            let broken = || self.bad("an extended header's record is broken");
            let len: usize = text.split(' ').next().and_then(|len| len.parse().ok()).ok_or_else(broken)?;
            if !text.is_char_boundary(len) || len > text.len() || len == 0 {
                return Err(broken());
            }
            let rest = text.split_off(len);
            let record = text.split_once(' ').and_then(|(_, record)| record.strip_suffix('\n'));
            let (key, value) = record.and_then(|record| record.split_once('=')).ok_or_else(broken)?;
            match key {
                "path" => pax.path = Some(value.to_owned()),
                "linkpath" => pax.link = Some(value.to_owned()),
                "size" => pax.size = Some(value.parse().map_err(|_| broken())?),
                "mtime" | "atime" | "ctime" | "comment" => {}
                other => {
                    return Err(
                        self.bad(&format!("the extended attribute `{}` is not read", other.escape_debug()))
                    );
                }
            }
            text = rest;
        }
        Ok(pax)
    }

    fn end(&mut self, pax: &Pax) -> Result<()> {
        if pax.path.is_some() || pax.link.is_some() || pax.size.is_some() {
            return Err(self.bad("it ends behind an extended header"));
        }
        if self.block()?.iter().any(|byte| *byte != 0) {
            return Err(self.bad("a single block of zeros stands between members"));
        }
        self.ended = true;
        Ok(())
    }

    fn check_header(&self, header: &Header) -> Result<()> {
        if self.octal(header, field::CHECKSUM, "checksum")? != checksum(header) {
            return Err(self.bad("a header's checksum is wrong"));
        }
        if header[field::MAGIC.0..field::MAGIC.0 + field::MAGIC.1] != *MAGIC {
            return Err(self.bad("a header is not of the ustar format"));
        }
        Ok(())
    }

    fn account(&self, header: &Header, field: Field) -> Result<String> {
        let name = self.text(header, field)?;
        if is_account(&name) { Ok(name) } else { Err(self.bad("an owner's or group's name is not allowed")) }
    }

    fn text(&self, header: &Header, (at, len): Field) -> Result<String> {
        let bytes = &header[at..at + len];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(len);
        String::from_utf8(bytes[..end].to_vec()).map_err(|_| self.bad("a name is not UTF-8"))
    }

    fn octal(&self, header: &Header, (at, len): Field, what: &str) -> Result<u64> {
        let bytes = &header[at..at + len];
        let end = bytes.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(len);
        let fine = end > 0 && bytes[end..].iter().all(|byte| matches!(byte, 0 | b' '));
        let digits = std::str::from_utf8(&bytes[..end]).ok().filter(|_| fine);
        digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| u64::from_str_radix(digits, 8).ok())
            .ok_or_else(|| self.bad(&format!("the field for {what} is no octal number")))
    }

    fn skip_content(&mut self) -> Result<()> {
        let rest = self.content.saturating_add(self.padding);
        let skipped = std::io::copy(&mut self.inner.by_ref().take(rest), &mut std::io::sink());
        let skipped = skipped.map_err(|error| self.unreadable(error))?;
        self.at += skipped;
        if skipped != rest {
            return Err(self.bad("it is cut short"));
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn block(&mut self) -> Result<Header> {
        let mut header = [0; BLOCK as usize];
        self.fill(&mut header)?;
        Ok(header)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.inner.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.bad("it is cut short"))
            }
            Err(error) => Err(self.unreadable(error)),
        }
    }

    fn bad(&self, what: &str) -> Error {
        Error::input(format!("tar archive, byte {}: {what}", self.at))
    }

    fn unreadable(&self, source: std::io::Error) -> Error {
        let message = format!("reading the tar archive failed at byte {}", self.at);
        Error::new(crate::error::Class::Io, message).because(source)
    }
}

/// Content of a [`Reader`]'s current member.
#[derive(Debug)]
pub struct Content<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let reader = &mut *self.0;
        let want = (buffer.len() as u64).min(reader.content) as usize;
        if want == 0 {
            return Ok(0);
        }
        let got = reader.inner.read(&mut buffer[..want])?;
        if got == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the tar archive is cut short",
            ));
        }
        reader.content -= got as u64;
        reader.at += got as u64;
        Ok(got)
    }
}
