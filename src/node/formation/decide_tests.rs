//! The decision, clause by clause. Several clauses guard against the same second cluster, so the model alone would not notice the
//! loss of one of them.

use super::*;

const GRACE: Duration = Duration::from_secs(120);
const NEVER: Duration = Duration::ZERO;

fn members() -> BTreeSet<char> {
    BTreeSet::from(['a', 'b', 'c'])
}

fn lives(of: &[(char, &[u8])]) -> Known<char, u8> {
    of.iter().map(|(name, lives)| (*name, lives.iter().copied().collect())).collect()
}

/// Member `a` in its first life, fresh.
fn own() -> Own<char, u8> {
    Own {
        name: 'a',
        incarnation: 1,
        data: false,
        formed: false,
        ran: false,
        joining: false,
        rejoin_only: false,
        known: lives(&[('a', &[1])]),
    }
}

/// A member in its first life, fresh.
fn fresh(name: char) -> Answer<char, u8> {
    Answer {
        name,
        member: true,
        stage: Stage::Fresh,
        incarnation: Some(1),
        known: lives(&[(name, &[1])]),
        founders: Known::new(),
        healthy: false,
    }
}

/// A member that knows of the cluster, and has its quorum.
fn formed(name: char) -> Answer<char, u8> {
    let founders = lives(&[('b', &[1]), ('c', &[1])]);
    Answer { stage: Stage::Formed, healthy: true, founders, ..fresh(name) }
}

fn rule(members: &BTreeSet<char>) -> Rule<'_, char> {
    Rule { members, form: EtcdForm::Majority, grace: GRACE }
}

fn go(own: &Own<char, u8>, answers: &[Answer<char, u8>], waited: Duration) -> Decision<char> {
    let members = members();
    decide(&rule(&members), own, answers, waited)
}

fn go_all(own: &Own<char, u8>, answers: &[Answer<char, u8>]) -> Decision<char> {
    let members = members();
    decide(&Rule { members: &members, form: EtcdForm::All, grace: GRACE }, own, answers, GRACE)
}

