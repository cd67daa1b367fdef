//! A board from the answers of a server on loopback.

use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::node::kube::testing::{Ca, answer, client, serve};

const NOW: OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

fn list(items: Value) -> Vec<u8> {
    answer("200 OK", &json!({ "items": items }).to_string())
}

/// The answers in the order in which they are asked for.
fn answers(node_ready: &str, expiration: &str) -> Vec<Vec<u8>> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(expiration);
    vec![
        answer("200 OK", &json!({ "minor": "37+", "gitVersion": "v1.37.2" }).to_string()),
        list(json!([
            { "spec": { "nodeName": "a" }, "status": { "phase": "Running" } },
            { "spec": { "nodeName": "a" }, "status": { "phase": "Succeeded" } },
            { "spec": {}, "status": { "phase": "Pending" } },
        ])),
        list(json!([{
            "metadata": { "name": "a", "labels": { "node-role.kubernetes.io/control-plane": "" } },
            "status": {
                "conditions": [{ "type": "Ready", "status": node_ready, "message": "no \u{1b}[31mnetwork" }],
                "nodeInfo": { "kubeletVersion": "v1.37.2" },
                "addresses": [{ "type": "InternalIP", "address": "192.168.31.71" }],
            },
        }])),
        list(json!([{
            "metadata": { "namespace": "kube-system", "name": "coredns" },
            "spec": { "replicas": 2 }, "status": { "readyReplicas": 2 },
        }])),
        list(json!([])),
        list(json!([])),
        list(json!([{
            "metadata": { "namespace": "kube-flannel", "name": "kube-flannel-ds" },
            "status": { "desiredNumberScheduled": 1, "numberReady": 1 },
        }])),
        list(json!([
            { "metadata": { "name": "csr-1" }, "spec": { "username": "system:node:a" } },
            { "metadata": { "name": "csr-2" }, "status": { "conditions": [
                { "type": "Denied", "reason": "KilnRefused", "message": "refused (identity): no" },
            ] } },
        ])),
        list(json!([{ "data": { "expiration": encoded } }])),
    ]
}

fn board(answers: Vec<Vec<u8>>, expected: &[&str]) -> Board {
    let ca = Ca::new();
    let (server, thread) = serve(&ca, answers);
    let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    let ends = [End::new("certificate operators/admin", NOW + time::Duration::days(90), NOW)];
    let mut board = look(&client(&ca, &ca, server), &expected, &ends, NOW).unwrap();
    board.api = "192.168.31.88:6443".to_owned();
    let asked = thread.join().unwrap();
    let last = "secrets?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken&limit=100 ";
    assert!(asked.last().unwrap().contains(last), "{asked:?}");
    board
}

#[test]
fn a_cluster_that_is_well() {
    let board = board(answers("True", "2027-11-23T06:00:00Z"), &["a"]);
    assert_eq!((board.well, board.faults()), (true, vec![]));
    let text = text::paint(&text::lines(&board), false);
    assert_eq!(
        text,
        "API 192.168.31.88:6443 of v1.37.2: all is well
node      a  ready      v1.37.2    192.168.31.71    control-plane         1 pods
workload  kube-system/coredns  2 of 2 pods ready
workload  kube-flannel/kube-flannel-ds  1 of 1 pods ready
request   waiting: csr-1 of system:node:a
request   csr-2: refused (identity): no
until     2027-02-21T06:00:00Z  certificate operators/admin, 90 days left
until     2027-11-23T06:00:00Z  bootstrap tokens, 365 days left
"
    );
}

#[test]
fn what_is_wrong_is_named_and_cannot_steer_a_terminal() {
    let board = board(answers("False", "2026-12-01T06:00:00Z"), &["a", "b"]);
    assert_eq!(board.faults(), ["node a is not ready", "node b is missing", "bootstrap tokens: 8 days left"]);
    let lines = text::lines(&board);
    let plain = text::paint(&lines, false);
    assert!(!plain.contains('\u{1b}') && plain.contains("network"), "{plain}");
    assert!(text::paint(&lines, true).contains("\u{1b}[31mnode      b  missing\u{1b}[0m"), "{plain}");
    assert_eq!(End::new("x", NOW - time::Duration::hours(1), NOW).days_left, -1);
}

#[test]
fn a_failure_is_an_error_and_not_an_empty_board() {
    let ca = Ca::new();
    let (server, thread) = serve(&ca, vec![answer("403 Forbidden", r#"{"reason":"Forbidden"}"#)]);
    let error = look(&client(&ca, &ca, server), &[], &[], NOW).unwrap_err();
    assert!(error.forbidden(), "{error}");
    thread.join().unwrap();
}
