//! Several machines at once, on one segment that leads nowhere. They are started in order, and one may wait for another.

mod peer;
mod raw;
mod read;
mod segment;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::read::{load, parse};
use self::segment::Segment;
use super::hardware::Wire;
use super::install::{Company, InstallOutcome, InstallSpec, install};
use super::work::Work;
use crate::cluster::types::Mac;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// How often a machine that waits looks at the clock.
const TICK: Duration = Duration::from_millis(200);

/// A machine of a scenario.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The machine and its phases. Its folder, and where its wires lead, are set when it is run.
    pub spec: InstallSpec,
    /// Seconds after the first machine.
    pub delay: Duration,
    /// An earlier machine that must be done before this one is started; ready, if it stays.
    pub after: Option<usize>,
}

/// Somebody on the segment who is no machine: answers ARP and ping, and may claim to be a VRRP master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network card's.
    pub mac: Mac,
    /// The virtual router that it claims to be master of.
    pub vrrp: Option<u8>,
}

/// Machines, who else is on their segment, and how many run at once.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Machines that run at once.
    pub jobs: usize,
    /// The machines, in the order in which they are started.
    pub entries: Vec<Entry>,
    /// Who else is on the segment.
    pub peers: Vec<Peer>,
}

impl Scenario {
    /// Sets how many machines run at once.
    ///
    /// # Errors
    /// When machines that stay for others would leave those no room.
    pub fn set_jobs(&mut self, jobs: usize) -> Result<()> {
        check_jobs(jobs, &self.entries).map_err(Error::input)?;
        self.jobs = jobs;
        Ok(())
    }
}

fn check_jobs(jobs: usize, entries: &[Entry]) -> Result<(), String> {
    let staying = entries.iter().filter(|entry| entry.stays()).count();
    let needed = if staying < entries.len() { staying + 1 } else { 1 };
    if jobs >= needed {
        return Ok(());
    }
    Err(format!("jobs = {jobs}: {staying} machines stay for others, so at least {needed} must run at once"))
}

/// Where the machines are.
struct State {
    started: usize,
    running: usize,
    ready: Vec<bool>,
    done: Vec<bool>,
}

struct Together<'a> {
    scenario: &'a Scenario,
    since: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

impl Together<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a machine's turn.
    fn turn(&self, number: usize) {
        let entry = &self.scenario.entries[number];
        let mut state = self.state();
        loop {
            let free = state.running < self.scenario.jobs;
            // One that stays is ready for others; one that does not still has its disks until it is done.
            let stays = |other: usize| self.scenario.entries[other].stays();
            let waited =
                entry.after.is_none_or(|other| state.done[other] || (state.ready[other] && stays(other)));
            if state.started == number && free && waited && self.since.elapsed() >= entry.delay {
                state.started += 1;
                state.running += 1;
                break;
            }
            let waiting = self.changed.wait_timeout(state, TICK);
            state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.changed.notify_all();
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

struct Member<'a> {
    together: &'a Together<'a>,
    number: usize,
}

impl Company for Member<'_> {
    fn ready(&self) {
        self.together.change(|state| state.ready[self.number] = true);
    }

    fn over(&self) -> bool {
        let state = self.together.state();
        let mut others = self.together.scenario.entries.iter().zip(&state.done);
        others.all(|(entry, done)| *done || entry.stays())
    }
}

/// Runs all machines; results are in their order. `prepare` completes each machine's spec: logs, pictures, QEMU's program.
///
/// # Errors
/// When the folder or the segment could not be made, or the first error of a machine that could not be tried. A machine
/// that failed is an outcome.
pub fn run(
    scenario: &Scenario,
    work: &Path,
    keep: bool,
    prepare: &dyn Fn(&mut InstallSpec),
    progress: &dyn Progress,
) -> Result<Vec<(InstallSpec, InstallOutcome)>> {
    let work = Work::make(work, keep)?;
    let segment = Segment::open(work.dir(), &scenario.peers)?;
    let specs = scenario.entries.iter().map(|entry| {
        let mut spec = entry.spec.clone();
        spec.work = work.dir().join(format!("m-{}", spec.name));
        spec.keep = keep;
        for nic in &mut spec.hardware.nics {
            if let Wire::Segment(socket) = &mut nic.wire {
                segment.path().clone_into(socket);
            }
        }
        prepare(&mut spec);
        spec
    });
    let specs: Vec<InstallSpec> = specs.collect();
    specs.iter().try_for_each(InstallSpec::check)?;
    let count = specs.len();
    let state = State { started: 0, running: 0, ready: vec![false; count], done: vec![false; count] };
    let together =
        Together { scenario, since: Instant::now(), state: Mutex::new(state), changed: Condvar::new() };
    let results: Vec<Result<InstallOutcome>> = std::thread::scope(|scope| {
        let threads: Vec<_> = specs
            .iter()
            .enumerate()
            .map(|(number, spec)| {
                let together = &together;
                scope.spawn(move || {
                    together.turn(number);
                    let result = install(spec, &Member { together, number }, progress);
                    together.change(|state| {
                        state.done[number] = true;
                        state.running -= 1;
                    });
                    result
                })
            })
            .collect();
        let lost = || Err(Error::internal("a machine ended without a result"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
    });
    drop(segment);
    specs.into_iter().zip(results).map(|(spec, result)| Ok((spec, result?))).collect()
}
