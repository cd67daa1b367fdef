//! The scripts that set a developer's machine up, on systems that are not here: what `tests/setup.sh` asks of the package
//! managers of Debian 12, 13 and EL9 (stand-ins of them, `tests/hosts/fake.sh`), and how Debian packages are had without apt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln::digest::Sha256;

const DEBIAN_12: &str = "ID=debian\nVERSION_ID=\"12\"\n";
const DEBIAN_13: &str = "ID=debian\nVERSION_ID=\"13\"\n";
const CENTOS_9: &str = "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"9\"\n";
const ROCKY_9: &str = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A machine with no packages but the shell's.
struct Machine {
    dir: tempfile::TempDir,
}

struct Ran {
    code: Option<i32>,
    text: String,
    /// Calls of the package managers, besides questions.
    calls: Vec<String>,
}

impl Machine {
    fn new(release: &str, tools: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        for folder in ["bin", "root/etc", "root/usr/sbin"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("root/etc/os-release"), release).unwrap();
        for tool in ["bash", "sh", "env", "id", "mktemp", "grep", "tail", "rm", "chmod", "mkdir"] {
            let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
            let real = String::from_utf8(found.stdout).unwrap();
            std::os::unix::fs::symlink(real.trim(), bin.join(tool)).unwrap();
        }
        for tool in tools.iter().chain(&["sudo", "ksvalidator", "pyspdxtools"]) {
            std::os::unix::fs::symlink(here("tests/hosts/fake.sh"), bin.join(tool)).unwrap();
        }
        Self { dir }
    }

    fn debian(release: &str) -> Self {
        Self::new(release, &["cargo", "apt-get", "dpkg-query"])
    }

    fn el(release: &str) -> Self {
        Self::new(release, &["cargo", "dnf", "rpm"])
    }

    fn setup(&self, more: &[(&str, &str)]) -> Ran {
        let log = self.dir.path().join("log");
        std::fs::write(&log, "").unwrap();
        let mut command = Command::new(self.dir.path().join("bin/bash"));
        command.arg(here("tests/setup.sh")).env_clear().env("PATH", self.dir.path().join("bin"));
        command.env("HOME", self.dir.path()).env("TMPDIR", self.dir.path()).env("LOG", &log);
        command.env("KILN_SETUP_ROOT", self.dir.path().join("root")).envs(more.iter().copied());
        let output = command.output().unwrap();
        let both = [output.stdout, output.stderr].concat();
        let calls = std::fs::read_to_string(&log).unwrap();
        let manager = |line: &&str| line.starts_with("dnf ") || line.starts_with("apt-get ");
        Ran {
            code: output.status.code(),
            text: String::from_utf8(both).unwrap(),
            calls: calls.lines().filter(manager).map(str::to_owned).collect(),
        }
    }
}

#[test]
fn el9_gets_what_its_repositories_have_and_says_what_they_lack() {
    for release in [CENTOS_9, ROCKY_9] {
        let machine = Machine::el(release);
        let first = machine.setup(&[("NOT_THERE", "/usr/bin/isohybrid")]);
        assert_eq!(first.code, Some(0), "{}", first.text);
        let [epel, crb, install] = first.calls.as_slice() else { panic!("{:?}", first.calls) };
        assert!(epel.contains("install") && epel.ends_with("epel-release"), "{epel}");
        assert!(crb.ends_with("config-manager --set-enabled crb"), "{crb}");
        for wanted in ["glibc-static", "edk2-ovmf", "/usr/bin/xorrisofs", "/usr/libexec/qemu-kvm"] {
            assert!(install.split(' ').any(|word| word == wanted), "{wanted}: {install}");
        }
        for lacking in ["/usr/bin/isohybrid", "etcd", "containerd"] {
            assert!(first.text.contains(lacking), "{lacking}: {}", first.text);
        }
        let second = machine.setup(&[]);
        assert_eq!((second.code, second.calls.len()), (Some(0), 0), "{:?}", second.calls);
        assert!(second.text.contains("/usr/bin/isohybrid"), "{}", second.text);
        std::fs::remove_file(machine.dir.path().join(".cache/kiln/not-in-el9")).unwrap();
        let third = machine.setup(&[]);
        assert!(
            third.calls.last().is_some_and(|call| call.ends_with(" /usr/bin/isohybrid")),
            "{:?}",
            third.calls
        );
    }
}

#[test]
fn el9_without_what_the_demo_needs_is_told_so() {
    let machine = Machine::el(CENTOS_9);
    let ran = machine.setup(&[("NOT_THERE", "/usr/bin/mksquashfs")]);
    assert_eq!(ran.code, Some(3), "{}", ran.text);
    assert!(ran.text.contains("make demo") && ran.text.contains("/usr/bin/mksquashfs"), "{}", ran.text);
    // RHEL has no epel-release, and calls the other repository by a long name.
    for (fails, word) in [("epel-release", "EPEL"), ("crb", "CodeReady Builder")] {
        let ran = Machine::el(ROCKY_9).setup(&[("FAILS", fails)]);
        assert_eq!(ran.code, Some(3), "{}", ran.text);
        assert!(ran.text.contains(word) && ran.text.contains("no such thing"), "{}", ran.text);
    }
}

