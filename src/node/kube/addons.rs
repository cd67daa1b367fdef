//! What every master gives the cluster: the first binding, bootstrap tokens as Secrets, the manifests of the addons, and the
//! labels of roles. All of it is applied on the server's side, so that masters that do the same at once converge.
//!
//! The administrators' group is bound by a certificate that lives in memory for an hour at most, and only where it is not bound
//! yet. Nothing that is secret is ever an argument or a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration as Wait;

use base64::Engine as _;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::approve::RECORD;
use super::certificates;
use super::client::{ApiResult, Client, Patch};
use super::config::{KubeConfig, Login};
use super::judge::owner;
use crate::cluster::types::Role;
use crate::error::{Error, IoContext as _, Result};
use crate::node::child;
use crate::node::inventory::Inventory;
use crate::pki::{Authority, BOOTSTRAP_GROUP, BootstrapToken, JoinTokens, Joiner, LeafSpec, Signer, Usage};
use crate::url::escape;

/// How long the certificate lasts that binds the administrators' group.
const BREAK_GLASS: Duration = Duration::minutes(30);
/// The binding of the administrators' group, as kubeadm calls it.
const ADMINS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:cluster-admins";
/// Most that a manifest may have, in bytes.
const LARGEST: u64 = 4 << 20;
/// Stands for the certificate of the Kubernetes authority, in base64, in a manifest.
const CA_BUNDLE: &str = "@KILN_CA_BUNDLE@";

/// Where a master has what the addons need.
#[derive(Debug, Clone)]
pub struct Places {
    /// Kubeconfig of the administrators.
    pub admin: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// Folder of manifests, applied in the order of their names.
    pub manifests: PathBuf,
    /// Folder that kubectl keeps its notes in.
    pub cache: PathBuf,
}

/// The addons of one cluster, as a master applies them.
#[derive(Debug)]
pub struct Addons {
    places: Places,
    config: KubeConfig,
    client: Client,
    signer: Signer,
    inventory: Inventory,
    tokens: JoinTokens,
    minor: u8,
}

impl Addons {
    /// Makes ready what is applied, from what lies on the master.
    pub fn new(places: Places, signer: Signer, inventory: Inventory, tokens: JoinTokens) -> Result<Self> {
        let config = KubeConfig::load(&places.admin)?;
        let client = Client::new(&config)?;
        let minor = super::minor(&inventory)?;
        Ok(Self { places, config, client, signer, inventory, tokens, minor })
    }

    /// Whether the API server of this machine is ready.
    pub fn ready(&self) -> ApiResult<()> {
        self.client.text("/readyz").map(|_| ())
    }

