//! How the members of etcd become one cluster, once, with nobody watching; and how one of them comes back with an empty disk.
//!
//! No member is special. Each asks the others over the agents' protocol and decides for itself: [`decide`] is that decision
//! as a pure function, [`join`] what a healthy member does for one that comes back, [`store`] what must not be forgotten.
//! `docs/formation.md` holds the rule and its proof in words, the tests' model (`model`) holds it against every order of events.
//!
//! It is no consensus protocol. It decides who may start etcd with an empty log and call it new; from then on etcd decides.

pub mod decide;
pub mod etcdctl;
pub mod join;
#[cfg(test)]
mod model;
pub mod run;
pub mod store;

pub use decide::{Answer, Decision, Known, Own, Rule, Stage, Wait, decide};
