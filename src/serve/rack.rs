//! The rack: how far each machine has come, who may have which file, and what outlives a restart of the server. A value without sockets
//! and clocks: the time is an argument.
//!
//! A machine is known by the MAC address that its packets come from. That holds against mistakes and against machines elsewhere, not
//! against somebody who forges addresses in the same segment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dhcp::answer::Asker;
use crate::cluster::types::Mac;
use crate::digest::Sha256;
use crate::image::pxe::list::{Audience, Machine, TreeList};

/// Most machines that are remembered besides those of the tree: a flood shall not fill the memory.
const MAX_STRANGERS: usize = 4096;
/// Longest text of a report that is kept, in characters.
const MAX_TEXT: usize = 2000;
/// How long a node's secrets may be fetched again after they were given out whole, for what was lost on the way.
const AGAIN: Duration = Duration::from_secs(600);

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nothing was heard of it.
    Waiting,
    /// It asked for something to boot.
    Asked,
    /// It has a boot loader.
    Loader,
    /// It has the installer's kernel.
    Kernel,
    /// It has the kickstart.
    Installer,
    /// It knows which node it is and which disk it takes.
    Prepared,
    /// It has its files.
    Placed,
    /// It is installed.
    Finished,
    /// It said that it cannot be installed, and why.
    Stopped,
}

impl Stage {
    /// All of them in order.
    pub const ALL: [Stage; 9] = [
        Stage::Waiting,
        Stage::Asked,
        Stage::Loader,
        Stage::Kernel,
        Stage::Installer,
        Stage::Prepared,
        Stage::Placed,
        Stage::Finished,
        Stage::Stopped,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Asked => "asked",
            Stage::Loader => "loader",
            Stage::Kernel => "kernel",
            Stage::Installer => "installer",
            Stage::Prepared => "prepared",
            Stage::Placed => "placed",
            Stage::Finished => "finished",
            Stage::Stopped => "stopped",
        }
    }

    /// The stage that a node reports by this name; the others are seen, not told.
    pub fn reported(name: &str) -> Option<Self> {
        let told = [Stage::Prepared, Stage::Placed, Stage::Finished, Stage::Stopped];
        told.into_iter().find(|stage| stage.as_str() == name)
    }

    /// The stage that a machine is in when it fetches a file.
    fn of_file(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name {
            "ks.cfg" => Some(Stage::Installer),
            "vmlinuz" | "initrd.img" => Some(Stage::Kernel),
            "shimx64.efi" | "grubx64.efi" | "pxelinux.0" | "lpxelinux.0" | "boot.ipxe" => Some(Stage::Loader),
            _ => None,
        }
    }
}

/// Who asks for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub ip: Ipv4Addr,
    /// The MAC address that its packets come from; unknown behind a router.
    pub mac: Option<Mac>,
}

/// A machine, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// How far it is.
    pub stage: Stage,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// When it was heard of last.
    pub heard: u64,
    /// Its address at that time.
    pub ip: Option<Ipv4Addr>,
    /// What it reported last.
    pub text: String,
    /// Bytes that it fetched.
    pub bytes: u64,
}

/// What outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The tree that it is about.
    pub build_id: Sha256,
    /// Nodes that are installed.
    pub finished: BTreeSet<String>,
    /// Nodes whose secrets were given out whole, and when.
    pub given: BTreeMap<String, u64>,
}

/// Why a file is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The machine is none of the tree's.
    Stranger,
    /// The file holds another node's secrets.
    Other,
    /// The node had its secrets.
    Again,
}

impl Denied {
    /// In words, for the log.
    pub fn why(self) -> &'static str {
        match self {
            Denied::Stranger => "it is no machine of this tree (--any lets in all)",
            Denied::Other => "the file holds secrets of another machine",
            Denied::Again => "it had its secrets already (--again NODE allows it once more)",
        }
    }
}

/// All machines.
#[derive(Debug)]
pub struct Rack {
    machines: Vec<Machine>,
    any: bool,
    saved: Saved,
    seen: BTreeMap<Mac, Seen>,
    /// MAC addresses that were found to belong to a node by its UUID.
    learned: BTreeMap<Mac, usize>,
    /// Requests that were refused.
    pub refused: u64,
}

