//! Where the members of any tar archive lie: read by offset, headers only, so that an archive of gigabytes costs a few
//! kilobytes. For archives of other makers, so it knows what they use: ustar, pax, GNU long names and sizes, links. It makes no
//! file: names are keys to look up, and one that climbs is refused.

use std::collections::BTreeMap;

use super::field::{self, Field};
use super::{BLOCK, Header, checksum};
use crate::error::{Class, Error, Result};
use crate::format::read_at::ReadAt;

/// Most members that are indexed.
pub const MAX_MEMBERS: usize = 20_000;
/// Longest extended header or name.
const MAX_EXTENDED: u64 = 64 << 10;

/// Where a file's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// First byte in the archive.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

#[derive(Debug)]
enum Member {
    Dir,
    File(Extent),
    /// A link to another member, by its name in the archive.
    Link(String),
}

/// The members of an archive by name, without `./` in front.
#[derive(Debug)]
pub struct Index {
    members: BTreeMap<String, Member>,
}

impl Index {
    /// Reads all headers.
    pub fn read(source: &impl ReadAt) -> Result<Self> {
        let size = source.size().map_err(|error| unreadable(0, error))?;
        let mut scan = Scan { source, size, at: 0, members: BTreeMap::new() };
        while scan.member()? {}
        Ok(Self { members: scan.members })
    }

