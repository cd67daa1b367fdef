//! Serving certificates of addons that the API server speaks to, as metrics-server: masters issue them by the authority of
//! Kubernetes, which the APIService names as its `caBundle`, keep them in Secrets, and renew them a month before they end.
//!
//! The key exists in its Secret alone: on no medium, in no file. Masters do not speak to each other about it. Who finds nothing
//! makes one, and the API server takes the first and refuses the others.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::client::Client;
use crate::cluster::types::HostName;
use crate::error::{Error, IoContext as _, Result};
use crate::pki::{Authority, LeafSpec, PemKey, San, Signer, Usage};

/// The list, in the folder of the manifests.
const FILE: &str = "certificates.toml";
/// Most that the list may have, in bytes.
const LARGEST: u64 = 64 << 10;
/// Most certificates.
const MOST: usize = 50;
/// How long one lasts.
const LIFE: Duration = Duration::days(365);
/// One that ends within this time is issued anew.
const RENEW: Duration = Duration::days(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    certificate: Vec<Wanted>,
}

/// A certificate that an addon serves with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Namespace of the service and the Secret.
    namespace: HostName,
    /// Name of the service.
    service: HostName,
    /// Name of the Secret.
    secret: HostName,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.svc, in the Secret {}/{}", self.service, self.namespace, self.namespace, self.secret)
    }
}

impl Wanted {
    /// What the certificate says: the names by which clients in the cluster reach the service.
    fn spec(&self, domain: &str) -> LeafSpec {
        let name = format!("{}.{}.svc", self.service, self.namespace);
        let sans = BTreeSet::from([San::Dns(format!("{name}.{domain}")), San::Dns(name)]);
        LeafSpec {
            authority: Authority::Kubernetes,
            common_name: self.service.to_string(),
            organization: None,
            usage: Usage::Server,
            sans,
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }
}

/// The certificates that the addons of a folder want; none where there is no list.
pub fn load(folder: &Path) -> Result<Vec<Wanted>> {
    use std::io::Read as _;
    let path = folder.join(FILE);
    let mut text = String::new();
    match std::fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.at("opening", &path)?.take(LARGEST).read_to_string(&mut text).at("reading", &path)?,
    };
    parse(&text).map_err(|why| Error::input(format!("{}: {why}", path.display())))
}

fn parse(text: &str) -> Result<Vec<Wanted>, String> {
    let list: List = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if list.certificate.len() > MOST {
        return Err(format!("it lists more than {MOST} certificates"));
    }
    for one in &list.certificate {
        if one.service.as_str().contains('.') || one.namespace.as_str().contains('.') {
            return Err(format!("{one}: names of services and namespaces hold no dot"));
        }
        // Its bearer could be the API server to every client in the cluster.
        if (one.namespace.as_str(), one.service.as_str()) == ("default", "kubernetes") {
            return Err("the certificate of the API server itself is no addon's".to_owned());
        }
    }
    Ok(list.certificate)
}

/// Sees to it that the Secret holds a certificate that is good at `now` and for a while. Returns whether it was made anew.
pub fn ensure(
    client: &Client,
    signer: &Signer,
    wanted: &Wanted,
    domain: &str,
    now: OffsetDateTime,
) -> Result<bool> {
    let spec = wanted.spec(domain);
    let path = format!("{}/{}", wanted.path(), wanted.secret);
    let old = client.find(&path)?;
    if let Some((cert, key)) = old.as_ref().and_then(pair)
        && signer.vouches(&cert, &key, &spec, RENEW, now)
    {
        return Ok(false);
    }
    let new = signer.issue(&spec, LIFE, now)?;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data = json!({
        "tls.crt": encode(&new.cert),
        "tls.key": encode(new.key.expose()),
        "ca.crt": encode(signer.cert()),
    });
    let outcome = match old {
        // With its `resourceVersion`: if another master renewed it meanwhile, its certificate stays.
        Some(mut secret) => {
            secret["data"] = data;
            client.replace(&path, &secret)
        }
        None => client.create(
            &wanted.path(),
            &json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": { "name": wanted.secret.as_str(), "namespace": wanted.namespace.as_str() },
                "data": data,
            }),
        ),
    };
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if error.conflict() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Certificate and key of a Secret.
fn pair(secret: &Value) -> Option<(String, PemKey)> {
    let text = |key: &str| {
        let value = secret.get("data")?.get(key)?.as_str()?;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).ok()?).ok()
    };
    Some((text("tls.crt")?, PemKey::new(text("tls.key")?)))
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
