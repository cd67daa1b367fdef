//! Single values: texts to words, addresses, paths.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;

use super::super::findings::{At, shown};
use super::super::raw::{Labels, Text};
use super::super::rule::Rule;
use super::super::shape::join;
use super::super::types::{LabelKey, LabelValue};
use super::Check;
use std::collections::BTreeMap;

/// A checked value with its place.
pub(super) type Placed<T> = Option<(T, At)>;

/// The place of a text, under its key.
pub(super) fn at<T>(value: &Option<Spanned<T>>, key: &str) -> Option<At> {
    value.as_ref().map(|value| At::new(key, value.span()))
}

/// A table, or an empty one where it is missing.
pub(super) fn inner<T: Default>(table: Option<Spanned<T>>) -> T {
    table.map(Spanned::into_inner).unwrap_or_default()
}

/// Labels that the kubelet may set on its own node although their prefix is Kubernetes' own.
const KUBELET_MAY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "node.kubernetes.io/"];

impl Check<'_, '_> {
    /// A text that a type of its own parses; the type says which rule is broken.
    pub fn word<T: FromStr<Err = String>>(&mut self, text: &Text, key: &str, rule: Rule) -> Option<T> {
        let text = text.as_ref()?;
        match text.get_ref().parse() {
            Ok(value) => Some(value),
            Err(broken) => {
                let at = At::new(key, text.span());
                self.findings.error(
                    rule,
                    &at,
                    format!("`{key}` cannot be {}: {broken}", shown(text.get_ref())),
                );
                None
            }
        }
    }

    /// The same, with its place.
    pub fn placed<T: FromStr<Err = String>>(&mut self, text: &Text, key: &str, rule: Rule) -> Placed<T> {
        self.word(text, key, rule).zip(at(text, key))
    }

    /// An IPv4 address that a machine can have.
    pub fn address(&mut self, text: Option<&Spanned<String>>, key: &str) -> Placed<Ipv4Addr> {
        let text = text?;
        let at = At::new(key, text.span());
        let value = text.get_ref();
        match value.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if is_host(address) => return Some((address, at)),
            Ok(IpAddr::V4(_)) => {
                let message = format!("`{key}` cannot be {}: no machine has such an address", shown(value));
                self.findings.error(Rule::NotAHostAddress, &at, message);
            }
            Ok(IpAddr::V6(_)) => self.ipv4_only(&at, value),
            Err(_) if value.matches(':').count() > 1 => self.ipv4_only(&at, value),
            Err(_) => {
                let message = format!("`{key}` cannot be {}: it is no IPv4 address", shown(value));
                let added = self.findings.error(Rule::BadAddress, &at, message);
                if value.contains('/') {
                    added.hint("without the prefix, which stands in network.prefix");
                } else {
                    added.hint("an address is written like 192.168.31.71");
                }
            }
        }
        None
    }

    /// Reports IPv6 where kiln knows IPv4 only.
    pub fn ipv4_only(&mut self, at: &At, value: &str) {
        let message = format!("`{}` is {}: kiln builds IPv4 clusters only for now", at.key, shown(value));
        self.findings.error(Rule::Ipv4Only, at, message).hint("give an IPv4 address");
    }

    /// A path, relative to the folder of the file.
    pub fn path(&mut self, text: &Text, key: &str) -> Option<PathBuf> {
        let text = text.as_ref()?;
        let value = text.get_ref();
        if value.is_empty() || value.chars().any(char::is_control) {
            let at = At::new(key, text.span());
            let message = format!("`{key}` cannot be {}: it is no path", shown(value));
            self.findings
                .error(Rule::BadPath, &at, message)
                .hint("leave the key out if there is no such file");
            return None;
        }
        Some(self.dir.join(value))
    }

    /// Kubernetes labels of a node or pool.
    pub fn labels(&mut self, raw: &Labels, table: &str) -> BTreeMap<LabelKey, LabelValue> {
        let mut labels = BTreeMap::new();
        for (name, value) in raw {
            let key = join(&format!("{table}.labels"), name.get_ref());
            let parsed = name.get_ref().parse::<LabelKey>();
            if let Err(broken) = &parsed {
                let at = At::new(key.clone(), name.span());
                self.findings.error(
                    Rule::BadLabel,
                    &at,
                    format!("label {}: {broken}", shown(name.get_ref())),
                );
            } else if reserved(name.get_ref()) {
                let at = At::new(key.clone(), name.span());
                let message = format!("label {} is reserved for Kubernetes itself", shown(name.get_ref()));
                self.findings.error(Rule::ReservedLabel, &at, message).hint(
                    "the kubelet would refuse to start or to register with it; kiln sets the labels of roles itself, and \
                     yours go under a prefix of your own: example.com/tier",
                );
                continue;
            }
            let value = self.word::<LabelValue>(&Some(value.clone()), &key, Rule::BadLabel);
            if let (Ok(name), Some(value)) = (parsed, value) {
                labels.insert(name, value);
            }
        }
        labels
    }
}

/// Whether a machine can have an address: not 0/8, loopback, link-local, multicast or above.
fn is_host(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224 && !address.is_link_local()
}

/// Whether the kubelet refuses to set a label on its own node (`--node-labels`, NodeRestriction admission), or sets it itself.
fn reserved(label: &str) -> bool {
    let Some((prefix, _)) = label.split_once('/') else { return false };
    let own = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    (own("kubernetes.io") || own("k8s.io")) && !KUBELET_MAY.iter().any(|may| label.starts_with(may))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubernetes_itself_are_reserved() {
        for label in ["node-role.kubernetes.io/worker", "kubernetes.io/hostname", "x.k8s.io/a", "k8s.io/a"] {
            assert!(reserved(label), "{label}");
        }
        for label in ["tier", "example.com/tier", "topology.kubernetes.io/zone", "notkubernetes.io/a"] {
            assert!(!reserved(label), "{label}");
        }
    }

    #[test]
    fn addresses_that_no_machine_has_are_told() {
        for bad in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255"] {
            assert!(!is_host(bad.parse().unwrap()), "{bad}");
        }
        assert!(is_host(Ipv4Addr::new(10, 0, 0, 1)));
    }
}
