//! Packages and repositories of other makers: rpmbuild's packages, createrepo_c's repodata in every form, and what createrepo_c and dnf
//! say of repodata that kiln wrote. Needs `make setup`, and no network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln::digest::Sha256;
use kiln::format::repodata::{Folder, Limits, Offered, REPOMD, Repository};
use kiln::packages::{Added, medium_files, read_added};
use tempfile::TempDir;

/// Runs a program that must succeed; gives its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make setup`"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
    said
}

/// The packages of `make.sh`, in a folder.
fn packages(temp: &TempDir) -> PathBuf {
    let dir = temp.path().join("rpms");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages/make.sh");
    run(Command::new("sh").arg(script).arg(&dir));
    dir
}

fn added(dir: &Path) -> Vec<Added> {
    read_added(&[dir.to_owned()], 9).unwrap()
}

/// Writes a repository as it lies on a medium.
fn lay(added: &[Added], to: &Path) {
    for extra in medium_files(added).unwrap() {
        let path = to.join(extra.path.strip_prefix("/kiln/rpms/").unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, extra.content.to_vec(64 << 20).unwrap()).unwrap();
    }
}

fn offered(dir: &Path) -> Vec<Offered> {
    let mut list = Vec::new();
    let folder = Folder(dir.to_owned());
    let repository = Repository::open(&folder, Limits::default()).unwrap().unwrap();
    repository
        .packages(&mut |one| {
            list.push(one);
            Ok(())
        })
        .unwrap();
    list.sort_by(|a, b| a.location.cmp(&b.location));
    list
}

fn createrepo(dir: &Path, args: &[&str]) {
    run(Command::new("createrepo_c").args(["--quiet", "--no-database"]).args(args).arg(dir));
}

/// A document of a repository, unpacked, its lines without indentation and times of files.
fn lines(dir: &Path, kind: &str) -> Vec<String> {
    let entry = {
        let folder = Folder(dir.to_owned());
        let repository = Repository::open(&folder, Limits::default()).unwrap().unwrap();
        repository.index.entries[kind].location.clone()
    };
    let text = run(Command::new("zcat").arg(dir.join(entry)));
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("<time ") && !line.is_empty());
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn createrepo_c_writes_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, ours) = (packages(&temp), temp.path().join("ours"));
    lay(&added(&dir), &ours);
    createrepo(&dir, &["--general-compress-type=gz"]);
    assert_eq!(offered(&ours), offered(&dir));
    assert_eq!(offered(&ours).len(), 4);
    for kind in ["primary", "filelists"] {
        assert_eq!(lines(&ours, kind), lines(&dir, kind), "{kind}");
    }
    // What rpm says itself of its package.
    let query = ["-qp", "--queryformat", "%{NAME} %{EPOCH}:%{VERSION}-%{RELEASE} %{ARCH} %{SIZE}"];
    let said = run(Command::new("rpm").args(query).arg(dir.join("kiln-app-1.0~rc1.rpm")));
    let one = &added(&dir)[0].listed.rpm;
    let evr = &one.package.evr;
    assert_eq!(said, format!("{} {evr} {} {}", one.package.name, one.package.arch, one.about.installed));
}

#[test]
fn every_compression_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = packages(&temp);
    createrepo(&dir, &["--general-compress-type=gz"]);
    let expected = offered(&dir);
    createrepo(&dir, &["--general-compress-type=xz"]);
    assert_eq!(offered(&dir), expected);
    createrepo(&dir, &["--general-compress-type=bz2"]);
    let folder = Folder(dir.clone());
    let repository = Repository::open(&folder, Limits::default()).unwrap().unwrap();
    let error = repository.packages(&mut |_| Ok(())).unwrap_err();
    assert!(format!("{error:?}").contains("bzip2"), "{error:?}");

    // Debian 12's createrepo_c writes no zstd; EL 10's does.
    createrepo(&dir, &["--general-compress-type=gz"]);
    let repository = Repository::open(&folder, Limits::default()).unwrap().unwrap();
    let plain = run(Command::new("zcat").arg(dir.join(&repository.index.entries["primary"].location)));
    for (name, args) in [
        ("plain", vec!["cat"]),
        ("zst", vec!["zstd", "-qc"]),
        ("long", vec!["zstd", "-qc", "-19", "--long"]),
        ("frames", vec!["sh", "-c", "for half in 1 2; do split -n $half/2 \"$0\" | zstd -qc; done"]),
    ] {
        let other = temp.path().join(name);
        std::fs::create_dir_all(other.join("repodata")).unwrap();
        let file = other.join("repodata/primary");
        std::fs::write(temp.path().join("p"), &plain).unwrap();
        let mut command = Command::new(args[0]);
        let packed = command.args(&args[1..]).arg(temp.path().join("p")).output().unwrap();
        std::fs::write(&file, &packed.stdout).unwrap();
        let digest = Sha256::of(&packed.stdout);
        let repomd = format!(
            "<repomd><data type=\"primary\"><checksum type=\"sha256\">{digest}</checksum>\
             <location href=\"repodata/primary\"/></data></repomd>"
        );
        std::fs::write(other.join(REPOMD), repomd).unwrap();
        assert_eq!(offered(&other), expected, "{name}");
    }
}

