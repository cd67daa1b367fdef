//! Whom a client trusts: the system's certificate authorities and those that the user adds; and what a failed handshake means.

use std::path::Path;

use ureq::tls::Certificate;

use crate::error::{Error, IoContext, Result};

/// Largest file of authorities.
const LIMIT: u64 = 8 << 20;

/// The authorities. A system without any is no error yet: a mirror may do without TLS.
pub(super) fn roots(own: Option<&Path>) -> Result<Vec<Certificate<'static>>> {
    let system = rustls_native_certs::load_native_certs();
    let mut roots: Vec<Certificate<'static>> =
        system.certs.iter().map(|cert| Certificate::from_der(cert.as_ref()).to_owned()).collect();
    if let Some(path) = own {
        roots.extend(own_roots(path)?);
    }
    Ok(roots)
}

fn own_roots(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let size = std::fs::metadata(path).at("reading", path)?.len();
    let fault = |why: &str| {
        Error::input(format!("{}: {why}", path.display()))
            .hint("`ca` in [components] names a file with certificates of authorities in PEM form")
    };
    if size > LIMIT {
        return Err(fault("it is too large for a file of certificates"));
    }
    let text = std::fs::read(path).at("reading", path)?;
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        match item.map_err(|error| fault(&error.to_string()))? {
            ureq::tls::PemItem::Certificate(cert) => roots.push(cert),
            _ => return Err(fault("it holds something else than certificates")),
        }
    }
    if roots.is_empty() {
        return Err(fault("it holds no certificate"));
    }
    Ok(roots)
}

/// What an error says, and what to do about it if it is one of trust.
pub(super) fn explain(error: &ureq::Error) -> (String, Option<String>) {
    let text = match error {
        ureq::Error::HostNotFound => "the name of the host is not known".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        ureq::Error::Io(inner) => inner.to_string(),
        other => other.to_string(),
    };
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let hint = if has(&["NotValidYet", "not valid yet", "Expired", "expired"]) {
        Some("its certificate is not valid at this machine's time: is the clock right?")
    } else if has(&["UnknownIssuer"]) {
        Some(
            "its certificate is by an authority that is not trusted here: `ca` in [components] names a file with it",
        )
    } else if has(&["NotValidForName", "not valid for name"]) {
        Some("its certificate is for another name: is the address right, is a proxy in between?")
    } else {
        None
    };
    (text, hint.map(str::to_owned))
}
