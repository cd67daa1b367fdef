//! Holds a list against the packages of a medium. First the names: each must be there. Then what they require: a package can be
//! installed if each of its requirements has a provider that can be installed. The largest set for which that holds is
//! found by taking out what fails until nothing does, so circles of packages that require each other are no fault, and a
//! requirement with several providers needs one that holds.
//!
//! Passed over, as the module says: conflicts, obsoletes, boolean dependencies, features of rpm, weak dependencies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::spec;
use super::universe::{PackageId, Universe};
use crate::error::{Error, Result};
use crate::format::repodata::{Comps, FilesOf};
use crate::format::rpm::Dependency;

/// How alike a name must be to be worth telling (Jaro-Winkler).
const ALIKE: f64 = 0.85;
/// Most names that are told for one that is missing.
const MOST_ALIKE: usize = 3;

/// What is asked for: a package, `@group` or `@^environment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As `%packages` has it.
    pub name: String,
    /// Who asks: `profiles/lb.toml`.
    pub by: String,
}

/// Gives the files of all packages that pass a filter, with the number of their repository.
pub type FileSource<'a> =
    dyn FnMut(&dyn Fn(&str) -> bool, &mut dyn FnMut(usize, FilesOf) -> Result<()>) -> Result<()> + 'a;

/// Checks that everything asked for can be installed.
pub fn resolve(
    universe: &mut Universe,
    comps: &Comps,
    asked: &[Asked],
    el: u8,
    files: &mut FileSource<'_>,
) -> Result<()> {
    // yum of EL 7 installs by name, dnf by what is provided as well.
    let provided = el >= 8;
    let mut missing = Vec::new();
    let mut wanted: Vec<(&Asked, Vec<PackageId>)> = Vec::new();
    for one in asked {
        match one.name.strip_prefix('@') {
            Some(group) => missing.extend(absent(comps, group).map(|near| (one, near))),
            None => match spec::candidates(universe, &one.name, provided) {
                list if list.is_empty() => missing.push((one, alike(universe, &one.name))),
                list => wanted.push((one, list)),
            },
        }
    }
    if !missing.is_empty() {
        return Err(not_there(&missing));
    }
    let from: Vec<PackageId> = wanted.iter().flat_map(|(_, list)| list.iter().copied()).collect();
    let reached = reach(universe, &from, files)?;
    let faults = faults(universe, &reached);
    let broken = wanted.iter().filter(|(_, list)| list.iter().all(|id| faults.contains_key(id)));
    let chains: Vec<String> = broken.map(|(one, list)| chain(universe, &faults, one, list)).collect();
    if chains.is_empty() { Ok(()) } else { Err(not_installable(&chains)) }
}

/// Whether a group or environment is missing, and what is like it. Streams of modules (`@nginx:1.24`) are not looked for.
fn absent(comps: &Comps, group: &str) -> Option<Vec<String>> {
    let (list, name, sign) = match group.strip_prefix('^') {
        Some(name) => (&comps.environments, name, "@^"),
        None => (&comps.groups, group, "@"),
    };
    if group.contains(':') || list.contains(name) {
        return None;
    }
    let near = nearest(list.iter().map(String::as_str), name);
    Some(near.into_iter().map(|name| format!("{sign}{name}")).collect())
}

/// Names that might be meant: of what provides the name, then of what is spelled alike.
fn alike(universe: &Universe, name: &str) -> Vec<String> {
    let mut near: Vec<String> =
        spec::providers(universe, name).iter().map(|id| universe.item(*id).name.to_string()).collect();
    near.extend(nearest(universe.names(), name));
    let mut seen = BTreeSet::new();
    near.retain(|name| seen.insert(name.clone()));
    near.truncate(MOST_ALIKE);
    near
}

fn nearest<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Vec<String> {
    let scored = names.map(|other| (strsim::jaro_winkler(other, name), other));
    let mut scored: Vec<(f64, &str)> = scored.filter(|(score, _)| *score >= ALIKE).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(MOST_ALIKE).map(|(_, other)| other.to_owned()).collect()
}

fn not_there(missing: &[(&Asked, Vec<String>)]) -> Error {
    let lines: Vec<String> = missing
        .iter()
        .map(|(one, near)| {
            let near = if near.is_empty() {
                String::new()
            } else {
                format!("; there is {}", near.join(", ").escape_debug())
            };
            format!("{} (asked for by {}){near}", one.name.escape_debug(), one.by)
        })
        .collect();
    Error::input(format!("packages are missing from the medium:\n  {}", lines.join("\n  "))).hint(
        "correct the name in the profile, build from the release's full DVD, or add the packages: `rpms` in [base] \
         (docs/packages.md)",
    )
}

/// Whether a requirement is one that packages of a medium have to meet.
fn counts(requirement: &Dependency) -> bool {
    !requirement.rpmlib && !requirement.is_rich()
}

