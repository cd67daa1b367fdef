//! When the node's certificates end. Announced 30 days ahead, on the board and the console.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use time::{Duration, OffsetDateTime};

use super::{Level, Topic, stamp};
use crate::node::mend::is_rotated;
use crate::pki::read_facts;

/// How long before its end a certificate is announced.
const AHEAD: Duration = Duration::days(30);
/// A certificate or kubeconfig is a few kilobytes.
const LIMIT: u64 = 256 << 10;
/// Where they lie.
const FOLDERS: [&str; 4] = ["opt/etcd/ssl", "opt/kubernetes/ssl", "opt/kiln/ssl", "opt/kubernetes/cfg"];

/// When a certificate of the node is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Its file, below the node's root.
    pub file: PathBuf,
    /// From then on.
    pub not_before: OffsetDateTime,
    /// Until then.
    pub not_after: OffsetDateTime,
}

/// What is to be said of the certificates of the node whose files lie below `root`.
pub fn topic(root: &Path, now: OffsetDateTime) -> Topic {
    let ends = validities(root);
    let first = ends.iter().min_by_key(|end| end.not_after);
    let soon = ends.iter().filter(|end| end.not_after < now + AHEAD).count();
    match first {
        None => Topic::new("certificates", Level::Warn, "no certificate was found on this node", now),
        Some(end) if end.not_after <= now => say(Level::Failed, "has ended", end, soon, now),
        Some(end) if soon > 0 => say(Level::Warn, "ends", end, soon, now),
        Some(end) => {
            let text = format!("all good until {}", stamp(end.not_after));
            Topic::new("certificates", Level::Ok, text, now)
        }
    }
}

fn say(state: Level, verb: &str, end: &Validity, soon: usize, now: OffsetDateTime) -> Topic {
    let more = if soon > 1 { format!(", and {} more are near their end", soon - 1) } else { String::new() };
    let text = format!(
        "/{} {verb} at {}{more}; build new media and reinstall, or replace the files",
        end.file.display(),
        stamp(end.not_after)
    );
    Topic::new("certificates", state, text, now)
}

/// All certificates of the node whose files lie below `root`, authorities among them.
pub fn validities(root: &Path) -> Vec<Validity> {
    let mut ends = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().take(64) {
            // The kubelet keeps what it has rotated away; only the links named `current` count.
            let old = path.file_name().is_some_and(|name| is_rotated(&name.to_string_lossy()));
            if let (false, Some((not_before, not_after))) = (old, validity_of(path)) {
                let file = path.strip_prefix(root).unwrap_or(path).to_owned();
                ends.push(Validity { file, not_before, not_after });
            }
        }
    }
    ends
}

fn validity_of(path: &Path) -> Option<(OffsetDateTime, OffsetDateTime)> {
    use std::io::Read as _;
    let name = path.file_name()?.to_str()?;
    if !has_certificate(name) {
        return None;
    }
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    validity_in(name, text)
}

/// Whether a file of this name may hold a certificate.
pub(crate) fn has_certificate(name: &str) -> bool {
    name.ends_with(".kubeconfig") || name.ends_with(".pem") && !name.ends_with("-key.pem")
}

/// When the certificate in the text of a file of this name is good.
pub(crate) fn validity_in(name: &str, mut text: String) -> Option<(OffsetDateTime, OffsetDateTime)> {
    if name.ends_with(".kubeconfig") {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("client-certificate-data:"))?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(line.trim().trim_matches('"')).ok()?;
        text = String::from_utf8(bytes).ok()?;
    }
    // The kubelet keeps its key in the same file.
    let start = text.find("-----BEGIN CERTIFICATE-----")?;
    let facts = read_facts(&text[start..]).ok()?;
    Some((facts.not_before, facts.not_after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Pki;
    use time::macros::datetime;

    #[test]
    fn ends_are_announced_thirty_days_ahead() {
        let now = datetime!(2026-11-23 06:00 UTC);
        let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cluster = crate::testing::cluster();
        let pki = Pki::open_or_create(&dir.path().join("pki"), &cluster, now).unwrap();
        let node = cluster.nodes_of(crate::cluster::types::Role::Master).next().unwrap();
        assert_eq!(topic(root.path(), now).state, Level::Warn, "nothing there");
        for (path, entry) in pki.node_tree(&cluster, node).unwrap().iter() {
            let crate::tree::Kind::File(blob) = &entry.kind else { continue };
            let to = root.path().join(path.relative());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, blob.to_vec(1 << 20).unwrap()).unwrap();
        }
        assert!(validities(root.path()).iter().any(|end| end.file.ends_with("admin.kubeconfig")));
        assert_eq!(topic(root.path(), now).state, Level::Ok);
        let near = topic(root.path(), now + Duration::days(340));
        assert_eq!(near.state, Level::Warn, "{near:?}");
        assert!(near.text.contains("2027-11-23T06:00:00Z") && near.text.contains("more"), "{near:?}");
        assert_eq!(topic(root.path(), now + Duration::days(366)).state, Level::Failed);
    }
}
