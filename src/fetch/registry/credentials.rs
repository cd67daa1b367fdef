//! The logins that docker and podman keep (`config.json`, `auth.json`): read, never written, never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use serde::Deserialize;

use crate::error::{Error, IoContext, Result};

/// Largest file of logins.
const LIMIT: u64 = 1 << 20;

/// Logins by registry: `user:password` in base64.
#[derive(Default, Clone)]
pub struct Credentials {
    logins: BTreeMap<String, String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} logins)", self.logins.len())
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// The user's: `$REGISTRY_AUTH_FILE`, podman's `auth.json`, docker's `config.json`. The first that has a login counts.
    pub fn of_user() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let files = [
            set("REGISTRY_AUTH_FILE"),
            set("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            set("DOCKER_CONFIG")
                .or_else(|| set("HOME").map(|home| home.join(".docker")))
                .map(|dir| dir.join("config.json")),
        ];
        let mut all = Self::default();
        for path in files.into_iter().flatten() {
            match std::fs::metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("reading", &path, error)),
                Ok(facts) if facts.len() > LIMIT => {
                    return Err(Error::input(format!(
                        "{} is too large for a file of logins",
                        path.display()
                    )));
                }
                Ok(_) => {}
            }
            let text = std::fs::read(&path).at("reading", &path)?;
            let found = Self::parse(&text).map_err(|why| {
                Error::input(format!("{} cannot be read: {why}", path.display()))
                    .hint("log in anew with docker or podman")
            })?;
            for (registry, login) in found.logins {
                all.logins.entry(registry).or_insert(login);
            }
        }
        Ok(all)
    }

    /// Reads the text of a file.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // Without the place: what is around it in such a file is a password.
        let file: File = serde_json::from_slice(text)
            .map_err(|error| format!("line {} is no JSON of logins", error.line()))?;
        let mut logins = BTreeMap::new();
        for (registry, entry) in file.auths {
            let login = match (entry.auth.filter(|auth| !auth.is_empty()), entry.username, entry.password) {
                (Some(auth), _, _) => auth,
                (None, Some(name), Some(password)) => {
                    base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"))
                }
                _ => continue,
            };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            if !login.bytes().all(plain) {
                return Err(format!("the login for {} is not in base64", registry.escape_debug()));
            }
            logins.insert(normal(&registry), login);
        }
        Ok(Self { logins })
    }

    /// The login for a registry.
    pub(super) fn of(&self, registry: &str) -> Option<String> {
        self.logins.get(&normal(registry)).cloned()
    }
}

/// The name of a registry: docker writes `https://index.docker.io/v1/` for `docker.io`.
fn normal(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = name.split('/').next().unwrap_or_default().to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_by_registry() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz"},
            "harbor.example:5000": {"username": "u", "password": "p"},
            "empty.example": {}
        }, "credsStore": "desktop"}"#;
        let found = Credentials::parse(text.as_bytes()).unwrap();
        assert_eq!(found.of("docker.io").unwrap(), "dXNlcjpwYXNz");
        assert_eq!(found.of("harbor.example:5000").unwrap(), "dTpw");
        assert!(found.of("empty.example").is_none() && found.of("other.example").is_none());
        assert!(!format!("{found:?}").contains("dTpw"));
    }

    #[test]
    fn a_broken_file_gives_no_secret_away() {
        for text in [
            "{\"auths\": {\"a\": {\"auth\": \"secret",
            "{\"auths\": {\"a.b\": {\"auth\": \"se cret\\n\"}}}",
            "\"x\"",
        ] {
            let error = Credentials::parse(text.as_bytes()).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("se cret"), "{error}");
        }
    }
}
