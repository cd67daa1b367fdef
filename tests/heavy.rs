//! Media of many gigabytes and special file systems: sparse, so that they cost time but little disk. `make test-all` runs
//! them (`cargo test --features heavy`); the XFS one needs root for its loop mount.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bases.rs"]
mod bases;
#[path = "common/remaster.rs"]
mod remaster;

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use bases::run;
use kiln::blob::Blob;
use kiln::image::{Content, MediumFile};
use remaster::build;

/// A sparse file with a mark at its start and its end.
fn sparse(path: &Path, len: u64) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(len).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"end", len - 3).unwrap();
}

fn payload(path: &Path) -> Vec<MediumFile> {
    let len = std::fs::metadata(path).unwrap().len();
    let content = Content::Blob(Blob::file(path, len, None));
    vec![MediumFile { path: "/kiln/big.tar".into(), mode: 0o600, content }]
}

fn make_base(layout: &str, out: &Path, extra: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/iso/make-base.sh");
    run(Command::new("sh").arg(script).arg(layout).arg(out).arg(extra));
}

/// Content of the middle and the ends of a file as xorriso extracts it.
fn extracted(iso: &Path, path: &str, to: PathBuf) -> std::fs::File {
    let mut command = Command::new("xorriso");
    command.args(["-osirrox", "on:sparse=on", "-indev"]).arg(iso).args(["-extract", path]).arg(&to);
    run(&mut command);
    std::fs::File::open(to).unwrap()
}

#[test]
fn a_file_over_4_gib_has_parts_and_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let big = dir.path().join("big");
    let len = (4 << 30) + (1 << 20) + 77;
    sparse(&big, len);
    let out = dir.path().join("out.iso");
    build(&bases::base("el10"), &out, payload(&big)).unwrap();
    let back = extracted(&out, "/kiln/big.tar", dir.path().join("back"));
    assert_eq!(back.metadata().unwrap().len(), len);
    let (mut start, mut end) = ([0; 5], [0; 3]);
    back.read_exact_at(&mut start, 0).unwrap();
    back.read_exact_at(&mut end, len - 3).unwrap();
    assert_eq!((&start, &end), (b"start", b"end"));
    let listed = run(Command::new("7z").args(["l", "-ba"]).arg(&out));
    assert!(
        listed.lines().any(|line| line.contains("big.tar") && line.contains(&len.to_string())),
        "{listed}"
    );
    run(Command::new("checkisomd5").arg(&out));
}

#[test]
fn a_base_over_8_gib_keeps_its_holes() {
    let dir = tempfile::tempdir().unwrap();
    let extra = dir.path().join("extra");
    std::fs::create_dir(&extra).unwrap();
    let base = dir.path().join("base.iso");
    make_base("el9", &base, &extra);
    // A volume as large as a DVD of EL10: the base is stretched, all of the new space is a hole.
    let blocks: u32 = (9_u64 << 30).div_ceil(2048) as u32;
    let file = std::fs::OpenOptions::new().write(true).open(&base).unwrap();
    file.set_len(u64::from(blocks) * 2048).unwrap();
    for sector in [16_u64, 18] {
        file.write_all_at(&blocks.to_le_bytes(), sector * 2048 + 80).unwrap();
        file.write_all_at(&blocks.to_be_bytes(), sector * 2048 + 84).unwrap();
    }
    let out = dir.path().join("out.iso");
    let built = build(&base, &out, remaster::files()).unwrap();
    assert!(built.size > 9 << 30);
    assert!(std::fs::metadata(&out).unwrap().blocks() * 512 < 64 << 20, "holes were kept");
    run(Command::new("checkisomd5").arg(&out));
    let kiln = extracted(&out, "/kiln/kiln", dir.path().join("kiln"));
    assert_eq!(kiln.metadata().unwrap().len(), remaster::binary().len() as u64);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 64 << 10, "peak memory {peak} KiB");
}

#[test]
fn a_base_on_xfs_is_reflinked() {
    let dir = tempfile::tempdir().unwrap();
    let (image, mount) = (dir.path().join("xfs.img"), dir.path().join("mnt"));
    std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    std::fs::create_dir(&mount).unwrap();
    run(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image));
    run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount));
    let result = std::panic::catch_unwind(|| {
        let plain = build(&bases::base("el9"), &dir.path().join("out.iso"), remaster::files()).unwrap();
        let base = mount.join("base.iso");
        std::fs::copy(bases::base("el9"), &base).unwrap();
        let built = build(&base, &mount.join("out.iso"), remaster::files()).unwrap();
        assert!(built.reflinked);
        assert_eq!(built.sha256, plain.sha256, "shared or copied: the same bytes");
        run(Command::new("checkisomd5").arg(mount.join("out.iso")));
    });
    run(Command::new("umount").arg(&mount));
    result.unwrap();
}
