//! How many lines strangers may cause in the log: a flood of them must neither fill a disk nor hide what nodes did.

/// Lines in one window, and its length in seconds.
const MOST: u32 = 100;
const WINDOW: u64 = 60;

/// Counts the lines of the running window.
#[derive(Debug, Default)]
pub(super) struct Quota {
    window: u64,
    lines: u32,
    left_out: u64,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Write it.
    Write,
    /// Write it, and before it how many were left out.
    After(u64),
    /// Write that lines are left out from now on.
    Last,
    /// Leave it out.
    Omit,
}

impl Quota {
    /// One more line at `now`, in seconds.
    pub(super) fn line(&mut self, now: u64) -> Line {
        let window = now / WINDOW;
        if window != self.window {
            let left_out = std::mem::take(&mut self.left_out);
            (self.window, self.lines) = (window, 1);
            return if left_out > 0 { Line::After(left_out) } else { Line::Write };
        }
        if self.lines < MOST {
            self.lines += 1;
            return Line::Write;
        }
        self.left_out += 1;
        if self.left_out == 1 { Line::Last } else { Line::Omit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let mut quota = Quota::default();
        let at = 7 * WINDOW;
        assert!((0..MOST).all(|_| quota.line(at) == Line::Write));
        assert_eq!(quota.line(at + 1), Line::Last);
        assert!((0..10_000).all(|_| quota.line(at + WINDOW - 1) == Line::Omit));
        assert_eq!(quota.line(at + WINDOW), Line::After(10_001));
        assert!((1..MOST).all(|_| quota.line(at + WINDOW) == Line::Write));
        assert_eq!(quota.line(at + WINDOW), Line::Last);
        // A clock that was set back begins a window as well.
        assert_eq!(quota.line(at), Line::After(1));
        assert_eq!(quota.line(at), Line::Write);
    }
}
