//! The abstract etcd: logs, voters, majorities. [`World`] lends one node's view of it to the code that takes members in.

use std::collections::BTreeSet;

use super::{Quorum, Violation, World};
use crate::node::formation::join::{self, Etcd, Refusal};

/// An entry of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Greater is newer: what a term and an index tell in the real one.
    pub number: u8,
    /// What it does.
    pub op: Op,
}

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// A client's write.
    Write,
    /// A member is gone.
    Remove(u8),
    /// A learner of that id, for that node.
    Add(u8, u8),
    /// A learner has a vote.
    Promote(u8),
}

/// Members by id: node and whether it is a learner.
pub fn list(members: usize, log: &[Entry]) -> Vec<(u8, u8, bool)> {
    let mut list: Vec<(u8, u8, bool)> = (0..members as u8).map(|node| (node, node, false)).collect();
    for entry in log {
        match entry.op {
            Op::Write => {}
            Op::Remove(id) => list.retain(|member| member.0 != id),
            Op::Add(id, node) => list.push((id, node, true)),
            Op::Promote(id) => {
                list.iter_mut().filter(|member| member.0 == id).for_each(|member| member.2 = false);
            }
        }
    }
    list
}

/// Ids of those who vote, by a log.
pub fn voters(members: usize, log: &[Entry]) -> BTreeSet<u8> {
    list(members, log).into_iter().filter(|member| !member.2).map(|member| member.0).collect()
}

impl World {
    /// Log of a node; empty if it has none.
    pub fn log(&self, node: usize) -> &[Entry] {
        self.disks[node].wal.as_ref().map_or(&[], |wal| &wal.log)
    }

    /// All majorities that could hear a leader now.
    pub fn quorums(&self) -> Vec<Quorum> {
        let mut found = Vec::new();
        for leader in 0..self.members() {
            let Some(wal) = &self.disks[leader].wal else { continue };
            let voters = voters(self.members(), &wal.log);
            if !voters.contains(&wal.id) {
                continue;
            }
            let newest = wal.log.last().map(|entry| entry.number);
            let follows = |node: usize| {
                self.disks[node].wal.as_ref().is_some_and(|other| {
                    voters.contains(&other.id) && other.log.last().map(|entry| entry.number) <= newest
                })
            };
            let able: u8 = (0..self.members()).filter(|node| follows(*node)).map(|node| 1u8 << node).sum();
            for nodes in 0..(1u8 << self.members()) {
                let whole = nodes & able == nodes && nodes & (1 << leader) != 0;
                // More than a majority can do no more than a majority.
                if whole && nodes.count_ones() as usize == voters.len() / 2 + 1 {
                    found.push(Quorum { leader, nodes });
                }
            }
        }
        found
    }

    /// Whether the leader's list has a learner.
    pub fn has_learner(&self, leader: usize) -> bool {
        list(self.members(), self.log(leader)).iter().any(|member| member.2)
    }

    /// Whether a member, or a learner, of the leader's list has an older log.
    pub fn is_behind(&self, node: usize, leader: usize) -> bool {
        let (Some(wal), log) = (&self.disks[node].wal, self.log(leader)) else { return false };
        list(self.members(), log).iter().any(|member| member.0 == wal.id)
            && wal.log.last().map(|entry| entry.number) < log.last().map(|entry| entry.number)
    }

    /// The majority takes an entry. What was acknowledged before must be in the leader's log.
    pub fn commit(&mut self, quorum: &Quorum, op: Op) -> Result<u8, Violation> {
        let mut log = self.log(quorum.leader).to_vec();
        if let Some(lost) = self.acked.iter().find(|number| log.iter().all(|entry| entry.number != **number))
        {
            return Err(Violation(format!(
                "entry {lost} was acknowledged and is lost: a second cluster works"
            )));
        }
        let number = self.next;
        self.next += 1;
        log.push(Entry { number, op });
        for node in (0..self.members()).filter(|node| quorum.nodes & (1 << node) != 0) {
            if let Some(wal) = &mut self.disks[node].wal {
                wal.log = log.clone();
            }
        }
        Ok(number)
    }

