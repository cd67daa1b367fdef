//! Checked words of `cluster.toml`: host names, MAC addresses, versions, releases. Each says which rule a bad value broke.
//!
//! They parse from text (`FromStr`, the error is the rule in words) and print as they are to be written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::credential::{PasswordHash, SshKey};
pub use super::label::{LabelKey, LabelValue};

/// A lower-case DNS name as RFC 1123 §2.1 and RFC 952 allow: labels of letters, digits and hyphens, 63 bytes each at most,
/// 253 in all. Kubernetes node names are such names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 253 {
            return Err("a host name has 1 to 253 characters".into());
        }
        text.split('.').try_for_each(check_dns_label)?;
        Ok(Self(text.to_owned()))
    }
}

/// RFC 1123 label: letters, digits, hyphens; no hyphen at either end; 1 to 63 characters; lower case as Kubernetes wants.
fn check_dns_label(label: &str) -> Result<(), String> {
    if label.is_empty() || label.len() > 63 {
        return Err("each part of a host name has 1 to 63 characters (RFC 1123)".into());
    }
    if let Some(bad) = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(format!(
            "`{bad}` is not allowed in a host name: lower-case letters, digits and `-` are (RFC 1123)"
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a part of a host name neither starts nor ends with `-` (RFC 1123)".into());
    }
    Ok(())
}

/// Name of a cluster: one DNS label of at most 20 characters, so that it fits into volume labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_dns_label(text).map_err(|rule| rule.replace("host name", "cluster name"))?;
        if text.len() > 20 {
            return Err(
                "a cluster name has at most 20 characters: it is part of the medium's volume label".into()
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a node does. Its name is the name of the profile.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Control plane, and etcd unless said otherwise.
    Master,
    /// Runs pods.
    Worker,
    /// Load balancer in front of the API.
    Lb,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 3] = [Role::Master, Role::Worker, Role::Lb];

    /// Name as written in files and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Worker => "worker",
            Role::Lb => "lb",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| "a profile is one of master, worker, lb".to_owned())
    }
}

/// A Kubernetes version, `1.37.2`. Kiln knows the minors 18 to 37.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubeVersion {
    /// Minor; the major is always 1.
    pub minor: u8,
    /// Patch.
    pub patch: u16,
}

impl KubeVersion {
    /// Oldest minor that kiln builds.
    pub const OLDEST_MINOR: u8 = 18;
    /// Newest minor that kiln builds.
    pub const NEWEST_MINOR: u8 = 37;
    /// Shape of a version as a regular expression (ECMA-262), for the JSON Schema.
    pub const PATTERN: &'static str = r"^1\.(1[89]|2[0-9]|3[0-7])\.[0-9]+$";

    /// Whether the version is of minor `minor` or later.
    pub fn at_least(self, minor: u8) -> bool {
        self.minor >= minor
    }
}

impl FromStr for KubeVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "a Kubernetes version is written like 1.37.2".to_owned();
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.split('.').collect();
        let [major, minor, patch] = parts.as_slice() else { return Err(shape()) };
        if *major != "1" || !digits(minor) || !digits(patch) {
            return Err(shape());
        }
        let version = KubeVersion {
            minor: minor.parse().map_err(|_| shape())?,
            patch: patch.parse().map_err(|_| shape())?,
        };
        if !(Self::OLDEST_MINOR..=Self::NEWEST_MINOR).contains(&version.minor) {
            return Err(format!(
                "kiln builds Kubernetes 1.{} to 1.{}",
                Self::OLDEST_MINOR,
                Self::NEWEST_MINOR
            ));
        }
        Ok(version)
    }
}

/// Vendor of a CentOS-family system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distro {
    /// CentOS Linux (7) and CentOS Stream (8 to 10).
    Centos,
    /// Rocky Linux.
    Rocky,
    /// AlmaLinux.
    Almalinux,
}

/// An operating system release: `centos-7`, `centos-stream-9`, `rocky-9`, `almalinux-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// Vendor.
    pub distro: Distro,
    /// Major version of Enterprise Linux: 7 to 10.
    pub el: u8,
}

impl Release {
    /// All releases that kiln knows.
    pub fn all() -> impl Iterator<Item = Release> {
        let later = [Distro::Centos, Distro::Rocky, Distro::Almalinux]
            .into_iter()
            .flat_map(|distro| (8..=10).map(move |el| Release { distro, el }));
        std::iter::once(Release { distro: Distro::Centos, el: 7 }).chain(later)
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Release::all().find(|release| release.to_string() == text).ok_or_else(|| {
            let names: Vec<String> = Release::all().map(|release| release.to_string()).collect();
            format!("a release is one of {}", names.join(", "))
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.distro, self.el) {
            (Distro::Centos, 7) => write!(f, "centos-7"),
            (Distro::Centos, el) => write!(f, "centos-stream-{el}"),
            (Distro::Rocky, el) => write!(f, "rocky-{el}"),
            (Distro::Almalinux, el) => write!(f, "almalinux-{el}"),
        }
    }
}

/// An Ethernet MAC address; printed in lower case with colons. Unicast only, not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// The six bytes.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "a MAC address is six pairs of hexadecimal digits: 52:54:00:12:34:56".to_owned();
        let parts: Vec<&str> = text.split([':', '-']).collect();
        let mut octets = [0; 6];
        if parts.len() != octets.len() {
            return Err(shape());
        }
        for (octet, part) in octets.iter_mut().zip(&parts) {
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(shape());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| shape())?;
        }
        if octets == [0; 6] || octets[0] & 1 == 1 {
            return Err("a node's MAC address is neither all zeros nor a multicast address".into());
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A SMBIOS system UUID as Linux prints it in `/sys/class/dmi/id/product_uuid`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemUuid(String);

impl FromStr for SystemUuid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if lengths != [8, 4, 4, 4, 12] || !hex {
            return Err("a UUID is written like 4c4c4544-0034-3010-8048-b7c04f503233".into());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// Prints a type as the text that it holds.
macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
pub(super) use shown_as_text;
shown_as_text!(HostName, ClusterName, SystemUuid);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["a", "k8s-master1", "node1.example.com"] {
            assert_eq!(good.parse::<HostName>().unwrap().to_string(), good);
        }
        for bad in ["", "Master", "a_b", "-a", "a-", "a..b", &"a".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_outside_the_gates_are_refused() {
        assert_eq!("1.20.2".parse::<KubeVersion>().unwrap().to_string(), "1.20.2");
        for bad in ["1.17.0", "1.38.0", "2.0.0", "1.20", "v1.20.2", "1.20.x", "1.+20.2"] {
            assert!(bad.parse::<KubeVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn releases_round_trip() {
        assert_eq!(Release::all().count(), 10);
        for release in Release::all() {
            assert_eq!(release.to_string().parse(), Ok(release));
        }
        assert!("centos-8".parse::<Release>().is_err());
    }

    #[test]
    fn macs_round_trip_and_multicast_is_refused() {
        assert_eq!("52-54-00-00-31-7F".parse::<Mac>().unwrap().to_string(), "52:54:00:00:31:7f");
        for bad in ["00:00:00:00:00:00", "01:00:5e:00:00:01", "52:54:00:00:31", "52:54:00:00:31:zz"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