    /// Lets the administrators' group be administrators, if it is not. Returns whether it had to.
    pub fn bind_admins(&self, now: OffsetDateTime) -> Result<bool> {
        match self.client.get(ADMINS) {
            Ok(_) => return Ok(false),
            Err(error) if error.forbidden() || error.not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let spec = LeafSpec {
            authority: Authority::Kubernetes,
            common_name: "kiln-addons".to_owned(),
            organization: Some("system:masters".to_owned()),
            usage: Usage::Client,
            sans: BTreeSet::new(),
        };
        let pair = self.signer.issue(&spec, BREAK_GLASS, now)?;
        let config = KubeConfig { login: Login::Certificate(pair.cert, pair.key), ..self.config.clone() };
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "kubeadm:cluster-admins" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins" }],
        });
        Client::new(&config)?.patch(ADMINS, Patch::Apply, &binding)?;
        Ok(true)
    }

    /// Makes the Secrets of the bootstrap tokens, unless they have ended, and the record of who joined by which. Returns how
    /// many tokens are good.
    pub fn tokens(&self, now: OffsetDateTime) -> Result<usize> {
        let record = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": RECORD, "namespace": "kube-system" } });
        self.client.patch(
            &format!("/api/v1/namespaces/kube-system/configmaps/{RECORD}"),
            Patch::Apply,
            &record,
        )?;
        // Kubernetes deletes Secrets of tokens that have ended; made again they would come and go for ever.
        if self.tokens.expires() <= now {
            return Ok(0);
        }
        let mut made = 0;
        for (joiner, token) in self.tokens.iter() {
            let path = format!("/api/v1/namespaces/kube-system/secrets/bootstrap-token-{}", token.id());
            self.client.patch(&path, Patch::Apply, &token_secret(joiner, token)?)?;
            made += 1;
        }
        Ok(made)
    }

    /// When the bootstrap tokens end.
    pub fn tokens_end(&self) -> OffsetDateTime {
        self.tokens.expires()
    }

    /// Sees to the serving certificates that the addons list; says which were issued anew.
    pub fn certificates(&self, now: OffsetDateTime) -> Result<Vec<String>> {
        let mut issued = Vec::new();
        for wanted in certificates::load(&self.places.manifests)? {
            if certificates::ensure(&self.client, &self.signer, &wanted, &self.inventory.domain, now)? {
                issued.push(wanted.to_string());
            }
        }
        Ok(issued)
    }

    /// Manifests in the order in which they are applied.
    pub fn manifests(&self) -> Result<Vec<PathBuf>> {
        let folder = &self.places.manifests;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).at("reading the folder", folder)? {
            let path = entry.at("reading the folder", folder)?.path();
            if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "json")
            {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Applies one manifest by kubectl.
    pub fn apply(&self, manifest: &Path) -> Result<()> {
        let mut command = Command::new(&self.places.kubectl);
        command.env_clear().env("HOME", &self.places.cache).arg("--kubeconfig").arg(&self.places.admin);
        command.arg("--cache-dir").arg(&self.places.cache).arg("--request-timeout=30s");
        let text = self.text(manifest)?;
        command.args(apply_words(&text));
        let ended = child::run(command, text.as_bytes(), Wait::from_secs(180))?;
        if ended.success {
            return Ok(());
        }
        let words: Vec<&str> = ended.messages.split_whitespace().collect();
        let words: String = words.join(" ").chars().take(500).collect();
        Err(Error::tool(format!("applying {} failed: {words}", manifest.display())))
    }

    /// A manifest with the placeholders filled in.
    fn text(&self, manifest: &Path) -> Result<String> {
        use std::io::Read as _;
        let mut text = String::new();
        let file = std::fs::File::open(manifest).at("opening", manifest)?;
        file.take(LARGEST).read_to_string(&mut text).at("reading", manifest)?;
        let bundle = base64::engine::general_purpose::STANDARD.encode(self.signer.cert());
        Ok(text.replace(CA_BUNDLE, &bundle))
    }

    /// Gives nodes the labels of their roles, which a kubelet may not give itself. Returns the nodes that got one.
    pub fn label(&self) -> Result<Vec<String>> {
        let mut labelled = Vec::new();
        for node in self.client.list("/api/v1/nodes")? {
            let Some(name) = node.pointer("/metadata/name").and_then(Value::as_str) else { continue };
            let have = node.pointer("/metadata/labels").and_then(Value::as_object);
            let missing: BTreeMap<&str, &str> = role_labels(name, &self.inventory, self.minor)
                .into_iter()
                .filter(|label| have.is_none_or(|have| !have.contains_key(*label)))
                .map(|label| (label, ""))
                .collect();
            if missing.is_empty() {
                continue;
            }
            let change = json!({ "metadata": { "labels": missing } });
            match self.client.patch(&format!("/api/v1/nodes/{}", escape(name)), Patch::Merge, &change) {
                Ok(_) => labelled.push(name.to_owned()),
                Err(error) if error.not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(labelled)
    }
}

/// How kubectl applies a manifest. API servers of several minors, 1.20 among them, cannot apply an APIService on their side: the
/// handler dies and the client gets no answer (kubernetes/kubernetes#89264).
fn apply_words(text: &str) -> &'static [&'static str] {
    if text.lines().any(|line| line.trim_end() == "kind: APIService") {
        return &["apply", "-f", "-"];
    }
    &["apply", "--server-side", "--force-conflicts", "--field-manager=kiln", "-f", "-"]
}

/// The Secret of a token (kubernetes.io, "Authenticating with Bootstrap Tokens").
fn token_secret(joiner: &Joiner, token: &BootstrapToken) -> Result<Value> {
    let expires = token
        .expires()
        .format(&Rfc3339)
        .map_err(|error| Error::internal("writing a time failed").because(error))?;
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": { "name": format!("bootstrap-token-{}", token.id()), "namespace": "kube-system" },
        "data": {
            "token-id": base64(token.id().to_owned()),
            "token-secret": base64(token.secret().to_owned()),
            "expiration": base64(expires),
            "usage-bootstrap-authentication": base64("true".to_owned()),
            "auth-extra-groups": base64(format!("{BOOTSTRAP_GROUP},{}", joiner.group())),
            "description": base64(format!("kiln: the first certificate of {joiner}")),
        },
    }))
}

