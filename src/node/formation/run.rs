//! `kiln node form`: runs before etcd starts, and lets it start only as the decision says. It asks, decides, writes down, and
//! waits as long as it takes; what it waits for is on the board.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::decide::{Answer, Decision, Own, Rule, Stage, Wait, decide};
use super::etcdctl::initial_cluster;
use super::store::{Incarnation, Lives, Store, write_durably};
use crate::cluster::types::HostName;
use crate::error::{Error, Result};
use crate::node::agent::net;
use crate::node::agent::tls::Identity;
use crate::node::agent::wire::{Ask, Reply};
use crate::node::inventory::{Inventory, Member};
use crate::node::status::Level;
use crate::node::status::gather::Me;
use crate::node::topic::TopicFile;

/// Environment of etcd.service that this writes.
const ENV: &str = "run/kiln/etcd.env";
/// Between two rounds of asking.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest that one node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest that being taken in may take.
const JOIN: Duration = Duration::from_secs(75);
/// Most nodes without etcd that are asked whether they know of the cluster.
const WITNESSES: usize = 24;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the node's files lie; `/` on the node.
    pub root: PathBuf,
    /// How long a majority waits for the rest.
    pub grace: Duration,
    /// What time it is.
    pub clock: fn() -> OffsetDateTime,
    /// Random bits for a first start.
    pub random: [u8; 16],
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// etcd has data.
    Data,
    /// It is a founder.
    New,
    /// It was taken in again.
    Existing,
}

/// One member that wants to start.
struct Candidate<'a> {
    options: &'a Options,
    inventory: Inventory,
    me: Me,
    identity: Identity,
    store: Store,
    incarnation: Incarnation,
    members: BTreeSet<HostName>,
    say: &'a mut dyn FnMut(&str),
    said: String,
}

/// Runs until etcd may start. `say` is told each change of what is waited for.
pub fn form(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let root = &options.root;
    let store = Store::new(root);
    let inventory = Inventory::load(root)?;
    let me = Me::load(root)?;
    if store.has_data()? {
        // The log knows who the members are; this only has to name them, and must never make a new cluster.
        write_env(root, &founders(&inventory), "existing")?;
        note(root, options.clock, Level::Waiting, "etcd starts with the data that it has")?;
        return Ok(Outcome::Data);
    }
    let members: BTreeSet<HostName> = inventory.etcd_members().map(|member| member.name.clone()).collect();
    if !members.contains(&me.name) {
        return Err(Error::input(format!("{} is no member of etcd in {}", me.name, inventory.cluster)).hint(
            "its cluster file says `etcd = true` for other nodes; install this one from a medium of its own",
        ));
    }
    let incarnation = store.own_incarnation(options.random)?;
    store.update(|memory| memory.note(&me.name, &incarnation))?;
    let identity = Identity::load(root)?;
    let said = String::new();
    Candidate { options, inventory, me, identity, store, incarnation, members, say, said }.run()
}

/// `kiln node formed`: runs after etcd has reported a quorum.
pub fn formed(root: &Path, clock: fn() -> OffsetDateTime) -> Result<()> {
    let store = Store::new(root);
    let incarnation = store.incarnation()?;
    store.update(|memory| {
        memory.note_formed();
        memory.ran = incarnation;
    })?;
    note(root, clock, Level::Ok, "this node is a member of etcd")
}

