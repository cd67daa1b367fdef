//! Every few seconds: look at etcd, put the node's status together, show it, and tell those who keep the board.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::wire::{Ask, Reply, Report};
use super::{Agent, lock, net};
use crate::cluster::types::Role;
use crate::error::{Class, Result};
use crate::node::formation::join::promote;
use crate::node::formation::store::Memory;
use crate::node::inventory::Member;
use crate::node::status::{Etcd, Level, NodeStatus, Topic, certs, console, gather};

/// Certificates are read anew after so long.
const CERTIFICATES: Duration = Duration::from_secs(600);
/// Without cause, learners are looked for after so long.
const LEARNERS: Duration = Duration::from_secs(60);
/// Longest that telling one node may take.
const TELL: Duration = Duration::from_secs(4);
/// A clock that differs by so many seconds from a peer's is announced.
const SKEW: i64 = 60;
/// So long the board shows that somebody was refused.
const REFUSED: Duration = Duration::from_secs(900);

/// What is kept from one beat to the next.
struct Beat {
    certificates: Option<(Topic, Instant)>,
    looked: Instant,
    skew: Option<(String, i64)>,
    /// Who does not take this node for what it says it is, and whether nobody does.
    rejected: Option<(String, bool)>,
    shown: String,
}

/// Beats for ever.
pub(super) fn run(agent: &Agent) -> ! {
    let mut beat =
        Beat { certificates: None, looked: Instant::now(), skew: None, rejected: None, shown: String::new() };
    loop {
        let start = Instant::now();
        let trouble = agent.look(&mut beat).err().map(|error| error.to_string());
        let status = agent.status(&mut beat, trouble);
        agent.show(&status, &mut beat);
        agent.tell(status, &mut beat);
        std::thread::sleep(
            agent.options.pulse.saturating_sub(start.elapsed()).max(Duration::from_millis(200)),
        );
    }
}

impl Agent {
    /// Looks at this node's etcd, and gives learners their vote.
    fn look(&self, beat: &mut Beat) -> Result<()> {
        if !self.member {
            return Ok(());
        }
        let healthy = self.ctl.healthy();
        self.healthy.store(healthy, Ordering::SeqCst);
        if !healthy {
            return Ok(());
        }
        let incarnation = self.store.incarnation()?;
        self.store.update(|memory| {
            memory.note_formed();
            memory.ran = incarnation;
        })?;
        if self.learners.load(Ordering::SeqCst) || beat.looked.elapsed() > LEARNERS {
            beat.looked = Instant::now();
            // One that has not caught up, or an etcd that is busy, is tried again at the next beat.
            let behind = promote(&mut self.ctl.clone()).map_or(true, |behind| !behind.is_empty());
            self.learners.store(behind, Ordering::SeqCst);
        }
        Ok(())
    }

    fn status(&self, beat: &mut Beat, trouble: Option<String>) -> NodeStatus {
        let now = (self.options.clock)();
        let root = &self.options.root;
        if beat.certificates.as_ref().is_none_or(|(_, at)| at.elapsed() > CERTIFICATES) {
            beat.certificates = Some((certs::topic(root, now), Instant::now()));
        }
        let mut topics: Vec<Topic> = beat.certificates.iter().map(|(topic, _)| topic.clone()).collect();
        let memory = match self.store.read() {
            Ok(memory) => memory,
            Err(error) => {
                topics.push(Topic::new("agent", Level::Failed, error.to_string(), now));
                Memory::default()
            }
        };
        topics.extend(trouble.map(|why| Topic::new("agent", Level::Failed, why, now)));
        topics.extend(skew(beat.skew.as_ref(), now));
        topics.extend(beat.rejected.as_ref().map(|(why, by_all)| {
            Topic::new("peers", if *by_all { Level::Failed } else { Level::Warn }, why, now)
        }));
        let refused = lock(&self.refused).clone().filter(|(_, at)| at.elapsed() < REFUSED);
        topics.extend(refused.map(|(what, _)| Topic::new("refused", Level::Warn, what, now)));
        let etcd = self.member.then(|| self.etcd(&memory, now, &mut topics));
        let units = gather::units();
        let parts = gather::Parts { me: self.me.clone(), build: self.build.clone(), units, topics, etcd };
        let mut own = lock(&self.own);
        let mut status = gather::status(root, parts, own.as_ref(), now);
        keep_since(&mut status, own.as_ref());
        *own = Some(status.clone());
        status
    }

