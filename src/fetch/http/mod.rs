//! HTTP as `kiln fetch` needs it (RFC 9110): requests over ureq and rustls, redirects followed by rules of its own, files
//! downloaded into the cache with resume and retry.
//!
//! Not here: what is fetched (`super::online`, `super::pull`), logins of registries (`super::registry`).

mod download;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod trust;

pub use download::{Download, Got, Login, download};

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::http;
use ureq::tls::{RootCerts, TlsConfig};

use crate::error::{Class, Error, Result};
use crate::url::Url;

/// Longest time without a byte.
const IDLE: Duration = Duration::from_secs(60);
/// Longest time until a connection stands.
const CONNECT: Duration = Duration::from_secs(20);
/// Redirects that are followed: a release file needs two.
const REDIRECTS: usize = 8;

/// How patient a client is with a server that fails.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Failures in a row, without a new byte, after which it gives up.
    pub tries: u32,
    /// Pause after the first failure; each further one is twice as long.
    pub pause: Duration,
    /// Longest pause that a server may ask for (`Retry-After`).
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 6, pause: Duration::from_millis(500), longest: Duration::from_secs(120) }
    }
}

/// What a client is made with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Put in front of every address, in place of `https://`.
    pub mirror: Option<Url>,
    /// A file of certificates (PEM) of authorities that are trusted besides the system's.
    pub ca: Option<std::path::PathBuf>,
    /// How long it tries.
    pub patience: Patience,
}

/// A client, shared by threads.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    mirror: Option<Url>,
    patience: Patience,
}

/// An answer whose content was not read yet.
pub(super) type Answer = http::Response<ureq::Body>;

/// Headers of a request.
pub(super) type Headers<'a> = &'a [(&'a str, String)];

impl Client {
    /// A client. Proxies come from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), authorities from the
    /// system (`SSL_CERT_FILE` names another bundle).
    pub fn new(options: &Options) -> Result<Self> {
        let roots = trust::roots(options.ca.as_deref())?;
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(IDLE))
            .timeout_per_write(Some(IDLE))
            .build()
            .new_agent();
        Ok(Self { agent, mirror: options.mirror.clone(), patience: options.patience })
    }

    /// Where a client really goes for an address.
    pub fn place(&self, url: &Url) -> Url {
        match &self.mirror {
            Some(mirror) => url.below(mirror),
            None => url.clone(),
        }
    }

    /// One request, redirects followed. `headers` go to the first host only; those of `everywhere` to all. The answer may be of any
    /// status but a redirect.
    pub(super) fn get(
        &self,
        url: &Url,
        headers: Headers<'_>,
        everywhere: Headers<'_>,
    ) -> Result<Answer, Failure> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let own = if at.same_host(url) { headers } else { &[] };
            let mut request = http::Request::get(at.as_str()).header("Accept-Encoding", "identity");
            for (name, value) in own.iter().chain(everywhere) {
                request = request.header(*name, value);
            }
            let request = request.body(()).map_err(|error| Failure::last(&at, &error.to_string()))?;
            let answer = self.agent.run(request).map_err(|error| Failure::of(&at, error))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let to = answer.headers().get("location").and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| Failure::last(&at, "it redirects to nowhere"))?;
            at = at.follow(to).map_err(|why| Failure::last(&at, &format!("it redirects, and {why}")))?;
        }
        Err(Failure::last(url, &format!("it redirects more than {REDIRECTS} times")))
    }

    /// Reads a small text or document, with patience. `None` when it is not there (404).
    pub fn small(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        let place = self.place(url);
        if let Some(path) = place.file() {
            return read_file(&path, limit);
        }
        self.patiently(|| {
            let answer = self.get(&place, &[], &[])?;
            match answer.status().as_u16() {
                200 => body(answer, &place, limit).map(Some),
                404 | 410 => Ok(None),
                _ => Err(Failure::status(&place, &answer)),
            }
        })
    }

    /// Tries until it succeeds, fails for good, or has failed too often.
    pub(super) fn patiently<T>(&self, mut once: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        let mut failed = 0;
        loop {
            match once() {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    failed += 1;
                    self.wait(failure, failed)?;
                }
            }
        }
    }

    /// Waits before the next try, or gives the failure as an error.
    pub(super) fn wait(&self, failure: Failure, failed: u32) -> Result<()> {
        if !failure.again || failed >= self.patience.tries {
            return Err(failure.error);
        }
        let own = self.patience.pause * 2_u32.saturating_pow(failed - 1).min(32);
        match failure.after {
            Some(after) if after > self.patience.longest => Err(failure
                .error
                .hint(format!("it asks to come back in {} s: try again then", after.as_secs()))),
            after => {
                std::thread::sleep(after.unwrap_or_default().max(own));
                Ok(())
            }
        }
    }
}

/// A request that failed, and whether another try makes sense.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    again: bool,
    after: Option<Duration>,
}

impl Failure {
    /// Another try makes no sense.
    pub(super) fn last(url: &Url, why: &str) -> Self {
        let error = Error::new(Class::Network, format!("{url}: {why}"));
        Self { error, again: false, after: None }
    }

    /// The network, which may be better in a moment.
    pub(super) fn passing(url: &Url, why: &str) -> Self {
        Self { again: true, ..Self::last(url, why) }
    }

    /// An error that is not of the network: a full disk.
    pub(super) fn other(error: Error) -> Self {
        Self { error, again: false, after: None }
    }

    /// A status that is no success.
    pub(super) fn status(url: &Url, answer: &Answer) -> Self {
        let status = answer.status();
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let again = matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504);
        let mut failure = Self { again, after, ..Self::last(url, &format!("the server answers {status}")) };
        failure.error = match status.as_u16() {
            401 | 403 => failure.error.hint("the server wants a login, or the address is not for everybody"),
            404 | 410 => failure.error.hint("check the version, the name and the mirror"),
            407 => failure.error.hint("the proxy wants a login: HTTPS_PROXY=http://user:password@host:port"),
            _ => failure.error,
        };
        failure
    }

    fn of(url: &Url, error: ureq::Error) -> Self {
        use ureq::Error as E;
        let (text, hint) = trust::explain(&error);
        let again = match &error {
            E::Io(_) | E::Timeout(_) | E::ConnectionFailed | E::Protocol(_) => hint.is_none(),
            _ => false,
        };
        let failure = Self { again, ..Self::last(url, &text) };
        match hint {
            Some(hint) => Self { error: failure.error.hint(hint), ..failure },
            None if matches!(error, E::HostNotFound | E::ConnectionFailed | E::Io(_) | E::Timeout(_)) => {
                let hint = "is there a way to it from here? HTTPS_PROXY names a proxy, `mirror` in [components] a mirror";
                Self { error: failure.error.hint(hint), ..failure }
            }
            None => failure,
        }
    }
}

/// Reads a whole body of limited size.
pub(super) fn body(answer: Answer, url: &Url, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut reader = answer.into_body().into_reader().take(limit + 1);
    reader.read_to_end(&mut bytes).map_err(|error| Failure::passing(url, &error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::last(url, &format!("the answer is larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    use crate::error::IoContext as _;
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.at("opening", path)?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).at("reading", path)?;
    if bytes.len() as u64 > limit {
        return Err(Error::input(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}
