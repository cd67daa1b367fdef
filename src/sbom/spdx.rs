//! SPDX 2.3 (ISO/IEC 5962), in JSON: packages, files and how they belong together. Sorted; the same medium gives the same text.
//!
//! The time of the document is the medium's own (`created`): when its newest certificate was made, or the epoch if it has none. The
//! namespace is made of the build id and leads nowhere (RFC 2606, `.invalid`). Licences are those the catalogue says, else
//! NOASSERTION: kiln has read no licence. Archives with secrets are files here, and nothing is said of what they hold.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha1::Digest as _;

use super::parts::{Image, Package};
use super::{Bill, Sums};
use crate::digest::Sha256;
use crate::payload::KILN;
use crate::payload::manifest::Manifest;

const NONE: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const MEDIUM: &str = "SPDXRef-Medium";
const BASE: &str = "SPDXRef-Base";
const OWN: &str = "SPDXRef-kiln";

/// The document of a medium.
pub fn document(bill: &Bill) -> Value {
    let manifest = &bill.manifest;
    let mut out = Document::default();
    out.relate(DOCUMENT, "DESCRIBES", MEDIUM);
    let payload: Vec<String> = bill.files.iter().map(|(path, sums)| out.file("Medium", path, sums)).collect();
    out.package(medium(manifest), &payload, bill.files.values());
    out.package(base(manifest), &[], [].into_iter());
    out.relate(MEDIUM, "CONTAINS", BASE);
    if let Some((at, sums)) = bill.files.keys().position(|path| path == KILN).zip(bill.files.get(KILN)) {
        out.package(own(manifest), &payload[at..=at], std::iter::once(sums));
        out.relate(MEDIUM, "CONTAINS", OWN);
    }
    for (name, component) in &bill.parts.components {
        let known = component.files.keys().filter_map(|path| Some((path, bill.programs.get(path)?)));
        let known: BTreeMap<&String, &Sums> = known.collect();
        let files: Vec<String> = known.iter().map(|(path, sums)| out.file("Node", path, sums)).collect();
        let id = reference("Component", name);
        let license = component.license.as_deref().unwrap_or(NONE);
        let package = package(&id, name, Some(&component.version), "APPLICATION", license);
        out.package(package, &files, known.into_values());
        out.relate(MEDIUM, "CONTAINS", &id);
    }
    for (number, (name, image)) in bill.parts.images.iter().enumerate() {
        let id = reference("Image", &format!("{number}-{name}"));
        out.package(of_image(&id, name, image), &[], [].into_iter());
        out.relate(MEDIUM, "CONTAINS", &id);
    }
    for (number, (path, rpm)) in bill.parts.packages.iter().enumerate() {
        let id = reference("Rpm", &format!("{number}-{}", rpm.name));
        let file = bill.files.keys().position(|known| known == path).zip(bill.files.get(path));
        let (files, sums) = file.map_or((&[][..], None), |(at, sums)| (&payload[at..=at], Some(sums)));
        out.package(of_rpm(&id, path, rpm), files, sums.into_iter());
        out.relate(MEDIUM, "CONTAINS", &id);
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": manifest.label.as_str(),
        "documentNamespace": format!("https://kiln.invalid/sbom/{}", manifest.build_id),
        "creationInfo": {
            "created": created(manifest),
            "creators": [format!("Tool: kiln-{}", manifest.kiln)],
            "comment": "The time is the medium's: when its newest certificate was made; the epoch if it has none.",
        },
        "packages": out.packages,
        "files": out.files.into_values().collect::<Vec<_>>(),
        "relationships": out.relationships,
    })
}

/// When a medium was made, as far as it says so itself.
fn created(manifest: &Manifest) -> String {
    manifest.validity.map_or("1970-01-01T00:00:00Z".to_owned(), |validity| validity.made.to_string())
}

#[derive(Debug, Default)]
struct Document {
    packages: Vec<Value>,
    files: BTreeMap<String, Value>,
    relationships: Vec<Value>,
}

impl Document {
    /// Adds a file; gives its id. `space` keeps paths on the medium and on nodes apart.
    fn file(&mut self, space: &str, path: &str, sums: &Sums) -> String {
        // Paths that differ only in what an id cannot hold have two ids all the same.
        let mark = &Sha256::of(path.as_bytes()).to_string()[..8];
        let id = reference(&format!("File-{space}"), &format!("{path}-{mark}"));
        let file = json!({
            "SPDXID": id,
            "fileName": format!(".{path}"),
            "checksums": [
                { "algorithm": "SHA1", "checksumValue": hex(&sums.sha1) },
                { "algorithm": "SHA256", "checksumValue": sums.sha256.to_string() },
            ],
            "licenseConcluded": NONE,
            "licenseInfoInFiles": [NONE],
            "copyrightText": NONE,
        });
        self.files.insert(id.clone(), file);
        id
    }

