//! The writer: a tree becomes an archive, described and not held.

use super::field::{self, Field};
use super::{BLOCK, Header, MAGIC, MAX_OCTAL_SIZE, checksum, is_account};
use crate::blob::{Blob, Piece};
use crate::error::{Error, Result};
use crate::tree::{Entry, Kind, NodePath, Tree};

/// Describes the archive of `tree`. Members come in path order, so a folder comes before what it holds; folders that the
/// tree does not name are not written. `mtime` (seconds since 1970) is that of every member; owners go by name, with
/// number 0 beside it.
pub fn write(tree: &Tree, mtime: u64) -> Result<Blob> {
    tree.check_hierarchy()?;
    let mut out = Blob::default();
    for (path, entry) in tree.iter() {
        member(&mut out, path, entry, mtime)
            .map_err(|error| error.context(format!("archiving {path} (from {})", entry.origin)))?;
    }
    // Two blocks of zeros end an archive.
    out.push(Piece::Zeros(2 * BLOCK));
    Ok(out)
}

fn member(out: &mut Blob, path: &NodePath, entry: &Entry, mtime: u64) -> Result<()> {
    for name in [&entry.owner, &entry.group] {
        if !is_account(name) {
            return Err(Error::input(format!("`{}` is no name of a user or group", name.escape_debug()))
                .hint(
                    "names have 1 to 32 characters from a-z, 0-9, `_`, `-`, and start with a letter or `_`",
                ));
        }
    }
    if entry.mode > 0o7777 {
        return Err(Error::input(format!("mode {:o} is more than permission bits", entry.mode)));
    }
    let mut name = path.relative().to_owned();
    let (kind, link, size) = match &entry.kind {
        Kind::Dir => {
            name.push('/');
            (b'5', "", 0)
        }
        Kind::File(blob) => (b'0', "", blob.len()),
        Kind::Symlink(target) if target.is_empty() || target.contains('\0') => {
            return Err(Error::input("a link's target may be neither empty nor hold a NUL"));
        }
        Kind::Symlink(target) => (b'2', target.as_str(), 0),
    };
    let mut pax = String::new();
    let split = split_name(&name);
    if split.is_none() {
        pax += &record("path", &name);
    }
    let link_fits = link.is_ascii() && link.len() <= field::LINK.1;
    if !link_fits {
        pax += &record("linkpath", link);
    }
    if size > MAX_OCTAL_SIZE {
        pax += &record("size", &size.to_string());
    }
    if !pax.is_empty() {
        let own = Fields { kind: b'x', mode: 0o644, name: "PaxHeaders/member", ..Fields::root(mtime) };
        push_header(out, &Fields { size: pax.len() as u64, ..own })?;
        push_padded(out, Blob::bytes(pax.into_bytes()));
    }
    let (prefix, name) = split.unwrap_or(("", "see-extended-header"));
    let link = if link_fits { link } else { "see-extended-header" };
    let size = if size > MAX_OCTAL_SIZE { 0 } else { size };
    let (mode, uname, gname) = (entry.mode, entry.owner.as_str(), entry.group.as_str());
    push_header(out, &Fields { kind, mode, size, mtime, name, prefix, link, uname, gname })?;
    if let Kind::File(blob) = &entry.kind {
        push_padded(out, blob.clone());
    }
    Ok(())
}

/// Splits a name into prefix and name at a slash so that both fit; `None` if that cannot be, or if it is not ASCII.
fn split_name(name: &str) -> Option<(&str, &str)> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= field::NAME.1 {
        return Some(("", name));
    }
    let fits = |at: &usize| *at <= field::PREFIX.1 && (1..=field::NAME.1).contains(&(name.len() - at - 1));
    let at = name.match_indices('/').map(|(at, _)| at).find(fits)?;
    Some((&name[..at], &name[at + 1..]))
}

/// One record of an extended header: `LENGTH key=value\n`, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    format!("{len} {key}={value}\n")
}

struct Fields<'a> {
    kind: u8,
    mode: u16,
    size: u64,
    mtime: u64,
    name: &'a str,
    prefix: &'a str,
    link: &'a str,
    uname: &'a str,
    gname: &'a str,
}

impl Fields<'_> {
    fn root(mtime: u64) -> Self {
        Self {
            kind: b'0',
            mode: 0,
            size: 0,
            mtime,
            name: "",
            prefix: "",
            link: "",
            uname: "root",
            gname: "root",
        }
    }
}

fn push_header(out: &mut Blob, fields: &Fields<'_>) -> Result<()> {
    let mut header: Header = [0; BLOCK as usize];
    text(&mut header, field::NAME, fields.name.as_bytes());
    octal(&mut header, field::MODE, fields.mode.into())?;
    octal(&mut header, field::UID, 0)?;
    octal(&mut header, field::GID, 0)?;
    octal(&mut header, field::SIZE, fields.size)?;
    octal(&mut header, field::MTIME, fields.mtime)?;
    text(&mut header, field::TYPE, &[fields.kind]);
    text(&mut header, field::LINK, fields.link.as_bytes());
    text(&mut header, field::MAGIC, MAGIC);
    text(&mut header, field::UNAME, fields.uname.as_bytes());
    text(&mut header, field::GNAME, fields.gname.as_bytes());
    octal(&mut header, field::DEVMAJOR, 0)?;
    octal(&mut header, field::DEVMINOR, 0)?;
    text(&mut header, field::PREFIX, fields.prefix.as_bytes());
    let sum = format!("{:06o}\0 ", checksum(&header));
    text(&mut header, field::CHECKSUM, sum.as_bytes());
    out.push(Piece::Bytes(header.as_slice().into()));
    Ok(())
}

fn push_padded(out: &mut Blob, content: Blob) {
    let padding = content.len().next_multiple_of(BLOCK) - content.len();
    out.extend(content);
    out.push(Piece::Zeros(padding));
}

/// Writes text into a field; the caller saw to it that it fits.
fn text(header: &mut Header, (at, len): Field, value: &[u8]) {
    for (slot, byte) in header[at..at + len].iter_mut().zip(value) {
        *slot = *byte;
    }
}

/// Writes a number as octal digits with a NUL behind.
fn octal(header: &mut Header, field: Field, value: u64) -> Result<()> {
    let width = field.1 - 1;
    let digits = format!("{value:0width$o}");
    if digits.len() > width {
        return Err(Error::input(format!("{value} does not fit into a field of a tar header")));
    }
    text(header, field, digits.as_bytes());
    Ok(())
}
