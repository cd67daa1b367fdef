//! The remaster writer on all three layouts, judged by programs that kiln's authors did not write: xorriso, isoinfo, 7z,
//! checkisomd5, sgdisk, mtools.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bases.rs"]
mod bases;
#[path = "common/remaster.rs"]
mod remaster;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bases::{LAYOUTS, base, run};
use kiln::digest::Sha256;
use kiln::format::iso9660::read::Iso;
use kiln::format::iso9660::tree::Tree;
use kiln::image::base::{Layout, look};
use kiln::image::iso::Remaster;
use remaster::{LABEL, build, files, request};

/// Menus and boot records: what a remaster may change.
const CHANGED: [&str; 7] = [
    "/isolinux/isolinux.cfg",
    "/isolinux/boot.cat",
    "/EFI/BOOT/grub.cfg",
    "/EFI/BOOT/BOOT.conf",
    "/boot/grub2/grub.cfg",
    "/images/efiboot.img",
    "/boot.cat",
];

fn built(layout: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.iso");
    build(&base(layout), &out, files()).unwrap();
    (dir, out)
}

/// Every file below a folder with its content's digest and permissions.
fn listing(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut out = BTreeMap::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(next) = stack.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let name = format!("/{}", path.strip_prefix(dir).unwrap().display());
            let content = if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().display().to_string()
            } else if meta.is_dir() {
                stack.push(path.clone());
                continue;
            } else {
                std::fs::set_permissions(&path, PermissionsExt::from_mode(meta.permissions().mode() | 0o400))
                    .unwrap();
                Sha256::of(&std::fs::read(&path).unwrap()).to_string()
            };
            out.insert(name, (meta.permissions().mode() & 0o7777, content));
        }
    }
    out
}

fn extract(iso: &Path) -> BTreeMap<String, (u32, String)> {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("t");
    run(Command::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(iso)
        .args(["-extract", "/"])
        .arg(&target));
    let out = listing(&target);
    run(Command::new("chmod").args(["-R", "u+rwX"]).arg(dir.path()));
    out
}

#[test]
fn layouts_are_told_by_looking() {
    let layouts = LAYOUTS.map(|layout| look(&base(layout)).unwrap().layout);
    assert_eq!(layouts, [Layout::El7Isolinux, Layout::El9Isolinux, Layout::El10Grub]);
    let info = look(&base("el7")).unwrap();
    assert_eq!((info.label.as_str(), info.arch.as_str()), ("CentOS 7 x86_64", "x86_64"));
    assert_eq!(info.tree.version.as_deref(), Some("7"));
}

#[test]
fn vendor_files_are_untouched_and_new_ones_are_right() {
    for layout in LAYOUTS {
        let (_dir, out) = built(layout);
        let (mut old, mut new) = (extract(&base(layout)), extract(&out));
        for path in CHANGED {
            assert_eq!(old.remove(path).is_some(), new.remove(path).is_some(), "{layout} {path}");
        }
        let added = |path: &str, mode: u32, content: &[u8]| {
            (path.to_owned(), (mode, Sha256::of(content).to_string()))
        };
        old.extend([
            added("/ks.cfg", 0o644, b"text\n"),
            added("/kiln/kiln", 0o755, &remaster::binary()),
            added("/kiln/nodes/k8s-master1.tar", 0o600, b"secret"),
            added(&format!("/kiln/nodes/{}.tar", "w".repeat(200)), 0o600, b"long"),
            added("/kiln/empty", 0o644, b""),
            added("/images/added.img", 0o644, b"added"),
        ]);
        let manifest = new.remove("/kiln/manifest.json").expect("the manifest");
        let deferred = format!("{}\n", Sha256::of(b"secret"));
        assert_eq!(manifest, (0o644, Sha256::of(deferred.as_bytes()).to_string()));
        assert_eq!(new, old, "{layout}");
    }
}

#[test]
fn the_media_check_passes() {
    for layout in LAYOUTS {
        let (_dir, out) = built(layout);
        run(Command::new("checkisomd5").arg(&out));
        let copy = out.with_extension("copy");
        std::fs::copy(&out, &copy).unwrap();
        run(Command::new("implantisomd5").arg("--force").arg(&copy));
        assert!(
            std::fs::read(&out).unwrap() == std::fs::read(&copy).unwrap(),
            "{layout}: implantisomd5 differs"
        );
    }
}

