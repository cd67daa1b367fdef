//! Walks through the worlds: all of them up to a bound, or by chance.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Bounds, Entry, Event, Op, Violation, World};

/// What a walk found.
#[derive(Debug)]
pub struct Found {
    /// Worlds that differ by more than the members' names.
    pub states: usize,
    /// Events that were tried.
    pub events: usize,
    /// Whether every reachable world was seen.
    pub complete: bool,
    /// The first violation, with the shortest path to it.
    pub violation: Option<(Violation, Vec<Event>)>,
}

/// Looks at every world that can be reached, nearest first, `limit` of them at most.
pub fn all(bounds: &Bounds, limit: usize) -> Found {
    let first = World::new(bounds);
    let orders = orders(bounds.members);
    let mut seen = HashSet::from([mark(&first, &orders)]);
    // Where each world came from: the place of its parent, and the event.
    let mut trail: Vec<(usize, Option<Event>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(0, first)]);
    let mut found = Found { states: 1, events: 0, complete: true, violation: None };
    while let Some((place, world)) = queue.pop_front() {
        for event in world.events(bounds) {
            found.events += 1;
            let mut next = world.clone();
            if let Err(violation) = next.apply(&event, bounds) {
                let mut path = vec![event];
                path.extend(path_to(&trail, place));
                path.reverse();
                found.violation = Some((violation, path));
                return found;
            }
            if seen.insert(mark(&next, &orders)) {
                if found.states >= limit {
                    found.complete = false;
                    continue;
                }
                found.states += 1;
                trail.push((place, Some(event)));
                queue.push_back((trail.len() - 1, next));
            }
        }
    }
    found
}

fn path_to(trail: &[(usize, Option<Event>)], mut place: usize) -> Vec<Event> {
    let mut path = Vec::new();
    while let Some((parent, Some(event))) = trail.get(place) {
        path.push(event.clone());
        place = *parent;
    }
    path
}

/// All orders of so many members.
fn orders(members: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for next in 0..members {
        orders = orders
            .into_iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    orders
}

/// A number that is the same for worlds that differ only by the members' names.
fn mark(world: &World, orders: &[Vec<usize>]) -> u128 {
    orders.iter().map(|order| digest(&renamed(world, order))).min().unwrap_or_default()
}

/// Two hashes of 64 bits: among millions of worlds no two share both.
fn digest(world: &World) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        world.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// The world with member `n` called `order[n]`.
fn renamed(world: &World, order: &[usize]) -> World {
    let members = world.members();
    let spread = |bits: &[u8]| {
        let mut to = vec![0; bits.len()];
        bits.iter().enumerate().for_each(|(node, bits)| to[order[node]] = *bits);
        to
    };
    let id = |id: u8| order.get(usize::from(id)).map_or(id, |node| *node as u8);
    let entry = |entry: &Entry| {
        let op = match entry.op {
            Op::Write => Op::Write,
            Op::Remove(old) => Op::Remove(id(old)),
            Op::Add(new, node) => Op::Add(new, order[usize::from(node)] as u8),
            Op::Promote(old) => Op::Promote(id(old)),
        };
        Entry { number: entry.number, op }
    };
    let mut to = world.clone();
    for node in 0..members {
        let mut disk = world.disks[node].clone();
        disk.known = spread(&disk.known);
        disk.founders = spread(&disk.founders);
        if let Some(wal) = &mut disk.wal {
            wal.id = id(wal.id);
            wal.log = wal.log.iter().map(entry).collect();
        }
        let mut volatile = world.volatile[node].clone();
        volatile.go = volatile.go.map(id);
        volatile.asks = volatile.asks.map(|helper| order[helper]);
        for (other, snap) in world.volatile[node].heard.iter().enumerate() {
            volatile.heard[order[other]] = snap.clone().map(|mut snap| {
                snap.known = spread(&snap.known);
                snap.founders = spread(&snap.founders);
                snap
            });
        }
        to.disks[order[node]] = disk;
        to.volatile[order[node]] = volatile;
    }
    to
}

/// Small, steady random numbers: splitmix64.
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as the seed says.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A walk by chance of so many events; the world at its end.
pub fn random(bounds: &Bounds, dice: &mut Dice, events: usize) -> Result<World, (Violation, Vec<Event>)> {
    let mut world = World::new(bounds);
    let mut path = Vec::new();
    for _ in 0..events {
        let mut choices = world.events(bounds);
        // Loss and power cuts are rare, else nothing else would ever happen.
        if dice.below(8) != 0 {
            choices.retain(|event| !matches!(event, Event::Crash(_) | Event::Lose(_)));
        }
        if choices.is_empty() {
            continue;
        }
        let event = choices.swap_remove(dice.below(choices.len()));
        path.push(event.clone());
        if let Err(violation) = world.apply(&event, bounds) {
            return Err((violation, path));
        }
    }
    Ok(world)
}

/// From now on nothing fails and `up` (bits) are on: lets them go on, round by round, until nothing changes any more.
pub fn settle(world: &mut World, bounds: &Bounds, up: u8) -> Result<(), Violation> {
    (world.losses, world.crashes) = (0, 0);
    for _ in 0..40 {
        let before = world.clone();
        for node in (0..world.members()).filter(|node| up & (1 << node) != 0) {
            round(world, bounds, up, node)?;
        }
        if *world == before {
            break;
        }
    }
    Ok(())
}

/// One node does all it can.
fn round(world: &mut World, bounds: &Bounds, up: u8, node: usize) -> Result<(), Violation> {
    let on = |node: usize| up & (1 << node) != 0;
    let steps: [fn(&Event) -> bool; 8] = [
        |event| matches!(event, Event::Ask(..)),
        |event| matches!(event, Event::Decide(_)),
        |event| matches!(event, Event::Join(..)),
        |event| matches!(event, Event::Start(_)),
        |event| matches!(event, Event::Catch(..)),
        |event| matches!(event, Event::Promote(_)),
        |event| matches!(event, Event::Note(..)),
        |event| matches!(event, Event::Tell(..)),
    ];
    for step in steps {
        let here = |event: &Event| match event {
            Event::Ask(from, to) => *from == node && to & !up == 0,
            Event::Tell(from, to) => *from == node && on(*to),
            Event::Decide(who) | Event::Start(who) => *who == node,
            Event::Note(who, quorum) | Event::Catch(who, quorum) => *who == node && quorum.nodes & !up == 0,
            Event::Join(who, helper, quorum, _) => *who == node && on(*helper) && quorum.nodes & !up == 0,
            Event::Promote(quorum) => quorum.nodes & !up == 0,
            _ => false,
        };
        // Some of a kind make others of the kind possible or pointless, so they are looked up anew each time.
        for _ in 0..world.members() {
            let events = world.events(bounds);
            let Some(event) = events.into_iter().find(|event| step(event) && here(event)) else { break };
            world.apply(&event, bounds)?;
            if matches!(event, Event::Decide(_) | Event::Promote(_)) {
                break;
            }
        }
    }
    Ok(())
}
