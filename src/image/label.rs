//! Volume labels that every loader and udev take as they are: no character needs escaping, and 32 bytes at most
//! (ECMA-119 8.4.7).

use std::fmt;
use std::str::FromStr;

use crate::cluster::types::{ClusterName, Role};

/// An ISO 9660 volume identifier of 1 to 32 characters from `A-Z`, `0-9`, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeLabel(String);

impl VolumeLabel {
    /// Longest label in bytes (ECMA-119 8.4.7).
    pub const MAX: usize = 32;

    /// Label of the medium of a role: `KILN-PROD-MASTER-1A2B`. The last part comes from the build id, so that two builds in
    /// one machine are told apart; the cluster's name is cut to what fits.
    pub fn for_medium(cluster: &ClusterName, role: Role, build_id: &str) -> Self {
        let name = cluster.as_str().get(..15).unwrap_or(cluster.as_str());
        let id: String = build_id.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
        Self(format!("KILN-{name}-{role}-{id}").to_ascii_uppercase())
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeLabel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(format!(
                "a volume label has 1 to {} characters, and `{text}` has {}",
                Self::MAX,
                text.len()
            ));
        }
        match text.chars().find(|c| !matches!(c, 'A'..='Z' | '0'..='9' | '-' | '_')) {
            Some(bad) => Err(format!("`{bad}` is not allowed in a volume label: A-Z, 0-9, `-` and `_` are")),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for VolumeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_medium_has_a_label_that_parses() {
        for name in ["prod", "a-very-long-cluster1"] {
            for role in Role::ALL {
                let label = VolumeLabel::for_medium(&name.parse().unwrap(), role, "1a2b3c4d");
                assert_eq!(label.as_str().parse(), Ok(label));
            }
        }
    }

    #[test]
    fn long_or_odd_labels_are_refused() {
        assert!("A".repeat(33).parse::<VolumeLabel>().is_err());
        for bad in ["", "CentOS 7", "kiln", "A\0"] {
            assert!(bad.parse::<VolumeLabel>().is_err(), "{bad:?}");
        }
    }
}
