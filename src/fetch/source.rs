//! Where a component's versions are published: addresses with `{version}` and `{file}` in them, as the catalogue has them. Knows no
//! network.

use serde::Deserialize;

use crate::url::Url;
use crate::version::Version;

/// A place where versions are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    since: Option<Version>,
    until: Option<Version>,
    url: String,
    member: Option<String>,
    sums: Option<String>,
}

/// As the catalogue has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    since: Option<String>,
    until: Option<String>,
    url: String,
    member: Option<String>,
    sums: Option<String>,
}

impl Source {
    /// Checks it.
    pub(super) fn check(raw: RawSource) -> Result<Self, String> {
        let version = |text: Option<String>| text.map(|text| text.parse::<Version>()).transpose();
        let (since, until) = (version(raw.since)?, version(raw.until)?);
        let source = Self { since, until, url: raw.url, member: raw.member, sums: raw.sums };
        let sample: Version = "1.2.3".parse()?;
        source.url(&sample, "file")?;
        source.sums(&sample, "file")?;
        if source.member.is_some() && source.url.contains("{file}") {
            return Err("a source with `member` is an archive: its address has no {file}".to_owned());
        }
        if let Some(member) = &source.member
            && (!member.contains("{file}")
                || member.starts_with('/')
                || member.split('/').any(|part| part == ".."))
        {
            return Err(format!("`{member}` names no member of an archive: write it like \"bin/{{file}}\""));
        }
        Ok(source)
    }

    /// Whether a version is published there.
    pub fn has(&self, version: &Version) -> bool {
        self.since.as_ref().is_none_or(|since| version >= since)
            && self.until.as_ref().is_none_or(|until| version < until)
    }

    /// Address of a file, or of the archive that holds it.
    pub fn url(&self, version: &Version, file: &str) -> Result<Url, String> {
        fill(&self.url, version, file)?.parse()
    }

    /// Address of the publisher's digest of what [`Source::url`] names.
    pub fn sums(&self, version: &Version, file: &str) -> Result<Option<Url>, String> {
        self.sums.as_ref().map(|sums| fill(sums, version, file)?.parse()).transpose()
    }

    /// Where a file lies in the archive; none when there is no archive.
    pub fn member(&self, version: &Version, file: &str) -> Result<Option<String>, String> {
        self.member.as_ref().map(|member| fill(member, version, file)).transpose()
    }
}

/// Puts version and file into a text. Both are plain, so nothing needs an escape.
fn fill(text: &str, version: &Version, file: &str) -> Result<String, String> {
    let filled = text.replace("{version}", &version.to_string()).replace("{file}", file);
    if filled.contains(['{', '}']) {
        return Err(format!("`{text}`: {{version}} and {{file}} are all that is known"));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Result<Source, String> {
        Source::check(toml::from_str(text).map_err(|error| error.to_string())?)
    }

    #[test]
    fn version_and_file_are_filled_in() {
        let text = "since = '1.7'\nurl = 'https://e.org/v{version}/a-{version}.tgz'\nmember = 'bin/{file}'\nsums = 'https://e.org/v{version}/SUMS'";
        let source = source(text).unwrap();
        let (old, new) = ("1.6.9".parse().unwrap(), "2.0.0".parse().unwrap());
        assert!(source.has(&new) && !source.has(&old));
        assert_eq!(source.url(&new, "ctr").unwrap().as_str(), "https://e.org/v2.0.0/a-2.0.0.tgz");
        assert_eq!(source.member(&new, "ctr").unwrap().unwrap(), "bin/ctr");
        assert_eq!(source.sums(&new, "ctr").unwrap().unwrap().as_str(), "https://e.org/v2.0.0/SUMS");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("url = 'e.org/x'", "no address"),
            ("url = 'https://e.org/{name}'", "all that is known"),
            ("url = 'https://e.org/{file}'\nmember = '{file}'", "no {file}"),
            ("url = 'https://e.org/a'\nmember = '../{file}'", "no member"),
            ("url = 'https://e.org/a'\nmember = 'fixed'", "no member"),
            ("url = 'https://e.org/a'\nsince = 'v1'", "no version"),
            ("url = 'https://e.org/a'\nmore = 1", "unknown field"),
        ] {
            let error = source(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
