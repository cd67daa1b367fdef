//! A client of the Kubernetes API: JSON over HTTPS by ureq and rustls. It knows verbs and paths, no kinds.
//!
//! The API server is believed only by the cluster's own authority, redirects and proxies are not followed, every answer is
//! bounded in time and size, and an error says verb, path, status and reason.

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::Value;
use ureq::http;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::config::{KubeConfig, Login};
use crate::error::{Class, Error, Result};
use crate::pki::PemKey;
use crate::url::escape;

/// Largest answer that is read. A list is asked for in pages, so none comes near it.
const LARGEST: u64 = 16 << 20;
/// Objects of one page of a list.
const PAGE: usize = 100;
/// Pages of a list that are read at most.
const PAGES: usize = 100;

/// How a PATCH is meant (kubernetes.io, "API concepts").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7386.
    Merge,
    /// Server-side apply as field manager `kiln`, by force.
    Apply,
}

/// What one request came to when it did not succeed.
#[derive(Debug)]
pub struct ApiError {
    /// `GET`, …
    pub verb: String,
    /// Path that was asked for, with the server's address.
    pub path: String,
    /// HTTP status; `None` when there was no answer.
    pub status: Option<u16>,
    /// Kubernetes' word for it (`NotFound`), or what the transport says.
    pub reason: String,
}

impl ApiError {
    /// Whether the object is not there.
    pub fn not_found(&self) -> bool {
        self.status == Some(404)
    }

    /// Whether another one changed or made the object first.
    pub fn conflict(&self) -> bool {
        self.status == Some(409)
    }

    /// Whether the server does not know who the client is.
    pub fn unknown(&self) -> bool {
        self.status == Some(401)
    }

    /// Whether the client may not do it.
    pub fn forbidden(&self) -> bool {
        self.status == Some(403)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} {}: {status} {}", self.verb, self.path, self.reason),
            None => write!(f, "{} {}: {}", self.verb, self.path, self.reason),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Error::new(Class::Network, error.to_string())
    }
}

/// Result of a request.
pub type ApiResult<T> = std::result::Result<T, ApiError>;

/// A client of one API server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    server: SocketAddr,
    token: Option<PemKey>,
}

/// The parts of a `Status` (the answer to a failed request) that are told.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// A client by a kubeconfig.
    pub fn new(config: &KubeConfig) -> Result<Self> {
        let unusable = |what: &str| Error::input(format!("a kubeconfig cannot be used: {what}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let ca = Certificate::from_pem(config.ca.as_bytes())
            .map_err(|_| unusable("its authority is no certificate"))?;
        let login = match &config.login {
            Login::None | Login::Token(_) => None,
            Login::Certificate(cert, key) => {
                let fault = || unusable("its certificate and key do not belong together");
                let der = CertificateDer::from_pem_slice(cert.as_bytes()).map_err(|_| fault())?;
                let secret = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| fault())?;
                // ureq takes for granted that a pair is one.
                rustls::sign::CertifiedKey::from_der(vec![der], secret, &provider).map_err(|_| fault())?;
                let cert = Certificate::from_pem(cert.as_bytes()).map_err(|_| fault())?;
                let key = PrivateKey::from_pem(key.expose().as_bytes()).map_err(|_| fault())?;
                Some(ClientCert::new_with_certs(&[cert], key))
            }
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .client_cert(login)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        let token = match &config.login {
            Login::Token(token) => Some(token.clone()),
            _ => None,
        };
        Ok(Self { agent, server: config.server, token })
    }

    /// Address of the server.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// The text at a path that answers no JSON, as `/readyz`.
    pub fn text(&self, path: &str) -> ApiResult<String> {
        self.raw("GET", path, None).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads an object.
    pub fn get(&self, path: &str) -> ApiResult<Value> {
        self.send("GET", path, None)
    }

    /// Reads an object that may not be there.
    pub fn find(&self, path: &str) -> ApiResult<Option<Value>> {
        match self.get(path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all objects of a collection, page by page.
    pub fn list(&self, path: &str) -> ApiResult<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES {
            let more = if next.is_empty() { String::new() } else { format!("&continue={}", escape(&next)) };
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut page = self.get(&format!("{path}{joint}limit={PAGE}{more}"))?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                all.extend(items);
            }
            next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(all);
            }
        }
        Err(self.failed("GET", path, None, format!("the list does not end after {} objects", all.len())))
    }

    /// Makes an object.
    pub fn create(&self, path: &str, object: &Value) -> ApiResult<Value> {
        self.send("POST", path, Some(("application/json", object)))
    }

    /// Replaces an object; with its `resourceVersion` only if nobody else changed it.
    pub fn replace(&self, path: &str, object: &Value) -> ApiResult<Value> {
        self.send("PUT", path, Some(("application/json", object)))
    }

    /// Changes an object.
    pub fn patch(&self, path: &str, how: Patch, change: &Value) -> ApiResult<Value> {
        match how {
            Patch::Merge => self.send("PATCH", path, Some(("application/merge-patch+json", change))),
            // JSON is YAML.
            Patch::Apply => self.send(
                "PATCH",
                &format!("{path}?fieldManager=kiln&force=true"),
                Some(("application/apply-patch+yaml", change)),
            ),
        }
    }

    fn send(&self, verb: &str, path: &str, body: Option<(&str, &Value)>) -> ApiResult<Value> {
        let bytes = self.raw(verb, path, body)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.failed(verb, path, None, format!("the answer is no JSON: {error}")))
    }

    fn raw(&self, verb: &str, path: &str, body: Option<(&str, &Value)>) -> ApiResult<Vec<u8>> {
        let fail = |error: &dyn fmt::Display| self.failed(verb, path, None, error.to_string());
        let mut request = http::Request::builder()
            .method(verb)
            .uri(format!("https://{}{path}", self.server))
            .header("Accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {}", token.expose()));
        }
        let answer = match body {
            None => self.agent.run(request.body(()).map_err(|error| fail(&error))?),
            Some((kind, object)) => {
                request = request.header("Content-Type", kind);
                let bytes = serde_json::to_vec(object).map_err(|error| fail(&error))?;
                self.agent.run(request.body(bytes).map_err(|error| fail(&error))?)
            }
        };
        let answer = answer.map_err(|error| fail(&error))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        let mut reader = answer.into_body().into_reader().take(LARGEST + 1);
        reader.read_to_end(&mut bytes).map_err(|error| fail(&error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(fail(&format!("the answer is larger than {LARGEST} bytes")));
        }
        if status.is_success() {
            return Ok(bytes);
        }
        Err(self.failed(verb, path, Some(status.as_u16()), reason(&bytes)))
    }

    fn failed(&self, verb: &str, path: &str, status: Option<u16>, reason: String) -> ApiError {
        let path = format!("{}{path}", self.server);
        ApiError { verb: verb.to_owned(), path, status, reason }
    }
}

/// What a failed request's answer says, bounded.
fn reason(bytes: &[u8]) -> String {
    let text = match serde_json::from_slice::<Status>(bytes) {
        Ok(status) => format!("{} ({})", status.reason, status.message),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    text.chars().take(400).collect()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
