//! How a registry is logged in to: tokens (Docker Registry v2 "Token Authentication", RFC 6750) that are asked for when it says where,
//! or a name and password (RFC 7617).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use super::super::http::{Answer, Client, Failure, Login, body};
use crate::error::{Class, Error, Result};
use crate::url::{Url, escape};

/// Largest answer with a token.
const LIMIT: u64 = 256 << 10;
/// Refusals in all before a session gives up: tokens run out after minutes, and large images take longer.
const REFUSALS: u32 = 20;

/// A login to one repository.
pub struct Session<'a> {
    client: &'a Client,
    /// The registry.
    server: Url,
    repository: String,
    /// `user:password` in base64, as `Authorization: Basic` has it.
    basic: Option<String>,
    /// The header that worked last, and how often one was refused since it changed.
    header: Mutex<Option<String>>,
    refusals: AtomicU32,
}

/// What a registry wants (`WWW-Authenticate`).
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl<'a> Session<'a> {
    /// A session that has not logged in yet.
    pub(super) fn new(client: &'a Client, server: &Url, repository: &str, basic: Option<String>) -> Self {
        Self {
            client,
            server: server.clone(),
            repository: repository.to_owned(),
            basic,
            header: Mutex::new(None),
            refusals: AtomicU32::new(0),
        }
    }

    pub(super) fn headers(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let header = self.authorization().map_err(Failure::other)?;
        Ok(header.map(|value| ("Authorization", value)).into_iter().collect())
    }

    /// What to do about a refusal.
    pub(super) fn challenged(&self, place: &Url, answer: &Answer) -> Failure {
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
        match self.refused(challenge) {
            Ok(true) => Failure::passing(place, "the login was refused"),
            Ok(false) => Failure::status(place, answer),
            Err(error) => Failure::other(error),
        }
    }

    fn token(&self, realm: &str, service: Option<&str>) -> Result<String> {
        let bad = |why: String| Error::new(Class::Network, format!("{}: {why}", self.server));
        let realm: Url =
            realm.parse().map_err(|why| bad(format!("it wants a token from somewhere odd: {why}")))?;
        if realm.file().is_some() || (self.server.is_private() && !realm.is_private()) {
            return Err(bad(format!("it wants a token from {realm}, which is not encrypted")));
        }
        let joint = if realm.as_str().contains('?') { '&' } else { '?' };
        let service = service.map(|service| format!("service={}&", escape(service))).unwrap_or_default();
        let scope = escape(&format!("repository:{}:pull", self.repository));
        let place: Url = format!("{realm}{joint}{service}scope={scope}").parse().map_err(bad)?;
        let own: Vec<(&str, String)> = match &self.basic {
            Some(basic) if place.is_private() => vec![("Authorization", format!("Basic {basic}"))],
            _ => Vec::new(),
        };
        let bytes = self.client.patiently(|| {
            let answer = self.client.get(&place, &own, &[])?;
            match answer.status().as_u16() {
                200 => body(answer, &place, LIMIT),
                _ => Err(Failure::status(&place, &answer)),
            }
        })?;
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        token
            .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| bad(format!("{realm} gives no token")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.header.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Login for Session<'_> {
    fn authorization(&self) -> Result<Option<String>> {
        Ok(self.lock().clone())
    }

    fn refused(&self, challenge: Option<&str>) -> Result<bool> {
        let mut header = self.lock();
        if self.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS {
            return Ok(false);
        }
        let fresh = match challenge.and_then(parse) {
            Some(Challenge::Bearer { realm, service }) => {
                Some(format!("Bearer {}", self.token(&realm, service.as_deref())?))
            }
            Some(Challenge::Basic) if self.server.is_private() => {
                self.basic.as_ref().map(|basic| format!("Basic {basic}"))
            }
            _ => None,
        };
        // The same name and password would be refused again; a new token may do.
        let changed = fresh.is_some() && *header != fresh;
        *header = fresh;
        Ok(changed)
    }
}

/// Reads a challenge (RFC 9110 §11.6.1): `Bearer realm="…",service="…",scope="…"`.
fn parse(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match name.trim_start_matches([',', ' ']).to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    realm.map(|realm| Challenge::Bearer { realm, service })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(parse(text), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        assert_eq!(parse(r#"bearer service="s", realm="https://a/t""#), bearer("https://a/t", Some("s")));
        assert_eq!(parse(r#"Basic realm="Registry""#), Some(Challenge::Basic));
        for bad in ["", "Digest x", "Bearer", r#"Bearer realm="open"#, r#"Bearer service="s""#] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(escape("repository:a/b s&t"), "repository%3Aa%2Fb%20s%26t");
    }
}
