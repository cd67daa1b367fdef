//! What the manifests that masters apply ask of each other: accounts, configuration, Secrets, roles, services and namespaces that
//! pods cannot start without and that no one else makes. And that the cluster's DNS, which every kubelet is told of, is among them.
//!
//! Block-style YAML only; objects in JSON and in flow style are not looked into. What users apply later is not seen.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::text::{Format, Source};
use super::yaml::{self, Key};
use super::{Findings, Medium, Missing};

/// The folder of manifests on masters.
const FOLDER: &str = "/opt/kiln/addons/";
/// The list of certificates that masters issue and keep in Secrets.
const CERTIFICATES: &str = "/opt/kiln/addons/certificates.toml";
/// Configuration of the kubelet.
const KUBELET: &str = "/opt/kubernetes/cfg/kubelet-config.yml";
/// The unit that applies manifests.
const APPLIER: &str = "kiln-addons.service";

/// Namespaces, and roles, that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
const ROLES: [&str; 5] =
    ["admin", "cluster-admin", "edit", "extension-apiserver-authentication-reader", "view"];

const ADD: &str = "add a manifest with it to overlays/addons/opt/kiln/addons, or take out what asks for it";

/// An object of the cluster; a namespace of its own is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: String,
    namespace: String,
    name: String,
}

impl Object {
    fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn show(&self) -> String {
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("{} {place}{}", self.kind, self.name).escape_debug().to_string()
    }
}

#[derive(Debug, Default, Deserialize)]
struct Certificates {
    #[serde(default)]
    certificate: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    namespace: String,
    service: String,
    secret: String,
}

/// Finds objects that a manifest asks for and no manifest makes. Only on media of those who apply manifests.
pub(super) fn walk(medium: &Medium<'_>, sources: &[Source<'_>], findings: &mut Findings) {
    if !medium.plan.units.iter().any(|unit| unit == APPLIER) {
        return;
    }
    let mut made = BTreeSet::new();
    let mut asked = Vec::new();
    let mut addresses = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.starts_with(FOLDER)) {
        if source.path == CERTIFICATES {
            certificates(source, &mut made, &mut asked);
        } else if source.format == Format::Yaml {
            for keys in yaml::documents(&source.text) {
                let Some(object) = object(&keys) else { continue };
                asked.extend(wants(&object, &keys).into_iter().map(|(line, want)| (source.at(line), want)));
                if object.kind == "Service" {
                    addresses.extend(
                        keys.iter().filter(|key| key.name == "clusterIP").map(|key| key.value.to_owned()),
                    );
                }
                made.insert(object);
            }
        }
    }
    for (place, want) in asked {
        if !made.contains(&want) && !is_given(&want) {
            findings.add(Missing::Object, format!("no manifest makes the {}", want.show()), ADD, place);
        }
    }
    for source in sources.iter().filter(|source| source.path == KUBELET) {
        dns(source, &addresses, findings);
    }
}

/// What every cluster has, or what has a name of Kubernetes' own.
fn is_given(object: &Object) -> bool {
    match object.kind.as_str() {
        "Namespace" => NAMESPACES.contains(&object.name.as_str()),
        "ServiceAccount" => object.name == "default",
        "Role" | "ClusterRole" => object.name.starts_with("system:") || ROLES.contains(&object.name.as_str()),
        _ => false,
    }
}

