//! Names of images: `registry.k8s.io/pause:3.10`.

use std::fmt;
use std::str::FromStr;

/// The name of an image in full: registry, path and tag, as a pod's `image:` must say it to the letter. Short names are
/// completed as Docker does: `busybox` is `docker.io/library/busybox:latest`. Names by digest are not taken: an archive
/// gives an image a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    full: String,
    /// Where the tag begins.
    tag: usize,
}

impl Reference {
    /// The whole name: `docker.io/library/busybox:1.36`.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The registry: `docker.io`.
    pub fn registry(&self) -> Registry {
        Registry(self.full.split('/').next().unwrap_or_default().to_owned())
    }

    /// The path in the registry: `library/busybox`.
    pub fn repository(&self) -> &str {
        let from = self.full.find('/').map_or(0, |at| at + 1);
        &self.full[from..self.tag - 1]
    }

    /// The tag: `1.36`.
    pub fn tag(&self) -> &str {
        &self.full[self.tag..]
    }
}

/// A registry: a host name with or without a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(String);

impl Registry {
    /// As names of images have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Registry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.contains(['.', ':']) || text == "localhost";
        if !is_registry(text) || !named || text.len() > 255 {
            return Err(format!("`{}` is no registry: it is written like docker.io", text.escape_debug()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl FromStr for Reference {
    type Err = String;

    /// Reads a name by the grammar of distribution/reference.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` is no name of an image: {why}", text.escape_debug());
        if text.len() > 255 {
            return Err(wrong("it is longer than 255 characters"));
        }
        if text.contains('@') {
            return Err(wrong("a name by digest cannot be given to an image of an archive; write a tag"));
        }
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        if !is_tag(tag) {
            return Err(wrong("a tag has letters, digits, `_`, `.`, `-`, at most 128"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        if !is_registry(registry) {
            return Err(wrong("the registry is no host name with or without a port"));
        }
        if !path.split('/').all(is_part) {
            return Err(wrong(
                "its path has lower-case letters and digits, with `.`, `_`, `__` or `-` between",
            ));
        }
        let full = format!("{registry}/{path}:{tag}");
        Ok(Self { tag: full.len() - tag.len(), full })
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(word) && tag.len() <= 128 && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = registry.split_once(':').map_or((registry, "1"), |(host, port)| (host, port));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.split('.').all(label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_part(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let joints = part.split(inner).filter(|joint| !joint.is_empty());
    part.starts_with(inner)
        && part.ends_with(inner)
        && joints
            .into_iter()
            .all(|joint| matches!(joint, "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("coredns/coredns:1.7.0", "docker.io/coredns/coredns:1.7.0"),
            ("registry.k8s.io/coredns/coredns:v1.14.6", "registry.k8s.io/coredns/coredns:v1.14.6"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a:b", "localhost:5000/a:b"),
            ("10.0.0.1:5000/a/b__c-d", "10.0.0.1:5000/a/b__c-d:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.as_str(), full);
            assert_eq!(full.parse::<Reference>().unwrap(), reference);
            assert!(full.ends_with(&format!(":{}", reference.tag())));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for bad in [
            "",
            ":",
            "a:",
            "A",
            "a:b c",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a/../b",
            "a\n",
            "-a",
            "a.",
            "a:-b",
            "a___b",
            "host.:1/a",
            "host:x/a.b/c",
            "a@sha256:00",
            "é",
            &long,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }
}
