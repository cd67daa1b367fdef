//! What the remaster writer does with bases and payloads that are wrong, and when it is killed or runs out of room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bases.rs"]
mod bases;
#[path = "common/remaster.rs"]
mod remaster;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bases::{LAYOUTS, base, run};
use kiln::blob::Blob;
use kiln::digest::Sha256;
use kiln::error::Class;
use kiln::image::{Content, MediumFile};
use proptest::prelude::*;
use remaster::{build, file, files};

/// Asks a fresh process of this test for a build; set to "base|output|payload".
const CHILD: &str = "KILN_TEST_REMASTER";

/// A base with its bytes changed.
fn damaged(dir: &Path, layout: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(base(layout)).unwrap();
    change(&mut bytes);
    let path = dir.join("damaged.iso");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Replaces all occurrences of a text by one of the same length.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!at.is_empty(), "{:?} is not in the base", String::from_utf8_lossy(from));
    at.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
}

/// Extent of the root directory.
fn root(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[32768 + 158..32768 + 162].try_into().unwrap()) as usize * 2048
}

/// Offset of a directory record in the root directory.
fn record(bytes: &[u8], id: &[u8]) -> usize {
    let at = root(bytes);
    let found =
        (at..at + 2048).find(|at| bytes[at + 33..].starts_with(id) && bytes[at + 32] as usize == id.len());
    found.unwrap_or_else(|| panic!("no record {:?}", String::from_utf8_lossy(id)))
}

fn refused(layout: &str, change: impl FnOnce(&mut Vec<u8>), words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = damaged(dir.path(), layout, change);
    let out = dir.path().join("out.iso");
    let error = build(&path, &out, files()).expect_err(words);
    assert_eq!(error.class(), Class::Input, "{error}");
    assert!(error.to_string().contains(words), "{error}\nshould contain: {words}");
    assert!(error.to_string().len() < 500);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is written: {words}");
}

#[test]
fn bases_that_cannot_be_used_are_refused_with_the_reason() {
    refused("el9", |b| b.truncate(1 << 20), "truncated");
    refused("el9", Vec::clear, "not an ISO 9660 image");
    refused("el9", |b| b[32769..32774].copy_from_slice(b"XX001"), "not an ISO 9660 image");
    refused("el9", |b| b[32769..32774].copy_from_slice(b"BEA01"), "UDF");
    refused(
        "el9",
        |b| replace(b, b"EL TORITO SPECIFICATION", b"xx"[..1].repeat(23).as_slice()),
        "no El Torito",
    );
    refused("el9", |b| replace(b, b"NM\x0e\x01\x00.discinfo", b"NM\x0e\x01\x00.discinfx"), "no /.discinfo");
    refused("el9", |b| replace(b, b"NM\x0e\x01\x00.treeinfo", b"NM\x0e\x01\x00.treeinfx"), "no /.treeinfo");
}

#[test]
fn a_base_with_a_folder_of_kilns_name_is_refused() {
    let named = |b: &mut Vec<u8>| replace(b, b"NM\x0b\x01\x00images", b"NM\x09\x01\x00kiln\x00\x00");
    refused("el9", named, "has a /kiln already");
}

#[test]
fn partitions_that_lie_are_survived() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.iso");
    for layout in LAYOUTS {
        for (kind, start) in [(0xEE, 0xFFFF_FFF0_u32), (0x17, u32::MAX), (0xEE, 64)] {
            let base = damaged(dir.path(), layout, |b| {
                b[446 + 4] = kind;
                b[446 + 8..446 + 12].copy_from_slice(&start.to_le_bytes());
                b[446 + 12..446 + 16].copy_from_slice(&u32::MAX.to_le_bytes());
            });
            // Whatever it makes of them, it comes to an end and says so.
            if let Err(error) = build(&base, &out, files()) {
                assert_eq!(error.class(), Class::Input, "{error}");
            }
        }
    }
}

