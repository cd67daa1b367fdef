//! How one file goes to one client: which blocks are to be sent now, and when all is done. Without sockets and clocks.
//!
//! Blocks are numbered from 1 on with 16 bits, so numbers come again in files of more than 65,535 blocks; clients go on at 0.

use super::{BLOCK, Reply, Request};

/// How often the same thing is sent before a client is given up: after about nine seconds, since waits grow to one.
pub const TRIES: u32 = 12;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send what grants the options, and wait.
    Grant,
    /// Send the blocks from the first one on, so many, and wait.
    Send {
        /// First block, counted from 1 without end.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Nothing was asked for; go on waiting.
    Wait,
    /// The client has the whole file.
    Done,
    /// The client is gone, or wants no more.
    Over,
}

/// State of a transfer.
#[derive(Debug)]
pub struct Transfer {
    block: u64,
    window: u64,
    /// Number of blocks; the last one is not full, even if it is empty.
    blocks: u64,
    /// Blocks that the client has.
    has: u64,
    /// Whether the client still has to take the options.
    granting: bool,
    tries: u32,
}

impl Transfer {
    /// A transfer of `size` bytes.
    pub fn new(request: &Request, size: u64) -> Self {
        let block = u64::from(request.block.unwrap_or(BLOCK));
        Self {
            block,
            window: u64::from(request.window.unwrap_or(1)),
            blocks: size / block + 1,
            has: 0,
            granting: request.granted(size).is_some(),
            tries: 0,
        }
    }

    /// What to do first.
    pub fn begin(&self) -> Step {
        if self.granting { Step::Grant } else { self.send() }
    }

    /// Size of a full block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Bytes that the client has for certain.
    pub fn acknowledged(&self, size: u64) -> u64 {
        (self.has * self.block).min(size)
    }

    fn send(&self) -> Step {
        Step::Send { first: self.has + 1, count: self.window.min(self.blocks - self.has) }
    }

    /// What follows from what the client said.
    pub fn reply(&mut self, reply: Reply) -> Step {
        match reply {
            Reply::Ends => Step::Over,
            Reply::Other => Step::Wait,
            Reply::Has(0) if self.granting => {
                (self.granting, self.tries) = (false, 0);
                self.send()
            }
            Reply::Has(_) if self.granting => Step::Wait,
            Reply::Has(number) => {
                // How far the number is ahead, in a circle of 65,536. Only what was sent can be acknowledged; what was acknowledged
                // before must not be answered, or each doubled packet would double all that follow.
                let ahead = u64::from(number.wrapping_sub(self.has as u16));
                if ahead == 0 || ahead > self.window || self.has + ahead > self.blocks {
                    return Step::Wait;
                }
                self.has += ahead;
                self.tries = 0;
                if self.has == self.blocks { Step::Done } else { self.send() }
            }
        }
    }

    /// What follows when nothing was said for a while.
    pub fn silence(&mut self) -> Step {
        self.tries += 1;
        match self.tries {
            tries if tries >= TRIES => Step::Over,
            _ => self.begin(),
        }
    }
}