impl Candidate<'_> {
    fn run(mut self) -> Result<Outcome> {
        let mut majority_since: Option<Instant> = None;
        loop {
            let answers = self.ask_all();
            let waited = majority_since.map_or(Duration::ZERO, |since| since.elapsed());
            let decision = self.decide(&answers, waited)?;
            if !matches!(decision, Decision::Wait(Wait::Grace { .. })) {
                majority_since = None;
            }
            match decision {
                Decision::Start => return Ok(Outcome::Data),
                Decision::Form => {
                    let list = founders(&self.inventory);
                    write_env(&self.options.root, &list, "new")?;
                    self.tell(Level::Waiting, "etcd starts as a founder and waits for its quorum")?;
                    return Ok(Outcome::New);
                }
                Decision::Join(helpers) => {
                    if let Some(list) = self.join(&helpers)? {
                        write_env(&self.options.root, &list, "existing")?;
                        self.tell(Level::Waiting, "taken in again; etcd copies the data from the others")?;
                        return Ok(Outcome::Existing);
                    }
                }
                Decision::Wait(wait) => {
                    if matches!(wait, Wait::Grace { .. }) {
                        majority_since.get_or_insert_with(Instant::now);
                    }
                    self.tell(Level::Waiting, &sentence(&wait, self.options.grace))?;
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// One round: the members, and some of those who may remember.
    fn ask_all(&self) -> Vec<Answer<HostName, Incarnation>> {
        let others = || self.inventory.nodes.iter().filter(|node| node.name != self.me.name);
        let mut asked: Vec<&Member> = others().filter(|node| node.etcd).collect();
        let rank = |node: &&Member| matches!(node.role, crate::cluster::types::Role::Worker);
        let mut witnesses: Vec<&Member> = others().filter(|node| !node.etcd).collect();
        witnesses.sort_by_key(rank);
        asked.extend(witnesses.into_iter().take(WITNESSES));
        let ask = Ask::Formation { name: self.me.name.clone(), incarnation: Some(self.incarnation.clone()) };
        let (identity, members, port) = (&self.identity, &self.members, self.inventory.agent_port);
        let ask_one = |node: &Member| {
            let at = net::at(IpAddr::V4(node.address), port);
            match net::ask(identity, node.name.as_str(), at, &ask, ANSWER) {
                Ok(Reply::Formation(view)) => Some(Answer {
                    name: node.name.clone(),
                    member: node.etcd,
                    stage: view.stage,
                    incarnation: view.incarnation.filter(|_| node.etcd),
                    known: only(members, view.known),
                    founders: only(members, view.founders),
                    healthy: view.healthy,
                }),
                _ => None,
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = asked.iter().map(|node| scope.spawn(|| ask_one(node))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
        })
    }

    fn address(&self, node: &Member) -> SocketAddr {
        net::at(IpAddr::V4(node.address), self.inventory.agent_port)
    }

    /// Decides and writes down what was heard and decided, in one step: the agent may have learned something meanwhile.
    fn decide(
        &self,
        answers: &[Answer<HostName, Incarnation>],
        waited: Duration,
    ) -> Result<Decision<HostName>> {
        let rule = Rule { members: &self.members, form: self.inventory.etcd_form, grace: self.options.grace };
        let data = self.store.has_data()?;
        let rejoin_only = self.store.rejoin_only();
        self.store.update(|memory| {
            let mine = |noted: &Option<Incarnation>| noted.as_ref() == Some(&self.incarnation);
            let own = Own {
                name: self.me.name.clone(),
                incarnation: self.incarnation.clone(),
                data,
                formed: memory.formed,
                ran: mine(&memory.ran),
                joining: mine(&memory.joining),
                rejoin_only,
                known: memory.known.clone(),
            };
            let decision = decide(&rule, &own, answers, waited);
            for answer in answers {
                memory.note_all(&answer.known, |name| self.members.contains(name));
                if let Some(incarnation) = &answer.incarnation {
                    memory.note(&answer.name, incarnation);
                }
            }
            if answers.iter().any(|answer| answer.stage == Stage::Formed) && decision != Decision::Form {
                memory.note_formed();
            }
            match &decision {
                Decision::Form => memory.forming = Some(self.incarnation.clone()),
                Decision::Join(_) => memory.joining = Some(self.incarnation.clone()),
                // Decided to form before, and there is no log: nothing was started.
                Decision::Wait(_) => memory.forming = None,
                Decision::Start => {}
            }
            decision
        })
    }

    fn join(&mut self, helpers: &[HostName]) -> Result<Option<Vec<(String, String)>>> {
        let ask = Ask::Join { name: self.me.name.clone(), incarnation: self.incarnation.clone() };
        let mut why = String::new();
        for helper in helpers {
            let Some(node) = self.inventory.node(helper.as_str()).cloned() else { continue };
            self.tell(
                Level::Waiting,
                &format!("this node's data is gone; asks {helper} to be taken in again"),
            )?;
            match net::ask(&self.identity, helper.as_str(), self.address(&node), &ask, JOIN) {
                Ok(Reply::Joined { members }) => return self.checked(members).map(Some),
                Ok(Reply::Refused { why: said }) => why = format!("{helper}: {said}"),
                Ok(_) => why = format!("{helper} gave another answer"),
                Err(error) => why = error.to_string(),
            }
        }
        self.tell(Level::Waiting, &format!("not taken in yet: {why}"))?;
        Ok(None)
    }

    /// What a peer sent becomes the environment of a unit: only what an inventory could say gets there.
    fn checked(&self, list: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
        let plain = |text: &str| {
            let ok = |c: char| c.is_ascii_alphanumeric() || "-.:/".contains(c);
            !text.is_empty() && text.len() < 300 && text.chars().all(ok)
        };
        let mine = peer_url(IpAddr::V4(self.me.address));
        let good = list.len() < 16
            && list.iter().all(|(name, url)| plain(name) && plain(url))
            && list.iter().any(|(name, url)| name == self.me.name.as_str() && *url == mine);
        if good { Ok(list) } else { Err(Error::input("the member list that was sent cannot be used")) }
    }

    fn tell(&mut self, state: Level, text: &str) -> Result<()> {
        note(&self.options.root, self.options.clock, state, text)?;
        // The seconds of a countdown are no news.
        let news: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        if self.said != news {
            (self.say)(text);
            self.said = news;
        }
        Ok(())
    }
}

fn only(members: &BTreeSet<HostName>, mut lives: Lives) -> Lives {
    lives.retain(|name, _| members.contains(name));
    lives
}

/// What is waited for, in words.
fn sentence(wait: &Wait<HostName>, grace: Duration) -> String {
    let names = |names: &[HostName]| names.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
    match wait {
        Wait::Majority { missing } => {
            format!("etcd waits for a majority of its members; no answer from {}", names(missing))
        }
        Wait::Grace { missing, left } => {
            let left = left.as_secs();
            format!("forming without {} in {left} s of {} s", names(missing), grace.as_secs())
        }
        Wait::All { missing, again } if again.is_empty() => {
            format!("etcd forms when all members are there; no answer from {}", names(missing))
        }
        Wait::All { missing, again } => format!(
            "{} lost its disk, so all members must answer before etcd forms; no answer from {}",
            names(again),
            names(missing)
        ),
        Wait::Forming { forming } => format!(
            "this node lost its disk while etcd was being formed; waits until {} has a quorum without it",
            names(forming)
        ),
        Wait::Quorum { formed } if formed.is_empty() => {
            "the cluster exists, and no member of it answers with a quorum".to_owned()
        }
        Wait::Quorum { formed } => format!(
            "the cluster exists ({} says so), and no member of it answers with a quorum; if all lost their disks: \
             docs/formation.md, Beginning anew",
            names(formed)
        ),
        Wait::Cluster => "this medium only replaces a member, and no cluster has been heard of".to_owned(),
    }
}

fn note(root: &Path, clock: fn() -> OffsetDateTime, state: Level, text: &str) -> Result<()> {
    TopicFile::new(root, "formation").set(state, text, clock()).map(drop)
}

/// All members as the plan names them.
pub fn founders(inventory: &Inventory) -> Vec<(String, String)> {
    let pair = |member: &Member| (member.name.to_string(), peer_url(IpAddr::V4(member.address)));
    inventory.etcd_members().map(pair).collect()
}

/// Where the peers of a member reach it.
pub fn peer_url(address: IpAddr) -> String {
    format!("https://{address}:2380")
}

fn write_env(root: &Path, list: &[(String, String)], state: &str) -> Result<()> {
    write_durably(&root.join(ENV), &environment(list, state))
}

/// The environment that etcd starts with: its members, and whether the cluster is `new` or `existing`.
pub fn environment(list: &[(String, String)], state: &str) -> String {
    let members = initial_cluster(list);
    format!("ETCD_INITIAL_CLUSTER=\"{members}\"\nETCD_INITIAL_CLUSTER_STATE=\"{state}\"\n")
}
