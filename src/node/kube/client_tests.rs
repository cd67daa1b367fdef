//! The client against a TLS server of the tests' own on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::pki::PemKey;

/// An authority, and pairs that it signs: (certificate, key), PEM.
struct Ca {
    cert: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        Self { cert, issuer: Issuer::new(params, key) }
    }

    fn pair(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        (CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Serves `answers` in order, one connection each, to clients of `ca`; hands back what was asked.
fn serve(ca: &Ca, answers: Vec<Vec<u8>>) -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.cert.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let (cert, key) = ca.pair(&["127.0.0.1"]);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![cert.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (socket, _) = listener.accept().unwrap();
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut reader = BufReader::new(StreamOwned::new(connection, socket));
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                head += &line;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            asked.push(head + &String::from_utf8(body).unwrap());
            // The client may hang up on an answer that is too large.
            let _ = reader.get_mut().write_all(&answer);
            reader.get_mut().conn.send_close_notify();
            let _ = reader.get_mut().flush();
        }
        asked
    });
    (address, thread)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn client(ca: &Ca, trusted: &Ca, server: SocketAddr) -> Client {
    let (cert, key) = ca.pair(&["client"]);
    let login = Login::Certificate(cert.pem(), PemKey::new(key.serialize_pem()));
    Client::new(&KubeConfig { server, ca: trusted.cert.pem(), login }).unwrap()
}

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
