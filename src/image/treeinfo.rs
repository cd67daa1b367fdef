//! `.treeinfo` of a vendor's medium, as far as it says what the medium is: architecture, family, version; and whether that is the
//! release that the cluster file names. The file is foreign: what is not understood says nothing.
//!
//! productmd 1.2 (EL 8 on) has the section `[general]` for readers of the older form, which is all that EL 7 has.

use crate::cluster::types::{Distro, Release};
use crate::error::{Error, Result};

/// What is read of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeInfo {
    /// `x86_64`
    pub arch: Option<String>,
    /// `CentOS Stream 9`
    pub name: Option<String>,
    /// `CentOS Stream`
    pub family: Option<String>,
    /// `9`, `9.4`
    pub version: Option<String>,
}

impl TreeInfo {
    /// Reads the section `[general]`.
    pub fn parse(text: &str) -> Self {
        let section = text.lines().map(str::trim).skip_while(|line| *line != "[general]").skip(1);
        let pairs = section.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
        let mut info = Self::default();
        for (key, value) in pairs {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim() {
                "arch" => info.arch = value,
                "name" => info.name = value,
                "family" => info.family = value,
                "version" => info.version = value,
                _ => {}
            }
        }
        info
    }

    /// Whether the medium is of this release, as far as it says. Gives a warning if it is another vendor's.
    ///
    /// # Errors
    /// Of class input: it is of another major version. Kickstart, packages and what processors must be able to do differ then.
    pub fn is_release(&self, release: Release) -> Result<Option<String>> {
        let family = self.family.as_deref().unwrap_or("unknown").escape_debug();
        let version = self.version.as_deref().unwrap_or_default();
        let digits = version.split(|c: char| !c.is_ascii_digit()).next().filter(|digits| !digits.is_empty());
        let name = format!("{family} {}", version.escape_debug());
        let name = name.trim_end();
        if digits.is_some_and(|digits| digits.parse() != Ok(release.el)) {
            return Err(Error::input(format!("it is {name}, and [base] says release = \"{release}\"")).hint(
                "set `release` to that of the ISO, or `iso` to the install ISO of the release; `kiln inspect` shows what an ISO is",
            ));
        }
        let word = match release.distro {
            Distro::Centos => "CentOS",
            Distro::Rocky => "Rocky",
            Distro::Almalinux => "AlmaLinux",
        };
        let other = self.family.as_ref().is_some_and(|family| !family.contains(word));
        Ok(other.then(|| format!("the base is {name}, and [base] says release = \"{release}\"")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(family: &str, version: &str) -> TreeInfo {
        TreeInfo::parse(&format!(
            "[checksums]\nversion = 1\n[general]\n; WARNING.0 = see\narch = x86_64\nfamily = {family}\nversion = {version}\n\
             [header]\nversion = 1.2\narch = none\n"
        ))
    }

    #[test]
    fn media_are_of_the_release_that_they_say() {
        for (family, version, release) in [
            ("CentOS", "7", "centos-7"),
            ("CentOS Stream", "8", "centos-stream-8"),
            ("CentOS Stream", "8-stream", "centos-stream-8"),
            ("CentOS Stream", "10", "centos-stream-10"),
            ("Rocky Linux", "9.3", "rocky-9"),
            ("Rocky Linux Minimal", "10.2", "rocky-10"),
            ("AlmaLinux", "9", "almalinux-9"),
        ] {
            let found = info(family, version);
            assert_eq!(found.arch.as_deref(), Some("x86_64"));
            assert_eq!(found.is_release(release.parse().unwrap()).unwrap(), None, "{family} {version}");
        }
        // One that says nothing is taken for what it is called.
        assert_eq!(TreeInfo::parse("").is_release("rocky-9".parse().unwrap()).unwrap(), None);
        assert_eq!(info("CentOS Stream", "").is_release("centos-stream-9".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn another_major_version_is_refused_and_another_vendor_told() {
        for (version, release) in
            [("10", "centos-stream-9"), ("9.4", "centos-stream-8"), ("1", "centos-stream-10")]
        {
            let error = info("CentOS Stream", version).is_release(release.parse().unwrap()).unwrap_err();
            assert_eq!(error.class().exit_code(), 2);
            let expected = format!("it is CentOS Stream {version}, and [base] says release = \"{release}\"");
            assert_eq!(error.to_string(), expected);
        }
        let far = "9".repeat(40);
        assert!(info("CentOS Stream", &far).is_release("centos-stream-9".parse().unwrap()).is_err());
        let told = info("Red Hat Enterprise Linux", "9.4").is_release("rocky-9".parse().unwrap()).unwrap();
        let expected = "the base is Red Hat Enterprise Linux 9.4, and [base] says release = \"rocky-9\"";
        assert_eq!(told.as_deref(), Some(expected));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\[general\\]\n)?(.|\n){0,200}") {
            let info = TreeInfo::parse(&text);
            for release in Release::all() { let _ = info.is_release(release); }
        }
    }
}
