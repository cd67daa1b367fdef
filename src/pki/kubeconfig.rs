//! Writes kubeconfig files (`v1 Config`), with certificates and keys inside, so that one file is one credential.

use base64::Engine as _;

use super::cert::PemKey;

/// How a client proves who it is.
pub enum Credential<'a> {
    /// Certificate and key, PEM.
    Certificate(&'a str, &'a PemKey),
    /// Bootstrap token.
    Token(&'a str),
}

/// Writes a kubeconfig for `user` at the API at `server`, which `ca` (PEM) vouches for. The values are kiln's own: checked
/// names, addresses and base64, none of which YAML reads otherwise inside quotes.
pub fn write(cluster: &str, server: &str, ca: &str, user: &str, credential: &Credential<'_>) -> String {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let ca = base64(ca);
    let credential = match credential {
        Credential::Certificate(cert, key) => format!(
            "client-certificate-data: \"{}\"\n    client-key-data: \"{}\"",
            base64(cert),
            base64(key.expose())
        ),
        Credential::Token(token) => format!("token: \"{token}\""),
    };
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: \"{cluster}\"
  cluster:
    certificate-authority-data: \"{ca}\"
    server: \"{server}\"
users:
- name: \"{user}\"
  user:
    {credential}
contexts:
- name: \"{user}@{cluster}\"
  context:
    cluster: \"{cluster}\"
    user: \"{user}\"
current-context: \"{user}@{cluster}\"
"
    )
}
