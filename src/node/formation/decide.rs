//! The decision of one member: may I start etcd with an empty log? Pure: what is known goes in, what to do comes out.
//!
//! Words. An *incarnation* is one life of a member's data disk: a number made once and kept beside etcd's data, so a disk that
//! was wiped or swapped is a new incarnation. A member is *fresh* until it has decided to form, *forming* from then on (it wrote
//! that down before etcd started), and *formed* once it knows that etcd had a quorum.
//!
//! Why this is enough: an entry that etcd acknowledged lies with a majority. A member in its first life has never voted, so its
//! empty log contradicts nothing. A member that lost its disk may have voted, and must not come back with an empty log; it is
//! found out because somebody remembers another incarnation of it. Names and incarnations are type parameters so that the model
//! explores this very code with small numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::model::EtcdForm;

/// Which incarnations of which members have been heard of.
pub type Known<N, I> = BTreeMap<N, BTreeSet<I>>;

/// How far a member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Has started nothing and knows of no cluster.
    Fresh,
    /// Has decided to form; its etcd may have voted.
    Forming,
    /// Knows that the cluster has come into being.
    Formed,
}

/// What another node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<N, I> {
    /// Who says it.
    pub name: N,
    /// Whether it runs an etcd member. Others are witnesses: their "formed" counts, their silence and their "fresh" do not.
    pub member: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Its own incarnation, if it is a member.
    pub incarnation: Option<I>,
    /// What it has heard of anyone.
    pub known: Known<N, I>,
    /// What it had heard when it learned that the cluster had formed; empty before.
    pub founders: Known<N, I>,
    /// Whether its etcd has a quorum right now.
    pub healthy: bool,
}

/// What the deciding member knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own<N, I> {
    /// Its name.
    pub name: N,
    /// This life of its data disk.
    pub incarnation: I,
    /// Whether etcd has written a log on it.
    pub data: bool,
    /// Whether it knows that the cluster has formed.
    pub formed: bool,
    /// Whether etcd of this incarnation has been seen with a quorum: a log that is missing has been lost since.
    pub ran: bool,
    /// Whether this incarnation has asked to be taken in again: its place among the founders may be gone.
    pub joining: bool,
    /// Whether the medium said that this is a replacement: never form.
    pub rejoin_only: bool,
    /// What it has heard of anyone, itself included.
    pub known: Known<N, I>,
}

