use super::*;
use crate::serve::testing::{self, mac};

fn rack(any: bool) -> Rack {
    let dir = tempfile::tempdir().unwrap();
    Rack::new(&testing::tree(dir.path(), "http://10.77.0.1/"), None, any)
}

fn peer(n: u8) -> Peer {
    Peer { ip: [10, 77, 0, n].into(), mac: Some(mac(n)) }
}

fn node(name: &str) -> Audience {
    Audience::Node(name.parse().unwrap())
}

#[test]
fn a_node_gets_its_own_secrets_and_no_others() {
    let mut rack = rack(false);
    assert_eq!(rack.may(peer(1), &node("a"), 0), Ok(()));
    assert_eq!(rack.may(peer(2), &node("a"), 0), Ok(()));
    assert_eq!(rack.may(peer(1), &node("b"), 0), Err(Denied::Other));
    assert_eq!(rack.may(peer(9), &node("a"), 0), Err(Denied::Stranger));
    assert_eq!(rack.may(Peer { mac: None, ..peer(1) }, &node("a"), 0), Err(Denied::Stranger));
    assert_eq!(rack.may(peer(9), &Audience::Machines, 0), Err(Denied::Stranger));
    assert_eq!(rack.may(peer(1), &Audience::Pool("p".parse().unwrap()), 0), Err(Denied::Stranger));
    assert_eq!(rack.refused, 5);
}

#[test]
fn strangers_get_no_nodes_secrets_even_if_all_are_let_in() {
    let mut rack = rack(true);
    for to in [Audience::Machines, Audience::Role, Audience::Pool("p".parse().unwrap())] {
        assert_eq!(rack.may(peer(9), &to, 0), Ok(()), "{to:?}");
    }
    assert_eq!(rack.may(peer(9), &node("a"), 0), Err(Denied::Stranger));
    assert_eq!(rack.may(Peer { mac: None, ..peer(9) }, &Audience::Role, 0), Err(Denied::Stranger));
}

#[test]
fn secrets_are_given_once() {
    let mut rack = rack(false);
    // A transfer that broke off does not count.
    assert!(!rack.fetched(peer(1), "kiln/nodes/a.tar", &node("a"), 3, false, 100));
    assert_eq!(rack.may(peer(1), &node("a"), 5000), Ok(()));
    assert!(rack.fetched(peer(1), "kiln/nodes/a.tar", &node("a"), 8, true, 5000));
    assert_eq!(rack.may(peer(1), &node("a"), 5600), Ok(()));
    assert_eq!(rack.may(peer(1), &node("a"), 5601), Err(Denied::Again));
    // Neither a second time nor a restart makes it longer.
    assert!(!rack.fetched(peer(1), "kiln/nodes/a.tar", &node("a"), 8, true, 5500));
    let dir = tempfile::tempdir().unwrap();
    let list = testing::tree(dir.path(), "http://10.77.0.1/");
    let mut later = Rack::new(&list, Some(rack.saved().clone()), false);
    assert_eq!(later.may(peer(1), &node("a"), 6000), Err(Denied::Again));
    assert!(later.again("a") && !later.again("x"));
    assert_eq!(later.may(peer(1), &node("a"), 6000), Ok(()));
    // What was saved of another tree is nothing to this one.
    let other = Saved { build_id: Sha256([9; 32]), ..rack.saved().clone() };
    assert_eq!(Rack::new(&list, Some(other), false).may(peer(1), &node("a"), 6000), Ok(()));
}

#[test]
fn a_node_goes_through_its_stages_and_then_boots_its_disk() {
    let mut rack = rack(false);
    let stage = |rack: &Rack| rack.rows(1000)[0].stage;
    assert_eq!(stage(&rack), Stage::Waiting);
    let (asker, new) = rack.asked(mac(1), None, true, 10);
    assert!(new && asker.boots && asker.address == Some([10, 77, 0, 71].into()));
    assert_eq!(stage(&rack), Stage::Asked);
    for (path, want) in [
        ("shimx64.efi", Stage::Loader),
        ("repo/images/pxeboot/vmlinuz", Stage::Kernel),
        ("repo/x.rpm", Stage::Kernel),
        ("ks.cfg", Stage::Installer),
        ("shimx64.efi", Stage::Installer),
    ] {
        rack.fetched(peer(1), path, &Audience::Machines, 10, true, 20);
        assert_eq!(stage(&rack), want, "{path}");
    }
    assert_eq!(rack.report(peer(1), Stage::Prepared, "disk sda\x1b[2J", 30).as_deref(), Some("a"));
    assert_eq!((stage(&rack), rack.rows(1000)[0].text.as_str()), (Stage::Prepared, "disk sda[2J"));
    assert_eq!(rack.report(peer(9), Stage::Finished, "", 30), None);
    rack.report(peer(1), Stage::Finished, "", 40);
    let (asker, _) = rack.asked(mac(2), None, true, 50);
    assert!(!asker.boots && asker.node.as_deref() == Some("a") && asker.address.is_some());
    assert_eq!((stage(&rack), rack.rows(1000)[0].bytes), (Stage::Finished, 50));
    assert_eq!(rack.rows(1000)[1].stage, Stage::Waiting);
}

#[test]
fn a_machine_is_known_by_its_uuid_too() {
    let mut rack = rack(false);
    let (asker, _) = rack.asked(mac(7), Some("u-b"), true, 0);
    assert_eq!((asker.node.as_deref(), asker.boots), (Some("b"), true));
    assert_eq!(rack.may(peer(7), &node("b"), 0), Ok(()));
    assert_eq!(rack.rows(0).len(), 2);
}

#[test]
fn a_flood_of_strangers_does_not_fill_the_memory() {
    let mut rack = rack(false);
    for n in 0..20_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let mac: Mac = format!("02:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}").parse().unwrap();
        let (asker, _) = rack.asked(mac, None, true, 0);
        assert!(!asker.boots);
    }
    assert!(rack.seen.len() <= MAX_STRANGERS + 2);
    // The nodes are heard all the same.
    rack.asked(mac(1), None, true, 5);
    assert_eq!(rack.rows(5)[0].stage, Stage::Asked);
}

#[test]
fn only_some_stages_can_be_told() {
    assert_eq!(Stage::reported("finished"), Some(Stage::Finished));
    for name in ["waiting", "kernel", "", "Finished"] {
        assert_eq!(Stage::reported(name), None);
    }
    assert!(Stage::ALL.is_sorted());
}
