//! What there is to say about a `pki` folder: names, uses, lifetimes; for `kiln pki show`. Never a key.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Authority, Facts, Pki, wanted};
use crate::cluster::model::Cluster;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// An authority.
    Authority,
    /// A leaf certificate.
    Leaf,
    /// The bootstrap token.
    Token,
}

/// One certificate, or the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Folder or file below `pki/`.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Common name; for the token its public part.
    pub common_name: String,
    /// Organisation, which is a group to Kubernetes.
    pub organization: Option<String>,
    /// Common name of the issuer; absent for the token.
    pub issuer: Option<String>,
    /// `server`, `client`, `server+client`, `authority` or `bootstrap`.
    pub usage: String,
    /// Names and addresses.
    pub sans: Vec<String>,
    /// Start of validity, RFC 3339; absent for the token.
    pub not_before: Option<String>,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// Whole days until then; negative when it is over.
    pub days_left: i64,
    /// Whether the cluster file wants it. False for what belonged to nodes that are gone.
    pub wanted: bool,
}

/// All of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Name of the cluster.
    pub cluster: String,
    /// Until when media built from this folder, as it is, can make nodes that work: the first end of anything a medium
    /// carries. RFC 3339.
    pub media_good_until: String,
    /// Whole days until then.
    pub days_left: i64,
    /// Authorities, leaves, token.
    pub rows: Vec<Row>,
    /// Leaves that the cluster file wants and that are not issued yet.
    pub missing: Vec<String>,
}

impl Pki {
    /// Describes the folder as `cluster` uses it at `now`.
    pub fn describe(&self, cluster: &Cluster, now: OffsetDateTime) -> Description {
        let wanted = wanted(cluster);
        let mut rows = Vec::new();
        let mut end = self.token.expires();
        for which in Authority::ALL {
            if let Some(ca) = self.authority(which) {
                rows.push(row(&format!("ca/{}", which.folder()), EntryKind::Authority, &ca.facts, now, true));
                end = end.min(ca.facts.not_after);
            }
        }
        for (id, leaf) in &self.leaves {
            let facts = &leaf.pair.facts;
            let is_wanted = wanted.contains_key(id);
            if is_wanted {
                end = end.min(facts.not_after);
            }
            rows.push(row(id.as_str(), EntryKind::Leaf, facts, now, is_wanted));
        }
        rows.push(Row {
            name: super::TOKEN.to_owned(),
            kind: EntryKind::Token,
            common_name: self.token.id().to_owned(),
            organization: None,
            issuer: None,
            usage: "bootstrap".to_owned(),
            sans: Vec::new(),
            not_before: None,
            not_after: text(self.token.expires()),
            days_left: (self.token.expires() - now).whole_days(),
            wanted: true,
        });
        Description {
            cluster: self.cluster.clone(),
            media_good_until: text(end),
            days_left: (end - now).whole_days(),
            rows,
            missing: wanted.keys().filter(|id| self.leaf(id).is_none()).map(ToString::to_string).collect(),
        }
    }
}

fn row(name: &str, kind: EntryKind, facts: &Facts, now: OffsetDateTime, wanted: bool) -> Row {
    Row {
        name: name.to_owned(),
        kind,
        common_name: facts.common_name.clone(),
        organization: facts.organization.clone(),
        issuer: Some(facts.issuer.clone()),
        usage: match facts.usage {
            _ if facts.authority => "authority".to_owned(),
            Some(usage) => usage.to_string(),
            None => "unknown".to_owned(),
        },
        sans: facts.sans.iter().map(ToString::to_string).collect(),
        not_before: Some(text(facts.not_before)),
        not_after: text(facts.not_after),
        days_left: (facts.not_after - now).whole_days(),
        wanted,
    }
}

fn text(time: OffsetDateTime) -> String {
    time.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}