    /// The extent of a file, through one link if it is one.
    pub fn file(&self, name: &str) -> Option<Extent> {
        match self.members.get(name)? {
            Member::File(extent) => Some(*extent),
            Member::Link(target) => match self.members.get(target)? {
                Member::File(extent) => Some(*extent),
                _ => None,
            },
            Member::Dir => None,
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// Whether the bytes at the start of a file are a tar header.
pub fn is_tar(start: &[u8]) -> bool {
    let header: Option<&Header> = start.first_chunk();
    header.is_some_and(|header| octal(header, field::CHECKSUM) == Some(checksum(header)))
}

#[derive(Default)]
struct Names {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

struct Scan<'a, R> {
    source: &'a R,
    size: u64,
    at: u64,
    members: BTreeMap<String, Member>,
}

impl<R: ReadAt> Scan<'_, R> {
    /// Reads one member with the headers in front of it; false at the end.
    fn member(&mut self) -> Result<bool> {
        let mut names = Names::default();
        loop {
            let header: Header = self.take(BLOCK)?.try_into().map_err(|_| self.bad("it is cut short"))?;
            if header.iter().all(|byte| *byte == 0) {
                return Ok(false);
            }
            if octal(&header, field::CHECKSUM) != Some(checksum(&header)) {
                return Err(self.bad("a header's checksum is wrong"));
            }
            let size = number(&header, field::SIZE).ok_or_else(|| self.bad("a size is no number"))?;
            match header[field::TYPE.0] {
                b'x' => self.pax(size, &mut names)?,
                b'g' => drop(self.extended(size)?),
                b'L' => names.path = Some(self.gnu_name(size)?),
                b'K' => names.link = Some(self.gnu_name(size)?),
                kind => {
                    self.plain(&header, kind, size, names)?;
                    return Ok(true);
                }
            }
        }
    }

    fn plain(&mut self, header: &Header, kind: u8, size: u64, names: Names) -> Result<()> {
        let path = match names.path {
            Some(path) => path,
            None => {
                let (name, prefix) = (text(header, field::NAME), text(header, field::PREFIX));
                let name = name.ok_or_else(|| self.bad("a name is not UTF-8"))?;
                // GNU's own form has times where ustar has the prefix.
                let ustar = header[field::MAGIC.0..].starts_with(b"ustar\0");
                match prefix.filter(|prefix| ustar && !prefix.is_empty()) {
                    Some(prefix) => format!("{prefix}/{name}"),
                    None => name,
                }
            }
        };
        let name = normal(&path).ok_or_else(|| self.bad("a name climbs or is absolute"))?;
        let member = match kind {
            b'0' | 0 | b'7' => {
                let len = names.size.unwrap_or(size);
                let end = self.at.checked_add(len).filter(|end| *end <= self.size);
                let end = end.ok_or_else(|| self.bad("it is cut short"))?;
                let extent = Extent { offset: self.at, len };
                self.at = end.next_multiple_of(BLOCK);
                Member::File(extent)
            }
            b'5' => Member::Dir,
            b'1' | b'2' => {
                let link = names.link.or_else(|| text(header, field::LINK));
                let link = link.ok_or_else(|| self.bad("a link's target is not UTF-8"))?;
                let from =
                    if kind == b'2' { name.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
                // A link out of the archive leads nowhere.
                Member::Link(resolve(from, &link).unwrap_or_default())
            }
            other => {
                return Err(self.bad(&format!("members of type `{}` are not read", other.escape_ascii())));
            }
        };
        if self.members.len() >= MAX_MEMBERS {
            return Err(self.bad("there are too many members"));
        }
        let folder = matches!(member, Member::Dir);
        match self.members.insert(name, member) {
            Some(Member::Dir) if folder => Ok(()),
            None => Ok(()),
            Some(_) => Err(self.bad("a name is there twice")),
        }
    }

    /// An extended header: records of `LENGTH key=value\n`.
    fn pax(&mut self, size: u64, names: &mut Names) -> Result<()> {
        let text = self.extended(size)?;
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let broken = || self.bad("an extended header's record is broken");
            let len: usize = rest.split(' ').next().and_then(|len| len.parse().ok()).ok_or_else(broken)?;
            let record = rest.get(..len).filter(|record| !record.is_empty()).ok_or_else(broken)?;
            let record = record.split_once(' ').and_then(|(_, record)| record.strip_suffix('\n'));
            let (key, value) = record.and_then(|record| record.split_once('=')).ok_or_else(broken)?;
            match key {
                "path" => names.path = Some(value.to_owned()),
                "linkpath" => names.link = Some(value.to_owned()),
                "size" => names.size = Some(value.parse().map_err(|_| broken())?),
                _ => {}
            }
            rest = &rest[len..];
        }
        Ok(())
    }

    fn gnu_name(&mut self, size: u64) -> Result<String> {
        let text = self.extended(size)?;
        Ok(text.trim_end_matches('\0').to_owned())
    }

    /// Content of a header that says more about the next one.
    fn extended(&mut self, size: u64) -> Result<String> {
        if size > MAX_EXTENDED {
            return Err(self.bad("an extended header is too long"));
        }
        let mut bytes = self.take(size.next_multiple_of(BLOCK))?;
        bytes.truncate(size as usize);
        String::from_utf8(bytes).map_err(|_| self.bad("an extended header is not UTF-8"))
    }

    fn take(&mut self, len: u64) -> Result<Vec<u8>> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| self.bad("it is cut short"))?;
        let bytes = self.source.read_vec_at(self.at, len as usize);
        let bytes = bytes.map_err(|error| unreadable(self.at, error))?;
        self.at = end;
        Ok(bytes)
    }

    fn bad(&self, what: &str) -> Error {
        Error::input(format!("tar archive, byte {}: {what}", self.at))
    }
}

fn unreadable(at: u64, source: std::io::Error) -> Error {
    Error::new(Class::Io, format!("reading the tar archive failed at byte {at}")).because(source)
}

/// A member's name without `.` parts and slashes at the end; `None` if it climbs or is absolute.
fn normal(path: &str) -> Option<String> {
    if path.starts_with('/') { None } else { resolve("", path) }
}

