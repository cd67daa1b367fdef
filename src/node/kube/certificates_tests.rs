//! Certificates of addons, against a server on loopback that has none, a good one, or one that will not do.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::super::testing::{Ca, answer, client, serve};
use super::*;

const TEXT: &str =
    "[[certificate]]\nnamespace = \"kube-system\"\nservice = \"metrics-server\"\nsecret = \"metrics-tls\"\n";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

/// An authority that was made a day before [`now`] and lasts for ten years.
fn signer() -> Signer {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "kubernetes-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (now() - Duration::days(1), now() + Duration::days(3650));
    let cert = params.self_signed(&key).unwrap().pem();
    Signer::new(cert, PemKey::new(key.serialize_pem())).unwrap()
}

/// What `ensure` asks of a server that answers so, and what it says.
fn run(signer: &Signer, answers: Vec<Vec<u8>>, now: OffsetDateTime) -> (Result<bool>, Vec<String>) {
    let ca = Ca::new();
    let (server, thread) = serve(&ca, answers);
    let wanted = parse(TEXT).unwrap().remove(0);
    let outcome = ensure(&client(&ca, &ca, server), signer, &wanted, "cluster.local", now);
    (outcome, thread.join().unwrap())
}

fn body(request: &str) -> Value {
    serde_json::from_str(&request[request.find('{').unwrap()..]).unwrap()
}

fn missing() -> Vec<u8> {
    answer("404 Not Found", r#"{"reason":"NotFound"}"#)
}

/// The Secret that is made where there is none.
fn made(signer: &Signer, now: OffsetDateTime) -> Value {
    let (outcome, asked) = run(signer, vec![missing(), answer("201 Created", "{}")], now);
    assert!(outcome.unwrap());
    assert!(asked[1].starts_with("POST /api/v1/namespaces/kube-system/secrets HTTP/1.1\r\n"), "{}", asked[1]);
    let mut secret = body(&asked[1]);
    secret["metadata"]["resourceVersion"] = json!("7");
    secret
}

#[test]
fn one_is_made_where_there_is_none_and_kept_while_it_is_good() {
    let signer = signer();
    let secret = made(&signer, now());
    let (cert, key) = pair(&secret).unwrap();
    let facts = crate::pki::read_facts(&cert).unwrap();
    let names: Vec<String> = facts.sans.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["metrics-server.kube-system.svc", "metrics-server.kube-system.svc.cluster.local"]);
    assert_eq!((facts.usage, facts.authority), (Some(Usage::Server), false));
    assert_eq!(facts.not_after, now() + LIFE);
    assert!(key.expose().contains("PRIVATE KEY"));
    for later in [0, 300] {
        let (outcome, asked) =
            run(&signer, vec![answer("200 OK", &secret.to_string())], now() + Duration::days(later));
        assert_eq!((outcome.unwrap(), asked.len()), (false, 1));
    }
}

#[test]
fn one_that_will_not_do_is_replaced_only_as_it_was_seen() {
    let signer = signer();
    let good = made(&signer, now());
    let mut other_key = good.clone();
    other_key["data"]["tls.key"] = made(&signer, now())["data"]["tls.key"].clone();
    let mut broken = good.clone();
    broken["data"]["tls.crt"] = json!("%");
    let foreign = made(&self::signer(), now());
    for (what, secret, when) in [
        ("it ends soon", &good, now() + Duration::days(340)),
        ("it is not valid yet", &good, now() - Duration::hours(1)),
        ("of another authority", &foreign, now()),
        ("with another key", &other_key, now()),
        ("no certificate at all", &broken, now()),
        ("an empty Secret", &json!({ "metadata": { "resourceVersion": "7" } }), now()),
    ] {
        let (outcome, asked) =
            run(&signer, vec![answer("200 OK", &secret.to_string()), answer("200 OK", "{}")], when);
        assert!(outcome.unwrap(), "{what}");
        assert!(asked[1].starts_with("PUT /api/v1/namespaces/kube-system/secrets/metrics-tls "), "{what}");
        let new = body(&asked[1]);
        assert_eq!(new["metadata"]["resourceVersion"], "7", "{what}");
        assert_ne!(new["data"]["tls.crt"], good["data"]["tls.crt"], "{what}");
    }
}

#[test]
fn another_master_may_be_first_and_a_clock_that_is_wrong_issues_nothing() {
    let signer = signer();
    let conflict = answer("409 Conflict", r#"{"reason":"AlreadyExists"}"#);
    let (outcome, _) = run(&signer, vec![missing(), conflict], now());
    assert!(!outcome.unwrap());
    let (outcome, asked) = run(&signer, vec![missing()], OffsetDateTime::UNIX_EPOCH);
    assert!(outcome.unwrap_err().to_string().contains("clock"));
    assert_eq!(asked.len(), 1);
}

#[test]
fn lists_that_ask_for_too_much_are_refused() {
    for (from, to, word) in [
        ("metrics-server", "metrics.server", "no dot"),
        ("kube-system", "kube_system", "not allowed"),
        ("secret", "Secret", "unknown field"),
    ] {
        let why = parse(&TEXT.replacen(from, to, 1)).unwrap_err();
        assert!(why.contains(word), "{to}: {why}");
    }
    let api = TEXT.replace("kube-system", "default").replace("metrics-server", "kubernetes");
    assert!(parse(&api).unwrap_err().contains("API server itself"));
    assert!(parse(&TEXT.repeat(MOST + 1)).unwrap_err().contains("more than"));
    assert_eq!(parse("").unwrap(), []);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(folder.path()).unwrap(), []);
    std::fs::write(folder.path().join(FILE), TEXT).unwrap();
    assert_eq!(load(folder.path()).unwrap().len(), 1);
}
