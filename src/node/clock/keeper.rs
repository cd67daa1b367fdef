//! What `kiln node clock` does again and again: looks at chronyd, on masters of a cluster without a time server compares clocks
//! and decides who serves, and says on the board how the clock is.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::chrony::{Chrony, Tracking};
use super::decide::{NEAR, Step, View, decide};
use super::{floor, ntp, span};
use crate::error::Result;
use crate::node::status::Level;
use crate::node::status::stamp;

/// Between two looks: while there is something to settle, and afterwards.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(10);
/// How often the time is noted on disk once it is right.
const NOTE: Duration = Duration::from_secs(600);
/// How often chronyd is asked to hurry.
const HURRY: Duration = Duration::from_secs(12);

/// The other masters, on masters of a cluster without a time server.
#[derive(Debug, Clone)]
pub struct Agree {
    /// This machine's address.
    pub own: Ipv4Addr,
    /// The other masters' chronyds.
    pub others: Vec<SocketAddrV4>,
}

/// Looks after the clock.
pub struct Keeper<'a> {
    root: PathBuf,
    chrony: Chrony,
    agree: Option<Agree>,
    clock: &'a dyn Fn() -> OffsetDateTime,
    started: Instant,
    serving: bool,
    hurried: Option<Instant>,
    noted: Option<Instant>,
}

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// How the clock is.
    pub state: Level,
    /// In words.
    pub text: String,
    /// When to look again.
    pub again: Duration,
}

impl<'a> Keeper<'a> {
    /// Looks after the clock of the node whose files lie below `root`.
    pub fn new(
        root: PathBuf,
        chrony: Chrony,
        agree: Option<Agree>,
        clock: &'a dyn Fn() -> OffsetDateTime,
    ) -> Self {
        let started = Instant::now();
        Self { root, chrony, agree, clock, started, serving: false, hurried: None, noted: None }
    }

    /// Looks once.
    pub fn look(&mut self) -> Look {
        let outcome = match self.agree.clone() {
            Some(agree) => self.settle(&agree),
            None => Ok(None),
        };
        let (state, text) = match outcome.and_then(|said| Ok((said, self.chrony.tracking()?))) {
            Err(error) => (Level::Warn, error.to_string()),
            Ok((Some((state, text)), _)) => (state, text),
            Ok((None, tracking)) => self.tell(&tracking),
        };
        let again = if state == Level::Ok { LATER } else { SOON };
        let (state, text) = self.with_past(state, text);
        Look { state, text, again }
    }

    /// Decides whether this master serves, and says what is not settled yet.
    fn settle(&mut self, agree: &Agree) -> Result<Option<(Level, String)>> {
        let heard = ntp::ask(&agree.others, self.clock)?;
        let (others, serving) = (agree.others.len(), self.serving);
        let waited = self.started.elapsed().as_secs();
        match decide(&View { own: agree.own, others, heard: &heard, serving, waited }) {
            Step::Serve => {
                // Again each time: a chronyd that was started anew has forgotten it.
                self.chrony.serve(true)?;
                self.serving = true;
                Ok(None)
            }
            Step::Follow(ahead) => {
                self.chrony.serve(false)?;
                self.serving = false;
                if self.hurried.is_none_or(|at| at.elapsed() >= HURRY) {
                    self.hurried = Some(Instant::now());
                    self.chrony.hurry()?;
                }
                let way = if ahead > 0.0 { "behind" } else { "ahead of" };
                let text = format!("is {} {way} what the other masters serve; chronyd sets it", span(ahead));
                Ok(Some((Level::Waiting, text)))
            }
            Step::Wait(text) => {
                self.chrony.serve(false)?;
                Ok(Some((Level::Warn, text)))
            }
        }
    }

    /// How it is when there is nothing to settle.
    fn tell(&mut self, tracking: &Tracking) -> (Level, String) {
        if !tracking.synchronised {
            return (
                Level::Warn,
                "is not synchronised: no source of time answers, or they contradict each other".to_owned(),
            );
        }
        if tracking.away.abs() > NEAR {
            let text = format!("is {} away from {}, and is being set", span(tracking.away), tracking.source);
            return (Level::Warn, text);
        }
        if self.noted.is_none_or(|at| at.elapsed() >= NOTE) && floor::note(&self.root, (self.clock)()).is_ok()
        {
            self.noted = Some(Instant::now());
        }
        match tracking.source.as_str() {
            "" => (Level::Ok, "serves its own time to the cluster".to_owned()),
            source => (Level::Ok, format!("keeps the time of {source}")),
        }
    }

    /// Adds what the clock said at start, if that could not be.
    fn with_past(&self, state: Level, text: String) -> (Level, String) {
        let Some(was) = floor::was(&self.root) else { return (state, text) };
        let past = format!(
            "{text}; at start it said {}, before this node's certificates were made, and was set forward: look after its battery",
            stamp(was)
        );
        (state.max(Level::Warn), past)
    }
}

impl std::fmt::Debug for Keeper<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("agree", &self.agree)
            .field("serving", &self.serving)
            .finish_non_exhaustive()
    }
}
