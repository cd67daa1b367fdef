//! Epoch, version and release, and their order: that of rpm's `rpmvercmp`, with `~` (before) and `^` (after).

use std::cmp::Ordering;
use std::fmt;

/// Epoch, version and release of a package, or of a dependency, where epoch and release may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evr {
    /// Epoch; none counts as 0.
    pub epoch: Option<u32>,
    /// Version.
    pub version: String,
    /// Release.
    pub release: Option<String>,
}

impl Evr {
    /// Parses `[epoch:]version[-release]`, as headers of packages have it. Anything can be parsed: what is no epoch is part of
    /// the version.
    pub fn parse(text: &str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
                (epoch.parse().ok(), rest)
            }
            _ => (None, text),
        };
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release.to_owned())),
            None => (rest, None),
        };
        Self { epoch, version: version.to_owned(), release }
    }

    /// Order of two: the release counts where both have one.
    pub fn order(&self, other: &Self) -> Ordering {
        let epochs = self.epoch.unwrap_or(0).cmp(&other.epoch.unwrap_or(0));
        let versions = || compare(&self.version, &other.version);
        let releases = || match (&self.release, &other.release) {
            (Some(a), Some(b)) => compare(a, b),
            _ => Ordering::Equal,
        };
        epochs.then_with(versions).then_with(releases)
    }
}

impl fmt::Display for Evr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(epoch) = self.epoch.filter(|epoch| *epoch != 0) {
            write!(f, "{epoch}:")?;
        }
        f.write_str(&self.version)?;
        match &self.release {
            Some(release) => write!(f, "-{release}"),
            None => Ok(()),
        }
    }
}

/// Order of two versions or two releases. They are compared part by part: digits as numbers, letters as text, digits are newer
/// than letters, and all other characters only part them. `~` sorts before the end, `^` after it and before anything else.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        a = skip(a);
        b = skip(b);
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.is_ascii_digit(), y.is_ascii_digit()) {
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (digits, _) => {
                    let (left, right) = (part(&mut a, digits), part(&mut b, digits));
                    match order(left, right, digits) {
                        Ordering::Equal => {}
                        other => return other,
                    }
                }
            },
        }
    }
}

/// Without what only parts.
fn skip(text: &[u8]) -> &[u8] {
    let at = text.iter().position(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'~' | b'^'));
    &text[at.unwrap_or(text.len())..]
}

/// Takes the leading digits, or letters.
fn part<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let same = |byte: &u8| if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
    let end = text.iter().position(|byte| !same(byte)).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    *text = rest;
    head
}

fn order(a: &[u8], b: &[u8], digits: bool) -> Ordering {
    if !digits {
        return a.cmp(b);
    }
    let bare = |text: &[u8]| text.iter().position(|byte| *byte != b'0').unwrap_or(text.len());
    let (a, b) = (&a[bare(a)..], &b[bare(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cases of rpm's own documentation and test suite (rpmvercmp.at), by what they say.
    #[test]
    fn the_order_is_that_of_rpm() {
        for (a, b) in [
            ("1.0", "2.0"),
            ("2.0", "2.0.1"),
            ("2.0.1", "2.0.1a"),
            ("5.5p1", "5.5p2"),
            ("5.5p1", "5.5p10"),
            ("10xyz", "10.1xyz"),
            ("xyz10", "xyz10.1"),
            ("xyz.4", "8"),
            ("xyz.4", "2"),
            ("5.6p1", "6.5p1"),
            ("6.0", "6.0.rc1"),
            ("10a2", "10b2"),
            ("1.0~rc1", "1.0"),
            ("1.0~rc1", "1.0~rc2"),
            ("1.0~rc1~git123", "1.0~rc1"),
            ("1.0", "1.0^"),
            ("1.0^git1", "1.0^git2"),
            ("1.0^git1", "1.01"),
            ("1.0^20160101", "1.0.1"),
            ("1.0~rc1", "1.0~rc1^git1"),
            ("1.0^git1~pre", "1.0^git1"),
            ("9", "00000000000000000000000000000010"),
        ] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} {a}");
        }
        for (a, b) in [("1.0010", "1.10"), ("2_0", "2.0"), ("a+", "a_"), ("1.0^", "1.0^"), ("", "")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn parts_of_a_version_are_told_apart() {
        let evr = Evr::parse("1:2.3-4.el9");
        assert_eq!(
            (evr.epoch, evr.version.as_str(), evr.release.as_deref()),
            (Some(1), "2.3", Some("4.el9"))
        );
        assert_eq!(evr.to_string(), "1:2.3-4.el9");
        assert_eq!(Evr::parse("2.3").release, None);
        assert_eq!(Evr::parse("0:2.3-1").to_string(), "2.3-1");
        assert_eq!(Evr::parse("99999999999:1").epoch, None);
        assert_eq!(Evr::parse("2.3").order(&Evr::parse("0:2.3-9")), Ordering::Equal);
        assert_eq!(Evr::parse("1:1").order(&Evr::parse("2-1")), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn the_order_is_one(a in "[a-c0-2.~^_]{0,8}", b in "[a-c0-2.~^_]{0,8}", c in "[a-c0-2.~^_]{0,8}") {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) == Ordering::Less && compare(&b, &c) == Ordering::Less {
                prop_assert_eq!(compare(&a, &c), Ordering::Less);
            }
        }
    }
}
