//! Makes keys and certificates by rcgen: ECDSA P-256, PKCS#8 (RFC 5958), X.509 v3 (RFC 5280). Touches no file.
//!
//! Keys need the kernel's random numbers, so this is the one part of kiln whose output differs from run to run; what it
//! makes is stored once, and media are reproducible from the store.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use super::cert::{Pair, PemKey};
use super::spec::{Authority, LeafSpec, San};
use crate::error::{Error, Result};

/// How long before they are made certificates begin, for machines whose clock is late.
pub const BACKDATE: Duration = Duration::days(1);

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How far the start of validity lies in the past, for machines whose clock is late.
    pub backdate: Duration,
    /// Validity of authorities from now on.
    pub authority: Duration,
    /// Validity of leaves and of the bootstrap token from now on; never beyond the authority's.
    pub leaf: Duration,
    /// Leaves that expire within this time are issued anew.
    pub renew_before: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            backdate: BACKDATE,
            authority: Duration::days(3650),
            leaf: Duration::days(365),
            renew_before: Duration::days(30),
        }
    }
}

/// A certificate and its key, both PEM.
#[derive(Debug)]
pub struct NewPair {
    /// Certificate.
    pub cert: String,
    /// Private key, PKCS#8.
    pub key: PemKey,
}

/// Makes an authority: self-signed, may sign leaves only (path length 0).
pub fn authority(which: Authority, cluster: &str, policy: &Policy, now: OffsetDateTime) -> Result<NewPair> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = params(Some(cluster), which.common_name());
    (params.not_before, params.not_after) = validity(policy.backdate, policy.authority, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let cert = params.self_signed(&key).map_err(failed)?;
    Ok(NewPair { cert: cert.pem(), key: PemKey::new(key.serialize_pem()) })
}

/// Makes a leaf signed by `ca`, which ends no later than `ca_end`.
pub fn leaf(
    spec: &LeafSpec,
    ca: &NewPair,
    ca_end: OffsetDateTime,
    policy: &Policy,
    now: OffsetDateTime,
) -> Result<NewPair> {
    let ca_key = KeyPair::from_pem(ca.key.expose()).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(&ca.cert, ca_key).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = params(spec.organization.as_deref(), &spec.common_name);
    let (start, end) = validity(policy.backdate, policy.leaf, now);
    (params.not_before, params.not_after) = (start, end.min(ca_end));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if spec.usage.server() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if spec.usage.client() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    for san in &spec.sans {
        params.subject_alt_names.push(match san {
            San::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
            San::Ip(address) => SanType::IpAddress(*address),
        });
    }
    let cert = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(NewPair { cert: cert.pem(), key: PemKey::new(key.serialize_pem()) })
}

/// An authority outside of a `pki` folder: on masters, which have the key of the Kubernetes authority.
#[derive(Debug)]
pub struct Signer {
    ca: NewPair,
    start: OffsetDateTime,
    end: OffsetDateTime,
}

impl Signer {
    /// Takes the certificate (PEM) and the key of an authority.
    pub fn new(cert: String, key: PemKey) -> Result<Self> {
        let wrong = |why: String| Error::input(format!("the authority cannot be used: {why}"));
        let facts = super::cert::read_facts(&cert).map_err(wrong)?;
        match public_half(&key) {
            Ok((public, _)) if public == facts.public_key && facts.authority => {
                Ok(Self { ca: NewPair { cert, key }, start: facts.not_before, end: facts.not_after })
            }
            _ => Err(wrong("it and its key do not belong together".to_owned())),
        }
    }

    /// Issues a leaf that lasts for `life` from `now` on. It is kept nowhere. Fails where the clock is before the authority's
    /// first second: what it issued would be good for nobody whose clock is right.
    pub fn issue(&self, spec: &LeafSpec, life: Duration, now: OffsetDateTime) -> Result<NewPair> {
        if now < self.start {
            return Err(Error::input(format!(
                "the clock says {now}, which is before the authority was made"
            ))
            .hint("set this machine's clock"));
        }
        let policy = Policy { backdate: Duration::minutes(5), leaf: life, ..Policy::default() };
        leaf(spec, &self.ca, self.end, &policy, now)
    }

    /// Whether a pair that lies elsewhere is what [`Signer::issue`] would give for `spec` by this authority, and still good for
    /// `least` from `now` on.
    pub fn vouches(
        &self,
        cert: &str,
        key: &PemKey,
        spec: &LeafSpec,
        least: Duration,
        now: OffsetDateTime,
    ) -> bool {
        let nowhere = std::path::Path::new("");
        let Ok(pair) = Pair::read((cert.to_owned(), nowhere), (key.clone(), nowhere)) else { return false };
        let facts = &pair.facts;
        // Where the authority itself ends soon, another leaf would end with it.
        let late = facts.not_after >= now + least || facts.not_after >= self.end;
        facts.matches(spec)
            && late
            && facts.not_before <= now
            && facts.not_after > now
            && super::cert::is_signed_by(cert, &self.ca.cert)
    }

    /// Certificate of the authority, PEM.
    pub fn cert(&self) -> &str {
        &self.ca.cert
    }
}

/// Makes the pair that signs service-account tokens: private key (PKCS#8) and public key (SubjectPublicKeyInfo), PEM.
pub fn service_account() -> Result<(PemKey, String)> {
    let key = KeyPair::generate().map_err(failed)?;
    Ok((PemKey::new(key.serialize_pem()), key.public_key_pem()))
}

/// Public half of a private key, as DER SubjectPublicKeyInfo and as PEM.
pub fn public_half(key: &PemKey) -> Result<(Vec<u8>, String)> {
    use rcgen::PublicKeyData as _;
    let pair = KeyPair::from_pem(key.expose()).map_err(failed)?;
    Ok((pair.subject_public_key_info(), pair.public_key_pem()))
}

fn params(organization: Option<&str>, common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    // RFC 5280 §4.2.1.1 demands it of conforming CAs, and strict verifiers check.
    params.use_authority_key_identifier_extension = true;
    params
}

/// X.509 counts whole seconds.
fn validity(backdate: Duration, length: Duration, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
    let now = now - Duration::nanoseconds(i64::from(now.nanosecond()));
    (now - backdate, now + length)
}

fn failed(error: rcgen::Error) -> Error {
    Error::internal("making a key or certificate failed").because(error)
}
