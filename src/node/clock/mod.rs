//! The node's clock: never before its certificates were made, and one time for all nodes.
//!
//! [`floor`] moves a clock forward that stopped (a dead battery starts in 1970) before anything looks at a certificate. chronyd
//! keeps the time from then on. Where the cluster has no time server, masters serve time to each other, and [`keeper`] decides
//! when: chronyd's own rule is that the smallest address is right, whatever the others say. No clock is set but forward and
//! to the floor; all else is chronyd's.

pub mod chrony;
pub mod decide;
pub mod floor;
pub mod keeper;
pub mod ntp;

/// Seconds in words: `3 s`, `1 h 0 min`, `230 days`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = seconds.abs();
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1000.0),
        ..180.0 => format!("{seconds:.0} s"),
        ..172_800.0 => {
            format!("{:.0} h {:.0} min", (seconds / 3600.0).floor(), (seconds % 3600.0 / 60.0).floor())
        }
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_are_read_by_people() {
        let said: Vec<String> = [0.0004, 2.4, -3600.0, 86_400.0 * 400.0].map(super::span).into();
        assert_eq!(said, ["0 ms", "2 s", "1 h 0 min", "400 days"]);
    }
}
