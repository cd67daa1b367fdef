//! A machine whose clock stopped, in QEMU: Debian's kernel, an initrd with busybox, kiln and a master's files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln::cluster::types::Role;
use kiln::pki::Pki;
use kiln::tree::Kind;
use time::macros::datetime;

use super::common;

const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox date -u '+was %FT%T'
/kiln node clock --floor && /bin/busybox date -u '+is %FT%T'
/bin/busybox cat /run/kiln/status.d/clock.json
/kiln node clock --floor && echo again
/bin/busybox poweroff -f
";

/// The kernel that the stand-in media are made of: `make standin` leaves it in the cache.
fn kernel() -> PathBuf {
    let cache = std::env::var_os("KILN_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/kiln"));
    let folders =
        |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    folders(cache.join("standin"))
        .flat_map(|base| folders(base.join("boot")))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
        .expect("this test needs `make standin`")
}

fn initrd(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    for folder in ["bin", "proc", "dev", "run", "var/lib"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("this test needs busybox-static");
    std::fs::copy(env!("CARGO_BIN_EXE_kiln"), root.join("kiln")).unwrap();
    let cluster = common::reference_cluster();
    let pki = Pki::open_or_create(&dir.join("pki"), &cluster, datetime!(2026-11-23 06:00 UTC)).unwrap();
    let master = cluster.nodes_of(Role::Master).next().unwrap();
    for tree in [pki.role_tree(Role::Master).unwrap(), pki.node_tree(&cluster, master).unwrap()] {
        for (path, entry) in tree.iter() {
            let Kind::File(blob) = &entry.kind else { continue };
            let to = root.join(path.relative());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, blob.to_vec(1 << 20).unwrap()).unwrap();
        }
    }
    std::fs::write(root.join("init"), INIT).unwrap();
    let image = dir.join("initrd.gz");
    let script = "chmod 755 \"$1/init\" && cd \"$1\" && find . | cpio -o -H newc --quiet | gzip -1 > \"$2\"";
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(&root).arg(&image).status().unwrap();
    assert!(made.success(), "this test needs cpio and gzip");
    image
}

#[test]
fn a_clock_that_stopped_is_set_to_when_the_certificates_were_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args([
        "600",
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-m",
        "768",
        "-display",
        "none",
    ]);
    command.args(["-monitor", "none", "-serial", "stdio", "-no-reboot", "-rtc", "base=1970-01-01T00:00:10"]);
    command.args(["-append", "console=ttyS0 quiet panic=-1", "-kernel"]).arg(kernel());
    command.arg("-initrd").arg(initrd(dir.path())).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let line = |word: &str| {
        said.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{said}"))
    };
    assert!(line("was ").starts_with("1970-01-01T00:0"), "{said}");
    assert!(line("is ").starts_with("2026-11-23T06:00:"), "{said}");
    assert!(
        said.contains("\"state\":\"warn\"") && said.contains("was set to 2026-11-23T06:00:00Z"),
        "{said}"
    );
    assert_eq!(said.matches("the clock said").count(), 1, "set twice: {said}");
    assert!(said.contains("\nagain"), "{said}");
}