/// Labels of a node's role; none for a node that kiln does not know.
fn role_labels(name: &str, inventory: &Inventory, minor: u8) -> Vec<&'static str> {
    const MASTER: &str = "node-role.kubernetes.io/master";
    const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
    let master = inventory.node(name).is_some_and(|node| node.role == Role::Master);
    match owner(name, inventory) {
        None => Vec::new(),
        // The old name left in 1.24.
        Some(_) if master && minor < 24 => vec![CONTROL_PLANE, MASTER],
        Some(_) if master => vec![CONTROL_PLANE],
        Some(_) => vec!["node-role.kubernetes.io/worker"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    #[test]
    fn an_apiservice_is_not_applied_on_the_server() {
        let manifest = "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\n";
        assert!(!apply_words(manifest).contains(&"--server-side"));
        assert!(apply_words("kind: Deployment\n# kind: APIService\n").contains(&"--server-side"));
    }

    #[test]
    fn roles_are_labels() {
        let inventory = Inventory::of(&cluster());
        let labels = |name, minor| {
            role_labels(name, &inventory, minor).join(" ").replace("node-role.kubernetes.io/", "")
        };
        assert_eq!(labels("k8s-master1", 37), "control-plane");
        assert_eq!(labels("k8s-master1", 23), "control-plane master");
        assert_eq!(labels("k8s-worker1", 37), "worker");
        assert_eq!(labels("pool-a-0abc99", 37), "worker");
        assert_eq!(labels("stranger", 37), "");
        assert_eq!(labels("k8s-lb1", 37), "");
    }

    #[test]
    fn secrets_say_whose_token_it_is_and_when_it_ends() {
        let tokens = r#"{"format":1,"expires":"2027-01-01T00:00:00Z","tokens":[{"joiner":"node/a.b","token":"abcdef.0123456789abcdef"}]}"#;
        let tokens = JoinTokens::from_json(tokens, Path::new("t")).unwrap();
        let (joiner, token) = tokens.iter().next().unwrap();
        let secret = token_secret(joiner, token).unwrap();
        assert_eq!(secret["metadata"]["name"], "bootstrap-token-abcdef");
        let data = |key: &str| {
            let value = secret["data"][key].as_str()?;
            Some(String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).unwrap()).unwrap())
        };
        assert_eq!(data("expiration").unwrap(), "2027-01-01T00:00:00Z");
        let groups = "system:bootstrappers:kiln,system:bootstrappers:kiln:node:a:b";
        assert_eq!(data("auth-extra-groups").unwrap(), groups);
        assert_eq!(
            (data("token-id").unwrap(), data("token-secret").unwrap()),
            ("abcdef".into(), "0123456789abcdef".into())
        );
        assert_eq!(data("usage-bootstrap-signing"), None);
    }
}
