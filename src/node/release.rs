//! Whether the system that runs here, an installer or the one of a disk image, is of the release that the medium was built for, by
//! os-release(5). What lies beside kiln's own volume is whatever somebody has put there: the vendor's ISO of another version, or
//! another cloud image.

use std::fs;
use std::path::Path;

use crate::cluster::types::Release;
use crate::error::{Error, Result};

/// Words of `ID` and `ID_LIKE` by which a system is an Enterprise Linux or says that it is like one.
const LIKE: [&str; 3] = ["rhel", "centos", "fedora"];

/// What a system says it is.
#[derive(Debug, Default)]
pub struct OsRelease {
    /// `ID`: `rocky`
    pub id: String,
    /// `ID_LIKE`: `rhel centos fedora`
    pub like: String,
    /// `VERSION_ID`: `9.3`
    pub version: String,
}

impl OsRelease {
    /// Reads it; what is not there is empty.
    pub fn read(root: &Path) -> Self {
        let text = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|path| fs::read_to_string(root.join(path)).ok())
            .unwrap_or_default();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        Self { id: value("ID"), like: value("ID_LIKE"), version: value("VERSION_ID") }
    }
}

/// Refuses a system of another major version. One that is no Enterprise Linux, or says nothing, is let be.
///
/// # Errors
/// Of class input.
pub fn check(root: &Path, release: Release) -> Result<()> {
    let found = OsRelease::read(root);
    let ids = format!("{} {}", found.id, found.like);
    if !ids.split_whitespace().any(|id| LIKE.contains(&id)) {
        return Ok(());
    }
    let major = found.version.split('.').next().filter(|major| !major.is_empty());
    if major.is_none_or(|major| major.parse() == Ok(release.el)) {
        return Ok(());
    }
    let (name, version) = (found.id.escape_debug(), found.version.escape_debug());
    Err(Error::input(format!(
        "the system that runs here is {name} {version}, and this medium was built for {release}"
    ))
    .hint("start the release that `release` in [base] names, or build for the one that is here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    fn told(text: &str, release: &str) -> Option<String> {
        let fake = Fake::new();
        fake.put("etc/os-release", text);
        check(fake.root(), release.parse().unwrap()).err().map(|error| error.to_string())
    }

    #[test]
    fn another_major_version_is_refused() {
        let text = "NAME=\"Rocky Linux\"\nVERSION=\"9.3 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n";
        assert_eq!(told(text, "rocky-9"), None);
        assert_eq!(told(text, "centos-stream-9"), None, "a vendor's clone will do");
        let expected = "the system that runs here is rocky 9.3, and this medium was built for rocky-10";
        assert_eq!(told(text, "rocky-10").as_deref(), Some(expected));
        for (id, version, release) in
            [("centos", "7", "centos-7"), ("\"centos\"", "\"10\"", "centos-stream-10")]
        {
            let text = format!("ID={id}\nID_LIKE=\"rhel fedora\"\nVERSION_ID={version}\n");
            assert_eq!(told(&text, release), None);
            assert!(told(&text, "centos-stream-8").is_some());
        }
    }

    #[test]
    fn what_says_nothing_is_let_be() {
        for text in [
            "",
            "ID=debian\nVERSION_ID=\"12\"\n",
            "ID=centos\n",
            "ID=centos\nVERSION_ID=\n",
            "VERSION_ID=7\n",
        ] {
            assert_eq!(told(text, "centos-stream-9"), None, "{text}");
        }
        let text = "ID=centos\nVERSION_ID=\"9\u{1b}[2J\"\n";
        assert!(!told(text, "centos-stream-9").unwrap().contains('\u{1b}'));
        assert!(check(Fake::new().root(), "rocky-9".parse().unwrap()).is_ok(), "no file at all");
    }
}