/// The object that a document makes.
fn object(keys: &[Key<'_>]) -> Option<Object> {
    let kind = yaml::top(keys, "kind")?;
    let at = keys.iter().position(|key| key.depth == 0 && key.name == "metadata")?;
    let of = |name: &str| yaml::children(keys, at).find(|key| key.name == name).map(|key| key.value);
    let lives = !matches!(kind, "Namespace" | "ClusterRole" | "ClusterRoleBinding" | "APIService");
    let namespace = if lives { of("namespace").unwrap_or("default") } else { "" };
    Some(Object::new(kind, namespace, of("name")?))
}

/// What a document asks for, with the lines.
fn wants(object: &Object, keys: &[Key<'_>]) -> Vec<(usize, Object)> {
    let mut found = Vec::new();
    let space = object.namespace.as_str();
    for (at, key) in keys.iter().enumerate() {
        let inside = |name: &str| yaml::children(keys, at).find(|key| key.name == name).map(|key| key.value);
        let optional = inside("optional") == Some("true");
        let mut want = |kind: &str, namespace: &str, name: Option<&str>| {
            if let Some(name) = name.filter(|name| !name.is_empty() && !optional) {
                found.push((key.line, Object::new(kind, namespace, name)));
            }
        };
        match key.name {
            "namespace" if key.depth > 0 => want("Namespace", "", Some(key.value)),
            "serviceAccountName" => want("ServiceAccount", space, Some(key.value)),
            "secretName" => want("Secret", space, Some(key.value)),
            "configMap" | "configMapRef" | "configMapKeyRef" => want("ConfigMap", space, inside("name")),
            "secretRef" | "secretKeyRef" => want("Secret", space, inside("name")),
            "service" if object.kind == "APIService" => {
                want("Service", inside("namespace").unwrap_or("default"), inside("name"));
            }
            "roleRef" => {
                let kind = inside("kind").unwrap_or_default();
                want(kind, if kind == "Role" { space } else { "" }, inside("name"));
            }
            _ => {}
        }
    }
    found
}

fn certificates(source: &Source<'_>, made: &mut BTreeSet<Object>, asked: &mut Vec<(super::Asked, Object)>) {
    // What cannot be read here is said by what reads it.
    let list: Certificates = toml::from_str(&source.text).unwrap_or_default();
    for certificate in list.certificate {
        let wanted = format!("service = \"{}\"", certificate.service);
        let line = source.text.lines().position(|line| line.trim() == wanted).map_or(1, |at| at + 1);
        made.insert(Object::new("Secret", &certificate.namespace, &certificate.secret));
        asked.push((source.at(line), Object::new("Service", &certificate.namespace, &certificate.service)));
    }
}

/// Finds servers of DNS that the kubelet gives to pods and that no Service has.
fn dns(source: &Source<'_>, addresses: &BTreeSet<String>, findings: &mut Findings) {
    for keys in yaml::documents(&source.text) {
        let Some(at) = keys.iter().position(|key| key.depth == 0 && key.name == "clusterDNS") else {
            continue;
        };
        for key in yaml::children(&keys, at).filter(|key| key.item && !addresses.contains(key.value)) {
            let fault = format!("no manifest makes a Service with the address {}", key.value.escape_debug());
            let remedy =
                "pods ask it for every name: add a manifest of CoreDNS to overlays/addons/opt/kiln/addons";
            findings.add(Missing::Object, fault, remedy, source.at(key.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Vec<String> {
        let documents = yaml::documents(text);
        let object = object(&documents[0]).unwrap();
        wants(&object, &documents[0])
            .into_iter()
            .map(|(line, want)| format!("{line} {}", want.show()))
            .collect()
    }

    #[test]
    fn what_pods_and_bindings_ask_for() {
        let text = "kind: Deployment\nmetadata:\n  name: a\n  namespace: x\nspec:\n  serviceAccountName: b\n  volumes:\n    - name: v\n      configMap:\n        name: c\n    - name: w\n      secret:\n        secretName: d\n    - name: o\n      configMap:\n        name: e\n        optional: true\n";
        assert_eq!(
            wanted(text),
            ["4 Namespace x", "6 ServiceAccount x/b", "9 ConfigMap x/c", "13 Secret x/d"]
        );
        let text = "kind: RoleBinding\nmetadata:\n  name: a\nroleRef:\n  kind: Role\n  name: r\n";
        assert_eq!(wanted(text), ["4 Role default/r"]);
        let text =
            "kind: APIService\nmetadata:\n  name: v1.a\nspec:\n  service:\n    name: s\n    namespace: n\n";
        assert_eq!(wanted(text), ["5 Service n/s", "7 Namespace n"]);
        assert!(
            is_given(&Object::new("ClusterRole", "", "system:x"))
                && !is_given(&Object::new("ClusterRole", "", "x"))
        );
    }
}
