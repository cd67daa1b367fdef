//! All rules together, with requests made at random: no approval gives more than is owed.

use proptest::prelude::*;

use super::*;

fn any_of(list: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(list)
}

const NAMES: &[&str] = &[
    "k8s-master1",
    "k8s-worker1",
    "k8s-worker2",
    "pool-a-0abc99",
    "pool-a-0abc98",
    "pool-a-123456",
    "k8s-lb1",
    "x",
];
const JOINERS: &[&str] =
    &["node/k8s-master1", "node/k8s-worker1", "node/k8s-worker2", "pool/pool-a", "pool/pool-b"];
const USAGES: &[&str] = &["digital signature", "key encipherment", "client auth", "server auth", "cert sign"];
const ADDRESSES: &[&str] =
    &["192.168.31.71", "192.168.31.72", "192.168.31.88", "192.168.31.150", "192.168.31.151", "10.0.0.1"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is asked: an approval gives a machine its own name and address and nothing besides.
    #[test]
    fn an_approval_never_gives_more_than_is_owed(
        client: bool,
        bootstrap: bool,
        joiner in any_of(JOINERS),
        user in any_of(NAMES),
        name in any_of(NAMES),
        organization in any_of(&["system:nodes", "system:nodes", "system:masters"]),
        usages in proptest::collection::vec(any_of(USAGES), 0..4),
        names in proptest::collection::vec(any_of(NAMES), 0..2),
        addresses in proptest::collection::vec(any_of(ADDRESSES), 0..2),
        usual: bool,
    ) {
        let mut draft = if bootstrap { first(joiner, name) } else { serving(user, "10.0.0.1") };
        draft.client = client;
        draft.common_name = format!("system:node:{name}");
        draft.organizations = vec![organization];
        if !usual {
            draft.usages = usages;
        }
        draft.sans = names.iter().map(|name| dns(name)).chain(addresses.iter().map(|address| ip(address))).collect();
        if let Verdict::Approve(owner) = draft.verdict() {
            prop_assert_eq!(organization, "system:nodes");
            prop_assert!(!draft.usages.contains(&"cert sign"));
            prop_assert_eq!(draft.client, draft.usages.contains(&"client auth"));
            prop_assert_eq!(!draft.client, draft.usages.contains(&"server auth"));
            if client {
                prop_assert!(bootstrap && draft.sans.is_empty());
                let joiner: Joiner = joiner.parse().unwrap();
                prop_assert_eq!(owner, Some((name.to_owned(), joiner.clone())));
                match joiner {
                    Joiner::Node(node) => prop_assert_eq!(node.as_str(), name),
                    Joiner::Pool(pool) => {
                        prop_assert!(pool.as_str() == "pool-a" && name.starts_with("pool-a-"));
                    }
                }
            } else {
                prop_assert!(!bootstrap && owner.is_none() && user == name);
                prop_assert!(names.iter().all(|asked| *asked == name));
                let own = match name {
                    "k8s-master1" => "192.168.31.71",
                    "k8s-worker1" => "192.168.31.72",
                    "pool-a-0abc99" => "192.168.31.150",
                    "pool-a-0abc98" => "192.168.31.151",
                    other => return Err(TestCaseError::fail(format!("{other} was approved"))),
                };
                prop_assert!(addresses.iter().all(|asked| *asked == own));
            }
        }
    }
}
