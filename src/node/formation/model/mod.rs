//! The model: members that are switched on in any order, pause, crash between any two steps, lose their disk, and do not hear
//! each other, around an abstract etcd. It drives the very [`decide`](super::decide::decide), [`take_in`](super::join::take_in)
//! and [`promote`](super::join::promote) that the nodes run.
//!
//! Whatever may happen at some moment is an [`Event`]; a pause or a partition is an event that does not happen. The durable
//! state of a node survives a crash and dies with its disk. etcd is abstract: a log of entries; whoever has the newest log of a
//! majority of voters may lead, and makes that majority's logs equal to its own and one entry longer, which acknowledges the
//! entry. Terms, elections and messages below that are etcd's own affair and not modelled; neither are witnesses, which can only
//! make a member more careful.

mod etcd;
mod explore;
mod node;
mod tests;

pub use etcd::{Entry, Op};
pub use node::{Disk, Snap, Volatile, Wal};

use super::decide::Stage;
use crate::cluster::model::EtcdForm;

/// Which rule the members follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// That of `decide`.
    Mended(EtcdForm),
    /// The first design: a majority says "not formed" and nobody says "formed".
    First,
}

/// When a disk may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// At any moment.
    Any,
    /// Once every other member has written down that disk's incarnation, or that the cluster has formed; and once there
    /// is a cluster, only while no more than a minority is without data.
    Known,
    /// As `Known`, and only while the voters that are left are a majority of those that etcd counts: one that is being taken
    /// in has no vote yet, so for that while two of three are all there are, and losing one of two ends any quorum.
    Borne,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Number of members.
    pub members: usize,
    /// Their rule.
    pub law: Law,
    /// When disks may be lost.
    pub loss: Loss,
    /// How many disks may be lost in all.
    pub losses: u8,
    /// How many entries clients may write.
    pub writes: u8,
    /// How many crashes there may be between two steps of one operation.
    pub crashes: u8,
    /// Whether the answers of one round may come at different times. Otherwise they come at once.
    pub fine: bool,
}

/// The whole world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// What lies on the disks.
    pub disks: Vec<Disk>,
    /// What is lost with the power.
    pub volatile: Vec<Volatile>,
    /// Entries that clients were told are safe.
    pub acked: Vec<u8>,
    /// Next number of an entry; greater is newer.
    pub next: u8,
    /// Next id of a member of etcd. Founders have the numbers of their nodes.
    pub next_id: u8,
    /// Bounds that are left.
    pub losses: u8,
    /// As `losses`.
    pub writes: u8,
    /// As `losses`.
    pub crashes: u8,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member asks these (bits), and hears their answers.
    Ask(usize, u8),
    /// A member decides with what it has heard.
    Decide(usize),
    /// It starts etcd as it decided.
    Start(usize),
    /// It loses power.
    Crash(usize),
    /// It loses its disk.
    Lose(usize),
    /// The first's agent tells the second's how it is.
    Tell(usize, usize),
    /// It sees its etcd healthy.
    Note(usize, Quorum),
    /// A client writes.
    Write(Quorum),
    /// A member that is behind catches up.
    Catch(usize, Quorum),
    /// The first is taken in again by the second; power fails there after so many steps.
    Join(usize, usize, Quorum, Option<u8>),
    /// Learners are promoted.
    Promote(Quorum),
}

/// A majority that hears its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The node that leads.
    pub leader: usize,
    /// All of them, as a set of bits.
    pub nodes: u8,
}

