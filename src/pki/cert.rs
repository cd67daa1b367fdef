//! Reads certificates back (X.509, RFC 5280) and says what they allow; keys that do not show themselves.
//!
//! Reads only what kiln issues or is to judge: it is no path validator for foreign chains.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use super::issue;
use super::spec::{LeafSpec, San, Usage};
use crate::error::{Error, Result};

/// A private key in PEM. Its content is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PemKey(String);

impl PemKey {
    /// Takes a key.
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The key itself: for writing it to where it belongs, never for messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PemKey(hidden)")
    }
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Common name of the subject.
    pub common_name: String,
    /// Organisation of the subject.
    pub organization: Option<String>,
    /// Common name of the issuer.
    pub issuer: String,
    /// Whether it may sign certificates.
    pub authority: bool,
    /// What a leaf may be used for; `None` for authorities and for anything else.
    pub usage: Option<Usage>,
    /// Names and addresses.
    pub sans: BTreeSet<San>,
    /// First second of validity.
    pub not_before: OffsetDateTime,
    /// Last second of validity.
    pub not_after: OffsetDateTime,
    /// Public key, DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

impl Facts {
    /// Whether the certificate says what `spec` wants, whenever it is valid.
    pub fn matches(&self, spec: &LeafSpec) -> bool {
        !self.authority
            && self.common_name == spec.common_name
            && self.organization == spec.organization
            && self.usage == Some(spec.usage)
            && self.sans == spec.sans
    }
}

/// A certificate with its key, checked to belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Certificate, PEM.
    pub cert: String,
    /// Private key.
    pub key: PemKey,
    /// What the certificate says.
    pub facts: Facts,
}

impl Pair {
    /// Reads a pair and checks that the key is the certificate's. The paths are for messages.
    pub fn read(cert: (String, &Path), key: (PemKey, &Path)) -> Result<Self> {
        let facts = read_facts(&cert.0).map_err(|why| unusable(cert.1, &why))?;
        let (public, _) = issue::public_half(&key.0)
            .map_err(|_| unusable(key.1, "it is no ECDSA private key in PKCS#8"))?;
        if public != facts.public_key {
            return Err(Error::input(format!(
                "the key {} is not that of the certificate {}",
                key.1.display(),
                cert.1.display()
            ))
            .hint("restore both files from the same backup; for a leaf, moving its folder away makes kiln issue a new one"));
        }
        Ok(Pair { cert: cert.0, key: key.0, facts })
    }

    /// Whether this pair's certificate is signed by `authority`.
    pub fn signed_by(&self, authority: &Pair) -> bool {
        is_signed_by(&self.cert, &authority.cert)
    }
}

/// Whether the certificate `leaf` is signed by the authority whose certificate `authority` is; both PEM.
pub(super) fn is_signed_by(leaf: &str, authority: &str) -> bool {
    let verified = with_certificate(leaf, |leaf| {
        with_certificate(authority, |ca| {
            leaf.issuer() == ca.subject() && leaf.verify_signature(Some(ca.public_key())).is_ok()
        })
    });
    matches!(verified, Ok(Ok(true)))
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::input(format!("{} cannot be used: {why}", path.display()))
        .hint("restore it from a backup of the `pki` folder; kiln never overwrites what it finds there")
}

fn with_certificate<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<T, String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|_| "it is no PEM certificate".to_owned())?;
    let (rest, certificate) =
        X509Certificate::from_der(&block.contents).map_err(|_| "it is no X.509 certificate".to_owned())?;
    if block.label != "CERTIFICATE" || !rest.is_empty() {
        return Err("it is not one X.509 certificate".to_owned());
    }
    Ok(read(&certificate))
}

/// Reads what a PEM certificate says.
pub fn read_facts(pem: &str) -> Result<Facts, String> {
    with_certificate(pem, facts_of)?
}

fn facts_of(certificate: &X509Certificate<'_>) -> Result<Facts, String> {
    let sans = match certificate.subject_alternative_name() {
        Ok(None) => BTreeSet::new(),
        Ok(Some(names)) => names.value.general_names.iter().map(read_san).collect::<Result<_, _>>()?,
        Err(_) => return Err("its alternative names cannot be read".to_owned()),
    };
    let usage = match certificate.extended_key_usage() {
        Ok(Some(usage)) => match (usage.value.server_auth, usage.value.client_auth) {
            (true, true) => Some(Usage::ServerClient),
            (true, false) => Some(Usage::Server),
            (false, true) => Some(Usage::Client),
            (false, false) => None,
        },
        _ => None,
    };
    Ok(Facts {
        common_name: common_name(certificate.subject()),
        organization: certificate
            .subject()
            .iter_organization()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned),
        issuer: common_name(certificate.issuer()),
        authority: certificate.is_ca(),
        usage,
        sans,
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        public_key: certificate.public_key().raw.to_vec(),
    })
}

fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

fn read_san(name: &GeneralName<'_>) -> Result<San, String> {
    match name {
        GeneralName::DNSName(name) => Ok(San::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(|four| IpAddr::V4(Ipv4Addr::from(four)))
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(|all| IpAddr::V6(Ipv6Addr::from(all))))
            .map(San::Ip)
            .map_err(|_| "an alternative name is no address".to_owned()),
        _ => Err("it has an alternative name that is neither a DNS name nor an address".to_owned()),
    }
}
