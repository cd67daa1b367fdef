//! How long an answer of a client is waited for: by what its answers have taken so far (as RFC 6298 does for TCP), and at most as long
//! as the client has asked for (RFC 2349): curl asks for six seconds, in which a lossy link moves nothing. What comes twice does no
//! harm. Without clocks.

use std::time::Duration;

/// How long it is waited where nothing is known yet, and at most, if the client has not asked for another time.
const WAIT: Duration = Duration::from_secs(1);
/// How long it is waited at least: a loader is busy for moments.
const LEAST: Duration = Duration::from_millis(50);

/// What is known of one client.
#[derive(Debug)]
pub struct Pace {
    most: Duration,
    /// What answers take, the newest counting for an eighth.
    usual: Option<Duration>,
    /// Times in a row that nothing came.
    silent: u32,
}

impl Pace {
    /// For a client that asked for this wait, if it did.
    pub fn new(asked: Option<Duration>) -> Self {
        Self { most: asked.unwrap_or(WAIT), usual: None, silent: 0 }
    }

    /// How long to wait now. Each time that nothing came doubles it.
    pub fn wait(&self) -> Duration {
        let wait = self.usual.map_or(self.most, |usual| (usual * 4).max(LEAST));
        wait.saturating_mul(1 << self.silent.min(10)).min(self.most)
    }

    /// An answer came. What was sent twice tells nothing of how long it took.
    pub fn answered(&mut self, took: Duration) {
        if self.silent == 0 {
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
        self.silent = 0;
    }

    /// Nothing came in time.
    pub fn nothing(&mut self) {
        self.silent += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_client_is_not_waited_for_long() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(None);
        assert_eq!(pace.wait(), WAIT);
        (0..40).for_each(|_| pace.answered(ms(1)));
        assert_eq!(pace.wait(), LEAST);
        let waits: Vec<u128> = (0..7)
            .map(|_| {
                pace.nothing();
                pace.wait().as_millis()
            })
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000, 1000]);
        // The answer to what was sent eight times is no measure.
        pace.answered(ms(900));
        assert_eq!(pace.wait(), LEAST);
        (0..40).for_each(|_| pace.answered(ms(100)));
        assert!(pace.wait() > ms(350) && pace.wait() <= ms(400), "{:?}", pace.wait());
    }

    #[test]
    fn the_wait_that_a_client_asked_for_is_the_longest() {
        let asked = Duration::from_secs(3);
        let mut pace = Pace::new(Some(asked));
        assert_eq!(pace.wait(), asked);
        pace.answered(Duration::from_millis(1));
        assert_eq!(pace.wait(), LEAST);
        (0..12).for_each(|_| pace.nothing());
        assert_eq!(pace.wait(), asked);
    }
}