#[test]
fn debian_gets_packages_under_the_names_of_its_release() {
    for (release, client) in [(DEBIAN_12, false), (DEBIAN_13, true)] {
        let machine = Machine::debian(release);
        let first = machine.setup(&[]);
        assert_eq!(first.code, Some(0), "{}", first.text);
        let [update, install] = first.calls.as_slice() else { panic!("{:?}", first.calls) };
        assert!(update.starts_with("apt-get update"), "{update}");
        assert!(install.split(' ').any(|word| word == "xorriso"), "{install}");
        assert_eq!(install.split(' ').any(|word| word == "docker-cli"), client, "{install}");
        // Services stay off while packages are installed, and what saw to it is gone.
        assert!(!machine.dir.path().join("root/usr/sbin/policy-rc.d").exists());
        let second = machine.setup(&[]);
        assert_eq!((second.code, second.calls.len()), (Some(0), 0), "{:?}", second.calls);
        let failed = Machine::debian(release).setup(&[("FAILS", "xorriso")]);
        assert_eq!(failed.code, Some(3), "{}", failed.text);
    }
}

#[test]
fn other_systems_are_left_alone() {
    let el8 = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.9\"\n";
    for release in ["ID=fedora\nVERSION_ID=40\n", el8, "ID=alpine\nVERSION_ID=3.20\n", ""] {
        let ran = Machine::new(release, &["cargo", "dnf", "rpm", "apt-get", "dpkg-query"]).setup(&[]);
        assert_eq!((ran.code, ran.calls.len()), (Some(3), 0), "{release}: {} {:?}", ran.text, ran.calls);
        assert!(ran.text.contains("only Debian 12, 13 and EL9"), "{}", ran.text);
    }
    let ran = Machine::new(CENTOS_9, &["dnf", "rpm"]).setup(&[]);
    assert_eq!((ran.code, ran.calls.len()), (Some(3), 0), "{:?}", ran.calls);
    assert!(ran.text.contains("Rust 1.88"), "{}", ran.text);
}

/// A mirror with one package and a kernel, as a folder.
struct Mirror {
    dir: tempfile::TempDir,
}

impl Mirror {
    fn new() -> Self {
        let mirror = Self { dir: tempfile::tempdir().unwrap() };
        let mut list = String::from(
            "Package: linux-image-amd64\nVersion: 6.1.1\nDepends: linux-image-6.1 (= 6.1.1)\n\n",
        );
        for (name, file) in [("hello", "usr/bin/hello"), ("linux-image-6.1", "boot/vmlinuz-6.1")] {
            let deb = mirror.deb(file);
            std::fs::write(mirror.path(&format!("{name}.deb")), &deb).unwrap();
            list += &format!(
                "Package: {name}\nVersion: 1.0\nDescription: a test\n of nothing: else\nFilename: {name}.deb\n"
            );
            list += &format!("SHA256: {}\n\n", Sha256::of(&deb));
        }
        let lists = mirror.path("dists/test/main/binary-amd64");
        std::fs::create_dir_all(&lists).unwrap();
        std::fs::write(lists.join("Packages"), list).unwrap();
        assert!(Command::new("xz").arg(lists.join("Packages")).status().unwrap().success());
        let digest = Sha256::of(&std::fs::read(lists.join("Packages.xz")).unwrap());
        let release = format!(
            "Suite: test\nMD5Sum:\n 0 1 main/binary-amd64/Packages.xz\nSHA256:\n {digest} 1 main/binary-amd64/Packages.xz\n"
        );
        std::fs::write(mirror.path("dists/test/Release"), release).unwrap();
        mirror
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A package (deb(5)) that holds one file with its own name in it.
    fn deb(&self, file: &str) -> Vec<u8> {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(tree.path().join(file), file).unwrap();
        let tar = Command::new("tar").arg("-C").arg(tree.path()).args(["-cJf", "-", "."]).output().unwrap();
        let mut deb = b"!<arch>\n".to_vec();
        for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar.xz", &tar.stdout)] {
            deb.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes(),
            );
            deb.extend(content);
            deb.extend(b"\n".iter().take(content.len() % 2));
        }
        deb
    }

    fn run(&self, mirror: &str, words: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new("python3");
        command.arg("-B").arg(here("tests/standin/debs.py")).args(words).stdin(Stdio::null());
        let output =
            command.env("KILN_DEBIAN_MIRROR", mirror).env("KILN_DEBIAN_SUITE", "test").output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    fn debs(&self, words: &[&str]) -> (Option<i32>, String) {
        self.run(&format!("file://{}", self.dir.path().display()), words)
    }
}

#[test]
fn packages_come_without_apt() {
    let mirror = Mirror::new();
    let listed = mirror.debs(&["list", "hello", "linux-image-amd64"]);
    assert_eq!(listed, (Some(0), "hello 1.0\nlinux-image-6.1 1.0\n".to_owned()));
    let to = mirror.path("to");
    let unpacked = mirror.debs(&["unpack", to.to_str().unwrap(), "hello", "linux-image-amd64"]);
    assert_eq!(unpacked, (Some(0), String::new()));
    for file in ["usr/bin/hello", "boot/vmlinuz-6.1"] {
        assert_eq!(std::fs::read_to_string(to.join(file)).unwrap(), file);
    }
    let (code, text) = mirror.debs(&["list", "nowhere"]);
    assert!(code == Some(4) && text.contains("no package nowhere"), "{text}");
}

#[test]
fn packages_that_are_not_as_listed_are_refused() {
    let (code, text) = Mirror::new().run("http://mirror.invalid/debian", &["list", "hello"]);
    assert!(code == Some(2) && text.contains("https"), "{text}");
    for file in ["hello.deb", "dists/test/main/binary-amd64/Packages.xz"] {
        let mirror = Mirror::new();
        let mut bytes = std::fs::read(mirror.path(file)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(mirror.path(file), bytes).unwrap();
        let (code, text) = mirror.debs(&["unpack", mirror.path("to").to_str().unwrap(), "hello"]);
        assert!(code == Some(4) && text.contains("SHA-256"), "{file}: {text}");
        assert!(!mirror.path("to/usr").exists());
    }
}
