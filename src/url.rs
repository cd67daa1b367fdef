//! Addresses of files: `https:`, `http:` and `file:`, as far as kiln uses them (RFC 3986, RFC 8089). No user names or passwords, no
//! fragments, nothing that a header or a terminal would stumble over.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A checked address. Shown as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(String);

impl Url {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a `file:` address.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.strip_prefix("file://").map(PathBuf::from)
    }

    /// Host and port as written: `example.org:5000`; empty for a file.
    pub fn host(&self) -> &str {
        self.rest().split(['/', '?']).next().unwrap_or_default()
    }

    /// Whether it is carried by TLS, or stays on this machine.
    pub fn is_private(&self) -> bool {
        let name = self.host().rsplit_once(':').map_or(self.host(), |(name, _)| name);
        self.0.starts_with("https:") || matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        let path = self.0.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// The address of the same file on a mirror: host and path behind the mirror's own address.
    pub fn below(&self, mirror: &Url) -> Url {
        if self.file().is_some() {
            return self.clone();
        }
        Url(format!("{}/{}", mirror.0.trim_end_matches('/'), self.rest()))
    }

    /// An address with a path added.
    pub fn join(&self, path: &str) -> Result<Url, String> {
        format!("{}/{path}", self.0.trim_end_matches('/')).parse()
    }

    /// Whether headers for one may go to the other: scheme, host and port are the same.
    pub fn same_host(&self, other: &Url) -> bool {
        self.scheme() == other.scheme() && self.host().eq_ignore_ascii_case(other.host())
    }

    /// Where a redirect leads (RFC 9110 §10.2.2). From TLS it leads to TLS only, and never to a file.
    pub fn follow(&self, to: &str) -> Result<Url, String> {
        let to = to.split('#').next().unwrap_or_default();
        let next = if to.contains("://") {
            to.to_owned()
        } else if let Some(rest) = to.strip_prefix("//") {
            format!("{}://{rest}", self.scheme())
        } else if to.starts_with('/') {
            format!("{}://{}{to}", self.scheme(), self.host())
        } else {
            let path = self.0.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
            format!("{folder}/{to}")
        };
        let next: Url = next.parse()?;
        match (self.scheme(), next.scheme()) {
            ("https", "http") => Err(format!("`{next}` is not encrypted")),
            (_, "file") => Err(format!("`{next}` is a file")),
            _ => Ok(next),
        }
    }

    fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Behind `://`.
    fn rest(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, rest)| rest)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` is no address: {why}", text.escape_debug());
        if text.len() > 2048 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it is too long, or has blanks or other characters that need escapes"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("write https://…, http://… or file:///…"));
        };
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        match scheme {
            "file" if rest.starts_with('/') => {}
            "file" => return Err(wrong("a file's path begins with /: file:///srv/mirror")),
            "http" | "https" if host.contains('@') => {
                return Err(wrong("a name and password in it would end up in kiln.lock and in messages"));
            }
            "http" | "https" => {
                let plain =
                    |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
                if host.is_empty() || host.starts_with([':', '-']) || !host.chars().all(plain) {
                    return Err(wrong("its host is none"));
                }
            }
            _ => return Err(wrong("write https://…, http://… or file:///…")),
        }
        if text.contains(['#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(wrong("it has a fragment, or characters that need escapes"));
        }
        if rest.split(['/', '?']).any(|part| part == "..") {
            return Err(wrong("it has a `..` part"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "example.org/x",
            "ftp://example.org/x",
            "https://",
            "https:///x",
            "https://user:secret@example.org/x",
            "https://example.org/a b",
            "https://example.org/a\nb",
            "https://example.org/../etc",
            "https://example.org/x#y",
            "file://relative",
            "https://-x/",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
        assert!(!"https://user:secret@example.org/x".parse::<Url>().unwrap_err().is_empty());
    }

    #[test]
    fn a_mirror_holds_files_by_host_and_path() {
        let mirror = url("http://10.0.0.1:8000/kiln/");
        assert_eq!(
            url("https://dl.k8s.io/v1.2.3/kubelet").below(&mirror).as_str(),
            "http://10.0.0.1:8000/kiln/dl.k8s.io/v1.2.3/kubelet"
        );
        let disk = url("file:///srv/mirror");
        let there = url("https://dl.k8s.io/v1.2.3/kubelet").below(&disk);
        assert_eq!(there.file().unwrap(), PathBuf::from("/srv/mirror/dl.k8s.io/v1.2.3/kubelet"));
    }

    #[test]
    fn redirects_lead_where_they_may() {
        let from = url("https://a.example:8443/one/two?x=1");
        for (to, end) in [
            ("https://b.example/z?token=1", "https://b.example/z?token=1"),
            ("//b.example/z", "https://b.example/z"),
            ("/z#part", "https://a.example:8443/z"),
            ("z", "https://a.example:8443/one/z"),
        ] {
            assert_eq!(from.follow(to).unwrap().as_str(), end);
        }
        for to in ["http://b.example/z", "file:///etc/passwd", "gopher://x/", "https://u@b.example/"] {
            assert!(from.follow(to).is_err(), "{to}");
        }
        assert!(
            from.same_host(&url("https://A.example:8443/y")) && !from.same_host(&url("https://a.example/y"))
        );
    }
}
