//! `cluster.toml` → [`Cluster`]. The raw form is private; what leaves this module is checked and complete.
//!
//! Text → TOML document with places → held against the schema (`shape`) → raw types → checked values (`check`). All
//! faults of a file are found in one go, each a [`diag::Diagnostic`] whose rule is in [`rule::Rule`].

pub mod attach;
mod check;
mod credential;
pub mod diag;
mod findings;
pub mod gates;
mod label;
pub mod model;
pub mod preflight;
mod raw;
mod raw_attach;
pub mod rule;
mod schema;
mod shape;
pub mod storage;
pub mod types;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

pub use model::Cluster;
pub use schema::schema;

use crate::error::{Error, IoContext, Result};
use diag::Diagnostic;
use findings::{At, Findings};
use rule::Rule;

/// The commented sample that `kiln init` writes: the reference cluster of the documentation.
pub const SAMPLE: &str = include_str!("sample.toml");

/// Largest `cluster.toml`, in bytes. One with 500 nodes has about 150 KB.
pub const LARGEST_FILE: usize = 1 << 20;

/// A cluster read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The cluster.
    pub cluster: Cluster,
    /// Findings that do not stop a build.
    pub warnings: Vec<Diagnostic>,
    /// Folder of the file; `kiln.lock`, `pki/` and overrides lie in it.
    pub dir: PathBuf,
}

/// Reads and checks a file. The error carries all that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::input(format!("there is no {}", path.display()))
                .hint("`kiln init` writes a sample to start from; -C names another file"));
        }
        opened => opened.at("opening", path)?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes).at("reading", path)?;
    if bytes.len() > LARGEST_FILE {
        return Err(too_large(path));
    }
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(path, &error))?;
    let (cluster, warnings) = parse(path, &text)?;
    Ok(Loaded { cluster, warnings, dir: folder_of(path) })
}

/// Checks the text of a file. Nothing is read; paths are resolved against the folder of `file`, which also names the file
/// in findings.
pub fn parse(file: &Path, text: &str) -> Result<(Cluster, Vec<Diagnostic>)> {
    if text.len() > LARGEST_FILE {
        return Err(too_large(file));
    }
    let mut findings = Findings::new(file);
    let cluster = document(text, &mut findings)
        .and_then(|document| read(document, &mut findings))
        .and_then(|raw| check::check(raw, file.parent().unwrap_or(Path::new("")), &mut findings));
    let warnings = findings.finish()?;
    let cluster = cluster.ok_or_else(|| Error::internal("a cluster file was refused without a reason"))?;
    Ok((cluster, warnings))
}

/// Text → document. What is no TOML is one finding: after it, nothing can be trusted to mean what it says.
fn document<'t>(text: &'t str, findings: &mut Findings<'_>) -> Option<Spanned<DeTable<'t>>> {
    DeTable::parse(text)
        .map_err(|error| {
            let at = At { key: String::new(), span: error.span() };
            findings
                .error(Rule::TomlSyntax, &at, format!("this is not TOML: {}", error.message().trim()))
                .hint("the language is described at https://toml.io");
        })
        .ok()
}

/// Document → raw types, after all that does not fit has been taken out and reported.
fn read(mut document: Spanned<DeTable<'_>>, findings: &mut Findings<'_>) -> Option<raw::RawCluster> {
    shape::prune(&schema(), document.get_mut(), &At::default(), findings);
    raw::RawCluster::deserialize(toml::Deserializer::from(document))
        .map_err(|error| {
            let at = At { key: String::new(), span: error.span() };
            findings.error(Rule::WrongType, &at, error.message().trim());
        })
        .ok()
}

/// Folder of a file: `.` for a bare name.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn too_large(file: &Path) -> Error {
    let mut findings = Findings::new(file);
    let message = format!("the file is larger than {} KiB; is it a cluster file?", LARGEST_FILE >> 10);
    findings.error(Rule::TooLarge, &At::default(), message);
    refused(findings)
}

fn not_utf8(file: &Path, error: &std::string::FromUtf8Error) -> Error {
    let good = error.utf8_error().valid_up_to();
    let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
    let mut findings = Findings::new(file);
    findings
        .error(Rule::NotUtf8, &At::default(), format!("line {line} is not UTF-8 text"))
        .hint("save the file as UTF-8");
    refused(findings)
}

fn refused(findings: Findings<'_>) -> Error {
    findings.finish().err().unwrap_or_else(|| Error::internal("a finding was lost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_reference_cluster_and_clean() {
        let (cluster, warnings) = parse(Path::new("cluster.toml"), SAMPLE).unwrap();
        assert_eq!(warnings, []);
        let addresses =
            |role| -> Vec<u8> { cluster.nodes_of(role).map(|node| node.address.octets()[3]).collect() };
        assert_eq!(addresses(types::Role::Master), [71, 74, 75]);
        assert_eq!(addresses(types::Role::Worker), [72, 73]);
        assert_eq!(addresses(types::Role::Lb), [81, 82]);
        assert_eq!(cluster.vip.octets(), [192, 168, 31, 88]);
        assert_eq!(cluster.network.subnet.to_string(), "192.168.31.0/24");
        assert_eq!(cluster.components.dir, Some(PathBuf::from("components")));
        assert_eq!(cluster.etcd_members().count(), 3);
        assert_eq!(cluster.worker_pools.len(), 1);
    }
}
