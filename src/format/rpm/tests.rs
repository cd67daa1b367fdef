//! Packages made here, byte by byte, and what the reader says of them: whole, cut, changed.

use proptest::prelude::*;

use super::read::{open, verify};
use super::*;
use crate::digest::Sha256;

/// A value of a header.
pub(crate) enum Value {
    Text(String),
    Texts(Vec<String>),
    Shorts(Vec<u16>),
    Numbers(Vec<u32>),
    Bytes(Vec<u8>),
}

fn texts(list: &[&str]) -> Value {
    Value::Texts(list.iter().map(|text| (*text).to_owned()).collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A header with these tags.
fn header(tags: &[(u32, Value)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in tags {
        let ended = |text: &String| [text.as_bytes(), b"\0"].concat();
        let (kind, count, width, bytes) = match value {
            Value::Text(text) => (6u32, 1, 1, ended(text)),
            Value::Texts(list) => (8, list.len(), 1, list.iter().flat_map(ended).collect()),
            Value::Shorts(list) => (3, list.len(), 2, list.iter().flat_map(|n| n.to_be_bytes()).collect()),
            Value::Numbers(list) => (4, list.len(), 4, list.iter().flat_map(|n| n.to_be_bytes()).collect()),
            Value::Bytes(bytes) => (7, bytes.len(), 1, bytes.clone()),
        };
        data.resize(data.len().next_multiple_of(width), 0);
        for number in [*tag, kind, data.len() as u32, count as u32] {
            index.extend(number.to_be_bytes());
        }
        data.extend(bytes);
    }
    let mut out = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    out.extend((tags.len() as u32).to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    [out, index, data].concat()
}

/// A package with these tags beside its name, whole and with its digests.
pub(crate) fn rpm(name: &str, requires: &[&str], more: Vec<(u32, Value)>) -> Vec<u8> {
    let payload = b"a payload that nobody unpacks".to_vec();
    let mut wants: Vec<(String, u32, String)> = Vec::new();
    for dependency in requires {
        let rich = dependency.starts_with('(');
        let words: Vec<&str> = if rich { vec![*dependency] } else { dependency.split(' ').collect() };
        let flags = match words.get(1) {
            Some(&">=") => 12,
            Some(_) => 8,
            None => 0,
        };
        let version = words.get(2).copied().unwrap_or_default();
        wants.push((words[0].to_owned(), flags, version.to_owned()));
    }
    let mut tags = vec![
        (1000, text(name)),
        (1001, text("1.2")),
        (1002, text("3.el9")),
        (1003, Value::Numbers(vec![1])),
        (1004, text("A <package> & more\u{1}")),
        (1006, Value::Numbers(vec![1_700_000_000])),
        (1009, Value::Numbers(vec![4242])),
        (1014, text("MIT")),
        (1022, text("x86_64")),
        (1044, text("x-1.2-3.el9.src.rpm")),
        (1030, Value::Shorts(vec![0o100_755, 0o040_755, 0o100_644])),
        (1037, Value::Numbers(vec![0, 0, 64])),
        (1116, Value::Numbers(vec![0, 1, 1])),
        (1117, texts(&[name, "x", "y"])),
        (1118, texts(&["/usr/bin/", "/usr/share/"])),
        (1047, texts(&[name, "thing"])),
        (1112, Value::Numbers(vec![8, 0])),
        (1113, texts(&["1:1.2-3.el9", ""])),
        (1049, Value::Texts(wants.iter().map(|want| want.0.clone()).collect())),
        (1048, Value::Numbers(wants.iter().map(|want| want.1).collect())),
        (1050, Value::Texts(wants.iter().map(|want| want.2.clone()).collect())),
        (5093, Value::Numbers(vec![8])),
        (5092, texts(&[&Sha256::of(&payload).to_string()])),
    ];
    tags.retain(|(tag, _)| more.iter().all(|(other, _)| other != tag));
    tags.extend(more);
    let main = header(&tags);
    let both = [main.clone(), payload].concat();
    let mut sum = crate::format::md5::Md5::new();
    sum.update(&both);
    let mut signatures = header(&[
        (273, text(&Sha256::of(&main).to_string())),
        (1000, Value::Numbers(vec![both.len() as u32])),
        (1004, Value::Bytes(sum.sum().to_vec())),
    ]);
    signatures.resize(signatures.len().next_multiple_of(8), 0);
    let mut lead = vec![0; 96];
    lead[..5].copy_from_slice(&[0xed, 0xab, 0xee, 0xdb, 3]);
    [lead, signatures, both].concat()
}

fn sample() -> Vec<u8> {
    rpm("demo", &["bash", "libfoo >= 2:1.0-1", "rpmlib(PayloadIsZstd)", "(a if b)"], Vec::new())
}

#[test]
fn a_package_is_read() {
    let bytes = sample();
    let found = open(&bytes).unwrap();
    let package = &found.package;
    assert_eq!(package.to_string(), "demo-1:1.2-3.el9.x86_64");
    let shown = |list: &[Dependency]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&package.provides), ["demo = 1:1.2-3.el9", "thing"]);
    assert_eq!(shown(&package.requires), ["bash", "libfoo >= 2:1.0-1", "rpmlib(PayloadIsZstd)", "(a if b)"]);
    assert!(package.requires[2].rpmlib && package.requires[3].is_rich());
    let files: Vec<_> = package.files.iter().map(|file| (file.path.as_str(), file.kind)).collect();
    let expected = [
        ("/usr/bin/demo", FileKind::File),
        ("/usr/share/x", FileKind::Dir),
        ("/usr/share/y", FileKind::Ghost),
    ];
    assert_eq!(files, expected);
    assert_eq!((found.about.installed, found.about.build_time), (4242, 1_700_000_000));
    assert_eq!(verify(&bytes, &found).unwrap(), Sha256::of(&bytes));
}

#[test]
fn what_is_no_package_is_told() {
    let refused = |bytes: &[u8], word: &str| {
        let error = open(&bytes).unwrap_err();
        assert_eq!(error.class(), crate::error::Class::Input);
        assert!(error.to_string().contains(word), "{word}: {error}");
    };
    refused(b"", "too short");
    refused(&[0; 200], "no package");
    let mut source = sample();
    source[7] = 1;
    refused(&source, "no package");
    for len in [100, 120, 300, sample().len() - 1] {
        refused(&sample()[..len], "");
    }
    let with = |tag: u32, value: Value| rpm("demo", &[], vec![(tag, value)]);
    refused(&with(1000, text("a b")), "name");
    refused(&with(1001, text("")), "version");
    refused(&with(1022, text("\u{1b}[31m")), "architecture");
    refused(&with(1000, Value::Numbers(vec![1])), "tag 1000");
    refused(&with(1116, Value::Numbers(vec![0, 1, 9])), "list of files");
    refused(&with(1116, Value::Numbers(vec![0])), "list of files");
    refused(&with(1112, Value::Numbers(vec![8])), "versions");
    refused(&with(1118, texts(&["/usr/bin/", &"d".repeat(5000)])), "list of files");
    refused(&with(5092, texts(&["zz"])), "SHA-256");
}

#[test]
fn a_changed_bit_is_found() {
    let good = sample();
    // The lead is no part of any digest, but for its magic and its kind; nor is padding.
    for at in (0..good.len()).filter(|at| !(8..96).contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let same = |rpm: read::Rpm| {
            verify(&bad, &rpm).is_ok() && rpm.package == open(&good).unwrap().package && at < 400
        };
        assert!(open(&bad).map_or(true, |rpm| verify(&bad, &rpm).is_err() || same(rpm)), "offset {at}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = open(&bytes);
    }

    #[test]
    fn any_change_is_borne(at in 0usize..2000, value: u8, cut in 0usize..2000) {
        let mut bytes = sample();
        let len = bytes.len();
        bytes[at % len] = value;
        bytes.truncate(len - (cut % len) / 4);
        if let Ok(rpm) = open(&bytes) {
            let _ = verify(&bytes, &rpm);
        }
    }
}
