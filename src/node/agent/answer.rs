//! What the agent answers, and to whom. A certificate speaks for its own node alone.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::tls::Peer;
use super::wire::{Ask, Reply, Report, View};
use super::{Agent, lock};
use crate::cluster::types::HostName;
use crate::error::Result;
use crate::node::formation::etcdctl::names;
use crate::node::formation::join::{Refusal, take_in};
use crate::node::formation::run::peer_url;
use crate::node::formation::store::Incarnation;

impl Agent {
    /// Answers a question. `open` tells whether the asker is still there.
    pub(super) fn answer(&self, peer: &Peer, ask: Ask, open: &dyn Fn() -> bool) -> Reply {
        let answered = match ask {
            Ask::Formation { name, incarnation } if is(peer, &name) => self.formation(&name, incarnation),
            Ask::Join { name, incarnation } if is(peer, &name) => self.join(&name, &incarnation, open),
            Ask::Report(report) if self.may_report(peer, &report.status.name) => self.note(*report),
            Ask::Board => Ok(Reply::Board { nodes: self.board() }),
            Ask::Formation { name, .. } | Ask::Join { name, .. } => Ok(self.not_you(peer, &name)),
            Ask::Report(report) => Ok(self.not_you(peer, &report.status.name)),
        };
        answered.unwrap_or_else(|error| Reply::Refused { why: error.to_string() })
    }

    /// A node reports for itself, and a member of a pool under a name of that pool that no node of the inventory has.
    fn may_report(&self, peer: &Peer, name: &HostName) -> bool {
        match peer {
            Peer::Node(_) => is(peer, name),
            Peer::Pool(pool) => {
                let theirs =
                    name.as_str().strip_prefix(pool.as_str()).is_some_and(|rest| rest.starts_with('-'));
                theirs && self.inventory.node(name.as_str()).is_none()
            }
        }
    }

    fn is_member(&self, name: &HostName) -> bool {
        self.inventory.node(name.as_str()).is_some_and(|node| node.etcd)
    }

    /// Writes down who asks before it answers: whoever forms by this answer has been heard of.
    fn formation(&self, name: &HostName, incarnation: Option<Incarnation>) -> Result<Reply> {
        let memory = self.store.update(|memory| {
            if let Some(incarnation) = incarnation.filter(|_| self.is_member(name)) {
                memory.note(name, &incarnation);
            }
            memory.clone()
        })?;
        Ok(Reply::Formation(View {
            stage: self.store.stage(&memory)?,
            incarnation: self.own_incarnation()?,
            known: memory.known,
            founders: memory.founders,
            healthy: self.healthy.load(Ordering::SeqCst),
        }))
    }

    pub(super) fn own_incarnation(&self) -> Result<Option<Incarnation>> {
        if self.member { self.store.incarnation() } else { Ok(None) }
    }

    fn join(&self, name: &HostName, incarnation: &Incarnation, open: &dyn Fn() -> bool) -> Result<Reply> {
        let refused = |why: &str| Ok(Reply::Refused { why: why.to_owned() });
        let Some(node) = self.inventory.node(name.as_str()).filter(|node| node.etcd) else {
            return refused("the asker is no member of etcd in this node's inventory");
        };
        self.store.update(|memory| memory.note(name, incarnation))?;
        if !self.member || !self.ctl.healthy() {
            return refused("the etcd of this node has no quorum");
        }
        let Ok(_taking) = self.taking.try_lock() else {
            return refused("another member is being taken in");
        };
        // A question that lay here while the asker went elsewhere must not undo what the other one did for it.
        if !open() {
            return refused("the asker is gone");
        }
        let by_url = names(
            self.inventory
                .etcd_members()
                .map(|member| (member.name.to_string(), peer_url(IpAddr::V4(member.address)))),
        );
        let mut ctl = self.ctl.clone();
        let url = peer_url(IpAddr::V4(node.address));
        self.learners.store(true, Ordering::SeqCst);
        match take_in(&mut ctl, name.as_str(), &url, |url| by_url.get(url).cloned()) {
            Ok(members) => Ok(Reply::Joined { members }),
            Err(Refusal::Etcd(error)) => Err(error),
            Err(Refusal::Alive) => refused("etcd still answers at the asker's address"),
            Err(Refusal::Busy(other)) => refused(&format!("{other} is being taken in first")),
        }
    }

    /// A machine that has one node's certificate and another one's name: a disk that was copied, or an intruder.
    fn not_you(&self, peer: &Peer, name: &HostName) -> Reply {
        let (Peer::Node(theirs) | Peer::Pool(theirs)) = peer;
        self.refuse(format!(
            "a machine with the certificate of {theirs} was refused: it calls itself {name}"
        ));
        Reply::Refused { why: format!("the certificate is that of {theirs}, and does not speak for {name}") }
    }

    fn note(&self, report: Report) -> Result<Reply> {
        let member = self.is_member(&report.status.name);
        let memory = self.store.update(|memory| {
            if let Some(incarnation) = report.incarnation.as_ref().filter(|_| member) {
                memory.note(&report.status.name, incarnation);
            }
            // Anyone of the inventory may say so: it only ever makes a member more careful.
            if report.formed {
                memory.note_formed();
            }
            memory.clone()
        })?;
        lock(&self.heard).note(report.status, Instant::now());
        Ok(Reply::Noted {
            incarnation: self.own_incarnation()?,
            formed: memory.formed,
            clock: (self.options.clock)().unix_timestamp(),
        })
    }
}

fn is(peer: &Peer, name: &HostName) -> bool {
    matches!(peer, Peer::Node(theirs) if theirs == name.as_str())
}
