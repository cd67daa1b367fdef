//! The tables and clusters that were used last: bounded, so that memory does not grow with a disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What was used last, by its place in the file.
#[derive(Debug)]
pub struct Cache<T> {
    state: Mutex<State<T>>,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    held: BTreeMap<u64, (u64, T)>,
    clock: u64,
}

impl<T: Clone> Cache<T> {
    /// Holds `most` things, and two at least.
    pub fn new(most: usize) -> Self {
        Self { state: Mutex::new(State { held: BTreeMap::new(), clock: 0 }), most: most.max(2) }
    }

    /// The thing at this place, made if it is not held.
    pub fn get<E>(&self, at: u64, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.clock += 1;
            let clock = state.clock;
            if let Some((used, thing)) = state.held.get_mut(&at) {
                *used = clock;
                return Ok(thing.clone());
            }
        }
        // Made without the lock: others may go on, and at worst it is made twice.
        let made = make()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.held.len() >= self.most {
            let oldest = state.held.iter().min_by_key(|(_, (used, _))| *used).map(|(at, _)| *at);
            let Some(oldest) = oldest else { break };
            state.held.remove(&oldest);
        }
        let clock = state.clock;
        state.held.insert(at, (clock, made.clone()));
        Ok(made)
    }
}
