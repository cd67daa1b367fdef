//! Inspection of media made by xorriso and implantisomd5.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::cluster::types::Role;
use crate::payload::manifest::Manifest;
use crate::progress::Silent;

fn run(program: &str, package: &str, args: &[&str]) {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install the package {package}"));
    assert!(out.status.success(), "{program} {args:?}\n{}", String::from_utf8_lossy(&out.stderr));
}

/// An image of a folder with the label of kiln media in tests, and its media check.
fn image(dir: &Path, label: &str) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("m.iso");
    let (file, dir) = (file.to_str().unwrap(), dir.to_str().unwrap());
    run("xorriso", "xorriso", &["-as", "mkisofs", "-quiet", "-o", file, "-V", label, "-R", "-J", dir]);
    run("implantisomd5", "isomd5sum", &[file]);
    std::fs::read(file).unwrap()
}

#[test]
fn a_vendor_medium_is_described() {
    let bytes = include_bytes!("../../../tests/fuzz/corpus/iso/rock-joliet.img").to_vec();
    let mut found = inspect(&bytes).unwrap();
    assert_eq!((found.label.as_str(), found.layout), ("FUZZ-1", Layout::Isolinux));
    let platforms: Vec<&str> = found.boot.el_torito.iter().map(|entry| entry.platform.as_str()).collect();
    assert_eq!(platforms, ["BIOS", "UEFI"]);
    assert!(found.boot.mbr_code && found.boot.gpt.len() == 2, "{:?}", found.boot);
    assert!(found.trees.rock_ridge && found.trees.joliet.is_some() && found.trees.partition.is_none());
    let menus: Vec<(&str, usize)> =
        found.menus.iter().map(|menu| (menu.path.as_str(), menu.entries.len())).collect();
    assert_eq!(menus, [("/EFI/BOOT/grub.cfg", 5), ("/isolinux/isolinux.cfg", 6)]);
    assert!(found.kiln.is_none() && found.media_check.md5.is_none());
    check::verify(&bytes, &mut found, &Silent).unwrap();
    let shown = text::text(&found, "x.iso");
    assert!(shown.contains("not made by kiln") && shown.contains("* Test this media"), "{shown}");
}

#[test]
fn a_kiln_medium_is_described_and_verified() {
    let media = crate::testing::medium(&crate::testing::cluster(), Role::Master);
    let manifest = Manifest::load(media.path()).unwrap();
    let mut bytes = image(media.path(), manifest.label.as_str());
    let mut found = inspect(&bytes).unwrap();
    check::verify(&bytes, &mut found, &Silent).unwrap();
    assert_eq!(found.media_check.good, Some(true));
    let kiln = found.kiln.as_ref().unwrap();
    assert_eq!((kiln.cluster.as_str(), kiln.profile.as_str(), kiln.nodes.len()), ("prod", "master", 3));
    assert_eq!(kiln.problems, [""; 0]);
    let shown = text::text(&found, "m.iso");
    assert!(shown.contains("k8s-master1, 192.168.31.71, MAC 52:54:00:00:31:71"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&text::json(&found).unwrap()).unwrap();
    assert_eq!(json["kiln"]["files"]["/ks.cfg"]["size"], kiln.files["/ks.cfg"].size);

    // One bit in the kickstart.
    let at = Iso::open(&bytes).unwrap();
    let at = at.tree.node(at.tree.find("/ks.cfg").unwrap()).block() as usize * 2048;
    bytes[at] ^= 1;
    let mut found = inspect(&bytes).unwrap();
    check::verify(&bytes, &mut found, &Silent).unwrap();
    assert_eq!(found.media_check.good, Some(false));
    assert_eq!(found.kiln.unwrap().problems, ["/ks.cfg has another content than the manifest says"]);
}

#[test]
fn a_changed_payload_is_a_problem() {
    let media = crate::testing::medium(&crate::testing::cluster(), Role::Lb);
    std::fs::write(media.path().join("ks.cfg"), "longer than it was").unwrap();
    std::fs::remove_file(media.path().join("kiln/common.tar")).unwrap();
    let found = inspect(&image(media.path(), "OTHER")).unwrap();
    let problems = found.kiln.unwrap().problems.join("\n");
    for part in ["the label is \"OTHER\"", "/kiln/common.tar is missing", "/ks.cfg has 18 bytes"] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
    std::fs::write(media.path().join("kiln/manifest.json"), "{}").unwrap();
    let found = inspect(&image(media.path(), "OTHER")).unwrap();
    assert!(found.kiln.unwrap().problems[0].contains("/kiln/manifest.json"));
}

#[test]
fn foreign_text_cannot_steer_a_terminal() {
    assert_eq!(text::printable("a\u{1b}[31m\u{202e}b\u{9b}é"), "a\\u{1b}[31m\\u{202e}b\\u{9b}é");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".discinfo"), "1\n\u{1b}[2J\u{9b}evil\u{202e}\nx86_64\n").unwrap();
    let found = inspect(&image(dir.path(), "EVIL")).unwrap();
    for shown in [text::text(&found, "\u{1b}x"), text::json(&found).unwrap()] {
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\n') && !shown.contains('\u{202e}'),
            "{shown:?}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&text::json(&found).unwrap()).unwrap();
    assert_eq!(json["base"], "\u{1b}[2J\u{9b}evil\u{202e} (x86_64)");
}

#[test]
fn what_is_no_image_is_refused() {
    for bytes in [Vec::new(), vec![0; 100_000], b"PK".repeat(50_000)] {
        assert!(inspect(&bytes).is_err());
    }
}
