//! Bridge mode: what is believed, what is remembered, and what comes of it in a network namespace of the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use super::memory::{GONE_ANSWERS, GONE_FOR};
use super::wanted::{judge, overlap};
use super::*;
use crate::node::kube::testing::{Ca, answer, client, serve};
use crate::testing::cluster;

fn inventory() -> Inventory {
    Inventory::of(&cluster())
}

fn node(name: &str, made: u32, range: &str, addresses: &[&str]) -> Value {
    let addresses: Vec<Value> =
        addresses.iter().map(|one| json!({ "type": "InternalIP", "address": one })).collect();
    json!({
        "metadata": { "name": name, "creationTimestamp": format!("2027-01-15T08:00:{made:02}Z") },
        "spec": { "podCIDR": range },
        "status": { "addresses": addresses },
    })
}

/// What worker 1 makes of these nodes: `range hop` each, and refusals.
fn routes(nodes: &[Value]) -> (Vec<String>, Vec<String>) {
    let wanted = judge(nodes, "k8s-worker1", &inventory());
    (wanted.routes.iter().map(|(net, hop)| format!("{net} {hop}")).collect(), wanted.refused)
}

#[test]
fn nodes_are_reached_where_the_inventory_says() {
    let me = node("k8s-worker1", 1, "10.244.1.0/24", &["192.168.31.72"]);
    let other = node("k8s-worker2", 2, "10.244.2.0/24", &["192.168.31.73"]);
    let member = node("pool-a-0abc99", 3, "10.244.3.0/24", &["192.168.31.140"]);
    let none_yet = node("k8s-master1", 4, "", &["192.168.31.71"]);
    let all = [me, other, member, none_yet];
    let wanted = judge(&all, "k8s-worker1", &inventory());
    assert_eq!((wanted.own, wanted.complete), (Some("10.244.1.0/24".parse().unwrap()), true));
    let expected = ["10.244.2.0/24 192.168.31.73", "10.244.3.0/24 192.168.31.140"];
    assert_eq!(routes(&all), (expected.map(str::to_owned).to_vec(), vec![]));
    let elsewhere = judge(&all[1..], "k8s-worker1", &inventory());
    assert!(!elsewhere.complete && elsewhere.own.is_none());
}

#[test]
fn what_nodes_must_not_claim_is_refused() {
    let good = || node("k8s-worker2", 1, "10.244.2.0/24", &["192.168.31.73"]);
    for (bad, word) in [
        (node("stranger", 2, "10.244.3.0/24", &["192.168.31.150"]), "no node of the cluster"),
        (node("k8s-lb1", 2, "10.244.3.0/24", &["192.168.31.81"]), "no node of the cluster"),
        (node("k8s-master1", 2, "10.244.3.0/24", &["192.168.31.99"]), "its address is 192.168.31.71"),
        (node("k8s-master1", 2, "10.244.3.0/24", &[]), "its address is 192.168.31.71"),
        (node("k8s-master1", 2, "10.96.0.0/24", &["192.168.31.71"]), "not in 10.244.0.0/16"),
        (node("k8s-master1", 2, "0.0.0.0/0", &["192.168.31.71"]), "not in 10.244.0.0/16"),
        (node("k8s-master1", 2, "10.244.3.7/24", &["192.168.31.71"]), "no range for pods"),
        (node("k8s-master1", 2, "10.244.3.7/32", &["192.168.31.71"]), "no range for pods"),
        (node("k8s-master1", 2, "fd00::/64", &["192.168.31.71"]), "no range of IPv4"),
        (node("k8s-master1", 2, "\u{1b}[2J", &["192.168.31.71"]), "no range of IPv4"),
        (node("k8s-master1", 2, "10.244.2.128/25", &["192.168.31.71"]), "overlaps with 10.244.2.0/24"),
        (node("k8s-master1", 2, "10.244.0.0/16", &["192.168.31.71"]), "overlaps with 10.244.2.0/24"),
        (node("pool-a-0abc99", 2, "10.244.3.0/24", &["192.168.31.71"]), "that is free"),
        (node("pool-a-0abc99", 2, "10.244.3.0/24", &["192.168.31.88"]), "that is free"),
        (node("pool-a-0abc99", 2, "10.244.3.0/24", &["192.168.31.1"]), "that is free"),
        (node("pool-a-0abc99", 2, "10.244.3.0/24", &["8.8.8.8"]), "that is free"),
        (node("pool-a-0abc99", 2, "10.244.3.0/24", &["192.168.31.140", "192.168.31.141"]), "several"),
    ] {
        let (routes, refused) = routes(&[bad, good()]);
        assert_eq!(routes, ["10.244.2.0/24 192.168.31.73"]);
        assert!(refused.len() == 1 && refused[0].contains(word), "{word}: {refused:?}");
        assert!(!refused[0].contains('\u{1b}'));
    }
    // Who was there first keeps it, whatever the order of the answer.
    let first = node("pool-a-0abc98", 1, "10.244.3.0/24", &["192.168.31.140"]);
    let second = node("pool-a-0abc99", 2, "10.244.4.0/24", &["192.168.31.140"]);
    let (routes, refused) = routes(&[second, first]);
    assert_eq!(routes, ["10.244.3.0/24 192.168.31.140"]);
    assert!(refused[0].contains("older node"), "{refused:?}");
}

