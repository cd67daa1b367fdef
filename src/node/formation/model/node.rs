//! One member: what lies on its disk, what it holds in memory, and how it decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::etcd::Entry;
use super::{Bounds, Law, World};
use crate::node::formation::decide::{Answer, Decision, Known, Own, Rule, Stage, decide};

/// Ids of etcd members as an answer to "with which id do I start?".
type Id = u8;

/// What lies on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Disk {
    /// Which life this is: the incarnation.
    pub life: u8,
    /// Whether it has ever been switched on in this life.
    pub on: bool,
    /// Lives heard of, by node, as bits.
    pub known: Vec<u8>,
    /// What was known when it learned that the cluster had formed.
    pub founders: Vec<u8>,
    /// Has decided to form.
    pub forming: bool,
    /// Knows that the cluster has formed.
    pub formed: bool,
    /// Has seen its etcd with a quorum.
    pub ran: bool,
    /// Has asked to be taken in again.
    pub joining: bool,
    /// etcd's log.
    pub wal: Option<Wal>,
}

/// etcd's data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wal {
    /// Id of the member.
    pub id: Id,
    /// Its log.
    pub log: Vec<Entry>,
}

/// What is lost with the power.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Volatile {
    /// Answers heard in this round.
    pub heard: Vec<Option<Snap>>,
    /// Start etcd, as the member of that id.
    pub go: Option<Id>,
    /// Asks this node to be taken in.
    pub asks: Option<usize>,
}

/// An answer, as it was when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Snap {
    /// How far it was.
    pub stage: Stage,
    /// Which life.
    pub life: u8,
    /// What it had heard.
    pub known: Vec<u8>,
    /// What it had heard when it learned of the cluster.
    pub founders: Vec<u8>,
    /// Whether its etcd had a quorum.
    pub healthy: bool,
}

impl Disk {
    /// A new disk.
    pub fn new(members: usize, node: usize, life: u8) -> Self {
        let mut known = vec![0; members];
        known[node] = 1 << life;
        Disk {
            life,
            on: false,
            known,
            founders: Vec::new(),
            forming: false,
            formed: false,
            ran: false,
            joining: false,
            wal: None,
        }
    }

    /// Whether there is anything to lose. A machine that was never on is as good as new.
    pub fn used(&self) -> bool {
        self.on || self.forming || self.wal.is_some()
    }

    /// Writes down that the cluster has formed.
    pub fn note_formed(&mut self) {
        if !self.formed {
            self.formed = true;
            self.founders = self.known.clone();
        }
    }
}

impl Volatile {
    /// Just switched on.
    pub fn new(members: usize) -> Self {
        Volatile { heard: vec![None; members], go: None, asks: None }
    }
}

fn known(bits: &[u8]) -> Known<usize, u8> {
    let lives = |bits: u8| (0..8).filter(|life| bits & (1 << life) != 0).collect::<BTreeSet<u8>>();
    bits.iter().enumerate().filter(|(_, bits)| **bits != 0).map(|(node, bits)| (node, lives(*bits))).collect()
}

impl World {
    /// A member decides, and writes down what it decided in one step.
    pub fn decide(&mut self, node: usize, bounds: &Bounds) {
        let silence = vec![None; self.members()];
        let heard = std::mem::replace(&mut self.volatile[node].heard, silence);
        self.disks[node].on = true;
        let decision = match bounds.law {
            Law::Mended(form) => {
                let members: BTreeSet<usize> = (0..self.members()).collect();
                let rule = Rule { members: &members, form, grace: Duration::ZERO };
                let disk = &self.disks[node];
                let own = Own {
                    name: node,
                    incarnation: disk.life,
                    data: disk.wal.is_some(),
                    formed: disk.formed,
                    ran: disk.ran,
                    joining: disk.joining,
                    rejoin_only: false,
                    known: known(&disk.known),
                };
                decide(&rule, &own, &answers(&heard), Duration::ZERO)
            }
            Law::First => first_design(self.members(), &self.disks[node], &heard),
        };
        let disk = &mut self.disks[node];
        for (other, snap) in heard.iter().enumerate() {
            let Some(snap) = snap else { continue };
            for (mine, theirs) in disk.known.iter_mut().zip(&snap.known) {
                *mine |= theirs;
            }
            disk.known[other] |= 1 << snap.life;
        }
        if heard.iter().flatten().any(|snap| snap.stage == Stage::Formed) && decision != Decision::Form {
            disk.note_formed();
        }
        self.volatile[node].asks = None;
        match decision {
            Decision::Form => {
                disk.forming = true;
                self.volatile[node].go = Some(node as u8);
            }
            Decision::Join(helpers) => {
                disk.joining = true;
                self.volatile[node].asks = helpers.first().copied();
            }
            // Decided anew without forming: nothing was started in between, as there is no log.
            Decision::Wait(_) => disk.forming = false,
            Decision::Start => {}
        }
    }
}

fn answers(heard: &[Option<Snap>]) -> Vec<Answer<usize, u8>> {
    let answer = |(name, snap): (usize, &Option<Snap>)| {
        let snap = snap.as_ref()?;
        Some(Answer {
            name,
            member: true,
            stage: snap.stage,
            incarnation: Some(snap.life),
            known: known(&snap.known),
            founders: known(&snap.founders),
            healthy: snap.healthy,
        })
    };
    heard.iter().enumerate().filter_map(answer).collect()
}

/// The rule before it was mended: it knows neither incarnations nor who is about to form.
fn first_design(members: usize, disk: &Disk, heard: &[Option<Snap>]) -> Decision<usize> {
    use crate::node::formation::decide::Wait;
    let formed = |snap: &&Snap| snap.stage == Stage::Formed;
    if disk.formed || heard.iter().flatten().any(|snap| formed(&snap)) {
        let helpers = |(node, snap): (usize, &Option<Snap>)| {
            snap.as_ref().filter(formed).filter(|snap| snap.healthy).map(|_| node)
        };
        return Decision::Join(heard.iter().enumerate().filter_map(helpers).collect());
    }
    if (heard.iter().flatten().count() + 1) * 2 > members {
        return Decision::Form;
    }
    Decision::Wait(Wait::Majority { missing: Vec::new() })
}

/// Nodes and events by name, for reading a path that leads to a violation.
pub fn letters(path: &[super::Event]) -> BTreeMap<usize, String> {
    path.iter().enumerate().map(|(step, event)| (step, format!("{event:?}"))).collect()
}