fn waits(decision: Decision<char>) -> Wait<char> {
    match decision {
        Decision::Wait(wait) => wait,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_is_started_whatever_the_others_say() {
    let own = Own { data: true, ..own() };
    for answers in [vec![], vec![fresh('b'), fresh('c')], vec![formed('b')]] {
        assert_eq!(go(&own, &answers, NEVER), Decision::Start);
    }
}

#[test]
fn all_form_at_once_and_a_majority_after_its_grace() {
    assert_eq!(go(&own(), &[fresh('b'), fresh('c')], NEVER), Decision::Form);
    let grace = Wait::Grace { missing: vec!['c'], left: GRACE };
    assert_eq!(waits(go(&own(), &[fresh('b')], NEVER)), grace);
    assert_eq!(go(&own(), &[fresh('b')], GRACE), Decision::Form);
    assert_eq!(waits(go(&own(), &[], GRACE)), Wait::Majority { missing: vec!['b', 'c'] });
    assert_eq!(waits(go_all(&own(), &[fresh('b')])), Wait::All { missing: vec!['c'], again: vec![] });
    assert_eq!(go_all(&own(), &[fresh('b'), fresh('c')]), Decision::Form);
}

#[test]
fn a_witness_is_no_member() {
    let witness = Answer { member: false, incarnation: None, known: Known::new(), ..fresh('x') };
    assert_eq!(
        waits(go(&own(), std::slice::from_ref(&witness), GRACE)),
        Wait::Majority { missing: vec!['b', 'c'] }
    );
    // Yet it may remember what members do not.
    let remembers = Answer { stage: Stage::Formed, ..witness };
    assert_eq!(
        waits(go(&own(), &[remembers, fresh('b'), fresh('c')], GRACE)),
        Wait::Quorum { formed: vec!['x'] }
    );
}

#[test]
fn who_remembers_the_cluster_never_forms() {
    let own = Own { formed: true, ..own() };
    let wait = Wait::Quorum { formed: vec![] };
    assert_eq!(waits(go(&own, &[fresh('b'), fresh('c')], GRACE)), wait);
    let weak = Answer { healthy: false, ..formed('b') };
    assert_eq!(waits(go(&own, &[weak, fresh('c')], GRACE)), Wait::Quorum { formed: vec!['b'] });
}

#[test]
fn who_comes_later_joins_by_those_with_a_quorum() {
    let weak = Answer { healthy: false, ..formed('c') };
    assert_eq!(go(&own(), &[formed('b'), weak], NEVER), Decision::Join(vec!['b']));
}

/// The others formed while it was still asking: its place is as it was.
#[test]
fn a_founder_that_never_ran_starts_as_one() {
    let names_me = Answer { founders: lives(&[('a', &[1]), ('b', &[1])]), ..formed('b') };
    let go = |own: &Own<char, u8>| go(own, std::slice::from_ref(&names_me), NEVER);
    assert_eq!(go(&own()), Decision::Form);
    for not in [
        Own { ran: true, ..own() },
        Own { joining: true, ..own() },
        Own { rejoin_only: true, ..own() },
        Own { known: lives(&[('a', &[1, 2])]), ..own() },
        Own { incarnation: 2, ..own() },
    ] {
        assert_eq!(go(&not), Decision::Join(vec!['b']), "{not:?}");
    }
    let another_me = Answer { founders: lives(&[('a', &[9])]), ..formed('b') };
    assert_eq!(super::decide(&rule(&members()), &own(), &[another_me], NEVER), Decision::Join(vec!['b']));
}

#[test]
fn a_lost_disk_is_found_out_by_anyone_and_counts_for_nothing() {
    let lost = Own { incarnation: 2, known: lives(&[('a', &[2])]), ..own() };
    let heard_of_me = Answer { known: lives(&[('a', &[1]), ('b', &[1])]), ..fresh('b') };
    // It is this member: a majority is not enough, and all are.
    assert_eq!(
        waits(go(&lost, std::slice::from_ref(&heard_of_me), GRACE)),
        Wait::All { missing: vec!['c'], again: vec!['a'] }
    );
    assert_eq!(go(&lost, &[heard_of_me.clone(), fresh('c')], NEVER), Decision::Form);
    // Some are about to form without it.
    let forming = Answer { stage: Stage::Forming, ..heard_of_me };
    assert_eq!(waits(go(&lost, &[forming, fresh('c')], GRACE)), Wait::Forming { forming: vec!['b'] });
    // It is another member: told by itself, by this one's memory, by a third.
    let again = Wait::All { missing: vec!['c'], again: vec!['b'] };
    let knows = Own { known: lives(&[('a', &[1]), ('b', &[2])]), ..own() };
    assert_eq!(waits(go(&knows, &[fresh('b')], GRACE)), again);
    let both = Answer { known: lives(&[('b', &[1, 2])]), ..fresh('b') };
    assert_eq!(waits(go(&own(), &[both], GRACE)), again);
    let witness = Answer { member: false, incarnation: None, known: lives(&[('b', &[2])]), ..fresh('x') };
    assert_eq!(waits(go(&own(), &[fresh('b'), witness], GRACE)), again);
}

#[test]
fn what_is_known_of_five() {
    let members = BTreeSet::from(['a', 'b', 'c', 'd', 'e']);
    // A lost disk does not form although three others are in their first life.
    let lost = Own { incarnation: 2, known: lives(&[('a', &[1, 2])]), ..own() };
    let wait = Wait::All { missing: vec!['e'], again: vec!['a'] };
    assert_eq!(waits(decide(&rule(&members), &lost, &[fresh('b'), fresh('c'), fresh('d')], GRACE)), wait);
    // One that answers says nothing of itself but its incarnation.
    let knows = Own { known: lives(&[('a', &[1]), ('b', &[1])]), ..own() };
    let new = Answer { incarnation: Some(2), known: Known::new(), ..fresh('b') };
    let wait = Wait::All { missing: vec!['d', 'e'], again: vec!['b'] };
    assert_eq!(waits(decide(&rule(&members), &knows, &[new, fresh('c')], GRACE)), wait);
}

#[test]
fn a_replacement_waits_for_a_cluster() {
    let own = Own { rejoin_only: true, ..own() };
    assert_eq!(waits(go(&own, &[fresh('b'), fresh('c')], GRACE)), Wait::Cluster);
    assert_eq!(go(&own, &[formed('b')], NEVER), Decision::Join(vec!['b']));
}