/// What must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl World {
    /// All machines are new and switched off.
    pub fn new(bounds: &Bounds) -> Self {
        World {
            disks: (0..bounds.members).map(|node| Disk::new(bounds.members, node, 0)).collect(),
            volatile: (0..bounds.members).map(|_| Volatile::new(bounds.members)).collect(),
            acked: Vec::new(),
            next: 1,
            next_id: bounds.members as u8,
            losses: bounds.losses,
            writes: bounds.writes,
            crashes: bounds.crashes,
        }
    }

    /// Number of members.
    pub fn members(&self) -> usize {
        self.disks.len()
    }

    /// Everything that can happen now.
    pub fn events(&self, bounds: &Bounds) -> Vec<Event> {
        let mut events = Vec::new();
        let all = 0..self.members();
        let quorums = self.quorums();
        for node in all.clone() {
            self.events_of(node, bounds, &quorums, &mut events);
        }
        for quorum in &quorums {
            if self.writes > 0 {
                events.push(Event::Write(quorum.clone()));
            }
            if self.has_learner(quorum.leader) {
                events.push(Event::Promote(quorum.clone()));
            }
        }
        events
    }

    fn events_of(&self, node: usize, bounds: &Bounds, quorums: &[Quorum], events: &mut Vec<Event>) {
        let (disk, volatile) = (&self.disks[node], &self.volatile[node]);
        let others = || (0..self.members()).filter(move |other| *other != node);
        if disk.wal.is_none() && volatile.go.is_none() {
            let heard = volatile.heard.iter().any(Option::is_some);
            let silent = others().filter(|other| volatile.heard[*other].is_none()).map(|other| 1u8 << other);
            match (bounds.fine, heard) {
                (true, _) => events.extend(silent.map(|other| Event::Ask(node, other))),
                (false, false) => {
                    let all: u8 = silent.sum();
                    let sets = (1..=all).filter(|set| set & all == *set);
                    events.extend(sets.map(|set| Event::Ask(node, set)));
                }
                (false, true) => {}
            }
            if heard {
                events.push(Event::Decide(node));
            }
        }
        if volatile.go.is_some() && disk.wal.is_none() {
            events.push(Event::Start(node));
        }
        // Answers that are forgotten are as good as never heard.
        if volatile.go.is_some() || volatile.asks.is_some() {
            events.push(Event::Crash(node));
        }
        if self.may_lose(node, bounds) {
            events.push(Event::Lose(node));
        }
        for other in others().filter(|other| self.news(node, *other)) {
            events.push(Event::Tell(node, other));
        }
        let inside = |quorum: &&Quorum| quorum.nodes & (1 << node) != 0;
        if let Some(quorum) = quorums.iter().find(inside).filter(|_| !disk.formed || !disk.ran) {
            events.push(Event::Note(node, quorum.clone()));
        }
        for quorum in quorums {
            let inside = inside(&quorum);
            if !inside && self.is_behind(node, quorum.leader) {
                events.push(Event::Catch(node, quorum.clone()));
            }
        }
        if let Some(helper) = volatile.asks {
            for quorum in quorums.iter().filter(|quorum| quorum.nodes & (1 << helper) != 0) {
                events.push(Event::Join(node, helper, quorum.clone(), None));
                let fails = if self.crashes > 0 { 3 } else { 0 };
                events.extend((0..fails).map(|n| Event::Join(node, helper, quorum.clone(), Some(n))));
            }
        }
    }

    /// Whether the disk of a node may be lost now: never more than a minority at a time.
    fn may_lose(&self, node: usize, bounds: &Bounds) -> bool {
        let disk = &self.disks[node];
        if self.losses == 0 || !disk.used() {
            return false;
        }
        let absent = |other: &usize| match bounds.loss {
            Loss::Any => self.is_lost(*other),
            Loss::Known | Loss::Borne => {
                self.is_lost(*other) || !self.acked.is_empty() && self.disks[*other].wal.is_none()
            }
        };
        let lost = (0..self.members()).filter(|other| *other != node && absent(other)).count();
        let minority = (lost + 1) * 2 < self.members();
        let known = |other: usize| {
            let disk = &self.disks[other];
            disk.formed || disk.known[node] & (1 << self.disks[node].life) != 0
        };
        let everyone = (0..self.members()).filter(|other| *other != node).all(known);
        minority && (bounds.loss == Loss::Any || everyone) && (bounds.loss != Loss::Borne || self.bears(node))
    }

    /// Whether etcd still has a quorum without the disk of a node. Before there is a cluster there is none to lose.
    fn bears(&self, node: usize) -> bool {
        let logs = self.disks.iter().filter_map(|disk| disk.wal.as_ref());
        let Some(newest) = logs.max_by_key(|wal| wal.log.len()) else { return true };
        let voters = etcd::voters(self.members(), &newest.log);
        let left = self.disks.iter().enumerate().filter(|(other, disk)| {
            *other != node && disk.wal.as_ref().is_some_and(|wal| voters.contains(&wal.id))
        });
        newest.log.is_empty() || left.count() * 2 > voters.len()
    }

    /// Whether it lost its disk and is not back yet.
    fn is_lost(&self, node: usize) -> bool {
        let disk = &self.disks[node];
        disk.life > 0
            && !disk.wal.as_ref().is_some_and(|wal| etcd::voters(self.members(), &wal.log).contains(&wal.id))
    }

    /// Makes an event happen.
    pub fn apply(&mut self, event: &Event, bounds: &Bounds) -> Result<(), Violation> {
        match event {
            Event::Ask(node, others) => {
                let life = self.disks[*node].life;
                self.disks[*node].on = true;
                for other in (0..self.members()).filter(|other| others & (1 << other) != 0) {
                    self.disks[other].on = true;
                    self.disks[other].known[*node] |= 1 << life;
                    self.volatile[*node].heard[other] = Some(self.snap(other));
                }
            }
            Event::Decide(node) => self.decide(*node, bounds),
            Event::Start(node) => {
                if let Some(id) = self.volatile[*node].go.take() {
                    self.disks[*node].wal = Some(Wal { id, log: Vec::new() });
                }
            }
            Event::Crash(node) => self.volatile[*node] = Volatile::new(self.members()),
            Event::Lose(node) => {
                let life = self.disks[*node].life + 1;
                self.disks[*node] = Disk::new(self.members(), *node, life);
                self.volatile[*node] = Volatile::new(self.members());
                self.losses -= 1;
            }
            Event::Tell(node, other) => {
                let (life, formed) = (self.disks[*node].life, self.disks[*node].formed);
                self.disks[*other].known[*node] |= 1 << life;
                if formed {
                    self.disks[*other].note_formed();
                }
            }
            Event::Note(node, _) => {
                self.disks[*node].note_formed();
                self.disks[*node].ran = true;
            }
            Event::Write(quorum) => {
                self.writes -= 1;
                let number = self.commit(quorum, Op::Write)?;
                self.acked.push(number);
            }
            Event::Catch(node, quorum) => {
                let log = self.log(quorum.leader).to_vec();
                if let Some(wal) = &mut self.disks[*node].wal {
                    wal.log = log;
                }
            }
            Event::Join(node, helper, quorum, fail) => self.join(*node, *helper, quorum, *fail)?,
            Event::Promote(quorum) => self.promote(quorum)?,
        }
        Ok(())
    }

    /// Whether the second would learn something from the first.
    fn news(&self, node: usize, other: usize) -> bool {
        let (from, to) = (&self.disks[node], &self.disks[other]);
        from.on && to.on && (to.known[node] & (1 << from.life) == 0 || from.formed && !to.formed)
    }

    /// What a node answers when it is asked.
    fn snap(&self, node: usize) -> Snap {
        let disk = &self.disks[node];
        let stage = match disk {
            Disk { formed: true, .. } => Stage::Formed,
            // A log without a note of how it came about: its etcd may have voted.
            Disk { forming: true, .. } | Disk { wal: Some(_), .. } => Stage::Forming,
            _ => Stage::Fresh,
        };
        let healthy = self.quorums().iter().any(|quorum| quorum.nodes & (1 << node) != 0);
        Snap { stage, life: disk.life, known: disk.known.clone(), founders: disk.founders.clone(), healthy }
    }
}
