//! URLs (RFC 3986): what a node would ask of a network. Allowed are the machine itself, the cluster's own addresses and names, and
//! URLs that are identifiers, which nobody fetches.

use std::net::IpAddr;

use crate::cluster::Cluster;

use super::text::{Format, Source};
use super::{Findings, Medium, Missing};

/// Schemes whose URLs name something that is fetched.
const SCHEMES: [&str; 10] = ["http", "https", "ftp", "ftps", "oci", "docker", "git", "rsync", "tftp", "s3"];

/// Beginnings of URLs that are names of something and are never asked: XML namespaces and document types, JSON schemas.
const IDENTIFIERS: [&str; 6] = [
    // XML, XHTML, XML Schema.
    "http://www.w3.org/",
    // D-Bus policies and introspection: their document types.
    "http://www.freedesktop.org/standards/",
    // RELAX NG.
    "http://relaxng.org/ns/",
    // OASIS: catalogs and DocBook.
    "http://docs.oasis-open.org/",
    // `$schema` of JSON documents.
    "http://json-schema.org/",
    "https://json-schema.org/",
];

/// Variables of `/opt/kiln/node.env`, which every unit may read: the machine's own address and name.
const OWN_VARIABLES: [&str; 2] = ["KILN_NODE_ADDRESS", "KILN_NODE_NAME"];

const REMEDY: &str = "put what it names on the medium and name it by path, or take it out; if nodes reach it all the same, \
                      say so with `# kiln: reachable` on the line before";

/// Finds URLs that lead out of the cluster.
pub(super) fn walk(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    for line in source.lines() {
        // Of a unit's documentation nothing but `systemctl help` makes use.
        let documentation =
            source.format == Format::Unit && line.text.trim_start().starts_with("Documentation=");
        if line.excused || documentation {
            continue;
        }
        for url in urls(&line.text) {
            if !is_identifier(url.text) && !is_own(medium.cluster, url.host) {
                let fault = format!("the URL {} leads out of the cluster", url.text.escape_debug());
                findings.add(Missing::Url, fault, REMEDY, source.at(line.number));
            }
        }
    }
}

/// A URL of a text.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    text: &'a str,
    host: &'a str,
}

fn urls(text: &str) -> Vec<Url<'_>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let start = text[..at]
            .rfind(|c| !scheme(c))
            .map_or(0, |end| end + text[end..].chars().next().map_or(1, char::len_utf8));
        let name = text[start..at].to_ascii_lowercase();
        // `git+https`, and words that run into the scheme.
        if !SCHEMES.iter().any(|known| name.rsplit(['+', '.', '-']).next() == Some(*known)) {
            continue;
        }
        let rest = &text[at + 3..];
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '|' | ';' | ',');
        let end = rest.find(ends).unwrap_or(rest.len());
        let authority = rest[..end].split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        found.push(Url { text: &text[start..at + 3 + end], host: without_port(host) });
    }
    found
}

/// A host without its port: `[::1]:80`, `${NAME}:80`, `host:80`.
fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default();
    }
    let host = host.split(':').next().unwrap_or_default();
    host.trim_end_matches([')', ']', '}', '.']).trim_start_matches("${").trim_start_matches('$')
}

fn is_identifier(url: &str) -> bool {
    IDENTIFIERS.iter().any(|known| url.starts_with(known))
}

/// Whether a host is the machine itself or the cluster.
fn is_own(cluster: &Cluster, host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        let own = |address| {
            address == cluster.vip
                || cluster.nodes.values().any(|node| node.address == address)
                || cluster.service_cidr.contains(&address)
                || cluster.pod_cidr.contains(&address)
        };
        return address.is_loopback()
            || address.is_unspecified()
            || matches!(address, IpAddr::V4(address) if own(address));
    }
    if OWN_VARIABLES.contains(&host) {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let domain = cluster.domain.to_string();
    let names = ["localhost", "kubernetes", "kubernetes.default"];
    let endings =
        [".svc".to_owned(), format!(".svc.{domain}"), format!(".pod.{domain}"), ".localhost".to_owned()];
    names.contains(&host.as_str())
        || cluster.nodes.keys().any(|name| name.as_str() == host)
        || endings.iter().any(|ending| host.len() > ending.len() && host.ends_with(ending.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<&str> {
        urls(text).into_iter().map(|url| url.host).collect()
    }

    #[test]
    fn urls_are_found_with_their_hosts() {
        assert_eq!(
            hosts("x=\"https://a.example:8443/b?c#d\" http://[::1]:80/ unix:///run/x file:///y"),
            ["a.example", "::1"]
        );
        assert_eq!(hosts("oci://r.example/x FTP://user:secret@f.example/"), ["r.example", "f.example"]);
        assert_eq!(
            hosts("git+https://g.example/x, https://${KILN_NODE_ADDRESS}:2379;"),
            ["g.example", "KILN_NODE_ADDRESS"]
        );
        assert_eq!(hosts("é://x http:// ://"), [""]);
        assert_eq!(urls("url --url=http://m.example/os/").first().unwrap().text, "http://m.example/os/");
        assert_eq!(hosts("(see https://a.example)"), ["a.example"]);
    }

    #[test]
    fn the_cluster_is_its_own() {
        let cluster = crate::testing::cluster();
        for own in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "localhost",
            "192.168.31.88",
            "192.168.31.71",
            "10.96.0.1",
            "10.244.3.4",
            "k8s-master1",
            "kubernetes.default.svc",
            "metrics-server.kube-system.svc.cluster.local",
            "KILN_NODE_ADDRESS",
        ] {
            assert!(is_own(&cluster, own), "{own}");
        }
        for other in [
            "192.168.31.9",
            "8.8.8.8",
            "::2",
            "example.org",
            "svc",
            ".svc",
            "x.cluster.local",
            "evil-k8s-master1",
            "HOST",
            "",
            "127.0.0.1.example.org",
            "kubernetes.default.svc.example.org",
        ] {
            assert!(!is_own(&cluster, other), "{other}");
        }
        assert!(
            is_identifier("http://www.w3.org/2001/XMLSchema")
                && !is_identifier("https://www.w3.org.example/")
        );
    }
}
