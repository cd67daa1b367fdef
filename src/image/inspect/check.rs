//! Reads a whole medium and compares: the implanted MD5, and the digest of every file of the payload.

use sha2::Digest as _;

use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::format::iso9660::SECTOR;
use crate::format::iso9660::read::Iso;
use crate::format::isomd5::{FIELD_AT, FIELD_LEN, Hasher};
use crate::format::read_at::ReadAt;
use crate::progress::Progress;

use super::Inspection;
use super::payload::KilnMedium;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// The implanted sum as the medium has it; the field begins with it.
pub fn implanted(iso: &Iso<&impl ReadAt>) -> Option<String> {
    let field = iso.source().read_vec_at(FIELD_AT, FIELD_LEN).ok()?;
    let text = field.strip_prefix(b"ISO MD5SUM = ")?.get(..32)?;
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| text.to_ascii_lowercase())
}

/// Verifies what can be verified. Findings go into `found`; only a medium that cannot be read is an error.
pub fn verify(source: &impl ReadAt, found: &mut Inspection, progress: &dyn Progress) -> Result<()> {
    let iso = Iso::open(source)?;
    if let Some(wanted) = &found.media_check.md5 {
        progress.step("checking the implanted MD5");
        let sum = md5(&iso, progress)?;
        found.media_check.good = Some(sum == *wanted);
    }
    match &mut found.kiln {
        Some(kiln) => payload(&iso, kiln, progress),
        None => Ok(()),
    }
}

/// Compares every file of the payload with the manifest. Findings become problems of `kiln`.
pub fn payload<R: ReadAt>(iso: &Iso<R>, kiln: &mut KilnMedium, progress: &dyn Progress) -> Result<()> {
    progress.step("checking the payload");
    progress.total(kiln.files.values().map(|file| file.size).sum());
    for (path, file) in &kiln.files {
        let Some(node) =
            iso.tree.find(path).map(|id| iso.tree.node(id)).filter(|node| node.size() == file.size)
        else {
            continue;
        };
        let mut hash = sha2::Sha256::new();
        for extent in node.extents() {
            let start = u64::from(extent.block) * SECTOR;
            each(iso.source(), start, u64::from(extent.len), progress, &mut |bytes| hash.update(bytes))?;
        }
        if Sha256(hash.finalize().into()) != file.sha256 {
            kiln.problems.push(format!("{path} has another content than the manifest says"));
        }
    }
    Ok(())
}

fn md5(iso: &Iso<&impl ReadAt>, progress: &dyn Progress) -> Result<String> {
    let mut hasher = Hasher::new(iso.volumes.primary.blocks());
    let end = hasher.range();
    progress.total(end);
    let field_end = FIELD_AT + FIELD_LEN as u64;
    each(iso.source(), 0, FIELD_AT.min(end), progress, &mut |bytes| hasher.update(bytes))?;
    hasher.update(&[b' '; FIELD_LEN]);
    each(iso.source(), field_end, end.saturating_sub(field_end), progress, &mut |bytes| {
        hasher.update(bytes)
    })?;
    Ok(hasher.finish().1)
}

/// Streams a range.
fn each(
    source: &impl ReadAt,
    start: u64,
    len: u64,
    progress: &dyn Progress,
    take: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    while done < len {
        let now = (len - done).min(CHUNK as u64) as usize;
        let read = source.read_exact_at(&mut buffer[..now], start + done);
        read.map_err(|error| {
            Error::new(crate::error::Class::Io, "the medium cannot be read").because(error)
        })?;
        take(&buffer[..now]);
        progress.advance(now as u64);
        done += now as u64;
    }
    Ok(())
}
