//! What a certificate signing request says: the Kubernetes object around it and the PKCS#10 (RFC 2986) inside.
//!
//! Only what kubelets ask for is read: a subject of common names and organisations, and alternative names that are DNS names or
//! addresses. Anything else (a second attribute, another extension, an e-mail address, a URI) is an error and not passed over,
//! because the signer may read more than this does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use serde_json::Value;
use x509_parser::prelude::{
    FromDer as _, GeneralName, ParsedCriAttribute, ParsedExtension, X509CertificationRequest, X509Name,
};

/// Largest request that is read, DER.
const LARGEST: usize = 8 << 10;
/// Most alternative names that are read.
const MOST_NAMES: usize = 16;

/// Signer of kubelets' client certificates.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signer of kubelets' serving certificates.
pub const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// A CertificateSigningRequest of the API, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Name of the object.
    pub name: String,
    /// Who is to sign.
    pub signer: String,
    /// Who asks; the API server wrote it.
    pub username: String,
    /// Groups of who asks; the API server wrote them.
    pub groups: Vec<String>,
    /// What the certificate is to be used for.
    pub usages: Vec<String>,
    /// The PKCS#10, PEM in base64, as it stands in the object.
    pub encoded: String,
}

impl Request {
    /// Reads an object of the API.
    pub fn of(object: &Value) -> Self {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let texts = |at: &str| -> Vec<String> {
            let list = object.pointer(at).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            name: text("/metadata/name"),
            signer: text("/spec/signerName"),
            username: text("/spec/username"),
            groups: texts("/spec/groups"),
            usages: texts("/spec/usages"),
            encoded: text("/spec/request"),
        }
    }

    /// What the PKCS#10 asks for.
    pub fn asked(&self) -> Result<Asked, String> {
        // Four letters of base64 are three bytes, and PEM is base64 again.
        if self.encoded.len() > 2 * LARGEST {
            return Err(format!("it has {} bytes", self.encoded.len()));
        }
        let pem = base64::engine::general_purpose::STANDARD
            .decode(&self.encoded)
            .map_err(|_| "it is no base64".to_owned())?;
        Asked::read(&pem)
    }
}

/// What a PKCS#10 asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Common name.
    pub common_name: String,
    /// Organisations.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

impl Asked {
    /// Reads a PEM request and checks that who made it has the key.
    fn read(pem: &[u8]) -> Result<Self, String> {
        let (rest, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| "it is no PEM".to_owned())?;
        if block.label != "CERTIFICATE REQUEST" || !rest.iter().all(u8::is_ascii_whitespace) {
            return Err("it is not one PEM certificate request".to_owned());
        }
        let (rest, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|_| "it is no PKCS#10 request".to_owned())?;
        if !rest.is_empty() || block.contents.len() > LARGEST {
            return Err("it is not one PKCS#10 request".to_owned());
        }
        request.verify_signature().map_err(|_| "its signature is not by its own key".to_owned())?;
        let mut asked = Self::default();
        asked.subject(&request.certification_request_info.subject)?;
        match request.certification_request_info.attributes() {
            [] => {}
            [one] => match one.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(wanted) => {
                    let extensions: Vec<_> =
                        wanted.extensions.iter().map(|extension| extension.parsed_extension()).collect();
                    asked.extensions(&extensions)?;
                }
                _ => return Err("it has an attribute that no kubelet writes".to_owned()),
            },
            _ => return Err("it has several attributes".to_owned()),
        }
        Ok(asked)
    }

    fn subject(&mut self, name: &X509Name<'_>) -> Result<(), String> {
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            value.as_str().map(str::to_owned).map_err(|_| "its subject is no text".to_owned())
        };
        let all = name.iter_attributes().count();
        let names = name.iter_common_name().map(text).collect::<Result<Vec<_>, _>>()?;
        self.organizations = name.iter_organization().map(text).collect::<Result<_, _>>()?;
        match <[String; 1]>::try_from(names) {
            Ok([name]) if all == 1 + self.organizations.len() => {
                self.common_name = name;
                Ok(())
            }
            _ => Err("its subject is not one common name and organisations".to_owned()),
        }
    }

    fn extensions(&mut self, extensions: &[&ParsedExtension<'_>]) -> Result<(), String> {
        let names = match extensions {
            [] => return Ok(()),
            [ParsedExtension::SubjectAlternativeName(names)] => &names.general_names,
            _ => return Err("it wants an extension besides alternative names".to_owned()),
        };
        if names.len() > MOST_NAMES {
            return Err(format!("it wants {} alternative names", names.len()));
        }
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => self.addresses.push(address(bytes)?),
                _ => return Err("it wants a name that is neither a DNS name nor an address".to_owned()),
            }
        }
        Ok(())
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, String> {
    <[u8; 4]>::try_from(bytes)
        .map(|four| IpAddr::V4(Ipv4Addr::from(four)))
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(|all| IpAddr::V6(Ipv6Addr::from(all))))
        .map_err(|_| "it wants an address that is none".to_owned())
}

/// Whether a request has been approved or denied, by anyone.
pub fn decided(object: &Value) -> bool {
    conditions(object).any(|kind| matches!(kind, "Approved" | "Denied"))
        || object.pointer("/status/certificate").is_some_and(|value| !value.is_null())
}

/// What kiln said when it denied a request; `None` if it did not.
pub fn refusal(object: &Value) -> Option<&str> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array)?;
    let is = |item: &Value, key: &str, want: &str| item.get(key).and_then(Value::as_str) == Some(want);
    let ours = |item: &&Value| is(item, "type", "Denied") && is(item, "reason", super::approve::REFUSED);
    list.iter().find(ours)?.get("message")?.as_str()
}

fn conditions(object: &Value) -> impl Iterator<Item = &str> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|item| item.get("type").and_then(Value::as_str))
}
