//! `kiln node probe-disk`, run by `%pre-install` on the new, still empty file system: how long etcd's disk takes to make a
//! write last.
//!
//! Before the disk is given over nothing may be written to it, and how fast it reads says nothing of fdatasync: so this is
//! measured when the disk is the node's already. etcd's own advice (docs, "Hardware", and its disk benchmark): records of
//! some 2300 bytes, each followed by fdatasync, 99 of 100 within 10 ms.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cluster::preflight::{Check, Level};
use crate::error::{Error, IoContext as _, Result};
use crate::payload::manifest::Manifest;

/// Bytes of a record, as etcd's advice has it.
const RECORD: usize = 2300;
/// Most records.
const MOST: usize = 2000;
/// Fewer say nothing of one in a hundred.
const LEAST: usize = 100;
/// What 99 of 100 may take.
pub const P99: Duration = Duration::from_millis(10);
/// Name of the file, for the time of the probe.
const NAME: &str = ".kiln-probe";

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Records written.
    pub records: usize,
    /// Microseconds that half of them took at most.
    pub p50_us: u64,
    /// Microseconds that 99 of 100 took at most.
    pub p99_us: u64,
    /// Microseconds of the slowest.
    pub max_us: u64,
}

impl Measured {
    /// From the time of each record; `None` if there are none.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        };
        Some(Self { records: times.len(), p50_us: at(50)?, p99_us: at(99)?, max_us: at(100)? })
    }

    /// In words.
    pub fn text(&self) -> String {
        let ms = |us: u64| format!("{}.{:01} ms", us / 1000, us % 1000 / 100);
        format!(
            "a write lasts after {} (half), {} (99 of 100), {} (slowest of {})",
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.max_us),
            self.records
        )
    }

    /// Whether etcd is content with it.
    pub fn is_fast(&self) -> bool {
        u128::from(self.p99_us) <= P99.as_micros()
    }
}

/// Where etcd will write in a new system at `root`: its folder, or the one above it that is there. `None` for a node that is
/// no etcd member.
pub fn folder_of(manifest: &Manifest, node: &str, root: &Path) -> Option<PathBuf> {
    let member = manifest.nodes.iter().any(|known| known.etcd && known.name.as_str() == node);
    let folder = root.join("var/lib/etcd");
    let found = folder.ancestors().find(|folder| folder.is_dir()).filter(|folder| folder.starts_with(root));
    member.then(|| found.unwrap_or(root).to_owned())
}

/// Writes records into a file below `dir` for at most `limit`, and removes it.
pub fn measure(dir: &Path, limit: Duration) -> Result<Measured> {
    let path = dir.join(NAME);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).at("making", &path)?;
    let times = records(&mut file, limit).at("writing", &path);
    std::fs::remove_file(&path).at("removing", &path)?;
    let times = times?;
    Measured::of(times).ok_or_else(|| Error::internal("no record was written"))
}

fn records(file: &mut File, limit: Duration) -> std::io::Result<Vec<Duration>> {
    let record = [0x5a; RECORD];
    let (start, mut times) = (Instant::now(), Vec::with_capacity(MOST));
    // A few records tell as much of a very slow disk as the whole number would; more than twice the time is not given.
    while times.len() < MOST {
        let spent = start.elapsed();
        if spent > limit && (times.len() >= LEAST || spent > limit * 2) {
            break;
        }
        let before = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    Ok(times)
}

/// What the policy makes of it: `Ok` with a warning to tell, if there is one.
pub fn judge(manifest: &Manifest, measured: &Measured) -> Result<Option<String>> {
    let text = format!("etcd wants 99 of 100 within {} ms; {}", P99.as_millis(), measured.text());
    match manifest.preflight.level(Check::Fsync) {
        Level::Off => Ok(None),
        _ if measured.is_fast() => Ok(None),
        Level::Warn => Ok(Some(format!(
            "this disk is slow for etcd: {text}; elections and writes of the cluster will suffer under load"
        ))),
        Level::Error => Err(Error::input(format!("this disk is too slow for etcd: {text}")).hint(
            "take a solid-state disk with a cache that survives power cuts, or set fsync = \"warn\" in [preflight] of \
             cluster.toml and build the medium again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::types::Role;

    fn times(slow: usize, of: usize) -> Measured {
        let time = |i: usize| Duration::from_micros(if i < slow { 50_000 } else { 1_500 });
        Measured::of((0..of).map(time).collect()).unwrap()
    }

    #[test]
    fn one_slow_write_in_a_hundred_is_borne_and_two_are_not() {
        let (one, two) = (times(1, 100), times(2, 100));
        assert!(one.is_fast() && !two.is_fast(), "{one:?} {two:?}");
        assert_eq!((one.p50_us, one.p99_us, one.max_us), (1_500, 1_500, 50_000));
        assert_eq!(
            one.text(),
            "a write lasts after 1.5 ms (half), 1.5 ms (99 of 100), 50.0 ms (slowest of 100)"
        );
        assert_eq!(Measured::of(vec![]), None);
    }

    #[test]
    fn the_policy_says_what_a_slow_disk_is() {
        let mut cluster = crate::testing::cluster();
        let mut judged = |level: Option<Level>| {
            cluster.preflight.0 = level.map(|level| (Check::Fsync, level)).into_iter().collect();
            judge(&Manifest::of(&cluster, Role::Master, "X".parse().unwrap()), &times(2, 100))
        };
        assert!(judged(None).unwrap().unwrap().contains("slow for etcd"));
        assert_eq!(judged(Some(Level::Off)).unwrap(), None);
        let error = judged(Some(Level::Error)).unwrap_err();
        assert!(error.to_string().contains("50.0 ms (99 of 100)"), "{error}");
        let manifest = Manifest::of(&cluster, Role::Master, "X".parse().unwrap());
        assert_eq!(judge(&manifest, &times(0, 100)).unwrap(), None);
    }

    #[test]
    fn a_member_is_measured_where_etcd_will_write_and_nobody_else_is() {
        let manifest = Manifest::of(&crate::testing::cluster(), Role::Master, "X".parse().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let member = manifest.nodes.iter().find(|node| node.etcd).unwrap().name.to_string();
        let folder = || folder_of(&manifest, &member, dir.path()).unwrap();
        assert_eq!(folder(), dir.path());
        std::fs::create_dir_all(dir.path().join("var")).unwrap();
        assert_eq!(folder(), dir.path().join("var"));
        std::fs::create_dir_all(dir.path().join("var/lib/etcd")).unwrap();
        assert_eq!(folder(), dir.path().join("var/lib/etcd"));
        let other = manifest.nodes.iter().find(|node| !node.etcd).map_or("nobody", |node| node.name.as_str());
        assert_eq!(folder_of(&manifest, other, dir.path()), None);
    }

    #[test]
    fn nothing_is_left_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let measured = measure(dir.path(), Duration::from_millis(50)).unwrap();
        assert!(measured.records >= 1 && measured.p50_us <= measured.max_us, "{measured:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(dir.path().join(NAME), "someone's").unwrap();
        assert!(measure(dir.path(), Duration::from_millis(50)).is_err());
        assert_eq!(std::fs::read_to_string(dir.path().join(NAME)).unwrap(), "someone's");
    }
}
