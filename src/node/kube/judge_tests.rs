//! Every rule with requests that rcgen really made.

#[path = "judge_property_tests.rs"]
mod property;

use base64::Engine as _;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;
use crate::testing::cluster;

/// A request as a kubelet of `name` would make it, to be changed by the tests.
#[derive(Debug, Clone)]
struct Draft {
    client: bool,
    username: String,
    groups: Vec<String>,
    usages: Vec<&'static str>,
    common_name: String,
    organizations: Vec<&'static str>,
    sans: Vec<SanType>,
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn first(joiner: &str, name: &str) -> Draft {
    let joiner: Joiner = joiner.parse().unwrap();
    Draft {
        client: true,
        username: "system:bootstrap:abc123".into(),
        groups: vec![
            "system:bootstrappers".into(),
            BOOTSTRAP_GROUP.into(),
            joiner.group(),
            "system:authenticated".into(),
        ],
        usages: vec!["key encipherment", "digital signature", "client auth"],
        common_name: format!("system:node:{name}"),
        organizations: vec!["system:nodes"],
        sans: vec![],
    }
}

fn serving(name: &str, address: &str) -> Draft {
    Draft {
        client: false,
        username: format!("system:node:{name}"),
        groups: texts(&["system:nodes", "system:authenticated"]),
        usages: vec!["digital signature", "server auth"],
        common_name: format!("system:node:{name}"),
        organizations: vec!["system:nodes"],
        sans: vec![dns(name), ip(address)],
    }
}

impl Draft {
    fn pem(&self) -> String {
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        // rcgen keeps one value a type: several organisations are made by hand in a test of their own.
        for organization in &self.organizations {
            name.push(DnType::OrganizationName, *organization);
        }
        name.push(DnType::CommonName, self.common_name.as_str());
        params.distinguished_name = name;
        params.subject_alt_names.clone_from(&self.sans);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    fn request(&self) -> Request {
        Request {
            name: "csr-x".into(),
            signer: if self.client { CLIENT_SIGNER } else { SERVING_SIGNER }.into(),
            username: self.username.clone(),
            groups: self.groups.clone(),
            usages: texts(&self.usages),
            encoded: base64::engine::general_purpose::STANDARD.encode(self.pem()),
        }
    }

    fn verdict(&self) -> Verdict {
        World::default().judge(&self.request())
    }
}

struct World {
    inventory: Inventory,
    nodes: BTreeMap<String, NodeFacts>,
    record: BTreeMap<String, String>,
}

impl Default for World {
    fn default() -> Self {
        let node = |address: &str| NodeFacts { addresses: vec![address.parse().unwrap()], ready: false };
        let mut inventory = Inventory::of(&cluster());
        inventory.gateway = Some([192, 168, 31, 1].into());
        let record = ["k8s-master1=node/k8s-master1", "k8s-worker1=node/k8s-worker1"]
            .into_iter()
            .chain(["pool-a-0abc99=pool/pool-a", "pool-a-0abc98=pool/pool-a"])
            .map(|text| text.split_once('=').unwrap())
            .map(|(node, joiner)| (node.to_owned(), joiner.to_owned()))
            .collect();
        let nodes = [("pool-a-0abc99", node("192.168.31.150")), ("pool-a-0abc98", node("192.168.31.151"))];
        Self { inventory, nodes: nodes.map(|(name, node)| (name.to_owned(), node)).into(), record }
    }
}

impl World {
    fn judge(&self, request: &Request) -> Verdict {
        judge(request, &Facts { inventory: &self.inventory, nodes: &self.nodes, record: &self.record })
    }
}

fn rule(draft: &Draft) -> Option<Rule> {
    match draft.verdict() {
        Verdict::Deny(rule, text) => {
            assert!(!text.contains(char::is_control) && text.len() < 400, "{text:?}");
            Some(rule)
        }
        _ => None,
    }
}

#[test]
fn what_kubelets_are_owed_is_approved() {
    let to = |name: &str, joiner: &str| Verdict::Approve(Some((name.into(), joiner.parse().unwrap())));
    assert_eq!(first("node/k8s-master1", "k8s-master1").verdict(), to("k8s-master1", "node/k8s-master1"));
    assert_eq!(first("node/k8s-worker2", "k8s-worker2").verdict(), to("k8s-worker2", "node/k8s-worker2"));
    assert_eq!(first("pool/pool-a", "pool-a-123456").verdict(), to("pool-a-123456", "pool/pool-a"));
    let mut ecdsa = first("pool/pool-a", "pool-a-0abc99");
    ecdsa.usages = vec!["digital signature", "client auth"];
    assert_eq!(ecdsa.verdict(), to("pool-a-0abc99", "pool/pool-a"));
    assert_eq!(serving("k8s-master1", "192.168.31.71").verdict(), Verdict::Approve(None));
    assert_eq!(serving("pool-a-0abc99", "192.168.31.150").verdict(), Verdict::Approve(None));
    for sans in [vec![dns("k8s-master1")], vec![ip("192.168.31.71")]] {
        assert_eq!(
            Draft { sans, ..serving("k8s-master1", "192.168.31.71") }.verdict(),
            Verdict::Approve(None)
        );
    }
}

#[test]
fn a_token_asks_for_its_own_machine_only() {
    for (joiner, name) in [
        ("pool/pool-a", "k8s-master1"),
        ("node/k8s-worker1", "k8s-master1"),
        ("node/k8s-worker1", "k8s-worker2"),
        ("node/k8s-worker1", "pool-a-0abc99"),
        ("node/stranger", "stranger"),
        ("pool/pool-a", "pool-a-0abc9"),
        ("pool/pool-a", "pool-a-0ABC99"),
        ("pool/pool-b", "pool-b-0abc99"),
        ("node/k8s-lb1", "k8s-lb1"),
        ("pool/pool-a", ""),
        ("pool/pool-a", "pool-a-0abc99\u{1b}[2J"),
    ] {
        assert_eq!(rule(&first(joiner, name)), Some(Rule::Identity), "{joiner} as {name}");
    }
}

#[test]
fn a_first_certificate_is_a_kubelets_and_nothing_else() {
    let good = first("pool/pool-a", "pool-a-123456");
    let case = |change: &dyn Fn(&mut Draft), want| {
        let mut draft = good.clone();
        change(&mut draft);
        assert_eq!(rule(&draft), Some(want), "{draft:?}");
    };
    case(&|d| d.common_name = "kubernetes-admin".into(), Rule::Subject);
    case(&|d| d.common_name = "system:node".into(), Rule::Subject);
    case(&|d| d.organizations = vec!["system:masters"], Rule::Subject);
    case(&|d| d.organizations = vec![], Rule::Subject);
    case(&|d| d.usages = vec!["digital signature", "server auth"], Rule::Usages);
    case(&|d| d.usages = vec!["digital signature", "client auth", "server auth"], Rule::Usages);
    case(&|d| d.usages = vec!["client auth"], Rule::Usages);
    case(&|d| d.usages = vec![], Rule::Usages);
    case(&|d| d.sans = vec![dns("pool-a-123456")], Rule::Names);
    case(&|d| d.sans = vec![ip("192.168.31.150")], Rule::Names);
    case(&|d| d.sans = vec![SanType::URI(Ia5String::try_from("spiffe://x").unwrap())], Rule::Pkcs10);
    case(&|d| d.username = "system:bootstrap:ABC123".into(), Rule::Requester);
    case(&|d| d.username = "kubernetes-admin".into(), Rule::Requester);
    case(&|d| d.groups.push("system:bootstrappers:kiln:pool:pool-b".into()), Rule::Requester);
    case(&|d| d.groups.retain(|group| !group.contains("pool")), Rule::Requester);
}

#[test]
fn whoever_joined_first_keeps_the_name() {
    let mut world = World::default();
    world.record.insert("k8s-worker2".into(), "pool/pool-a".into());
    let verdict = world.judge(&first("node/k8s-worker2", "k8s-worker2").request());
    assert!(matches!(verdict, Verdict::Deny(Rule::Identity, _)), "{verdict:?}");
    let verdict = world.judge(&serving("k8s-worker2", "192.168.31.73").request());
    assert!(matches!(verdict, Verdict::Deny(Rule::Identity, _)), "{verdict:?}");
    world.record.remove("k8s-worker2");
    let verdict = world.judge(&serving("k8s-worker2", "192.168.31.73").request());
    assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
}

#[test]
fn a_live_member_of_a_pool_is_not_replaced() {
    let mut world = World::default();
    world.nodes.get_mut("pool-a-0abc99").unwrap().ready = true;
    let verdict = world.judge(&first("pool/pool-a", "pool-a-0abc99").request());
    assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
}

#[test]
fn a_serving_certificate_is_for_the_nodes_own_name_and_address() {
    let good = serving("k8s-master1", "192.168.31.71");
    let case = |change: &dyn Fn(&mut Draft), want| {
        let mut draft = good.clone();
        change(&mut draft);
        assert_eq!(rule(&draft), Some(want), "{draft:?}");
    };
    case(&|d| d.username = "system:bootstrap:abc123".into(), Rule::Requester);
    case(&|d| d.username = "system:node:".into(), Rule::Requester);
    case(&|d| d.groups = texts(&["system:authenticated"]), Rule::Requester);
    case(&|d| d.groups = texts(&["system:nodes"]), Rule::Requester);
    case(&|d| d.common_name = "system:node:k8s-worker1".into(), Rule::Subject);
    case(&|d| d.organizations = vec!["system:masters"], Rule::Subject);
    case(&|d| d.usages = vec!["digital signature", "client auth"], Rule::Usages);
    case(&|d| d.usages.push("client auth"), Rule::Usages);
    case(&|d| d.usages.push("cert sign"), Rule::Usages);
    case(&|d| d.sans = vec![], Rule::Names);
    case(&|d| d.sans.push(dns("kubernetes")), Rule::Names);
    case(&|d| d.sans.push(dns("k8s-master1.evil")), Rule::Names);
    case(&|d| d.sans.push(dns("*.local")), Rule::Names);
    case(&|d| d.sans.push(ip("192.168.31.88")), Rule::Address);
    case(&|d| d.sans.push(ip("192.168.31.74")), Rule::Address);
    case(&|d| d.sans.push(ip("::1")), Rule::Address);
    case(&|d| d.sans.push(SanType::URI(Ia5String::try_from("spiffe://x").unwrap())), Rule::Pkcs10);
    case(&|d| d.sans.push(SanType::Rfc822Name(Ia5String::try_from("a@b").unwrap())), Rule::Pkcs10);
    case(&|d| (0..20).for_each(|_| d.sans.push(dns("k8s-master1"))), Rule::Pkcs10);
    assert_eq!(rule(&serving("stranger", "192.168.31.200")), Some(Rule::Identity));
    assert_eq!(rule(&serving("k8s-lb1", "192.168.31.81")), Some(Rule::Identity));
}

#[test]
fn a_member_of_a_pool_serves_at_the_address_it_reports() {
    let name = "pool-a-0abc99";
    // The VIP, the gateway, a master, another network, the network and broadcast addresses, another's address.
    for bad in ["88", "1", "71", "0", "255", "152"] {
        assert_eq!(rule(&serving(name, &format!("192.168.31.{bad}"))), Some(Rule::Address), "{bad}");
    }
    assert_eq!(rule(&serving(name, "10.0.0.1")), Some(Rule::Address));
    assert_eq!(rule(&serving(name, "192.168.31.151")), Some(Rule::Address), "another member's");
    let mut world = World::default();
    world.nodes.get_mut("pool-a-0abc98").unwrap().addresses = vec!["192.168.31.150".parse().unwrap()];
    let wait =
        |world: &World| matches!(world.judge(&serving(name, "192.168.31.150").request()), Verdict::Wait(_));
    assert!(wait(&world), "two nodes with one address");
    world.nodes.clear();
    assert!(wait(&world), "a node that is not there yet");
}

#[test]
fn what_is_not_kilns_is_left_alone() {
    let mut other = serving("k8s-master1", "192.168.31.71").request();
    other.signer = "kubernetes.io/kube-apiserver-client".into();
    assert_eq!(World::default().judge(&other), Verdict::NotOurs);
    let mut renewal = first("node/k8s-master1", "k8s-master1");
    renewal.username = "system:node:k8s-master1".into();
    renewal.groups = texts(&["system:nodes", "system:authenticated"]);
    assert_eq!(renewal.verdict(), Verdict::NotOurs);
    let mut foreign = first("node/k8s-master1", "k8s-master1");
    foreign.groups = texts(&["system:bootstrappers", "system:authenticated"]);
    assert_eq!(foreign.verdict(), Verdict::NotOurs);
}

#[test]
fn damaged_requests_are_refused() {
    let good = serving("k8s-master1", "192.168.31.71");
    let pem = good.pem();
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let label = pem.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    let twice = pem.clone() + &pem;
    // One letter of the signature: the last line of base64 that is full.
    let line = pem.lines().rev().nth(2).unwrap();
    let signature = pem.replace(line, &line.chars().rev().collect::<String>());
    for bad in ["", "x", &label, &twice, &signature, &pem[..200], &"A".repeat(40_000)] {
        let request = Request { encoded: base64(bad.as_bytes()), ..good.request() };
        let verdict = World::default().judge(&request);
        assert!(matches!(verdict, Verdict::Deny(Rule::Pkcs10, _)), "{bad}: {verdict:?}");
    }
    let request = Request { encoded: "%%%".into(), ..good.request() };
    assert!(matches!(World::default().judge(&request), Verdict::Deny(Rule::Pkcs10, _)));
}

/// Two organisations, which rcgen cannot write: made by `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes
/// -subj "/O=system:nodes/O=system:masters/CN=system:node:k8s-master1" -addext subjectAltName=DNS:k8s-master1`.
#[test]
fn a_second_organisation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let subject = "/O=system:nodes/O=system:masters/CN=system:node:k8s-master1";
    let made = |subject: &str, extension: &str| {
        let out = std::process::Command::new("openssl")
            .args([
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
            ])
            .arg(dir.path().join("key"))
            .args(["-subj", subject, "-addext", extension])
            .output()
            .expect("openssl is missing: apt-get install openssl");
        assert!(out.status.success(), "{out:?}");
        let good = serving("k8s-master1", "192.168.31.71");
        Request { encoded: base64::engine::general_purpose::STANDARD.encode(&out.stdout), ..good.request() }
    };
    let san = "subjectAltName=DNS:k8s-master1";
    let judge = |request| World::default().judge(&request);
    assert!(matches!(judge(made(subject, san)), Verdict::Deny(Rule::Subject, _)));
    let one = "/O=system:nodes/CN=system:node:k8s-master1";
    assert_eq!(judge(made(one, san)), Verdict::Approve(None));
    assert!(matches!(judge(made(one, "basicConstraints=CA:TRUE")), Verdict::Deny(Rule::Pkcs10, _)));
    assert!(matches!(
        judge(made(&format!("{one}/CN=kubernetes-admin"), san)),
        Verdict::Deny(Rule::Pkcs10, _)
    ));
    assert!(matches!(judge(made(&format!("{one}/OU=x"), san)), Verdict::Deny(Rule::Pkcs10, _)));
}