impl Rack {
    /// The rack of a tree. `saved` counts if it is about that tree; `any` lets in machines that the tree does not name.
    pub fn new(list: &TreeList, saved: Option<Saved>, any: bool) -> Self {
        let fresh = || Saved { build_id: list.build_id, finished: BTreeSet::new(), given: BTreeMap::new() };
        Self {
            machines: list.machines.clone(),
            any,
            saved: saved.filter(|saved| saved.build_id == list.build_id).unwrap_or_else(fresh),
            seen: BTreeMap::new(),
            learned: BTreeMap::new(),
            refused: 0,
        }
    }

    /// What is to outlive a restart.
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Lets a node be installed once more. Whether there is such a node.
    pub fn again(&mut self, name: &str) -> bool {
        self.saved.finished.remove(name);
        self.saved.given.remove(name);
        self.machines.iter().any(|machine| machine.name.as_str() == name)
    }

    /// The node of a MAC address.
    pub fn machine(&self, mac: Mac) -> Option<&Machine> {
        let named = self.machines.iter().find(|machine| machine.macs.contains(&mac));
        named.or_else(|| self.learned.get(&mac).and_then(|at| self.machines.get(*at)))
    }

    /// A machine asked by DHCP: what is known of it. Whether it is new, for the log.
    pub fn asked(&mut self, mac: Mac, uuid: Option<&str>, boots: bool, now: u64) -> (Asker, bool) {
        if let (None, Some(uuid)) = (self.machine(mac), uuid)
            && let Some(at) = self.machines.iter().position(|machine| machine.uuid.as_deref() == Some(uuid))
            && self.learned.len() < MAX_STRANGERS
        {
            self.learned.insert(mac, at);
        }
        let node = self.machine(mac);
        let name = node.map(|machine| machine.name.to_string());
        let finished = name.as_ref().is_some_and(|name| self.saved.finished.contains(name));
        let asker = Asker {
            address: node.map(|machine| machine.address),
            boots: (name.is_some() || self.any) && !finished,
            node: name,
        };
        let new = !self.seen.contains_key(&mac);
        // A node that begins anew is at the beginning again.
        if boots && asker.boots {
            self.set(mac, Stage::Asked, now);
        } else {
            self.touch(mac, now);
        }
        (asker, new)
    }

    /// Whether a peer may have a file.
    pub fn may(&mut self, peer: Peer, to: &Audience, now: u64) -> Result<(), Denied> {
        let answer = self.judge(peer, to, now);
        if answer.is_err() {
            self.refused += 1;
        }
        answer
    }

    fn judge(&self, peer: Peer, to: &Audience, now: u64) -> Result<(), Denied> {
        let machine = peer.mac.and_then(|mac| self.machine(mac));
        match to {
            Audience::Machines | Audience::Pool(_) if self.any => Ok(()),
            Audience::Machines | Audience::Role if machine.is_some() => Ok(()),
            // Members of a pool are not known by name, and need what their role shares.
            Audience::Role if self.any && peer.mac.is_some() => Ok(()),
            Audience::Machines | Audience::Role | Audience::Pool(_) => Err(Denied::Stranger),
            Audience::Node(name) => {
                let machine = machine.ok_or(Denied::Stranger)?;
                if machine.name != *name {
                    return Err(Denied::Other);
                }
                let given = self.saved.given.get(name.as_str());
                match given.is_some_and(|given| now.saturating_sub(*given) > AGAIN.as_secs()) {
                    true => Err(Denied::Again),
                    false => Ok(()),
                }
            }
        }
    }

    /// A peer got so many bytes of a file, and with them its end or not. Whether something is to be saved.
    pub fn fetched(
        &mut self,
        peer: Peer,
        path: &str,
        to: &Audience,
        bytes: u64,
        whole: bool,
        now: u64,
    ) -> bool {
        if let Some(mac) = peer.mac {
            self.touch(mac, now);
            if let Some(seen) = self.seen.get_mut(&mac) {
                (seen.ip, seen.bytes) = (Some(peer.ip), seen.bytes.saturating_add(bytes));
            }
            let finished =
                self.machine(mac).is_some_and(|machine| self.saved.finished.contains(machine.name.as_str()));
            let now_at = self.seen.get(&mac).map_or(Stage::Waiting, |seen| seen.stage);
            if let Some(stage) = Stage::of_file(path).filter(|stage| whole && *stage > now_at && !finished) {
                self.set(mac, stage, now);
            }
        }
        match to {
            Audience::Node(name) if whole && !self.saved.given.contains_key(name.as_str()) => {
                self.saved.given.insert(name.to_string(), now);
                true
            }
            _ => false,
        }
    }