fn report(iso: &Path) -> String {
    let mut command = Command::new("xorriso");
    command.arg("-indev").arg(iso).args(["-report_el_torito", "plain", "-report_system_area", "plain"]);
    run(&mut command)
}

/// The words after the colon of the first line that begins so.
fn field<'a>(report: &'a str, line: &str) -> Vec<&'a str> {
    let found =
        report.lines().find(|found| found.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(line));
    let found = found.unwrap_or_else(|| panic!("no line {line:?} in\n{report}"));
    found.split_once(':').unwrap().1.split_whitespace().collect()
}

#[test]
fn boot_records_are_consistent() {
    for layout in LAYOUTS {
        let (_dir, out) = built(layout);
        let (old, new) = (report(&base(layout)), report(&out));
        let size = std::fs::metadata(&out).unwrap().len();
        // BIOS: same image at the same place; the system area is of the same kind.
        assert_eq!(field(&new, "El Torito boot img : 1"), field(&old, "El Torito boot img : 1"), "{layout}");
        for line in ["El Torito img opts : 1", "Partition offset"] {
            assert_eq!(field(&new, line), field(&old, line), "{layout}");
        }
        // Whether ends of partitions fall on cylinders by chance is all that may differ.
        let summary =
            |report| field(report, "System area summary").join(" ").replace("align-all", "align-on");
        assert_eq!(summary(&new), summary(&old), "{layout}");
        let esp: u64 = field(&new, "El Torito boot img : 2")[7].parse().unwrap();
        let part: Vec<u64> =
            field(&new, "GPT start and size : 2").iter().map(|n| n.parse().unwrap()).collect();
        assert_eq!(part[1], esp * 4, "{layout}: GPT and El Torito agree on the partition");
        let first: Vec<u64> =
            field(&new, "GPT start and size : 1").iter().map(|n| n.parse().unwrap()).collect();
        let lba = field(&new, "GPT lba range");
        assert_eq!(lba[2].parse::<u64>().unwrap(), size / 512 - 1, "{layout}");
        if layout == "el10" {
            assert_eq!(first[1..], [64, part[1] - 64]);
            let verify = run(Command::new("sgdisk").arg("-v").arg(&out));
            assert!(verify.contains("No problems found"), "{verify}");
            assert!(!new.contains("Gap1"), "{new}");
        } else {
            let mbr: Vec<&str> = field(&new, "MBR partition : 2");
            assert_eq!((mbr[2], mbr[3].parse::<u64>().unwrap()), ("0xef", esp * 4), "{layout}");
            let whole: u64 = field(&new, "MBR partition : 1")[4].parse().unwrap();
            assert_eq!(whole, size / 512, "{layout}");
            assert_eq!(size % (1 << 20), 0, "{layout}");
            assert_eq!(field(&new, "MBR partition path : 2")[1], "/images/efiboot.img");
        }
        let image = format!("{}@@{}", out.display(), esp * 2048);
        let menu = run(Command::new("mtype").args(["-i", &image, "::/EFI/BOOT/grub.cfg"]));
        assert!(menu.contains(LABEL) && menu.contains("kiln.node=k8s-master1"), "{menu}");
        let args =
            run(Command::new("xorriso").arg("-indev").arg(&out).args(["-report_el_torito", "as_mkisofs"]));
        assert!(args.contains(&format!("-V '{LABEL}'")), "{args}");
    }
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.walk().into_iter().map(|(path, _)| path).collect()
}

