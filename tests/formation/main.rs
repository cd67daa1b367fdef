//! Formation by the programs themselves: agents, `kiln node form` and real etcds, each machine in a network of its own.
//!
//! What every order of events does is the model's business (`src/node/formation/model`); here the code that the model does not
//! have is at work: TLS, the wire, the files, etcdctl and etcd. Needs `make setup` and network namespaces (root, or a kernel that
//! gives them to users).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod site;

use std::time::{Duration, Instant};

use kiln::cluster::model::EtcdForm;
use serde_json::Value;
use site::{Machine, Site};

const MASTERS: [&str; 3] = ["k8s-master1", "k8s-master2", "k8s-master3"];

fn masters(site: &Site) -> Vec<Machine> {
    MASTERS.iter().map(|name| site.machine(name)).collect()
}

fn all_vote(machines: &[Machine]) -> bool {
    machines.iter().all(|machine| machine.voters() == MASTERS)
}

/// All of them name one cluster.
fn one_cluster(machines: &[Machine]) -> String {
    let ids: Vec<_> = machines.iter().map(|machine| machine.cluster_id().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    ids[0].clone()
}

fn put(machine: &Machine, key: &str) {
    let (done, said) = machine.etcdctl(&["put", key, "there"]);
    assert!(done, "{said}");
}

fn has(machine: &Machine, key: &str) -> bool {
    machine.etcdctl(&["get", key, "--print-value-only"]).1.contains("there")
}

/// The life of a cluster: formed once, power cut, each member re-imaged, one while another is paused.
#[test]
fn members_form_and_come_back() {
    let site = Site::new(|_| {}, 120);
    let mut machines = masters(&site);
    let (done, said) = machines[0].etcd_alone();
    assert!(!done && said.contains("initial-cluster"), "etcd's file alone founds nothing: {said}");
    machines.iter_mut().for_each(|machine| site.on(machine));
    let took = site.until("three voters", || all_vote(&machines));
    assert!(took < Duration::from_secs(100), "all were there, and the grace was waited for: {took:?}");
    let id = one_cluster(&machines);
    put(&machines[0], "before");

    // Power cut of all.
    machines.iter_mut().for_each(Machine::off);
    machines.iter_mut().for_each(|machine| site.on(machine));
    site.until("three voters after a power cut", || all_vote(&machines));
    assert!(has(&machines[2], "before") && one_cluster(&machines) == id);

    // Each of them loses its disk once, the first-named one too.
    for index in 0..3 {
        machines[index].off();
        site.install(&machines[index]);
        site.on(&mut machines[index]);
        let name = machines[index].name.clone();
        site.until(&format!("{name} is taken in again"), || {
            all_vote(&machines) && has(&machines[index], "before")
        });
        assert_eq!(one_cluster(&machines), id, "{name} formed a second cluster");
    }

    // One loses its disk while another is paused: two of three are no quorum without a vote of its own.
    machines[1].pause(true);
    machines[0].off();
    site.install(&machines[0]);
    site.on(&mut machines[0]);
    site.until("it says what it waits for", || {
        machines[0].says().contains("no member of it answers with a quorum")
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(12) {
        assert!(!machines[0].root.join("var/lib/etcd/default.etcd").exists(), "{}", machines[0].says());
        std::thread::sleep(Duration::from_millis(500));
    }
    machines[1].pause(false);
    site.until("it is taken in when the other is back", || {
        all_vote(&machines) && has(&machines[0], "before")
    });
    assert_eq!(one_cluster(&machines), id);
}

/// A majority forms after its grace, the third starts later as the founder that it is; with `all` nobody forms without it.
#[test]
fn a_majority_forms_after_its_grace() {
    let site = Site::new(|_| {}, 6);
    let mut machines = masters(&site);
    let mut late = machines.pop().unwrap();
    machines.iter_mut().for_each(|machine| site.on(machine));
    site.until("it says for whom it waits", || machines[0].says().contains("forming without k8s-master3"));
    site.until("the two form", || {
        machines.iter().all(|machine| machine.voters() == MASTERS[..2] || machine.voters().len() == 3)
    });
    put(&machines[0], "before");
    site.on(&mut late);
    machines.push(late);
    site.until("the third one joins", || all_vote(&machines) && has(&machines[2], "before"));
    one_cluster(&machines);
}

#[test]
fn with_form_all_nobody_forms_without_all() {
    let site = Site::new(|cluster| cluster.etcd_form = EtcdForm::All, 1);
    let mut machines = masters(&site);
    let mut late = machines.pop().unwrap();
    machines.iter_mut().for_each(|machine| site.on(machine));
    site.until("it says for whom it waits", || {
        machines[0].says() == "etcd forms when all members are there; no answer from k8s-master3"
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        assert!(machines.iter().all(|machine| !machine.root.join("var/lib/etcd/default.etcd").exists()));
        std::thread::sleep(Duration::from_millis(500));
    }
    site.on(&mut late);
    machines.push(late);
    site.until("all form", || all_vote(&machines));
    one_cluster(&machines);
}

/// Any node shows all nodes; one that is not of the cluster, or speaks for another, is refused.
#[test]
fn the_board_is_everywhere_and_only_for_the_cluster() {
    let site = Site::new(|_| {}, 120);
    let (mut master, mut lb) = (site.machine("k8s-master1"), site.machine("k8s-lb1"));
    let (done, said) = lb.kiln(&["status"]);
    assert!(done && said.contains("only what this node knows"), "{said}");
    site.on(&mut master);
    site.on(&mut lb);
    site.until("both are on the board of both", || {
        [&master, &lb].iter().all(|machine| {
            let (done, text) = machine.kiln(&["status"]);
            done && text.contains("k8s-lb1      ")
                && text.contains(
                    "etcd waits for a majority of its members; no answer from k8s-master2, k8s-master3",
                )
                && text.contains("k8s-master3  silent   192.168.31.75    never heard of")
        })
    });
    let (_, text) = lb.kiln(&["status", "--json", "--quiet"]);
    let board: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&board["told_by"], &board["cluster"]), (&"k8s-master1".into(), &"prod".into()));
    assert_eq!(board["unheard"].as_array().unwrap().len(), 5);
    assert!(!text.contains("PRIVATE") && !text.contains("key"), "{text}");

    assert!(
        board["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|node| node["topics"].to_string().contains("certificates"))
    );

    // Another cluster of the same name and addresses: its authority is another one, and both sides say so.
    let foreign = Site::new(|_| {}, 120);
    let mut stranger = site.machine("k8s-lb2");
    std::fs::remove_dir_all(&stranger.root).unwrap();
    std::fs::rename(foreign.machine("k8s-lb2").root, &stranger.root).unwrap();
    site.on(&mut stranger);
    site.until("the stranger is refused, and the board shows it", || {
        lb.kiln(&["status"]).1.contains("a machine at 192.168.31.82 was refused")
            && stranger.kiln(&["status"]).1.contains("not of this cluster's authority")
    });
    assert!(master.kiln(&["status"]).1.contains("k8s-lb2      silent"));
    stranger.off();

    // A machine with one node's certificate that calls itself another.
    let mut mimic = site.machine("k8s-node1");
    let env = mimic.root.join("opt/kiln/node.env");
    let text = std::fs::read_to_string(&env).unwrap();
    std::fs::write(&env, text.replace("k8s-node1", "k8s-node2")).unwrap();
    site.on(&mut mimic);
    site.until("the mimic is refused, and the board shows it", || {
        master
            .kiln(&["status"])
            .1
            .contains("the certificate of k8s-node1 was refused: it calls itself k8s-node2")
            && mimic.kiln(&["status"]).1.contains("k8s-master1 refuses this node")
    });
    assert!(master.kiln(&["status"]).1.contains("k8s-node2    silent"));
}
