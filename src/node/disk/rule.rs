//! Which disk a rule means. Pure: disks and rules in, one disk for each rule out, or a table of every disk and why it was
//! left out.

use super::{Disk, LEAST_SIZE, bare_wwn};
use crate::cluster::storage::{Bus, DiskRule, Mount, Pick, Storage};
use crate::error::{Error, Result};
use crate::report::human_size;

/// The disks of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The system's.
    pub system: Disk,
    /// Those of its volumes, in the order of the rules.
    pub volumes: Vec<(Mount, Disk)>,
}

impl Choice {
    /// All of them, each with the folder that will lie on it.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Disk)> {
        let volumes = self.volumes.iter().map(|(mount, disk)| (mount.as_str(), disk));
        std::iter::once(("/", &self.system)).chain(volumes)
    }
}

/// The disks that the rules mean. Rules that name one certain disk choose first, then the system's, then the volumes' as
/// they stand; a disk that one rule has taken is not there for the next.
pub fn choose(disks: &[Disk], storage: &Storage) -> Result<Choice> {
    let system = std::iter::once(("/", &storage.disk));
    let volumes = storage.volumes.iter().map(|volume| (volume.mount.as_str(), &volume.disk));
    let rules: Vec<(&str, &DiskRule)> = system.chain(volumes).collect();
    let mut order: Vec<usize> = (0..rules.len()).collect();
    order.sort_by_key(|&index| !rules[index].1.names_one());
    let mut taken: Vec<Option<usize>> = vec![None; rules.len()];
    for index in order {
        let (folder, rule) = rules[index];
        let others = |disk: usize| taken.iter().position(|taken| *taken == Some(disk)).map(|of| rules[of].0);
        taken[index] = Some(one(disks, folder, rule, &others)?);
    }
    let mut chosen = taken.into_iter().flatten().filter_map(|disk| disks.get(disk).cloned());
    let system = chosen.next().ok_or_else(|| Error::internal("no disk was chosen"))?;
    let mounts = storage.volumes.iter().map(|volume| volume.mount);
    Ok(Choice { system, volumes: mounts.zip(chosen).collect() })
}

/// The index of the one disk that a rule leaves. `taken` says which folder has a disk already.
fn one<'a>(
    disks: &[Disk],
    folder: &str,
    rule: &DiskRule,
    taken: &dyn Fn(usize) -> Option<&'a str>,
) -> Result<usize> {
    let mut reasons: Vec<Option<String>> = disks.iter().map(|disk| objection(disk, rule)).collect();
    for (index, reason) in reasons.iter_mut().enumerate() {
        if let (None, Some(other)) = (&reason, taken(index)) {
            *reason = Some(format!("is that of {other}"));
        }
    }
    narrow(disks, rule.pick, &mut reasons);
    let left: Vec<usize> = (0..disks.len()).filter(|&index| reasons[index].is_none()).collect();
    let message = match left.as_slice() {
        [one] => return Ok(*one),
        [] if disks.is_empty() => "this machine has no disk".to_owned(),
        [] => "no disk of this machine may be installed to".to_owned(),
        several => format!("{} disks of this machine fit the rule; exactly one must", several.len()),
    };
    let rows = disks.iter().zip(&reasons);
    let table: String = rows.map(|(disk, reason)| row(disk, reason.as_deref())).collect();
    let hint = "name the disk in cluster.toml: disk = { serial = \"...\" }, wwn, by_path, bus or a size";
    Err(Error::input(format!("{message} (rule of {folder}: {})\n{table}", words(rule))).hint(hint))
}

/// Leaves the smallest or the largest of the disks that fit; several of one size all stay.
fn narrow(disks: &[Disk], pick: Pick, reasons: &mut [Option<String>]) {
    let left =
        || disks.iter().zip(reasons.iter()).filter(|(_, why)| why.is_none()).map(|(disk, _)| disk.size);
    let (size, why) = match pick {
        Pick::Only => return,
        Pick::Smallest => (left().min(), "is not the smallest"),
        Pick::Largest => (left().max(), "is not the largest"),
    };
    for (disk, reason) in disks.iter().zip(reasons) {
        if reason.is_none() && Some(disk.size) != size {
            *reason = Some(why.into());
        }
    }
}

/// Why a disk is not taken; `None` if it may be.
fn objection(disk: &Disk, rule: &DiskRule) -> Option<String> {
    if let Some(fault) = &disk.fault {
        return Some(fault.clone());
    }
    if let Some(loose) = disk.loose.as_ref().filter(|_| !rule.names_one()) {
        return Some(format!("{loose}, and is taken only if serial, wwn or by_path names it"));
    }
    if rule.serial.is_some() && rule.serial != disk.serial {
        return Some("has another serial number".into());
    }
    if rule.wwn.is_some() && rule.wwn.as_deref().map(bare_wwn) != disk.wwn.as_deref().map(bare_wwn) {
        return Some("has another WWN".into());
    }
    if rule.by_path.as_ref().is_some_and(|path| !disk.by_path.contains(path)) {
        return Some("has another path".into());
    }
    if rule.bus.is_some() && rule.bus != disk.bus {
        return Some(format!("is on {}", disk.bus.map_or("a bus that is not known", Bus::as_str)));
    }
    if rule.rotational.is_some_and(|rotational| rotational != disk.rotational) {
        return Some(if disk.rotational { "turns" } else { "does not turn" }.into());
    }
    wrong_size(disk.size, rule)
}

fn wrong_size(size: u64, rule: &DiskRule) -> Option<String> {
    if size < LEAST_SIZE {
        return Some(format!("is smaller than {}, too small for a node", human_size(LEAST_SIZE)));
    }
    if let Some(least) = rule.min_size.filter(|least| size < *least) {
        return Some(format!("is smaller than {}", human_size(least)));
    }
    let most = rule.max_size.filter(|most| size > *most)?;
    Some(format!("is larger than {}", human_size(most)))
}

/// A line about a disk, for people.
pub(super) fn row(disk: &Disk, reason: Option<&str>) -> String {
    let size = human_size(disk.size);
    format!("  {:<8} {size:>10}  {}: {}\n", disk.name, disk.known_by(), reason.unwrap_or("fits"))
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}

fn words(rule: &DiskRule) -> String {
    let mut parts = Vec::new();
    let named = [("serial", &rule.serial), ("wwn", &rule.wwn), ("by_path", &rule.by_path)];
    for (key, value) in named {
        parts.extend(value.as_ref().map(|value| format!("{key} {value}")));
    }
    parts.extend(rule.min_size.map(|size| format!("at least {}", human_size(size))));
    parts.extend(rule.max_size.map(|size| format!("at most {}", human_size(size))));
    parts.extend(rule.bus.map(|bus| format!("on {}", bus.as_str())));
    parts.extend(rule.rotational.map(|turns| if turns { "rotational" } else { "not rotational" }.into()));
    match rule.pick {
        Pick::Only => {}
        Pick::Smallest => parts.push("the smallest".into()),
        Pick::Largest => parts.push("the largest".into()),
    }
    if parts.is_empty() { "the only disk".into() } else { parts.join(", ") }
}