fn any_node() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("k8s-worker1"),
        Just("k8s-worker2"),
        Just("k8s-master1"),
        Just("k8s-lb1"),
        Just("pool-a-0abc98"),
        Just("pool-a-0abc99"),
        Just("stranger"),
    ];
    let range = (0u8..=255, prop_oneof![Just(244u8), Just(96), Just(0)], 0u8..6, 0u8..=33).prop_map(
        |(first, second, third, length)| {
            let first = if first > 20 { 10 } else { first };
            format!("{first}.{second}.{third}.0/{length}")
        },
    );
    let last = prop_oneof![Just(71u8), Just(72), Just(73), Just(88), Just(1), Just(255), any::<u8>()];
    let addresses = proptest::collection::vec((prop_oneof![Just(31u8), Just(32)], last), 0..3);
    (name, 0u32..60, range, addresses).prop_map(|(name, made, range, addresses)| {
        let addresses: Vec<String> = addresses.iter().map(|(c, d)| format!("192.168.{c}.{d}")).collect();
        node(name, made, &range, &addresses.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

proptest! {
    /// Whatever the API says: ranges of pods only, that do not overlap, by nodes' addresses only, one each.
    #[test]
    fn no_answer_leads_traffic_astray(nodes in proptest::collection::vec(any_node(), 0..12)) {
        let inventory = inventory();
        let wanted = judge(&nodes, "k8s-worker1", &inventory);
        let ranges: Vec<Ipv4Net> = wanted.routes.keys().copied().chain(wanted.own).collect();
        for (place, range) in ranges.iter().enumerate() {
            prop_assert!(inventory.pod_cidr.contains(range), "{range}");
            prop_assert!(ranges[place + 1..].iter().all(|other| !overlap(*range, *other)), "{ranges:?}");
        }
        let hops: BTreeSet<Ipv4Addr> = wanted.routes.values().copied().collect();
        prop_assert_eq!(hops.len(), wanted.routes.len());
        for hop in hops {
            prop_assert!(inventory.subnet.contains(&hop));
            let lb = inventory.nodes.iter().any(|node| node.address == hop && node.role == crate::cluster::types::Role::Lb);
            prop_assert!(hop != inventory.vip && Some(hop) != inventory.gateway && !lb, "{hop}");
            prop_assert!(hop != Ipv4Addr::new(192, 168, 31, 72), "this node itself");
        }
    }

    /// Whatever answers come: a route is removed only if it is in the way, or after it has been missing for long.
    #[test]
    fn routes_outlive_wrong_answers(
        answers in proptest::collection::vec((proptest::collection::vec(any_node(), 0..8), 1u64..90), 1..20),
    ) {
        let (mut memory, mut have) = (Memory::default(), BTreeMap::new());
        let mut seen: BTreeMap<Ipv4Net, Duration> = BTreeMap::new();
        let mut clock = Duration::ZERO;
        for (nodes, seconds) in answers {
            clock += Duration::from_secs(seconds);
            let wanted = judge(&nodes, "k8s-worker1", &inventory());
            wanted.routes.keys().for_each(|net| { seen.insert(*net, clock); });
            for step in memory.steps(&wanted, &have, clock) {
                match step {
                    Step::Set(net, hop) => { have.insert(net, hop); }
                    Step::Remove(net, _) => {
                        let in_the_way = wanted.routes.keys().chain(&wanted.own).any(|other| overlap(*other, net));
                        let long = clock - seen[&net] > GONE_FOR && wanted.complete;
                        prop_assert!(in_the_way || long, "{net} at {clock:?}, seen {:?}", seen[&net]);
                        have.remove(&net);
                    }
                }
            }
            for (net, hop) in &wanted.routes {
                prop_assert_eq!(have.get(net), Some(hop));
            }
        }
    }
}

#[test]
fn a_node_that_is_gone_loses_its_route_in_the_end() {
    let net: Ipv4Net = "10.244.2.0/24".parse().unwrap();
    let have = BTreeMap::from([(net, Ipv4Addr::new(192, 168, 31, 73))]);
    let me = [node("k8s-worker1", 1, "10.244.1.0/24", &["192.168.31.72"])];
    let (whole, empty) = (judge(&me, "k8s-worker1", &inventory()), Wanted::default());
    let mut memory = Memory::default();
    let at = |n: u32| Duration::from_secs(1000) + GONE_FOR / GONE_ANSWERS * n;
    for n in 0..GONE_ANSWERS {
        assert_eq!(memory.steps(&whole, &have, at(n)), []);
        assert_eq!(memory.steps(&empty, &have, at(n + 1000)), []);
    }
    assert_eq!(memory.steps(&whole, &have, at(GONE_ANSWERS)).len(), 1);
    // Named once, it starts anew.
    let back = Wanted { routes: have.clone(), ..whole.clone() };
    let mut memory = Memory::default();
    for n in 0..20 {
        let wanted = if n % 4 == 0 { &back } else { &whole };
        assert_eq!(memory.steps(wanted, &have, at(n)), []);
    }
}

#[test]
fn the_board_says_what_is_waited_for() {
    let own = Some("10.244.1.0/24".parse().unwrap());
    let refused = vec!["no route to the pods of x: y".to_owned()];
    let round = Round { own, routes: 4, nodes: 5, ..Round::default() };
    assert_eq!(round.status(), (Level::Ok, "pods of 10.244.1.0/24, routes to the pods of 4 nodes".into()));
    assert_eq!(Round { own: None, ..Round::default() }.status().0, Level::Waiting);
    assert_eq!(Round { own, refused, ..Round::default() }.status().0, Level::Warn);
    let pause = |nodes, own| Round { nodes, own, ..Round::default() }.pause().as_secs();
    assert_eq!((pause(3, None), pause(3, own), pause(500, own), pause(5000, own)), (2, 10, 100, 120));
}

/// The test below runs in a network namespace of its own, which needs a process of its own.
#[test]
fn a_real_kernel_gets_routes_and_keeps_what_is_not_kilns() {
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "node::kube::routes::tests::inside"]);
    let output = command.output().expect("unshare of util-linux");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "this test needs root\n{text}");
}

