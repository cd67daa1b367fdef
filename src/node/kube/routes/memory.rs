//! What is to be done about routes, from what should be and what is: pure, with a memory.
//!
//! New routes are made at once. Old ones stay for a while after the API has stopped naming them, because a route to a node that
//! is gone harms nobody, and a single wrong answer (of an API server whose store came back empty, say) must not part the pods.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::wanted::{Wanted, overlap};

/// How long a route must have been missing from all answers before it is removed.
pub const GONE_FOR: Duration = Duration::from_secs(300);
/// And from how many answers at least.
pub const GONE_ANSWERS: u32 = 5;

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make a route, or lead it by another node.
    Set(Ipv4Net, Ipv4Addr),
    /// Take a route away.
    Remove(Ipv4Net, Ipv4Addr),
}

/// Since when, and in how many answers, routes have been missing.
#[derive(Debug, Default)]
pub struct Memory {
    missing: BTreeMap<Ipv4Net, (Duration, u32)>,
}

impl Memory {
    /// The changes after an answer at `clock`; removals come first. `have` are kiln's own routes.
    pub fn steps(
        &mut self,
        wanted: &Wanted,
        have: &BTreeMap<Ipv4Net, Ipv4Addr>,
        clock: Duration,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        self.missing.retain(|net, _| have.contains_key(net) && !wanted.routes.contains_key(net));
        for (net, hop) in have.iter().filter(|(net, _)| !wanted.routes.contains_key(net)) {
            // It would lead away what belongs to another node, or to this one.
            let in_the_way = wanted.routes.keys().chain(&wanted.own).any(|other| overlap(*other, *net));
            if in_the_way || (wanted.complete && self.gone(*net, clock)) {
                self.missing.remove(net);
                steps.push(Step::Remove(*net, *hop));
            }
        }
        let differs = |(net, hop): &(&Ipv4Net, &Ipv4Addr)| have.get(*net) != Some(*hop);
        steps.extend(wanted.routes.iter().filter(differs).map(|(net, hop)| Step::Set(*net, *hop)));
        steps
    }

    /// Counts an answer that does not name a route; whether there have been enough.
    fn gone(&mut self, net: Ipv4Net, clock: Duration) -> bool {
        let (since, answers) = self.missing.entry(net).or_insert((clock, 0));
        *answers += 1;
        *answers >= GONE_ANSWERS && clock.saturating_sub(*since) >= GONE_FOR
    }
}