    fn etcd(&self, memory: &Memory, now: OffsetDateTime, topics: &mut Vec<Topic>) -> Etcd {
        let healthy = self.healthy.load(Ordering::SeqCst);
        let others = self.inventory.etcd_members().filter(|member| member.name != self.me.name);
        let unheard: Vec<String> = others
            .filter(|member| !memory.known.contains_key(&member.name))
            .map(|member| member.name.to_string())
            .collect();
        if !unheard.is_empty() && memory.formed {
            let names = unheard.join(", ");
            let text = format!(
                "{names} has never been heard of: re-image no other member of etcd until it has joined"
            );
            topics.push(Topic::new("members", Level::Warn, text, now));
        }
        // A start without data is `kiln node form`'s to explain.
        if memory.formed && !healthy && self.store.has_data().unwrap_or(false) {
            topics.push(Topic::new("etcd", Level::Waiting, "etcd of this node has no quorum", now));
        }
        Etcd { formed: memory.formed, healthy, unheard }
    }

    /// The console of the machine.
    fn show(&self, status: &NodeStatus, beat: &mut Beat) {
        // A console that cannot be written to is shown on the board of the others, not worth an end.
        let _ = console::issue(&self.options.root, &self.inventory.cluster, status);
        // The seconds of a countdown are no change.
        let stage: String = status.stage.chars().filter(|c| !c.is_ascii_digit()).collect();
        if beat.shown != stage {
            console::say(&self.options.root, status);
            console::again(&self.options.root);
            beat.shown = stage;
        }
    }

    /// Tells the masters and the members of etcd, all at once.
    fn tell(&self, status: NodeStatus, beat: &mut Beat) {
        let formed = self.store.read().is_ok_and(|memory| memory.formed);
        let incarnation = self.own_incarnation().unwrap_or_default();
        let ask = Ask::Report(Box::new(Report { status, incarnation, formed }));
        let wanted = |node: &&Member| (node.etcd || node.role == Role::Master) && node.name != self.me.name;
        let targets: Vec<&Member> = self.inventory.nodes.iter().filter(wanted).collect();
        let tell = |node: &Member| {
            let at = net::at(IpAddr::V4(node.address), self.inventory.agent_port);
            net::ask(&self.identity, node.name.as_str(), at, &ask, TELL)
        };
        let replies: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = targets.iter().map(|node| scope.spawn(|| tell(node))).collect();
            threads.into_iter().map(|thread| thread.join().ok()).collect()
        });
        let now = (self.options.clock)().unix_timestamp();
        (beat.skew, beat.rejected) = (None, None);
        let mut heard = Vec::new();
        for (node, reply) in targets.iter().zip(replies) {
            match reply {
                Some(Ok(Reply::Noted { incarnation, formed, clock })) => {
                    heard.push((node, incarnation, formed));
                    let behind = clock.saturating_sub(now);
                    if behind.abs() > SKEW && beat.skew.is_none() {
                        beat.skew = Some((node.name.to_string(), behind));
                    }
                }
                Some(Ok(Reply::Refused { why })) => {
                    beat.rejected = Some((format!("{} refuses this node: {why}", node.name), false));
                }
                Some(Err(error)) if error.class() == Class::Failed => {
                    beat.rejected = Some((error.to_string(), false));
                }
                _ => {}
            }
        }
        if let Some((_, by_all)) = &mut beat.rejected {
            *by_all = heard.is_empty();
        }
        // A disk that cannot be written to shows up at the next look, and at every answer.
        let _ = self.store.update(|memory| {
            for (node, incarnation, formed) in heard {
                if let Some(incarnation) = incarnation.filter(|_| node.etcd) {
                    memory.note(&node.name, &incarnation);
                }
                if formed {
                    memory.note_formed();
                }
            }
        });
    }
}

fn skew(found: Option<&(String, i64)>, now: OffsetDateTime) -> Option<Topic> {
    let (name, behind) = found?;
    let way = if *behind > 0 { "behind" } else { "ahead of" };
    let text = format!("this node's clock is {} min {way} that of {name}", behind.unsigned_abs() / 60);
    // `clock` is what kiln-timekeeper.service says.
    Some(Topic::new("clocks", Level::Warn, text, now))
}

/// Topics that the agent makes anew at each beat keep their since as long as they stay the same.
fn keep_since(status: &mut NodeStatus, before: Option<&NodeStatus>) {
    let Some(before) = before else { return };
    for topic in &mut status.topics {
        let same =
            |old: &&Topic| old.topic == topic.topic && old.state == topic.state && old.text == topic.text;
        if let Some(old) = before.topics.iter().find(same) {
            topic.since = old.since.clone();
        }
    }
    if before.stage == status.stage {
        status.since = before.since.clone();
    }
}
