//! What the model shows. Each test prints how many worlds it saw.

// A model that does not say how much it saw would be believed too easily.
#![allow(clippy::print_stderr)]

use super::explore::{Dice, Found, all, random, settle};
use super::node::letters;
use super::*;
use EtcdForm::{All, Majority};

const THREE: Bounds = Bounds {
    members: 3,
    law: Law::Mended(Majority),
    loss: Loss::Known,
    losses: 1,
    writes: 2,
    crashes: 1,
    fine: false,
};

fn told(name: &str, found: &Found) {
    let how = if found.complete { "all of them" } else { "a bounded part" };
    eprintln!("model: {name}: {} worlds ({how}), {} events", found.states, found.events);
    if let Some((violation, path)) = &found.violation {
        eprintln!("model: {name}: {}", violation.0);
        letters(path).iter().for_each(|(step, event)| eprintln!("  {step:2} {event}"));
    }
}

/// Walks by chance, each from a new cluster; the first violation, and how many walks there were.
fn walks(name: &str, bounds: &Bounds, walks: u64) -> Option<(Violation, Vec<Event>)> {
    let bounds = Bounds { fine: true, ..*bounds };
    let mut events = 0;
    for seed in 0..walks {
        match random(&bounds, &mut Dice::new(seed), 60) {
            Ok(_) => events += 60,
            Err(found) => {
                let violation = Some(found.clone());
                told(
                    &format!("{name}, walk {seed}"),
                    &Found { states: 0, events, complete: false, violation },
                );
                return Some(found);
            }
        }
    }
    eprintln!("model: {name}: {walks} walks, {events} events, no violation");
    None
}

#[test]
fn no_second_cluster_once_the_others_know_the_disk_that_is_lost() {
    assert_eq!(walks("majority, known loss", &THREE, 2000), None);
    let found = all(&THREE, 20_000);
    told("majority, known loss", &found);
    assert_eq!(found.violation, None);
}

#[test]
fn no_second_cluster_where_all_must_be_there() {
    let bounds = Bounds { law: Law::Mended(All), loss: Loss::Any, ..THREE };
    assert_eq!(walks("all, any loss", &bounds, 2000), None);
}

#[test]
fn five_members_form_one_cluster() {
    let bounds = Bounds { members: 5, losses: 2, ..THREE };
    assert_eq!(walks("five, majority, known loss", &bounds, 300), None);
}

/// Why a majority is not enough while a member was never heard of: 0 and 1 form, 1 loses its disk, 0 is silent, and 2 is
/// switched on for the first time. Nobody who answers can know.
#[test]
fn a_majority_that_forms_without_one_is_not_safe_from_losses_that_nobody_knows() {
    let bounds = Bounds { loss: Loss::Any, ..THREE };
    let mut world = World::new(&bounds);
    let steps = [
        Event::Ask(0, 0b010),
        Event::Decide(0),
        Event::Start(0),
        Event::Ask(1, 0b001),
        Event::Decide(1),
        Event::Start(1),
        Event::Write(Quorum { leader: 0, nodes: 0b011 }),
        Event::Lose(1),
        Event::Ask(1, 0b100),
        Event::Decide(1),
        Event::Ask(2, 0b010),
        Event::Decide(2),
        Event::Start(1),
        Event::Start(2),
    ];
    for step in &steps {
        // What does not lie in `events` could not happen.
        assert!(world.events(&bounds).contains(step), "{step:?}");
        world.apply(step, &bounds).unwrap();
    }
    assert!(world.apply(&Event::Write(Quorum { leader: 1, nodes: 0b110 }), &bounds).is_err());
}

/// The rule before it was mended.
#[test]
fn the_first_design_made_second_clusters() {
    assert!(
        walks("first design, any loss", &Bounds { loss: Loss::Any, law: Law::First, ..THREE }, 20_000)
            .is_some()
    );
}

/// Whatever happened before, a lost disk included: once nothing fails any more, every member is one.
#[test]
fn in_the_end_all_are_members() {
    let bounds = Bounds { fine: true, loss: Loss::Borne, ..THREE };
    let mut lost_with_a_cluster = 0;
    for seed in 0..5000 {
        let mut world = random(&bounds, &mut Dice::new(seed), 60).unwrap();
        if world.losses == 0 && !world.acked.is_empty() {
            lost_with_a_cluster += 1;
        }
        settle(&mut world, &bounds, 7).unwrap();
        let voting = |node: &usize| {
            let wal = world.disks[*node].wal.as_ref();
            wal.is_some_and(|wal| super::etcd::voters(3, &wal.log).contains(&wal.id))
        };
        assert!((0..3).all(|node| voting(&node) && world.disks[node].formed), "walk {seed}: {world:?}");
    }
    eprintln!("model: in the end: 5000 walks, {lost_with_a_cluster} of them with a cluster and a lost disk");
    assert!(lost_with_a_cluster > 500, "{lost_with_a_cluster}");
}
