//! TLS between agents (rustls, TLS 1.2 and 1.3): both sides show a certificate of kiln's authority, always.
//!
//! The one thing that differs from ordinary verification is time. A machine with a dead clock believes that it is 1970, and
//! one with a clock an hour late may see a certificate of the future; both must still find their peers. So a certificate that
//! is "not yet valid" is judged as of its first second: that our authority signed it says that this time has come. The end of
//! validity, the authority, the names and the use are checked as ever.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::{Error, IoContext as _, Result};
use crate::pki::{AGENT_OF_NODE, AGENT_OF_POOL};

/// Who a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A machine of the inventory.
    Node(String),
    /// Some member of a worker pool.
    Pool(String),
}

/// Keys and certificates of one agent.
#[derive(Clone)]
pub struct Identity {
    client: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
    /// Who it is.
    pub peer: Peer,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.peer)
    }
}

impl Identity {
    /// Reads `/opt/kiln/ssl` below `root`.
    pub fn load(root: &Path) -> Result<Self> {
        let dir = root.join("opt/kiln/ssl");
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).at("reading", &path)
        };
        let fail = |what: &str, error: &dyn fmt::Display| {
            Error::input(format!("{} cannot be used: {what}: {error}", dir.display()))
                .hint("the files lie there as the medium brought them; put them back from it")
        };
        let ca = CertificateDer::from_pem_slice(&read("ca.pem")?).map_err(|error| fail("ca.pem", &error))?;
        let cert =
            CertificateDer::from_pem_slice(&read("agent.pem")?).map_err(|error| fail("agent.pem", &error))?;
        let key = PrivateKeyDer::from_pem_slice(&read("agent-key.pem")?)
            .map_err(|error| fail("agent-key.pem", &error))?;
        let peer = peer_of(&cert).ok_or_else(|| fail("agent.pem", &"it names no node and no pool"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(|error| fail("ca.pem", &error))?;
        let roots = Arc::new(roots);
        let client = client_config(&provider, &roots, cert.clone(), key.clone_key())
            .map_err(|error| fail("agent.pem", &error))?;
        // The certificate of a pool is no server's: nobody can ask a member of a pool.
        let server = match peer {
            Peer::Pool(_) => None,
            Peer::Node(_) => Some(Arc::new(
                server_config(&provider, &roots, cert, key).map_err(|error| fail("agent.pem", &error))?,
            )),
        };
        Ok(Self { client: Arc::new(client), server, peer })
    }

    /// For asking others.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// For being asked; none for members of pools.
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }
}

type TlsResult<T> = Result<T, rustls::Error>;

fn client_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> TlsResult<ClientConfig> {
    let inner = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Servers(inner)))
        .with_client_auth_cert(vec![cert], key)
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> TlsResult<ServerConfig> {
    let inner = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(Clients(inner)))
        .with_single_cert(vec![cert], key)?;
    // One question a connection: nothing to resume.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Who a certificate names, by its subject.
pub fn peer_of(cert: &CertificateDer<'_>) -> Option<Peer> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    let subject = cert.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    match subject.iter_organization().next()?.as_str().ok()? {
        AGENT_OF_NODE => Some(Peer::Node(name)),
        AGENT_OF_POOL => Some(Peer::Pool(name)),
        _ => None,
    }
}

/// The name under which an address is verified.
pub fn server_name(address: IpAddr) -> ServerName<'static> {
    ServerName::IpAddress(address.into())
}

/// The time to judge a certificate at: now, or its first second if that is later.
fn judged_at(cert: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
    let Ok((_, parsed)) = X509Certificate::from_der(cert) else { return now };
    let start = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs().max(start)))
}

#[derive(Debug)]
struct Servers(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> TlsResult<ServerCertVerified> {
        self.0.verify_server_cert(cert, between, name, ocsp, judged_at(cert, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> TlsResult<HandshakeSignatureValid> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> TlsResult<HandshakeSignatureValid> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct Clients(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> TlsResult<ClientCertVerified> {
        self.0.verify_client_cert(cert, between, judged_at(cert, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> TlsResult<HandshakeSignatureValid> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> TlsResult<HandshakeSignatureValid> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
