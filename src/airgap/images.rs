//! Images: who asks for them, and whether an archive of the medium gives them.
//!
//! Looked for: `image:` wherever it stands in YAML and JSON; the sandbox image in containerd's configuration (`sandbox_image`,
//! `pinned_images`), CRI-O's `pause_image`, and the flag of the kubelet and cri-dockerd; and every word that can be nothing but an
//! image's name in full, in arguments and variables of pods, in scripts and units.

use super::held::Lack;
use super::text::{Format, Line, Source};
use super::{Asked, Findings, Medium, Missing, yaml};
use crate::format::oci::Reference;

/// The flag that names the sandbox image.
const SANDBOX_FLAG: &str = "--pod-infra-container-image";
/// Keys of TOML that do.
const SANDBOX_KEYS: [&str; 2] = ["sandbox_image", "pause_image"];

const ADD: &str = "save it as an archive into `images` of the components folder, name it in `images` of [components], and \
                   pin it: `kiln fetch --update`";
const PULLS: &str = "the kubelet would ask a registry at every start: write `imagePullPolicy: IfNotPresent`";

/// Finds images that no archive gives, and policies that ask a registry all the same.
pub(super) fn walk(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    let lines = source.lines();
    for (line, name) in named(source, &lines) {
        judge(medium, &name, source.at(line), findings);
    }
    if matches!(source.format, Format::Yaml | Format::Json) {
        policies(source, &lines, findings);
    }
}

/// Holds the list of images that nodes load against what the archives give and what lies on the medium.
pub(super) fn listed(medium: &Medium<'_>, findings: &mut Findings) {
    let origin = "images that nodes load".to_owned();
    let asked = Asked { file: crate::node::images::LIST.to_owned(), line: None, origin };
    for (name, image) in medium.images.iter() {
        if !medium.files.contains(&image.archive) {
            let fault = format!("the archive {} with the image {name} is not on the medium", image.archive);
            findings.add(Missing::Image, fault, ADD, asked.clone());
        }
    }
    for name in medium.listed {
        judge(medium, name.as_str(), asked.clone(), findings);
    }
}

fn judge(medium: &Medium<'_>, name: &str, asked: Asked, findings: &mut Findings) {
    let shown = name.escape_debug();
    let (fault, remedy) = match medium.images.lack(name) {
        None => return,
        Some(Lack::Absent) => (format!("the image {shown} is not on the medium"), ADD),
        Some(Lack::NoName(why)) => {
            (format!("`{shown}` cannot be the name of an image ({why})"), "correct the name")
        }
        Some(Lack::Digest(held)) => (
            format!("the image {shown} is on the medium, but with the digest sha256:{held}"),
            "a registry shows the digest of an index of several platforms, an archive holds the manifest of one: write the \
             digest of the archive, or name the image by its tag",
        ),
        Some(Lack::NoDigest) => (
            format!("the image {shown} is on the medium, but cannot be had by digest"),
            "`docker load`, and archives in Docker's form, give images no digest: name it by its tag",
        ),
    };
    findings.add(Missing::Image, fault, remedy, asked);
}

/// Names of images with their lines.
pub(super) fn named(source: &Source<'_>, lines: &[Line]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut pinned = false;
    for (index, line) in lines.iter().enumerate() {
        let text = line.text.as_str();
        let mut add = |name: &str| {
            if !name.is_empty() {
                found.push((line.number, name.to_owned()));
            }
        };
        match source.format {
            Format::Yaml | Format::Json => {
                let next = lines.get(index + 1).map_or("", |line| line.text.as_str());
                image_values(text, next).into_iter().for_each(&mut add);
            }
            Format::Config => {
                if text.trim_start().starts_with('[') {
                    pinned = text.contains("pinned_images");
                }
                toml_image(text, pinned).into_iter().for_each(&mut add);
            }
            Format::Unit | Format::Script | Format::Xml => {}
        }
        for (at, _) in text.match_indices(SANDBOX_FLAG) {
            let rest = text[at + SANDBOX_FLAG.len()..].trim_start_matches(['=', ' ', '"', '\'']);
            add(rest
                .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ','))
                .next()
                .unwrap_or_default());
        }
        words(text).into_iter().filter(|word| is_full_name(word)).for_each(&mut add);
    }
    found.sort();
    found.dedup();
    found
}

/// What stands behind `image:` in a line of YAML or JSON; `next` is the line behind it.
fn image_values<'a>(text: &'a str, next: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, key) in text.match_indices("image") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| !(c.is_whitespace() || matches!(c, '{' | ',' | '"' | '\'' | '['))) {
            continue;
        }
        let behind = &text[at + key.len()..];
        let quoted = behind.starts_with(['"', '\'']);
        let Some(value) = behind.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':') else {
            continue;
        };
        // In YAML `image:x` is one word.
        if !quoted && value.chars().next().is_some_and(|c| !c.is_whitespace()) {
            continue;
        }
        let value = value.trim();
        if value.is_empty() || value.starts_with(['|', '>']) {
            found.extend(scalar_below(text, next));
        } else if !value.starts_with(['{', '[']) && value != "null" && value != "~" {
            // An anchor stands before the value it names.
            let value = value
                .strip_prefix('&')
                .map_or(value, |rest| rest.split_once(' ').map_or("", |(_, rest)| rest));
            found.push(scalar(value));
        }
    }
    found
}

