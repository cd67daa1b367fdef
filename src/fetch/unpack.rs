//! Release archives (tar in gzip, RFC 1952) in the cache: unpacked beside, and the wanted members stored under their own digests.
//! Archives are hostile: what one becomes is bounded in size and in ratio, and names only choose members, they make no files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::cache::{Cache, Staged};
use crate::digest::Sha256;
use crate::error::{Error, IoContext, Result};
use crate::format::read_at::ReadAt as _;
use crate::format::tar::index::{Extent, Index};

/// Most that an archive may become: the largest release, Kubernetes' server tarball, becomes 1.3 GiB.
const LARGEST: u64 = 4 << 30;
/// Programs shrink to a quarter; a thousand zeros shrink to one byte.
const RATIO: u64 = 100;
/// What may always come out, so that small archives of text are not refused.
const FREE: u64 = 16 << 20;
const BUFFER: usize = 256 << 10;

/// A member as it lies in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256,
}

/// Stores the `wanted` members of an archive of the cache; those that it does not have are left out. `name` is for messages.
pub fn members<'a>(
    cache: &Cache,
    archive: Sha256,
    name: &str,
    wanted: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Stored>> {
    let path = cache.path(archive);
    let packed = File::open(&path).at("opening", &path)?;
    let size = packed.metadata().at("reading", &path)?.len();
    let mut plain = cache.stage(&format!("unpacked-{archive}"))?;
    plain.restart()?;
    inflate(packed, size, &mut plain).map_err(|error| error.context(name))?;
    let index = Index::read(&plain.file()).map_err(|error| error.context(name))?;
    let mut stored = BTreeMap::new();
    for member in wanted {
        if let Some(extent) = index.file(member) {
            stored.insert(member.to_owned(), store(cache, archive, &plain, extent)?);
        }
    }
    plain.discard()?;
    Ok(stored)
}

fn inflate(packed: impl Read, size: u64, plain: &mut Staged) -> Result<()> {
    let most = size.saturating_mul(RATIO).clamp(FREE, LARGEST);
    let mut reader = MultiGzDecoder::new(packed);
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = reader
            .read(&mut buffer)
            .map_err(|error| Error::input("the archive is damaged, or no tar in gzip").because(error))?;
        if now == 0 {
            return Ok(());
        }
        if plain.len() + now as u64 > most {
            return Err(Error::input(format!(
                "{size} bytes become more than {most}: that is no release archive"
            )));
        }
        plain.write(&buffer[..now])?;
    }
}

fn store(cache: &Cache, archive: Sha256, plain: &Staged, extent: Extent) -> Result<Stored> {
    let mut file = cache.stage(&format!("member-{archive}-{}", extent.offset))?;
    file.restart()?;
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while done < extent.len {
        let now = (extent.len - done).min(BUFFER as u64) as usize;
        plain.file().read_exact_at(&mut buffer[..now], extent.offset + done).at("reading", plain.path())?;
        file.write(&buffer[..now])?;
        done += now as u64;
    }
    Ok(Stored { size: extent.len, sha256: file.keep(None)? })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::blob::Blob;
    use crate::format::tar;
    use crate::tree::{Entry, NodePath, Tree};

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tree = Tree::default();
        for (name, content) in files {
            let entry = Entry::file(0o755, Blob::bytes(*content), "test");
            tree.insert(NodePath::new(format!("/{name}")).unwrap(), entry).unwrap();
        }
        tar::write(&tree, 0).unwrap().to_vec(1 << 20).unwrap()
    }

    fn unpack(bytes: &[u8], wanted: &[&str]) -> Result<(Cache, BTreeMap<String, Stored>, tempfile::TempDir)> {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at_dir(dir.path().to_owned());
        let digest = cache.put(bytes).unwrap();
        let stored = members(&cache, digest, "a.tgz", wanted.iter().copied());
        let left: Vec<_> = std::fs::read_dir(dir.path().join("partial")).unwrap().collect();
        assert!(stored.is_err() || left.is_empty(), "{left:?}");
        Ok((cache, stored?, dir))
    }

    #[test]
    fn wanted_members_are_stored() {
        let tar = archive(&[("bin/ctr", b"program"), ("bin/other", b"more"), ("bin/empty", b"")]);
        let (cache, stored, _dir) = unpack(&gz(&tar), &["bin/ctr", "bin/none", "bin/empty"]).unwrap();
        assert_eq!(stored.keys().collect::<Vec<_>>(), ["bin/ctr", "bin/empty"]);
        assert_eq!(stored["bin/ctr"], Stored { size: 7, sha256: Sha256::of(b"program") });
        assert!(cache.holds(Sha256::of(b"program"), 7).unwrap() && !cache.has(Sha256::of(b"more"), 4));
    }

    #[test]
    fn hostile_archives_are_refused() {
        let whole = gz(&archive(&[("a", &[7; 5000])]));
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        for (bytes, word) in [
            (whole[..whole.len() - 9].to_vec(), "damaged"),
            (flipped, ""),
            (b"<html>not found</html>".to_vec(), "damaged"),
            (gz(b"no tar at all"), "tar archive"),
            (Vec::new(), ""),
        ] {
            let error = unpack(&bytes, &["a"]).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(error.class().exit_code(), 2);
        }
        // A bomb: 32 MiB of zeros in 32 KiB.
        let error = unpack(&gz(&vec![0; 32 << 20]), &["a"]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("become more than"), "{error}");
    }
}