    /// One node is taken in by another, whose power fails after so many steps.
    pub fn join(
        &mut self,
        node: usize,
        helper: usize,
        quorum: &Quorum,
        fail: Option<u8>,
    ) -> Result<(), Violation> {
        if fail.is_some() {
            self.crashes -= 1;
        }
        let name = node.to_string();
        let mut view = View { world: self, quorum, steps: fail, violation: None };
        let taken = join::take_in(&mut view, &name, &name, |url| Some(url.to_owned()));
        if let Some(violation) = view.violation {
            return Err(violation);
        }
        self.volatile[node].asks = None;
        match taken {
            Ok(list) => {
                // Another one may be out and not in again yet: its helper lost power in between.
                let urls: BTreeSet<&String> = list.iter().map(|(_, url)| url).collect();
                assert!(urls.len() == list.len() && urls.contains(&name), "one entry for each: {list:?}");
                let id = self.next_id - 1;
                self.volatile[node].go = Some(id);
            }
            Err(Refusal::Etcd(())) => self.volatile[helper] = super::Volatile::new(self.members()),
            Err(Refusal::Alive | Refusal::Busy(_)) => {}
        }
        Ok(())
    }

    /// Learners that have caught up get a vote.
    pub fn promote(&mut self, quorum: &Quorum) -> Result<(), Violation> {
        let mut view = View { world: self, quorum, steps: None, violation: None };
        // A failure is that of an etcd without a quorum; it is tried again.
        let _ = join::promote(&mut view);
        view.violation.map_or(Ok(()), Err)
    }
}

/// etcd, as a node sees it that hears a leader.
struct View<'w> {
    world: &'w mut World,
    quorum: &'w Quorum,
    /// Changes until the power fails.
    steps: Option<u8>,
    violation: Option<Violation>,
}

impl View<'_> {
    fn change(&mut self, op: Op) -> Result<(), ()> {
        if let Some(steps) = &mut self.steps {
            *steps = steps.checked_sub(1).ok_or(())?;
        }
        // After a removal a smaller majority may do, and the one at hand must still be one.
        let (members, leader) = (self.world.members(), self.quorum.leader);
        let voters = voters(members, self.world.log(leader));
        let with = |node: usize| {
            self.quorum.nodes & (1 << node) != 0
                && self.world.disks[node].wal.as_ref().is_some_and(|wal| voters.contains(&wal.id))
        };
        if (0..members).filter(|node| with(*node)).count() * 2 <= voters.len() {
            return Err(());
        }
        self.world.commit(self.quorum, op).map(|_| ()).map_err(|violation| self.violation = Some(violation))
    }
}

impl Etcd for View<'_> {
    type Error = ();

    fn members(&mut self) -> Result<Vec<join::Entry>, ()> {
        let list = list(self.world.members(), self.world.log(self.quorum.leader));
        let entry = |(id, node, learner): (u8, u8, bool)| {
            let started = self.world.disks[usize::from(node)].wal.as_ref().is_some_and(|wal| wal.id == id);
            let name = if started { node.to_string() } else { String::new() };
            join::Entry { id: u64::from(id), name, peer_urls: vec![node.to_string()], learner }
        };
        Ok(list.into_iter().map(entry).collect())
    }

    fn remove(&mut self, id: u64) -> Result<(), ()> {
        self.change(Op::Remove(id as u8))
    }

    fn add_learner(&mut self, name: &str, _: &str) -> Result<(), ()> {
        let id = self.world.next_id;
        self.change(Op::Add(id, name.parse().map_err(|_| ())?))?;
        self.world.next_id += 1;
        // The answer is lost with the power, too.
        if self.steps == Some(0) { Err(()) } else { Ok(()) }
    }

    fn promote(&mut self, id: u64) -> Result<bool, ()> {
        let leader = self.quorum.leader;
        let caught_up = (0..self.world.members()).any(|node| {
            self.world.disks[node]
                .wal
                .as_ref()
                .is_some_and(|wal| u64::from(wal.id) == id && wal.log.last() == self.world.log(leader).last())
        });
        if caught_up {
            self.change(Op::Promote(id as u8))?;
        }
        Ok(caught_up)
    }

    fn alive(&mut self, entry: &join::Entry) -> bool {
        self.world.disks.iter().any(|disk| disk.wal.as_ref().is_some_and(|wal| u64::from(wal.id) == entry.id))
    }
}