    /// A node reported. Who it is, if it is known; only of those reports are taken.
    pub fn report(&mut self, peer: Peer, stage: Stage, text: &str, now: u64) -> Option<String> {
        let mac = peer.mac?;
        let name = self.machine(mac)?.name.to_string();
        self.set(mac, stage, now);
        if let Some(seen) = self.seen.get_mut(&mac) {
            seen.ip = Some(peer.ip);
            seen.text = text.chars().filter(|c| !c.is_control() || *c == '\n').take(MAX_TEXT).collect();
        }
        if stage == Stage::Finished {
            self.saved.finished.insert(name.clone());
        }
        Some(name)
    }

    fn set(&mut self, mac: Mac, stage: Stage, now: u64) {
        self.touch(mac, now);
        if let Some(seen) = self.seen.get_mut(&mac).filter(|seen| seen.stage != stage) {
            (seen.stage, seen.since) = (stage, now);
        }
    }

    fn touch(&mut self, mac: Mac, now: u64) {
        let room = self.seen.len() < self.machines.len() + MAX_STRANGERS || self.machine(mac).is_some();
        match self.seen.get_mut(&mac) {
            Some(seen) => seen.heard = now,
            None if room => {
                let seen = Seen {
                    stage: Stage::Waiting,
                    since: now,
                    heard: now,
                    ip: None,
                    text: String::new(),
                    bytes: 0,
                };
                self.seen.insert(mac, seen);
            }
            None => {}
        }
    }

    /// A row for each node, in the tree's order, and for each stranger that boots from here.
    pub fn rows(&self, now: u64) -> Vec<Row> {
        let row = |name: Option<String>, mac: Option<Mac>, seen: Option<&Seen>, bytes: u64| {
            let finished = name.as_ref().is_some_and(|name| self.saved.finished.contains(name));
            let stage =
                if finished { Stage::Finished } else { seen.map_or(Stage::Waiting, |seen| seen.stage) };
            Row {
                name,
                mac,
                stage,
                seconds: seen.map(|seen| now.saturating_sub(seen.since)),
                quiet: seen.map(|seen| now.saturating_sub(seen.heard)),
                ip: seen.and_then(|seen| seen.ip),
                text: seen.map(|seen| seen.text.clone()).unwrap_or_default(),
                bytes,
            }
        };
        let mut rows: Vec<Row> = Vec::new();
        for (at, machine) in self.machines.iter().enumerate() {
            let learned = self.learned.iter().filter(|(_, which)| **which == at).map(|(mac, _)| *mac);
            let macs: Vec<Mac> = machine.macs.iter().copied().chain(learned).collect();
            // Of several cards the one that was heard of last.
            let seen = macs.iter().filter_map(|mac| Some((*mac, self.seen.get(mac)?)));
            let bytes = seen.clone().map(|(_, seen)| seen.bytes).fold(0, u64::saturating_add);
            let last = seen.max_by_key(|(_, seen)| seen.heard);
            let mac = last.map(|(mac, _)| mac).or_else(|| macs.first().copied());
            rows.push(row(Some(machine.name.to_string()), mac, last.map(|(_, seen)| seen), bytes));
        }
        let strangers = self
            .seen
            .iter()
            .filter(|(mac, seen)| seen.stage > Stage::Waiting && self.machine(**mac).is_none());
        rows.extend(strangers.map(|(mac, seen)| row(None, Some(*mac), Some(seen), seen.bytes)));
        rows
    }
}

/// A machine, for those who look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name of the node.
    pub name: Option<String>,
    /// MAC address.
    pub mac: Option<Mac>,
    /// How far it is.
    pub stage: Stage,
    /// For how long, in seconds.
    pub seconds: Option<u64>,
    /// How long nothing was heard of it.
    pub quiet: Option<u64>,
    /// Its address.
    pub ip: Option<Ipv4Addr>,
    /// What it reported last.
    pub text: String,
    /// Bytes that it fetched.
    pub bytes: u64,
}

#[cfg(test)]
#[path = "rack_tests.rs"]
mod tests;