#[test]
#[ignore = "changes the routes of its machine: the test above runs it in a namespace"]
fn inside() {
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Another machine has other links; nothing is to be harmed if this is ever run by hand.
    assert_eq!(shell("ip -o link show up"), "", "this is no fresh namespace");
    shell(
        "ip link set lo up; ip link add eth0 type veth peer name far; ip address add 192.168.31.72/24 dev eth0; ip link set far up; ip link set eth0 up
         ip route add 10.244.8.0/24 via 192.168.31.250; ip route add 10.244.9.0/24 via 192.168.31.251 proto 136",
    );
    let me = node("k8s-worker1", 1, "10.244.1.0/24", &["192.168.31.72"]);
    let other = node("k8s-worker2", 2, "10.244.2.0/24", &["192.168.31.73"]);
    let moved = node("k8s-worker2", 2, "10.244.3.0/24", &["192.168.31.73"]);
    let member = node("pool-a-0abc99", 3, "10.244.2.0/24", &["192.168.31.140"]);
    let list = |nodes: &[&Value]| answer("200 OK", &json!({ "items": nodes }).to_string());
    let ca = Ca::new();
    let (server, thread) = serve(
        &ca,
        vec![
            list(&[&me, &other]),
            list(&[&me, &other]),
            list(&[]),
            answer("500 Internal Server Error", "{}"),
            answer("200 OK", "{\"items\": 7}"),
            list(&[&me, &moved, &member]),
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    let places =
        Places { config: folder.path().join("none"), cni: folder.path().join("net.d/10-kiln.conflist") };
    let mut router = Router {
        client: client(&ca, &ca, server),
        inventory: inventory(),
        name: "k8s-worker1".to_owned(),
        places: places.clone(),
        memory: Memory::default(),
    };
    let mut round = |minutes: u64| router.round(Duration::from_secs(60 * minutes));
    let mine = || shell("ip route show proto 137");

    let first = round(0).unwrap();
    assert_eq!((first.routes, first.done.len()), (1, 3), "{first:?}");
    assert!(mine().starts_with("10.244.2.0/24 via 192.168.31.73 dev eth0"), "{}", mine());
    let config: Value = serde_json::from_slice(&std::fs::read(&places.cni).unwrap()).unwrap();
    assert_eq!(config["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.244.1.0/24");
    let rules = shell("iptables -t nat -S POSTROUTING");
    assert!(
        rules.contains("-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16") && rules.contains("MASQUERADE")
    );

    // What others undo comes back; an answer that is empty, an error or nonsense undoes nothing.
    shell("iptables -t nat -F POSTROUTING; ip route flush proto 137");
    assert_eq!(round(1).unwrap().done.len(), 2);
    let before = mine();
    assert_eq!(round(20).unwrap().routes, 1);
    assert!(round(40).is_err());
    assert_eq!(round(60).unwrap().own, None);
    assert_eq!(mine(), before);
    assert!(places.cni.exists());

    // A range that has passed to another node leads there at once.
    let last = round(80).unwrap();
    assert_eq!(last.routes, 2, "{last:?}");
    assert!(mine().contains("10.244.2.0/24 via 192.168.31.140"), "{}", mine());
    assert_eq!(shell("iptables -t nat -S POSTROUTING").matches("kiln-routes").count(), 1);
    let others = shell("ip route show");
    assert!(
        others.contains("10.244.8.0/24 via 192.168.31.250") && others.contains("10.244.9.0/24"),
        "{others}"
    );
    thread.join().unwrap();
}
