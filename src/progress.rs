//! What library code tells about its progress, without knowing who listens. `report` draws it.

/// Listener of a long task. All methods take `&self`: writers report from several threads.
pub trait Progress: Sync {
    /// A new step begins, named by a gerund and its object: "copying the base".
    fn step(&self, what: &str);
    /// A step was left out, and why: "copying the base (reflinked)".
    fn skip(&self, what: &str, why: &str);
    /// The current step will handle so many bytes.
    fn total(&self, bytes: u64);
    /// So many more bytes of the current step are done.
    fn advance(&self, bytes: u64);
    /// Something the user should know although the task goes on.
    fn warn(&self, message: &str);
}

/// Listener that says nothing; for tests and for callers that only want the result.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str) {}
    fn skip(&self, _what: &str, _why: &str) {}
    fn total(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn warn(&self, _message: &str) {}
}