    /// Adds a package, and its files if it has any; without it counts as not analysed (7.8).
    fn package<'a>(&mut self, mut package: Value, files: &[String], sums: impl Iterator<Item = &'a Sums>) {
        let id = package["SPDXID"].as_str().unwrap_or_default().to_owned();
        package["filesAnalyzed"] = json!(!files.is_empty());
        if !files.is_empty() {
            package["packageVerificationCode"] =
                json!({ "packageVerificationCodeValue": verification(sums) });
            package["licenseInfoFromFiles"] = json!([NONE]);
        }
        self.packages.push(package);
        files.iter().for_each(|file| self.relate(&id, "CONTAINS", file));
    }

    fn relate(&mut self, from: &str, how: &str, to: &str) {
        self.relationships.push(json!({
            "spdxElementId": from,
            "relationshipType": how,
            "relatedSpdxElement": to,
        }));
    }
}

fn package(id: &str, name: &str, version: Option<&str>, purpose: &str, license: &str) -> Value {
    let mut package = json!({
        "SPDXID": id,
        "name": name,
        "downloadLocation": NONE,
        "licenseConcluded": NONE,
        "licenseDeclared": license,
        "copyrightText": NONE,
        "primaryPackagePurpose": purpose,
    });
    if let Some(version) = version {
        package["versionInfo"] = json!(version);
    }
    package
}

/// What kiln put on the medium.
fn medium(manifest: &Manifest) -> Value {
    let id = manifest.build_id.to_string();
    let mut package = package(MEDIUM, manifest.label.as_str(), Some(&id), "INSTALL", NONE);
    package["summary"] = json!(format!(
        "Install medium for nodes of profile {} of cluster {}, Kubernetes {}",
        manifest.role, manifest.cluster, manifest.kubernetes
    ));
    package
}

/// The vendor's medium, of whose parts nothing is known here.
fn base(manifest: &Manifest) -> Value {
    let mut package = package(BASE, &manifest.release.to_string(), None, "OPERATING-SYSTEM", NONE);
    package["comment"] =
        json!("The vendor's install medium; its packages are told by its own repository metadata.");
    package
}

/// kiln's own program.
fn own(manifest: &Manifest) -> Value {
    package(OWN, "kiln", Some(&manifest.kiln), "APPLICATION", env!("CARGO_PKG_LICENSE"))
}

fn of_image(id: &str, name: &str, image: &Image) -> Value {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let mut package = package(id, repository, Some(tag), "CONTAINER", NONE);
    package["packageFileName"] = json!(format!(".{}", image.archive));
    if let Some(digest) = image.digest {
        package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": digest.to_string() }]);
        package["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(repository, tag, digest),
        }]);
    }
    package["comment"] = json!(format!("Its configuration is sha256:{}", image.id));
    package
}

/// An added package. Its words for its licence are no SPDX expression, so they are told as a comment.
fn of_rpm(id: &str, path: &str, rpm: &Package) -> Value {
    let mut package = package(id, &rpm.name, Some(&rpm.version), "INSTALL", NONE);
    package["packageFileName"] = json!(format!(".{path}"));
    package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": rpm.sha256.to_string() }]);
    package["licenseComments"] = json!(format!("The package says: {}", rpm.license));
    package["comment"] = json!(format!("Architecture {}", rpm.arch));
    package
}

/// The package URL of an image (purl-spec, type `oci`).
fn purl(repository: &str, tag: &str, digest: Sha256) -> String {
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let url = repository.replace(':', "%3A").replace('/', "%2F");
    format!("pkg:oci/{name}@sha256%3A{digest}?repository_url={url}&tag={tag}")
}

/// An SPDX id (3.2): letters, digits, `.` and `-`.
fn reference(kind: &str, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.trim_start_matches('/').chars().map(plain).collect();
    format!("SPDXRef-{kind}-{name}")
}

/// The verification code of a package (7.9): SHA-1 over the sorted SHA-1 sums of its files, in hexadecimal.
fn verification<'a>(sums: impl Iterator<Item = &'a Sums>) -> String {
    let mut all: Vec<String> = sums.map(|sums| hex(&sums.sha1)).collect();
    all.sort();
    hex(&sha1::Sha1::digest(all.concat()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_only_what_they_may() {
        assert_eq!(reference("Image", "0-r.io/a_b:1"), "SPDXRef-Image-0-r.io-a-b-1");
        let digest = Sha256::of(b"");
        let purl = purl("registry.k8s.io/coredns/coredns", "v1", digest);
        let want = format!(
            "pkg:oci/coredns@sha256%3A{digest}?repository_url=registry.k8s.io%2Fcoredns%2Fcoredns&tag=v1"
        );
        assert_eq!(purl, want);
    }

    #[test]
    fn the_verification_code_is_that_of_the_specification() {
        let sums = |text: &[u8]| Sums { sha1: sha1::Sha1::digest(text).into(), sha256: Sha256::of(text) };
        let (one, two) = (sums(b"abc"), sums(b""));
        assert_eq!(hex(&one.sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let code = verification([&one, &two].into_iter());
        assert_eq!(code, verification([&two, &one].into_iter()), "their order is nothing");
        // printf 'a9993e364706816aba3e25717850c26c9cd0d89dda39a3ee5e6b4b0d3255bfef95601890afd80709' | sha1sum
        assert_eq!(code, "29d0dbdfff975c93e2d75e5024fe8b650ec847af");
    }
}
