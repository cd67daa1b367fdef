//! The client against a TLS server of the tests' own on loopback.

use rcgen::KeyPair;

use super::super::testing::{Ca, answer, client, serve};
use super::*;
use crate::pki::PemKey;

#[test]
fn requests_arrive_and_answers_are_told_apart() {
    let ca = Ca::new();
    let not_found = r#"{"kind":"Status","reason":"NotFound","message":"nodes \"x\" not found"}"#;
    let page = r#"{"items":[{"a":1}],"metadata":{"continue":"to/ken"}}"#;
    let (server, thread) = serve(
        &ca,
        vec![
            answer("200 OK", r#"{"kind":"Node"}"#),
            answer("404 Not Found", not_found),
            answer("200 OK", page),
            answer("200 OK", r#"{"items":[{"a":2}],"metadata":{}}"#),
            answer("302 Found", "elsewhere"),
            answer("200 OK", "{}"),
        ],
    );
    let client = client(&ca, &ca, server);
    assert_eq!(client.get("/api/v1/nodes/x").unwrap()["kind"], "Node");
    assert!(client.find("/api/v1/nodes/x").unwrap().is_none());
    assert_eq!(client.list("/api/v1/nodes").unwrap().len(), 2);
    let error = client.get("/x").unwrap_err();
    assert_eq!(error.to_string(), format!("GET {server}/x: 302 elsewhere"));
    client.patch("/y", Patch::Apply, &serde_json::json!({ "b": 1 })).unwrap();
    let asked = thread.join().unwrap();
    assert!(
        asked[3].starts_with("GET /api/v1/nodes?limit=100&continue=to%2Fken HTTP/1.1\r\n"),
        "{}",
        asked[3]
    );
    assert!(asked[5].starts_with("PATCH /y?fieldManager=kiln&force=true HTTP/1.1\r\n"), "{}", asked[5]);
    assert!(
        asked[5].contains("application/apply-patch+yaml") && asked[5].ends_with(r#"{"b":1}"#),
        "{}",
        asked[5]
    );
}

#[test]
fn an_endless_answer_is_cut_off() {
    let ca = Ca::new();
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(LARGEST as usize + 4096, b' ');
    let (server, thread) = serve(&ca, vec![endless]);
    let error = client(&ca, &ca, server).get("/").unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (server, thread) = serve(&other, vec![answer("200 OK", "{}")]);
    let error = client(&other, &ca, server).get("/").unwrap_err();
    assert!(error.status.is_none() && error.reason.contains("certificate"), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_pair_that_is_none_is_refused() {
    let ca = Ca::new();
    let (cert, _) = ca.pair(&["client"]);
    let login = Login::Certificate(cert.pem(), PemKey::new(KeyPair::generate().unwrap().serialize_pem()));
    let config = KubeConfig { server: ([127, 0, 0, 1], 1).into(), ca: ca.cert.pem(), login };
    assert!(Client::new(&config).unwrap_err().to_string().contains("do not belong together"));
    let config = KubeConfig { login: Login::None, ..config };
    assert!(Client::new(&config).unwrap().get("/").unwrap_err().status.is_none(), "nobody listens there");
}
