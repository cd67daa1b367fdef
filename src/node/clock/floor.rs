//! The earliest that it can be: the newest start of any certificate on the node. It lies in the node's tree, so that it is the same
//! for every machine of a medium, and moves on with certificates that the cluster issues later.
//!
//! A clock behind it is wrong for certain and is set forward: to the floor, or to the last time that was known to be right, which
//! the keeper notes on disk. A clock ahead of it is left alone, however wrong it may be.

use std::io::Read as _;
use std::path::Path;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::error::Result;
use crate::node::status::{certs, stamp};
use crate::node::topic::replace;

/// Where the keeper notes the last time that was known to be right.
const LAST: &str = "var/lib/kiln/clock";
/// What the clock said when the machine started, if that could not be.
const WAS: &str = "run/kiln/clock-was";

/// What is to be done with a clock that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// What it says.
    pub was: OffsetDateTime,
    /// What it is to be set to.
    pub to: OffsetDateTime,
}

/// Whether the clock of the node whose files lie below `root` has to be set forward.
pub fn forward(root: &Path, now: OffsetDateTime) -> Option<Forward> {
    let certificates = certs::validities(root);
    let floor = certificates.iter().map(certs::Validity::made).max()?;
    if now >= floor {
        return None;
    }
    // What was noted may itself come from a wrong clock; past the last certificate it helps nobody.
    let end = certificates.iter().map(|certificate| certificate.not_after).max()?;
    let last = last(root).filter(|last| *last < end);
    Some(Forward { was: now, to: last.map_or(floor, |last| last.max(floor)) })
}

/// Notes that `now` is right.
pub fn note(root: &Path, now: OffsetDateTime) -> Result<()> {
    replace(&root.join(LAST), (stamp(now) + "\n").as_bytes(), 0o644)
}

/// Notes what the clock said before it was set.
pub fn note_was(root: &Path, was: OffsetDateTime) -> Result<()> {
    replace(&root.join(WAS), (stamp(was) + "\n").as_bytes(), 0o644)
}

/// What the clock said when the machine started, if it had to be set forward.
pub fn was(root: &Path) -> Option<OffsetDateTime> {
    read(&root.join(WAS))
}

fn last(root: &Path) -> Option<OffsetDateTime> {
    read(&root.join(LAST))
}

fn read(path: &Path) -> Option<OffsetDateTime> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(64).read_to_string(&mut text).ok()?;
    OffsetDateTime::parse(text.trim(), &Rfc3339).ok()
}

impl certs::Validity {
    /// The latest moment at which it can have been made. Those of the medium start a day before they were made.
    fn made(&self) -> OffsetDateTime {
        let of_medium = self.file.starts_with("opt");
        self.not_before + if of_medium { crate::pki::BACKDATE } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::types::Role;
    use crate::pki::Pki;
    use time::macros::datetime;

    const MADE: OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

    /// The files of a master, made at [`MADE`].
    fn node() -> tempfile::TempDir {
        let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cluster = crate::testing::cluster();
        let pki = Pki::open_or_create(&dir.path().join("pki"), &cluster, MADE).unwrap();
        let node = cluster.nodes_of(Role::Master).next().unwrap();
        for tree in [pki.role_tree(Role::Master).unwrap(), pki.node_tree(&cluster, node).unwrap()] {
            for (path, entry) in tree.iter() {
                let crate::tree::Kind::File(blob) = &entry.kind else { continue };
                let to = root.path().join(path.relative());
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::write(to, blob.to_vec(1 << 20).unwrap()).unwrap();
            }
        }
        root
    }

    #[test]
    fn a_dead_clock_is_set_to_when_the_certificates_were_made() {
        let root = node();
        let at = |now| forward(root.path(), now).map(|forward| forward.to);
        assert_eq!(at(OffsetDateTime::UNIX_EPOCH), Some(MADE));
        assert_eq!(at(MADE - Duration::SECOND), Some(MADE));
        assert_eq!(at(MADE), None);
        assert_eq!(at(MADE + Duration::days(4000)), None, "never backwards");
    }

    #[test]
    fn it_is_set_to_the_last_time_known_to_be_right() {
        let (root, right) = (node(), MADE + Duration::days(100));
        note(root.path(), right).unwrap();
        assert_eq!(forward(root.path(), OffsetDateTime::UNIX_EPOCH).unwrap().to, right);
        assert_eq!(
            forward(root.path(), MADE + Duration::HOUR),
            None,
            "a clock that may be right is left alone"
        );
        note(root.path(), MADE - Duration::days(9)).unwrap();
        assert_eq!(forward(root.path(), OffsetDateTime::UNIX_EPOCH).unwrap().to, MADE);
        note(root.path(), MADE + Duration::days(9000)).unwrap();
        assert_eq!(forward(root.path(), OffsetDateTime::UNIX_EPOCH).unwrap().to, MADE);
        std::fs::write(root.path().join(LAST), vec![b'9'; 100_000]).unwrap();
        assert_eq!(forward(root.path(), OffsetDateTime::UNIX_EPOCH).unwrap().to, MADE);
    }

    #[test]
    fn without_certificates_there_is_no_floor() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(forward(root.path(), OffsetDateTime::UNIX_EPOCH), None);
        note_was(root.path(), OffsetDateTime::UNIX_EPOCH).unwrap();
        assert_eq!(was(root.path()), Some(OffsetDateTime::UNIX_EPOCH));
    }
}
