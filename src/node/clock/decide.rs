//! Whether a master may serve its time to the others. Pure: clocks that were read go in, what to do comes out.
//!
//! chronyd's orphan mode keeps the masters' clocks together once they agree; among those that disagree it takes the smallest
//! address for right, and sets all others. So a master serves only
//!
//! - what others serve already, as soon as its own clock is within a second of theirs;
//! - where nobody serves: the median of the masters' clocks, when all were heard or a minute has passed. One clock that is wrong
//!   does not move a median of three. Of two the later is taken, because a clock that stopped is behind.
//!
//! It stops when more of the others serve another time than serve its own.

use std::net::Ipv4Addr;

use super::ntp::Answer;
use super::span;

/// Clocks closer than this, in seconds, say the same.
pub const NEAR: f64 = 1.0;
/// Those further than this do not.
const APART: f64 = 10.0;
/// How many seconds masters that are silent are waited for.
const PATIENCE: u64 = 60;

/// What a master knows.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its address.
    pub own: Ipv4Addr,
    /// Other masters.
    pub others: usize,
    /// Those that answered.
    pub heard: &'a [Answer],
    /// Whether it serves already.
    pub serving: bool,
    /// Seconds since it began to ask.
    pub waited: u64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Serve this clock's time, or go on with it.
    Serve,
    /// Serve nothing: others serve another time, which is so many seconds ahead. chronyd takes it over.
    Follow(f64),
    /// Serve nothing yet, for this reason.
    Wait(String),
}

/// Decides.
pub fn decide(view: &View<'_>) -> Step {
    let mut serving: Vec<Answer> = view.heard.iter().filter(|answer| answer.serves).copied().collect();
    if view.serving {
        let with = 1 + serving.iter().filter(|answer| answer.ahead.abs() <= APART).count();
        serving.retain(|answer| answer.ahead.abs() > APART);
        return match largest_group(&serving) {
            Some(group) if group.len() > with => Step::Follow(middle(&group)),
            _ => Step::Serve,
        };
    }
    match largest_group(&serving) {
        Some(group) if middle(&group).abs() <= NEAR => Step::Serve,
        Some(group) => Step::Follow(middle(&group)),
        None => begin(view),
    }
}

/// Nobody serves.
fn begin(view: &View<'_>) -> Step {
    let missing = view.others.saturating_sub(view.heard.len());
    if missing > 0 && view.waited < PATIENCE {
        let left = PATIENCE - view.waited;
        return Step::Wait(format!(
            "{missing} of {} masters do not answer yet; at most {left} s more",
            view.others + 1
        ));
    }
    let own = Answer { address: view.own, ahead: 0.0, serves: false };
    let all: Vec<Answer> = view.heard.iter().copied().chain([own]).collect();
    let median = middle(&all);
    if median.abs() <= NEAR {
        return Step::Serve;
    }
    let way = if median > 0.0 { "behind" } else { "ahead of" };
    Step::Wait(format!(
        "this clock is {} {way} the median of the masters', which has yet to be served",
        span(median)
    ))
}

/// The most clocks that say the same; of groups of a size the one with the smallest address, as chronyd has it.
fn largest_group(answers: &[Answer]) -> Option<Vec<Answer>> {
    let around = |one: &Answer| -> Vec<Answer> {
        answers.iter().filter(|other| (other.ahead - one.ahead).abs() <= APART).copied().collect()
    };
    let smallest = |group: &[Answer]| group.iter().map(|answer| std::cmp::Reverse(answer.address)).max();
    answers.iter().map(around).max_by_key(|group| (group.len(), smallest(group)))
}

/// The median; of an even number the later of the two in the middle.
fn middle(answers: &[Answer]) -> f64 {
    let mut ahead: Vec<f64> = answers.iter().map(|answer| answer.ahead).collect();
    ahead.sort_by(f64::total_cmp);
    ahead.get(ahead.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of the masters decides whose clocks are so far ahead of the true time, at once.
    fn each(clocks: &[f64], serving: &[bool], waited: u64) -> Vec<Step> {
        let address = |n: usize| Ipv4Addr::new(10, 0, 0, n as u8 + 1);
        let decided = |me: usize| {
            let heard: Vec<Answer> = (0..clocks.len())
                .filter(|n| *n != me)
                .map(|n| Answer { address: address(n), ahead: clocks[n] - clocks[me], serves: serving[n] })
                .collect();
            let (others, own) = (clocks.len() - 1, address(me));
            decide(&View { own, others, heard: &heard, serving: serving[me], waited })
        };
        (0..clocks.len()).map(decided).collect()
    }

    #[test]
    fn one_wrong_clock_of_three_is_not_served() {
        for wrong in [3600.0, -3600.0, -86_400.0 * 200.0] {
            for place in 0..3 {
                let mut clocks = [0.0, 0.2, 0.1];
                clocks[place] = wrong;
                let steps = each(&clocks, &[false; 3], 0);
                for (n, step) in steps.iter().enumerate() {
                    assert_eq!(*step == Step::Serve, n != place, "{clocks:?} {steps:?}");
                }
            }
        }
    }

    #[test]
    fn somebody_serves_however_wrong_they_all_are() {
        for clocks in [
            vec![0.0],
            vec![-3600.0, 0.0],
            vec![-3600.0, 0.0, 7200.0],
            vec![-9e6, -9e6, 0.0],
            vec![0., 20., 40., 60.],
        ] {
            let steps = each(&clocks, &vec![false; clocks.len()], 0);
            assert!(steps.contains(&Step::Serve), "{clocks:?} {steps:?}");
        }
        assert_eq!(each(&[-3600.0, 0.0], &[false; 2], 0)[1], Step::Serve, "the later of two");
    }

    #[test]
    fn what_is_served_is_taken_over_before_it_is_served_on() {
        assert_eq!(each(&[-3600.0, 0.0, 0.0], &[false, true, true], 0)[0], Step::Follow(3600.0));
        assert_eq!(each(&[0.0, 0.0, 0.0], &[false, true, false], 0)[0], Step::Serve);
        // Alone with a wrong clock for a minute, then the others are in sight again.
        let steps = each(&[-3600.0, 0.0, 0.0], &[true, true, true], 999);
        assert_eq!(steps, [Step::Follow(3600.0), Step::Serve, Step::Serve]);
        // One against one: chronyd's rule.
        assert_eq!(each(&[-3600.0, 0.0], &[true, true], 999), [Step::Serve, Step::Serve]);
    }

    #[test]
    fn the_silent_are_waited_for_a_minute() {
        let own = Ipv4Addr::new(10, 0, 0, 1);
        let alone = |waited| decide(&View { own, others: 2, heard: &[], serving: false, waited });
        assert!(matches!(alone(59), Step::Wait(text) if text.contains("2 of 3")));
        assert_eq!(alone(60), Step::Serve);
    }
}
