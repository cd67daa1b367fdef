//! Publishers' files of digests: `SHA256SUMS`, `x.sha256`, `x.sha256sum`. What coreutils' sha256sum writes, or a bare digest.

use crate::digest::Sha256;

/// Largest such file; etcd's has ten lines.
pub const LIMIT: u64 = 1 << 20;

/// The digest of the file `name`. Two different ones are as bad as none.
pub fn digest_of(text: &[u8], name: &str) -> Result<Sha256, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if let (Some(only), None) = (lines.next(), lines.next())
        && let Ok(digest) = only.parse()
    {
        return Ok(digest);
    }
    let mut found = None;
    for line in text.lines() {
        let Some((digest, file)) = line.trim().split_once(|c: char| c.is_ascii_whitespace()) else {
            continue;
        };
        // `*` in front marks what was read as binary; releases name files with and without a path.
        let file = file.trim().trim_start_matches('*');
        if file.rsplit('/').next() != Some(name) {
            continue;
        }
        let digest: Sha256 = digest.parse()?;
        if found.is_some_and(|other| other != digest) {
            return Err(format!("it has two digests of {name}"));
        }
        found = Some(digest);
    }
    found.ok_or_else(|| format!("it has no SHA-256 of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_publishers_use() {
        let (one, two) = (Sha256::of(b"1"), Sha256::of(b"2"));
        for text in [
            format!("{one}"),
            format!("{one}\n"),
            format!("{one}  a.tgz\n"),
            format!("{two} *b.tgz\n{one} *a.tgz\n"),
            format!("# made by hand\n{one}  ./release/a.tgz\n{one}  a.tgz\n{two}  a.tgz.sig\n"),
        ] {
            assert_eq!(digest_of(text.as_bytes(), "a.tgz").unwrap(), one, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_certain_is_refused() {
        let (one, two) = (Sha256::of(b"1"), Sha256::of(b"2"));
        for (text, word) in [
            (String::new(), "no SHA-256 of a"),
            ("<html>not found</html>".to_owned(), "no SHA-256 of a"),
            (format!("{one}  b\n"), "no SHA-256 of a"),
            (format!("{one}  a\n{two}  a\n"), "two digests"),
            ("d41d8cd98f00b204e9800998ecf8427e  a\n".to_owned(), "not a SHA-256"),
        ] {
            let error = digest_of(text.as_bytes(), "a").unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(digest_of(&[0xff, 0xfe], "a").is_err());
    }
}
