//! Reads the kubeconfigs that kiln itself writes (`src/pki/kubeconfig.rs`): one cluster, one user, credentials inside.
//!
//! It is no YAML reader. A file that names anything twice, or a server by name instead of by address, is refused: on nodes no
//! name is ever resolved.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;

use crate::error::{Error, IoContext, Result};
use crate::pki::PemKey;

/// Largest kubeconfig that is read.
const LARGEST: u64 = 256 << 10;

/// How a client proves who it is.
#[derive(Debug, Clone)]
pub enum Login {
    /// Certificate (PEM) and its key.
    Certificate(String, PemKey),
    /// A bootstrap token.
    Token(PemKey),
    /// Nothing: an anonymous client.
    None,
}

/// What a client needs to know of an API server.
#[derive(Debug, Clone)]
pub struct KubeConfig {
    /// Its address.
    pub server: SocketAddr,
    /// Certificate of the authority that vouches for it, PEM.
    pub ca: String,
    /// Credential.
    pub login: Login,
}

impl KubeConfig {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let file = File::open(path).at("opening", path)?;
        file.take(LARGEST).read_to_string(&mut text).at("reading", path)?;
        Self::parse(&text).map_err(|why| {
            Error::input(format!("{} is not a kubeconfig that kiln wrote: {why}", path.display()))
        })
    }

    /// Reads the text of a file. The error quotes nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let server = value(text, "server")?.ok_or("it names no server")?;
        let server = server.strip_prefix("https://").ok_or("its server is not https://ADDRESS:PORT")?;
        let server = server.parse().map_err(|_| "its server is not https://ADDRESS:PORT")?;
        let ca = pem(text, "certificate-authority-data")?.ok_or("it names no authority")?;
        let login = match (pem(text, "client-certificate-data")?, pem(text, "client-key-data")?) {
            (Some(certificate), Some(key)) => Login::Certificate(certificate, PemKey::new(key)),
            (None, None) => {
                let token =
                    value(text, "token")?.ok_or("it holds no certificate with its key, and no token")?;
                Login::Token(PemKey::new(token.to_owned()))
            }
            _ => return Err("it holds no certificate with its key".to_owned()),
        };
        Ok(Self { server, ca, login })
    }
}

/// The value of `key: "value"`, wherever it stands.
fn value<'a>(text: &'a str, key: &str) -> Result<Option<&'a str>, String> {
    let mut values = text.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix(key)?.strip_prefix(':')?.trim();
        rest.strip_prefix('"')?.strip_suffix('"')
    });
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(format!("it has `{key}` twice")),
        (value, None) => Ok(value),
    }
}

fn pem(text: &str, key: &str) -> Result<Option<String>, String> {
    let Some(value) = value(text, key)? else { return Ok(None) };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(value)
        .map_err(|_| format!("`{key}` is no base64"))?;
    String::from_utf8(bytes).map(Some).map_err(|_| format!("`{key}` is no PEM"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(server: &str) -> String {
        let b64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        format!(
            "clusters:\n- name: \"x\"\n  cluster:\n    certificate-authority-data: \"{}\"\n    server: \"{server}\"\n\
             users:\n- name: \"u\"\n  user:\n    client-certificate-data: \"{}\"\n    client-key-data: \"{}\"\n",
            b64("CA"),
            b64("CERT"),
            b64("KEY")
        )
    }

    #[test]
    fn what_kiln_writes_is_read() {
        let config = KubeConfig::parse(&text("https://192.168.31.88:6443")).unwrap();
        assert_eq!((config.server.to_string().as_str(), config.ca.as_str()), ("192.168.31.88:6443", "CA"));
        assert!(
            matches!(&config.login, Login::Certificate(cert, key) if cert == "CERT" && key.expose() == "KEY")
        );
        assert!(!format!("{config:?}").contains("KEY"));
    }

    #[test]
    fn a_token_is_a_login() {
        let text = text("https://192.168.31.88:6443");
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("client-")).collect();
        let text = lines.join("\n") + "\n    token: \"abcdef.0123456789abcdef\"\n";
        let config = KubeConfig::parse(&text).unwrap();
        assert!(matches!(&config.login, Login::Token(token) if token.expose() == "abcdef.0123456789abcdef"));
        assert!(!format!("{config:?}").contains("abcdef"));
    }

    #[test]
    fn names_and_doubts_are_refused() {
        for bad in ["https://api.example.com:6443", "http://10.0.0.1:6443", "https://10.0.0.1", ""] {
            assert!(KubeConfig::parse(&text(bad)).is_err(), "{bad}");
        }
        let good = text("https://10.0.0.1:6443");
        assert!(
            KubeConfig::parse(&(good.clone() + "server: \"https://10.0.0.2:6443\"\n"))
                .unwrap_err()
                .contains("twice")
        );
        assert!(KubeConfig::parse(&good.replace("client-key-data", "x")).is_err());
        assert!(KubeConfig::parse(&good.replace("client-key-data: \"", "client-key-data: \"%")).is_err());
    }
}