/// All packages that might be needed: whatever provides what is required, from those that are wanted on. Files that no
/// `primary.xml` has are looked for in the lists of all files, once for all that are met on the way.
fn reach(
    universe: &mut Universe,
    from: &[PackageId],
    files: &mut FileSource<'_>,
) -> Result<BTreeSet<PackageId>> {
    let mut asked: BTreeSet<String> = BTreeSet::new();
    loop {
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        let mut reached: BTreeSet<PackageId> = from.iter().copied().collect();
        let mut queue: Vec<PackageId> = from.to_vec();
        let mut seen = BTreeSet::new();
        while let Some(id) = queue.pop() {
            for number in &universe.item(id).requires {
                if !seen.insert(*number) {
                    continue;
                }
                let requirement = universe.dependency(*number);
                let providers = universe.providers(requirement);
                if providers.is_empty() && requirement.is_file() && !asked.contains(&requirement.name) {
                    unknown.insert(requirement.name.clone());
                }
                queue.extend(providers.into_iter().filter(|provider| reached.insert(*provider)));
            }
        }
        if unknown.is_empty() {
            return Ok(reached);
        }
        files(&|path| unknown.contains(path), &mut |repository, of| {
            of.files.into_iter().for_each(|path| universe.learn(repository, &of.id, path));
            Ok(())
        })?;
        asked.extend(unknown);
    }
}

/// Why a package cannot be installed: the requirement, and the provider of it that cannot be installed either, if there is one.
#[derive(Debug, Clone, Copy)]
struct Fault {
    requirement: u32,
    provider: Option<PackageId>,
}

/// The packages that cannot be installed, found from the requirements that nothing provides on: whoever has one of them fails, and
/// with it what only it provides. A provider that is named as a reason failed before the package itself, so reasons have an end.
fn faults(universe: &Universe, reached: &BTreeSet<PackageId>) -> BTreeMap<PackageId, Fault> {
    let mut needs: BTreeMap<u32, Vec<PackageId>> = BTreeMap::new();
    for id in reached {
        for number in &universe.item(*id).requires {
            if counts(universe.dependency(*number)) {
                needs.entry(*number).or_default().push(*id);
            }
        }
    }
    let providers: BTreeMap<u32, Vec<PackageId>> =
        needs.keys().map(|number| (*number, universe.providers(universe.dependency(*number)))).collect();
    let mut left: BTreeMap<u32, usize> =
        providers.iter().map(|(number, list)| (*number, list.len())).collect();
    let mut gives: BTreeMap<PackageId, Vec<u32>> = BTreeMap::new();
    for (number, list) in &providers {
        list.iter().for_each(|id| gives.entry(*id).or_default().push(*number));
    }
    let mut failed: VecDeque<u32> = left.iter().filter(|(_, left)| **left == 0).map(|(at, _)| *at).collect();
    let mut faults: BTreeMap<PackageId, Fault> = BTreeMap::new();
    while let Some(requirement) = failed.pop_front() {
        let provider = providers.get(&requirement).and_then(|list| best(universe, list));
        for id in needs.get(&requirement).into_iter().flatten() {
            if faults.contains_key(id) {
                continue;
            }
            faults.insert(*id, Fault { requirement, provider });
            for number in gives.get(id).into_iter().flatten() {
                let left = left.entry(*number).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    failed.push_back(*number);
                }
            }
        }
    }
    faults
}

/// The newest of some packages, one of the node's own architecture if there is any.
fn best(universe: &Universe, list: &[PackageId]) -> Option<PackageId> {
    let order = |a: &PackageId, b: &PackageId| {
        let (a, b) = (universe.item(*a), universe.item(*b));
        a.is_native().cmp(&b.is_native()).then_with(|| a.evr.order(&b.evr))
    };
    list.iter().copied().max_by(order)
}

/// From what was asked for to the requirement that nothing provides.
fn chain(
    universe: &Universe,
    faults: &BTreeMap<PackageId, Fault>,
    one: &Asked,
    candidates: &[PackageId],
) -> String {
    let mut lines = vec![format!("{} (asked for by {})", one.name.escape_debug(), one.by)];
    let mut next = best(universe, candidates);
    while let Some(id) = next {
        let Some(fault) = faults.get(&id) else { break };
        let end = if fault.provider.is_none() { ", which nothing provides" } else { "" };
        let requirement = universe.dependency(fault.requirement).to_string();
        let item = universe.item(id).to_string();
        lines.push(format!("  {} requires {}{end}", item.escape_debug(), requirement.escape_debug()));
        next = fault.provider;
    }
    lines.join("\n  ")
}

fn not_installable(chains: &[String]) -> Error {
    Error::input(format!("packages cannot be installed from the medium:\n  {}", chains.join("\n  "))).hint(
        "build from the release's full DVD, or add what is missing: `rpms` in [base] takes folders of packages \
         (docs/packages.md)",
    )
}
