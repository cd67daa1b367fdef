//! Versions of components as their folders name them: `3.4.23`, `1.2.0-rc.1`. Numbers compare as numbers.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version: one to four numbers with points between, perhaps a pre-release after `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    numbers: Vec<u32>,
    pre: Option<String>,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no version: it is written like 1.2.3, without a `v`");
        let (numbers, pre) = match text.split_once('-') {
            None => (text, None),
            Some((numbers, pre)) => (numbers, Some(pre.to_owned())),
        };
        let plain = |pre: &String| pre.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
        if pre.as_ref().is_some_and(|pre| pre.is_empty() || !plain(pre)) {
            return Err(wrong());
        }
        let numbers: Vec<u32> = numbers
            .split('.')
            .map(|part| match part.bytes().all(|b| b.is_ascii_digit()) {
                true => part.parse().map_err(|_| wrong()),
                false => Err(wrong()),
            })
            .collect::<Result<_, _>>()?;
        // A leading zero would let two folders mean one version.
        let same = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        if numbers.len() > 4
            || !text.starts_with(&same)
            || !matches!(text.as_bytes().get(same.len()), None | Some(b'-'))
        {
            return Err(wrong());
        }
        Ok(Self { numbers, pre })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.numbers.iter().map(ToString::to_string).collect();
        f.write_str(&numbers.join("."))?;
        self.pre.as_ref().map_or(Ok(()), |pre| write!(f, "-{pre}"))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |version: &Version, at: usize| version.numbers.get(at).copied().unwrap_or(0);
        (0..4)
            .map(|at| number(self, at).cmp(&number(other, at)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| match (&self.pre, &other.pre) {
                // A pre-release comes before its release.
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (mine, its) => mine.cmp(its),
            })
            // Equal in worth, as 1.0 and 1.0.0, but not the same folder.
            .then_with(|| self.numbers.len().cmp(&other.numbers.len()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers_and_releases_come_last() {
        let order =
            ["0.8.7", "1.0-rc.1", "1.0", "1.0.0", "1.2.0-rc.1", "1.2.0", "1.9.9", "1.10.0", "1.10.0.1"];
        let versions: Vec<Version> = order.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
        assert_eq!(versions.iter().map(ToString::to_string).collect::<Vec<_>>(), order);
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in [
            "",
            "v1.2",
            "1.",
            ".1",
            "1..2",
            "01.2",
            "1.02",
            "1.2-",
            "1.2-a/b",
            "../1",
            "1.2.3.4.5",
            "99999999999",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