#[test]
fn both_views_of_el10_show_the_same() {
    let (dir, out) = built("el10");
    let file = File::open(&out).unwrap();
    let (whole, part) = (Iso::open(&file).unwrap(), Iso::open_at(&file, 16).unwrap());
    assert_eq!((part.label().as_str(), whole.label().as_str()), (LABEL, LABEL));
    assert_eq!(paths(&whole.tree), paths(&part.tree));
    assert_eq!(paths(whole.joliet.as_ref().unwrap()), paths(part.joliet.as_ref().unwrap()));
    // What a kernel sees on /dev/sda1: the medium from sector 64.
    let view = dir.path().join("sda1.iso");
    run(Command::new("dd")
        .arg(format!("if={}", out.display()))
        .arg(format!("of={}", view.display()))
        .args(["bs=2048", "skip=16", "status=none"]));
    let (mut a, mut b) = (extract(&out), extract(&view));
    a.retain(|path, _| path != "/boot.cat");
    b.retain(|path, _| path != "/boot.cat");
    assert_eq!(a, b);
}

#[test]
fn joliet_and_plain_readers_agree() {
    for layout in LAYOUTS {
        let (dir, out) = built(layout);
        let rock = run(Command::new("isoinfo").args(["-R", "-f", "-i"]).arg(&out));
        let joliet = run(Command::new("isoinfo").args(["-J", "-f", "-i"]).arg(&out));
        let plain = run(Command::new("isoinfo").args(["-l", "-i"]).arg(&out));
        for path in ["/ks.cfg", "/kiln/manifest.json", "/kiln/nodes/k8s-master1.tar", "/EFI/BOOT/grub.cfg"] {
            assert!(rock.lines().any(|line| line == path), "{layout} {path}\n{rock}");
            assert!(
                joliet.lines().any(|line| line.trim_end_matches(";1") == path),
                "{layout} {path}\n{joliet}"
            );
        }
        assert!(plain.contains("MANIFEST.JSON;1"), "{plain}");
        let content =
            run(Command::new("isoinfo").args(["-J", "-x", "/kiln/nodes/k8s-master1.tar", "-i"]).arg(&out));
        assert_eq!(content, "secret", "{layout}");
        // 7z prefers Joliet where there is one.
        let target = dir.path().join("7z");
        run(Command::new("7z").args(["x", "-bd", "-y"]).arg(format!("-o{}", target.display())).arg(&out));
        assert_eq!(std::fs::read(target.join("kiln/kiln")).unwrap(), remaster::binary(), "{layout}");
        assert_eq!(std::fs::read(target.join(".discinfo")).unwrap()[..12], *b"1700000000.0");
    }
}

#[test]
fn same_input_same_bytes() {
    for layout in LAYOUTS {
        let (dir, first) = built(layout);
        let other = dir.path().join("elsewhere");
        std::fs::create_dir(&other).unwrap();
        let second = other.join("another-name.iso");
        let again = build(&base(layout), &second, files()).unwrap();
        assert_eq!(
            again.sha256.to_string(),
            Sha256::of(&std::fs::read(&first).unwrap()).to_string(),
            "{layout}"
        );
        let sums = std::fs::read_to_string(other.join("SHA256SUMS")).unwrap();
        assert_eq!(sums, format!("{}  another-name.iso\n", again.sha256));
        run(Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(&other));
        assert_eq!(std::fs::metadata(&second).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&other).unwrap().count(), 2, "nothing else is left");
    }
}

#[test]
fn a_medium_is_no_base() {
    let (dir, out) = built("el9");
    let error = build(&out, &dir.path().join("b.iso"), files()).unwrap_err();
    assert!(error.to_string().contains("made by kiln already"), "{error}");
}

#[test]
fn only_what_kiln_made_is_replaced_without_force() {
    let (dir, out) = built("el9");
    let mut request = request(&base("el9"), &out);
    request.force = false;
    kiln::image::iso::remaster(&request, files(), &kiln::progress::Silent).unwrap();
    let notes = dir.path().join("notes");
    for content in [&b"not an image"[..], &std::fs::read(base("el9")).unwrap()] {
        std::fs::write(&notes, content).unwrap();
        let other = Remaster { output: notes.clone(), ..request.clone() };
        let refused = kiln::image::iso::remaster(&other, files(), &kiln::progress::Silent).unwrap_err();
        assert!(refused.to_string().contains("exists already, and kiln did not make it"), "{refused}");
        assert!(std::fs::read(&notes).unwrap() == content);
    }
    request.base = out.clone();
    let same = kiln::image::iso::remaster(&request, files(), &kiln::progress::Silent);
    assert!(same.unwrap_err().to_string().contains("is the base itself"));
}
