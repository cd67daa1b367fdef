//! When the certificates of a medium are good: what its payload says of the time, without a clock.
//!
//! The installer holds the machine's clock against it, as nodes hold theirs against their own certificates
//! (`node::clock::floor`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{IoContext as _, Result};
use crate::node::status::certs::{has_certificate, validity_in};
use crate::pki::BACKDATE;
use crate::tree::{Kind, Tree};

/// A certificate or kubeconfig is a few kilobytes.
const LIMIT: u64 = 256 << 10;

/// A moment, in seconds; written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub OffsetDateTime);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self).map_err(|error| format!("it is no time: {error}"))
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::node::status::stamp(self.0))
    }
}

/// When the certificates of a medium are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// When the newest of them was made; it cannot be earlier.
    pub made: Moment,
    /// When the first of them ends.
    pub ends: Moment,
}

/// The validity of all certificates in the trees; `None` if there are none.
pub fn of_trees<'a>(trees: impl Iterator<Item = &'a Tree>) -> Result<Option<Validity>> {
    let mut found: Option<Validity> = None;
    for (path, entry) in trees.flat_map(Tree::iter) {
        let Kind::File(blob) = &entry.kind else { continue };
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        if !has_certificate(name) || blob.len() > LIMIT {
            continue;
        }
        let Ok(text) =
            String::from_utf8(blob.to_vec(LIMIT).at("reading", std::path::Path::new(path.as_str()))?)
        else {
            continue;
        };
        let Some((not_before, not_after)) = validity_in(name, text) else { continue };
        // Those of a medium start earlier than they were made, for clocks that are behind.
        let (made, ends) = (Moment(not_before + BACKDATE), Moment(not_after));
        found = Some(match found {
            None => Validity { made, ends },
            Some(so_far) => Validity { made: so_far.made.max(made), ends: so_far.ends.min(ends) },
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::types::Role;
    use crate::pki::Pki;
    use time::Duration;
    use time::macros::datetime;

    #[test]
    fn the_certificates_of_a_medium_say_when_it_was_made() {
        let made = datetime!(2026-11-23 06:00 UTC);
        let dir = tempfile::tempdir().unwrap();
        let cluster = crate::testing::cluster();
        let pki = Pki::open_or_create(dir.path(), &cluster, made).unwrap();
        let node = cluster.nodes_of(Role::Master).next().unwrap();
        let trees = [pki.role_tree(Role::Master).unwrap(), pki.node_tree(&cluster, node).unwrap()];
        let found = of_trees(trees.iter()).unwrap().unwrap();
        assert_eq!(found.made.0, made);
        assert!(found.ends.0 > made + Duration::days(300), "{found:?}");
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.contains("2026-11-23T06:00:00Z"), "{text}");
        assert_eq!(serde_json::from_str::<Validity>(&text).unwrap(), found);
        assert_eq!(of_trees([].into_iter()).unwrap(), None);
        assert!(serde_json::from_str::<Moment>("\"yesterday\"").is_err());
    }
}
