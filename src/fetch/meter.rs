//! Progress of many downloads at once as one: sizes become known one by one, and add up.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::progress::Progress;

/// Adds up sizes for a listener.
pub struct Meter<'a> {
    progress: &'a dyn Progress,
    total: AtomicU64,
}

impl<'a> Meter<'a> {
    /// For a step that has just begun.
    pub fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, total: AtomicU64::new(0) }
    }

    /// So many more bytes will come.
    pub fn expect(&self, bytes: u64) {
        if bytes > 0 {
            let before = self.total.fetch_add(bytes, Ordering::Relaxed);
            self.progress.total(before.saturating_add(bytes));
        }
    }

    /// So many more bytes are there.
    pub fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }
}