/// What holds for the whole cluster.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'m, N> {
    /// Names of all members.
    pub members: &'m BTreeSet<N>,
    /// Who must be there.
    pub form: EtcdForm,
    /// How long a majority waits for the rest.
    pub grace: Duration,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<N> {
    /// There is a log: start etcd, which knows better than anyone.
    Start,
    /// Start etcd as a founder, with an empty log.
    Form,
    /// Ask one of these to be taken in.
    Join(Vec<N>),
    /// Do nothing yet.
    Wait(Wait<N>),
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait<N> {
    /// A majority has to answer.
    Majority {
        /// Who has not.
        missing: Vec<N>,
    },
    /// A majority has answered; the rest has until the grace is over.
    Grace {
        /// Who has not.
        missing: Vec<N>,
        /// How long they have.
        left: Duration,
    },
    /// All have to answer.
    All {
        /// Who has not.
        missing: Vec<N>,
        /// Who lost its disk, if that is why.
        again: Vec<N>,
    },
    /// This member lost its disk, and these are about to form: it is taken in when they have.
    Forming {
        /// Who they are.
        forming: Vec<N>,
    },
    /// The cluster exists, and no member of it that answers has a quorum.
    Quorum {
        /// Who says that it exists; empty if this member knows it by itself.
        formed: Vec<N>,
    },
    /// The medium said to join a cluster, and none has been heard of.
    Cluster,
}

/// Decides. `answers` are of one round of asking; `waited` is how long a majority has been answering without a break.
pub fn decide<N, I>(
    rule: &Rule<'_, N>,
    own: &Own<N, I>,
    answers: &[Answer<N, I>],
    waited: Duration,
) -> Decision<N>
where
    N: Ord + Clone,
    I: Ord + Clone,
{
    if own.data {
        return Decision::Start;
    }
    let lives = lives(own, answers);
    let lost = |name: &N| lives.get(name).is_some_and(|lives| lives.len() > 1);
    if own.formed || answers.iter().any(|answer| answer.stage == Stage::Formed) {
        return with_cluster(own, answers, lost(&own.name));
    }
    if own.rejoin_only {
        return Decision::Wait(Wait::Cluster);
    }
    let members = || answers.iter().filter(|answer| answer.member && answer.name != own.name);
    let forming: Vec<N> =
        members().filter(|answer| answer.stage == Stage::Forming).map(|answer| answer.name.clone()).collect();
    if lost(&own.name) && !forming.is_empty() {
        return Decision::Wait(Wait::Forming { forming });
    }
    let mut answered: BTreeSet<&N> = members().map(|answer| &answer.name).collect();
    answered.insert(&own.name);
    let missing: Vec<N> = rule.members.iter().filter(|name| !answered.contains(name)).cloned().collect();
    if missing.is_empty() {
        return Decision::Form;
    }
    let again: Vec<N> = rule.members.iter().filter(|name| lost(name)).cloned().collect();
    if rule.form == EtcdForm::All || lost(&own.name) {
        return Decision::Wait(Wait::All { missing, again });
    }
    // One that lost its disk says nothing about what it did before.
    let majority = |count: usize| count * 2 > rule.members.len();
    if majority(answered.iter().filter(|name| !lost(name)).count()) {
        if waited >= rule.grace {
            return Decision::Form;
        }
        return Decision::Wait(Wait::Grace { missing, left: rule.grace - waited });
    }
    Decision::Wait(if majority(answered.len()) {
        Wait::All { missing, again }
    } else {
        Wait::Majority { missing }
    })
}

/// The cluster exists.
fn with_cluster<N, I>(own: &Own<N, I>, answers: &[Answer<N, I>], lost: bool) -> Decision<N>
where
    N: Ord + Clone,
    I: Ord + Clone,
{
    let formed = || answers.iter().filter(|answer| answer.member && answer.stage == Stage::Formed);
    // The others formed while this one was still asking: its place among the founders is as it was, and it has never voted.
    let founder = |answer: &Answer<N, I>| {
        answer.founders.get(&own.name).is_some_and(|lives| lives.contains(&own.incarnation))
    };
    if !own.ran && !own.joining && !own.rejoin_only && !lost && formed().any(founder) {
        return Decision::Form;
    }
    let able: Vec<N> = formed().filter(|answer| answer.healthy).map(|answer| answer.name.clone()).collect();
    if !able.is_empty() {
        return Decision::Join(able);
    }
    let said = answers.iter().filter(|answer| answer.stage == Stage::Formed);
    Decision::Wait(Wait::Quorum { formed: said.map(|answer| answer.name.clone()).collect() })
}

/// All incarnations that anyone has heard of.
fn lives<N, I>(own: &Own<N, I>, answers: &[Answer<N, I>]) -> Known<N, I>
where
    N: Ord + Clone,
    I: Ord + Clone,
{
    let mut all = own.known.clone();
    merge(&mut all, &Known::from([(own.name.clone(), BTreeSet::from([own.incarnation.clone()]))]));
    for answer in answers {
        merge(&mut all, &answer.known);
        if let Some(incarnation) = &answer.incarnation {
            all.entry(answer.name.clone()).or_default().insert(incarnation.clone());
        }
    }
    all
}

/// Adds what `from` holds to `to`.
pub fn merge<N: Ord + Clone, I: Ord + Clone>(to: &mut Known<N, I>, from: &Known<N, I>) {
    for (name, lives) in from {
        to.entry(name.clone()).or_default().extend(lives.iter().cloned());
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