/// Where `path`, seen from a folder of the archive, leads; `None` if that is outside of it.
fn resolve(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.len() > 4096 {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let depth = parts.len();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // A link may go up as far as the archive goes; a name, whose folder is "", not at all.
            ".." if depth > 0 => drop(parts.pop()?),
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn text(header: &Header, (at, len): Field) -> Option<String> {
    let bytes = &header[at..at + len];
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(len);
    String::from_utf8(bytes[..end].to_vec()).ok()
}

/// A number in octal digits, or in GNU's binary form, which begins with 0x80.
fn number(header: &Header, field: Field) -> Option<u64> {
    let bytes = &header[field.0..field.0 + field.1];
    if bytes[0] != 0x80 {
        return octal(header, field);
    }
    let (high, low) = bytes[1..].split_at(bytes.len() - 9);
    let low: [u8; 8] = low.try_into().ok()?;
    high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(low))
}

/// Octal digits with spaces or NULs around them.
fn octal(header: &Header, (at, len): Field) -> Option<u64> {
    let digits = std::str::from_utf8(&header[at..at + len]).ok()?.trim_matches([' ', '\0']);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// An archive that GNU tar makes of a folder with a short file, a long name and a link.
    fn made_by_tar(format: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        std::fs::create_dir_all(dir.path().join("in").join("d".repeat(90))).unwrap();
        std::fs::write(dir.path().join("in/short"), "12345").unwrap();
        std::fs::write(dir.path().join("in").join(long), "long").unwrap();
        std::os::unix::fs::symlink("../short", dir.path().join("in").join("d".repeat(90)).join("up"))
            .unwrap();
        std::os::unix::fs::symlink("../../etc/passwd", dir.path().join("in/out")).unwrap();
        let run = Command::new("tar")
            .args([
                "-C",
                dir.path().join("in").to_str().unwrap(),
                &format!("--format={format}"),
                "-cf",
                "-",
                ".",
            ])
            .output()
            .unwrap();
        assert!(run.status.success());
        run.stdout
    }

    #[test]
    fn archives_of_gnu_tar_are_indexed() {
        for format in ["gnu", "pax", "ustar"] {
            let bytes = made_by_tar(format);
            assert!(is_tar(&bytes));
            let index = Index::read(&bytes).unwrap();
            let content = |name: &str| {
                let extent = index.file(name)?;
                Some(bytes[extent.offset as usize..(extent.offset + extent.len) as usize].to_vec())
            };
            assert_eq!(content("short").unwrap(), b"12345", "{format}");
            let folder = "d".repeat(90);
            assert_eq!(content(&format!("{folder}/{}", "f".repeat(90))).unwrap(), b"long", "{format}");
            assert_eq!(content(&format!("{folder}/up")).unwrap(), b"12345", "{format}");
            assert!(content("out").is_none() && content(&folder).is_none() && content("").is_none());
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let archive = |names: &[&str]| {
            let mut out = Vec::new();
            for name in names {
                let mut header = [0_u8; 512];
                header[..name.len()].copy_from_slice(name.as_bytes());
                header[124..136].copy_from_slice(b"00000000000\0");
                header[156] = b'0';
                header[257..265].copy_from_slice(b"ustar\x0000");
                let sum = format!("{:06o}\0 ", checksum(&header));
                header[148..156].copy_from_slice(sum.as_bytes());
                out.extend(header);
            }
            out.extend([0; 1024]);
            out
        };
        let error = |bytes: Vec<u8>| Index::read(&bytes).map(|_| ()).unwrap_err().to_string();
        assert_eq!(Index::read(&archive(&["./a", "b/./c"])).unwrap().len(), 2);
        assert!(error(archive(&["a/../../b"])).contains("climbs"));
        assert!(error(archive(&["/etc/passwd"])).contains("absolute"));
        assert!(error(archive(&["a", "./a"])).contains("twice"));
        assert!(error(archive(&["a"])[..512].to_vec()).contains("cut short"));
        let mut large = archive(&["a"]);
        large[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        let header: &Header = large.first_chunk().unwrap();
        let sum = format!("{:06o}\0 ", checksum(header));
        large[148..156].copy_from_slice(sum.as_bytes());
        assert!(error(large).contains("cut short"));
        assert!(error(b"x".repeat(2048)).contains("checksum"));
    }
}