#[test]
fn a_base_of_ten_thousand_files_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let packages = dir.path().join("extra/Packages");
    std::fs::create_dir_all(&packages).unwrap();
    for i in 0..10_000_usize {
        let name = format!("package-with-a-name-{i:05}-1.2.3-4.el7.x86_64.rpm");
        std::fs::write(packages.join(name), vec![b'x'; i % 3000 + 1]).unwrap();
    }
    let (big, out) = (dir.path().join("big.iso"), dir.path().join("out.iso"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/iso/make-base.sh");
    run(Command::new("sh").arg(script).arg("el7").arg(&big).arg(dir.path().join("extra")));
    let start = std::time::Instant::now();
    build(&big, &out, files()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    // genisoimage gives empty files a block that is not theirs, which xorriso warns of in the base too.
    let shown = |iso: &Path| {
        let output =
            Command::new("xorriso").arg("-indev").arg(iso).args(["-find", "/", "-type", "f"]).output();
        let output = output.expect("xorriso does not run: install xorriso");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let bad = |line: &&str| ["WARNING", "SORRY", "FAILURE"].iter().any(|word| line.contains(word));
        let warnings: Vec<String> = said.lines().filter(bad).map(str::to_owned).collect();
        (warnings, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (before, (after, listed)) = (shown(&big).0, shown(&out));
    assert_eq!(after, before);
    let found = listed.lines().filter(|line| line.contains("/Packages/package-with-a-name-")).count();
    assert_eq!(found, 10_000);
}

#[test]
fn another_architecture_is_refused() {
    let arch = |b: &mut Vec<u8>| replace(b, b"0\n9\nx86_64\n", b"0\n9\nppc64l\n");
    refused("el9", arch, "architecture `ppc64l`");
    refused("el9", |b| replace(b, b"arch = x86_64", b"arch = s390xx"), "architecture `s390xx`");
}

#[test]
fn a_boot_catalog_without_firmware_is_refused() {
    let catalog =
        |b: &[u8]| u32::from_le_bytes(b[17 * 2048 + 71..17 * 2048 + 75].try_into().unwrap()) as usize * 2048;
    refused(
        "el9",
        |b| {
            let at = catalog(b);
            b[at] = 9;
        },
        "boot catalog is damaged",
    );
    refused(
        "el9",
        |b| {
            let at = catalog(b);
            b[at + 32] = 0;
        },
        "no entry for BIOS",
    );
    refused(
        "el9",
        |b| {
            let at = catalog(b);
            b[at + 96] = 0;
        },
        "no entry for UEFI",
    );
}

#[test]
fn directories_that_lie_are_refused() {
    // A directory that is its own child.
    let own = |b: &mut Vec<u8>| {
        let (at, root) = (record(b, b"A"), root(b) as u32 / 2048);
        b[at + 2..at + 6].copy_from_slice(&root.to_le_bytes());
    };
    refused("el9", own, "loop");
    let outside = |b: &mut Vec<u8>| {
        let at = record(b, b"A");
        b[at + 2..at + 6].copy_from_slice(&0x00F0_0000_u32.to_le_bytes());
    };
    refused("el9", outside, "outside the image");
    let long = |b: &mut Vec<u8>| {
        let at = record(b, b"A");
        b[at + 10..at + 14].copy_from_slice(&u32::MAX.to_le_bytes());
    };
    refused("el9", long, "outside the image");
    let record_length = |b: &mut Vec<u8>| {
        let at = record(b, b"A");
        b[at] = 34;
        b[at + 32] = 200;
    };
    refused("el9", record_length, "lies about its length");
    refused("el9", |b| replace(b, b"NM\x06\x01\x00a", b"NM\x06\x01\x00/"), "outside its directory");
    refused(
        "el9",
        |b| replace(b, b"NM\x0b\x01\x00images", b"NM\x07\x01\x00..\x04\x00\x00\x00"),
        "outside its directory",
    );
}

#[test]
fn payloads_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.iso");
    let message = |files: Vec<MediumFile>| build(&base("el9"), &out, files).unwrap_err().to_string();
    let one = |path: &str| file(path, 0o644, b"x");
    assert!(
        message(vec![one("/kiln/a"), one("/kiln/a")])
            .contains("two files of the payload want the path /kiln/a")
    );
    assert!(message(vec![one("/kiln/../a")]).contains("`..` part"));
    assert!(message(vec![one("kiln")]).contains("does not start with `/`"));
    assert!(message(vec![one("/.treeinfo")]).contains("already has something at /.treeinfo"));
    assert!(message(vec![one("/EULA/x")]).contains("already has something at /EULA"));
    let locked = dir.path().join("component");
    std::fs::write(&locked, b"changed").unwrap();
    let content = Content::Blob(Blob::file(&locked, 7, Some(Sha256::of(b"as was!"))));
    let changed = message(vec![MediumFile { path: "/kiln/kubelet".into(), mode: 0o755, content }]);
    assert!(
        changed.contains("changed since it was locked") && changed.contains("/kiln/kubelet"),
        "{changed}"
    );
    let content = Content::Blob(Blob::file(&locked, 9, None));
    let short = message(vec![MediumFile { path: "/kiln/kubelet".into(), mode: 0o755, content }]);
    assert!(short.contains("changed since it was locked"), "{short}");
    let huge = Content::Blob(Blob::file(&locked, 1 << 50, None));
    let huge = message(vec![MediumFile { path: "/kiln/huge".into(), mode: 0o755, content: huge }]);
    assert!(huge.contains("too large"), "{huge}");
    std::fs::remove_file(&locked).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn no_room_is_told_before_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = dir.path().join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    let content = Content::Blob(Blob::file(&sparse, 1 << 38, None));
    let files = vec![MediumFile { path: "/kiln/huge".into(), mode: 0o644, content }];
    let error = build(&base("el9"), &dir.path().join("out.iso"), files).unwrap_err();
    assert_eq!(error.class(), Class::Io);
    assert!(error.to_string().contains("no room in") && error.to_string().contains("MiB free"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Not a test of its own: the process that the tests below start, limit and kill.
#[test]
fn child() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let [base, out, payload] = task.split('|').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let len = std::fs::metadata(payload).unwrap().len();
    let content = Content::Blob(Blob::file(payload, len, None));
    let files = vec![MediumFile { path: "/kiln/payload".into(), mode: 0o644, content }];
    if let Err(error) = build(Path::new(base), Path::new(out), files) {
        panic!("{error}");
    }
}

/// The command of a child; `prefix` runs before it in the shell.
fn child_command(prefix: &str, out: &Path, payload: &Path) -> Command {
    let task = format!("{}|{}|{}", base("el9").display(), out.display(), payload.display());
    let mut command = Command::new("sh");
    let line = format!("{prefix} exec \"$0\" --exact child --nocapture");
    command.args(["-c", &line]).arg(std::env::current_exe().unwrap()).env(CHILD, task);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

fn payload(dir: &Path, mib: usize) -> PathBuf {
    let path = dir.join("payload");
    std::fs::write(&path, vec![7; mib << 20]).unwrap();
    path
}

#[test]
fn killed_at_any_moment_the_old_output_stays() {
    let dir = tempfile::tempdir().unwrap();
    let payload = payload(dir.path(), 64);
    let folder = dir.path().join("out");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.join("medium.iso");
    std::fs::write(&out, b"the old one").unwrap();
    let mut cut = 0;
    for delay in [3, 10, 25, 45, 70, 100, 140, 200] {
        let mut child = child_command("", &out, &payload).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = std::fs::read(&out).unwrap();
        if now == b"the old one" {
            cut += 1;
        } else {
            // It was faster than the signal: then it is complete.
            run(Command::new("checkisomd5").arg(&out));
            std::fs::write(&out, b"the old one").unwrap();
        }
    }
    assert!(cut > 0, "no run was cut");
    run(&mut child_command("", &out, &payload));
    run(Command::new("checkisomd5").arg(&out));
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["SHA256SUMS", "medium.iso"], "staging of killed runs is cleaned");
}

#[test]
fn a_full_disk_leaves_the_old_output() {
    let dir = tempfile::tempdir().unwrap();
    let payload = payload(dir.path(), 64);
    let folder = dir.path().join("out");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.join("medium.iso");
    std::fs::write(&out, b"the old one").unwrap();
    // A limit on file sizes stands in for a disk that fills while it is written; the free space was enough before.
    // (Blocks of 512 bytes in POSIX shells: 32 MiB. The signal is ignored, so that the write fails instead.)
    let output = child_command("trap '' XFSZ; ulimit -f 65536;", &out, &payload).output().unwrap();
    assert!(!output.status.success());
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no room"), "{text}");
    assert_eq!(std::fs::read(&out).unwrap(), b"the old one");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "the staging file is gone");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// A base that is damaged anywhere in its boot records, descriptors and directories gives an error or a medium.
    #[test]
    fn damage_never_panics(layout in 0..3_usize, hits in prop::collection::vec((0..330_000_usize, any::<u8>()), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        let path = damaged(dir.path(), LAYOUTS[layout], |bytes| {
            for (at, value) in hits {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
        });
        let _ = build(&path, &dir.path().join("out.iso"), vec![file("/ks.cfg", 0o644, b"x")]);
    }
}