/// A scalar that begins in the line below its key; nothing if a mapping or a list does.
fn scalar_below<'a>(key: &str, next: &'a str) -> Option<&'a str> {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let text = next.trim();
    let nested =
        text.starts_with("- ") || text.ends_with(':') || text.contains(": ") || text.starts_with(['{', '}']);
    (indent(next) > indent(key) && !nested && !text.is_empty()).then(|| scalar(text))
}

fn scalar(text: &str) -> &str {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split(quote).next().unwrap_or_default(),
        _ => {
            text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ']')).next().unwrap_or_default()
        }
    }
}

/// The image of a line of containerd's or CRI-O's configuration.
fn toml_image(text: &str, pinned: bool) -> Option<&str> {
    let (key, value) = text.split_once('=')?;
    let wanted = SANDBOX_KEYS.contains(&key.trim()) || (pinned && !key.trim().is_empty());
    wanted.then(|| scalar(value.trim()))
}

fn words(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-');
    text.split(|c| !part(c)).filter(|word| word.contains('/')).collect()
}

/// Whether a word is an image's name and nothing else: a registry with a dot, a path, and a tag or digest.
fn is_full_name(word: &str) -> bool {
    let Some((registry, _)) = word.split_once('/') else { return false };
    let host = registry.split(':').next().unwrap_or_default();
    let dotted = host.contains('.') && host.rsplit('.').next().is_some_and(|last| !last.is_empty());
    if !dotted || word.contains("://") || host.starts_with(['.', '-']) || host.contains('@') {
        return false;
    }
    match word.split_once('@') {
        Some((name, digest)) => digest.starts_with("sha256:") && name.parse::<Reference>().is_ok(),
        None => {
            let tag = word.rsplit_once(':').is_some_and(|(_, tag)| !tag.is_empty() && !tag.contains('/'));
            tag && word.parse::<Reference>().is_ok()
        }
    }
}

/// Finds containers whose image is pulled although it is there.
fn policies(source: &Source<'_>, lines: &[Line], findings: &mut Findings) {
    for line in lines {
        let words: String = line.text.chars().filter(|c| !matches!(*c, '"' | '\'' | ' ')).collect();
        if words.contains("imagePullPolicy:Always") {
            let fault = "`imagePullPolicy: Always` pulls an image that is there".to_owned();
            findings.add(Missing::Image, fault, PULLS, source.at(line.number));
        }
    }
    for keys in yaml::documents(&source.text) {
        for (at, key) in keys.iter().enumerate() {
            if key.name != "image" || !key.value.parse::<Reference>().is_ok_and(|name| name.tag() == "latest")
            {
                continue;
            }
            if !yaml::siblings(&keys, at).any(|other| other.name == "imagePullPolicy") {
                let fault =
                    format!("the image {} has the tag latest, and no policy", key.value.escape_debug());
                findings.add(Missing::Image, fault, PULLS, source.at(key.line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_image_keys() {
        let of = |text: &'static str| image_values(text, "");
        assert_eq!(of("        - image: \"a.b/c:1\""), ["a.b/c:1"]);
        assert_eq!(of("  image: busybox # comment"), ["busybox"]);
        assert_eq!(
            of("containers: [{name: x, image: a:1}, {\"image\":\"b:2\", 'image': 'c:3'}]"),
            ["a:1", "b:2", "c:3"]
        );
        assert_eq!(of("image: &anchor a:1"), ["a:1"]);
        for none in [
            "image-endpoint: x",
            "myimage: x",
            "image:",
            "image: {a: b}",
            "image: null",
            "images: x",
            "x.image: y",
            "image:x",
        ] {
            assert_eq!(of(none), [""; 0], "{none}");
        }
        assert_eq!(image_values("  image:", "    a:1"), ["a:1"]);
        assert_eq!(image_values("  image: >-", "    a:1"), ["a:1"]);
        assert_eq!(image_values("  image:", "    type: string"), [""; 0]);
        assert_eq!(image_values("  image:", "  name: x"), [""; 0]);
    }

    #[test]
    fn other_keys_that_name_images() {
        assert_eq!(toml_image("  sandbox_image = \"a:1\"", false), Some("a:1"));
        assert_eq!(toml_image("  sandbox = 'a:1'", true), Some("a:1"));
        assert_eq!(toml_image("  sandbox = 'a:1'", false), None);
    }

    #[test]
    fn full_names_are_told_from_other_words() {
        let digest = format!("quay.io/a/b@sha256:{}", "0".repeat(64));
        for name in ["registry.k8s.io/pause:3.2", "r.example:5000/a/b:v1", &digest] {
            assert!(is_full_name(name), "{name}");
        }
        for other in [
            "rbac.authorization.k8s.io/v1",
            "kubernetes.io/os:",
            "node-role.kubernetes.io/control-plane",
            "/opt/x.y/z:1",
            "https://a.example/b:1",
            "user@a.example/b:1",
            "a/b:1",
            "10.0.0.0/16",
            "a.b/C:1",
        ] {
            assert!(!is_full_name(other), "{other}");
        }
        assert_eq!(words("--x=r.example/a:1,b \"c/d:2\""), ["r.example/a:1", "c/d:2"]);
    }
}
