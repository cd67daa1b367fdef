//! Masters and workers of a cluster without a time server, as real chronyds with clocks of their own: on the loopback, with the
//! configuration that the plan renders, each beside what `kiln node clock` runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod machine;

use std::time::Duration;

use kiln::cluster::types::Role;
use machine::{Lab, NOBODY};

const HOUR: f64 = 3600.0;

#[test]
fn one_wrong_clock_of_three_is_put_right_at_first_boot() {
    // The wrong one has the smallest address, which chronyd would follow.
    let mut lab = Lab::new(
        20123,
        &[("k8s-master1", -HOUR), ("k8s-master2", 0.0), ("k8s-master3", 0.3), ("k8s-node1", HOUR)],
    );
    for name in ["k8s-master1", "k8s-master2", "k8s-master3", "k8s-node1"] {
        lab.start(name, true);
    }
    lab.until("all clocks are right", Duration::from_secs(150), |off| {
        off.values().all(|off| off.abs() < 1.0)
    });
    lab.hold(Duration::from_secs(15), &["k8s-master1", "k8s-master2", "k8s-master3", "k8s-node1"]);
    // A chronyd whose masters were set after it had asked them believes them again when it has asked twice more, a minute apart.
    lab.until_said("all are content", Duration::from_secs(240), |text| {
        text.contains("serves its own time") || text.contains("keeps the time of 127.0.0.")
    });
}

#[test]
fn a_dead_clock_does_not_move_a_cluster_that_runs() {
    let months = -86_400.0 * 200.0;
    let mut lab = Lab::new(21123, &[("k8s-master1", months), ("k8s-master2", 0.0), ("k8s-master3", 0.0)]);
    lab.start("k8s-master2", true);
    lab.start("k8s-master3", true);
    // The third is silent: the two wait a minute before they serve.
    lab.until("the two are settled", Duration::from_secs(150), |_| true);
    lab.hold(Duration::from_secs(70), &["k8s-master2", "k8s-master3"]);
    lab.start("k8s-master1", true);
    lab.until("the third is put right", Duration::from_secs(150), |off| {
        off.values().all(|off| off.abs() < 1.0)
    });
    lab.hold(Duration::from_secs(20), &["k8s-master1", "k8s-master2", "k8s-master3"]);
}

/// What the decision is there for: chronyd by itself follows the smallest address.
#[test]
fn chronyd_alone_lets_one_wrong_clock_set_all_others() {
    let mut lab = Lab::new(22123, &[("k8s-master1", -HOUR), ("k8s-master2", 0.0), ("k8s-master3", 0.0)]);
    lab.add("local stratum 10 orphan");
    for name in ["k8s-master1", "k8s-master2", "k8s-master3"] {
        lab.start(name, false);
    }
    lab.until("all are an hour late", Duration::from_secs(120), |off| {
        off.values().all(|off| (off + HOUR).abs() < 1.0)
    });
    assert!(lab.said() == NOBODY, "no keeper runs here");
}

#[test]
fn workers_believe_no_single_master() {
    let plan = machine::plan_of(Role::Worker);
    assert!(machine::chrony_conf(&plan).contains("minsources 2"));
}