#[test]
fn what_is_cut_or_changed_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = packages(&temp);
    let path = dir.join("kiln-lib-2.0.rpm");
    let good = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_added(std::slice::from_ref(&dir), 9).unwrap_err().to_string()
    };
    for at in (0..good.len()).step_by(97) {
        let said = refused(&good[..at]);
        assert!(said.contains("kiln-lib-2.0.rpm"), "{said}");
    }
    // Anywhere in header and payload; rpm itself judges what lies before.
    let header = {
        std::fs::write(&path, &good).unwrap();
        added(&dir)[2].listed.rpm.header.0 as usize
    };
    for at in (header..good.len()).step_by(53) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let said = refused(&bad);
        assert!(said.contains("kiln-lib-2.0.rpm"), "offset {at}: {said}");
    }
    std::fs::write(&path, &good).unwrap();
    std::fs::copy(&path, dir.join("again.rpm")).unwrap();
    let said = read_added(std::slice::from_ref(&dir), 9).unwrap_err().to_string();
    assert!(said.contains("is the same package"), "{said}");
    std::fs::remove_file(dir.join("again.rpm")).unwrap();
    std::fs::write(dir.join("a b.rpm"), &good).unwrap();
    let said = read_added(std::slice::from_ref(&dir), 9).unwrap_err().to_string();
    assert!(said.contains("rename it"), "{said}");
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = read_added(&[empty], 9).unwrap_err().to_string();
    assert!(said.contains("no *.rpm"), "{said}");
    // The tool has a boolean dependency.
    std::fs::remove_file(dir.join("a b.rpm")).unwrap();
    let said = read_added(&[dir], 7).unwrap_err().to_string();
    assert!(said.contains("kiln-tool-0.1.rpm: EL 7") && said.contains("RichDependencies"), "{said}");
}

/// dnf, in a root of its own and with no repository but this.
fn dnf(temp: &TempDir, repository: &Path) -> Command {
    let own = |name: &str| temp.path().join(name).display().to_string();
    let mut command = Command::new("dnf");
    command.args(["-q", "--releasever=9", "--nogpgcheck", "--repo=kiln", "--setopt=reposdir=/nonexistent"]);
    command.arg(format!("--installroot={}", own("root")));
    for folder in ["cachedir", "logdir", "persistdir"] {
        std::fs::create_dir_all(own(folder)).unwrap();
        command.arg(format!("--setopt={folder}={}", own(folder)));
    }
    command.arg(format!("--repofrompath=kiln,file://{}", repository.display()));
    command
}

#[test]
fn dnf_and_createrepo_c_take_what_kiln_writes() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, ours) = (packages(&temp), temp.path().join("ours"));
    let packages = added(&dir);
    lay(&packages, &ours);
    let said =
        run(dnf(&temp, &ours).args(["repoquery", "--queryformat", "%{name} %{evr} %{arch} %{location}"]));
    let seen: Vec<&str> = said.lines().collect();
    let expected: Vec<String> = packages
        .iter()
        .map(|one| {
            let package = &one.listed.rpm.package;
            format!("{} {} {} {}", package.name, package.evr, package.arch, one.listed.file)
        })
        .collect();
    assert_eq!(seen, expected);
    // It is resolved, by version, library and file, and each file is compared with its checksum as it is fetched.
    let fetched = temp.path().join("fetched");
    run(dnf(&temp, &ours).args(["download", "--resolve", "--destdir"]).arg(&fetched).arg("kiln-app"));
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in std::fs::read_dir(&fetched).unwrap() {
        let entry = entry.unwrap();
        found.insert(entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap());
    }
    assert!(found.keys().eq(["kiln-app-1.0~rc1.rpm", "kiln-lib-2.0.rpm", "kiln-tool-0.1.rpm"]), "{found:?}");
    assert!(found.iter().all(|(name, bytes)| *bytes == std::fs::read(dir.join(name)).unwrap()));
    let said = run(dnf(&temp, &ours).args(["repoquery", "--whatprovides", "/usr/share/kiln-lib/data"]));
    assert!(said.contains("kiln-lib-1:2.0-1.el9"), "{said}");

    // createrepo_c reads it too, and repeats it.
    let merged = temp.path().join("merged");
    let from = format!("--repo=file://{}", ours.display());
    run(Command::new("mergerepo_c").args(["--no-database"]).arg(from).arg("-o").arg(&merged));
    let names = |list: Vec<Offered>| list.into_iter().map(|one| (one.package, one.id)).collect::<Vec<_>>();
    assert_eq!(names(offered(&merged)), names(offered(&ours)));
}

#[test]
fn the_same_packages_give_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let dir = packages(&temp);
    let (first, second) = (temp.path().join("1"), temp.path().join("2"));
    let mut list = added(&dir);
    lay(&list, &first);
    list.reverse();
    // Times of files are no part of it.
    for one in &list {
        run(Command::new("touch").args(["-d", "@1"]).arg(&one.path));
    }
    lay(&list, &second);
    run(Command::new("diff").arg("-r").arg(&first).arg(&second));
    let mut head = [0; 10];
    std::fs::File::open(first.join("repodata/primary.xml.gz")).unwrap().read_exact(&mut head).unwrap();
    assert_eq!(head[3..8], [0; 5], "no name, no time");
}
