//! Seeds that fit, that do not, and that want to do harm.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::super::claim::Claim;
use super::super::disk::record::Record;
use super::super::place::{self, place};
use super::super::prepare::{Nobody, Options, Outcome, Prepared, prepare};
use super::*;
use crate::blob::Blob;
use crate::cluster::Cluster;
use crate::cluster::types::Role;
use crate::image::{Content, MediumFile};
use crate::progress::Silent;
use crate::testing::{Fake, Pair, cluster, halves, pair, stub_elf, volume};

const MASTER2: &str = "52:54:00:00:31:74";

/// A machine with one disk, and a stick `sdb` with these bytes.
fn machine(mac: &str, stick: &[u8]) -> Fake {
    let fake = Fake::new();
    fake.nic("eth0", mac, true).disk("vda", 0, 40).disk("sdb", 16, 64).on_disk("sdb", stick);
    fake
}

fn attempt(media: &Path, fake: &Fake) -> Result<Outcome> {
    let out = fake.root().join("out");
    let options = Options {
        media,
        out: &out,
        root: fake.root(),
        node: None,
        seed_wait: Duration::ZERO,
        check_medium: true,
        dry: false,
        preflight: None,
    };
    prepare(&options, &Nobody, &Silent)
}

fn run(media: &Path, fake: &Fake) -> Result<Prepared> {
    match attempt(media, fake)? {
        Outcome::Ready(prepared) => Ok(*prepared),
        other => panic!("{other:?}"),
    }
}

fn masters(salt: &str) -> Pair {
    pair(&cluster(), Role::Master, "authority", salt)
}

/// Refused, and no disk was touched; what was said.
#[track_caller]
fn refused(media: &Path, fake: &Fake) -> String {
    let error = run(media, fake).unwrap_err();
    let out = fake.root().join("out");
    assert!(!out.join("disk.ks").exists(), "{error}");
    for disk in ["vda", "sdb"] {
        let device = File::open(fake.root().join("dev").join(disk));
        assert!(device.is_err() || Record::read(&device.unwrap()).is_none(), "{disk} was marked: {error}");
    }
    assert!(!out.join(KEPT).join("kiln").exists(), "something was kept: {error}");
    assert!(error.hint_text().is_some(), "{error}");
    format!("{error}\n{}", error.hint_text().unwrap())
}

fn target() -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    let me = target.path().metadata().unwrap();
    fs::create_dir(target.path().join("etc")).unwrap();
    let passwd = format!("root:x:{}:{}:root:/root:/bin/bash\n", me.uid(), me.gid());
    fs::write(target.path().join("etc/passwd"), passwd).unwrap();
    fs::write(target.path().join("etc/group"), format!("root:x:{}:\n", me.gid())).unwrap();
    target
}

fn lay(media: &Path, fake: &Fake, target: &Path) -> Result<place::Placed> {
    let prepared = fake.root().join("out");
    place(&place::Options { media, from: None, prepared: &prepared, target, root: fake.root() }, &Silent)
}

#[test]
fn a_node_gets_its_secrets_from_the_seed_and_no_others() {
    let mut with_password = cluster();
    let hash = format!("$6$salt${}", "a".repeat(86));
    with_password.access.root_password_hash = Some(hash.parse().unwrap());
    for (cluster, access) in
        [(cluster(), "rootpw --lock\n".to_owned()), (with_password, format!("rootpw --iscrypted {hash}\n"))]
    {
        let pair = pair(&cluster, Role::Master, "authority", "SALT");
        let fake = machine(MASTER2, &pair.seed);
        let prepared = run(pair.media.path(), &fake).unwrap();
        // The stick is larger and blank but for the seed; it is no target.
        assert_eq!(
            (prepared.node.name.as_str(), prepared.disks.system.name.as_str()),
            ("k8s-master2", "vda")
        );
        let out = fake.root().join("out");
        assert_eq!(fs::read_to_string(out.join("access.ks")).unwrap(), access);
        let secrets = out.join("seed/kiln/secrets");
        let names: Vec<String> = list(&secrets.join("nodes")).unwrap();
        assert_eq!(names, ["k8s-master2.tar"]);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&out.join("seed")), mode(&secrets.join("common.tar")), mode(&out.join("access.ks"))),
            (0o700, 0o600, 0o600)
        );
        let target = target();
        lay(pair.media.path(), &fake, target.path()).unwrap();
        let read = |path: &str| fs::read_to_string(target.path().join(path)).unwrap();
        assert_eq!(read("etc/kiln-test"), "common\n");
        assert_eq!(read("etc/kiln-own"), "k8s-master2\n");
        assert_eq!(read("opt/kubernetes/ssl/ca.pem"), "authority: SALT\n");
        assert_eq!(read("opt/kubernetes/ssl/own-key.pem"), "key of k8s-master2: SALT\n");
        // Again, after a run that failed: what it kept is replaced.
        run(pair.media.path(), &fake).unwrap();
    }
}

#[test]
fn a_member_of_a_pool_gets_the_pools_secrets() {
    let pair = pair(&cluster(), Role::Worker, "authority", "SALT");
    let fake = machine("52:54:00:00:31:99", &pair.seed);
    run(pair.media.path(), &fake).unwrap();
    let table =
        "Local:\n  |-- 192.168.31.0\n     /24 link UNICAST\n  |-- 192.168.31.140\n     /32 host LOCAL\n";
    fake.put("proc/net/fib_trie", table);
    let target = target();
    lay(pair.media.path(), &fake, target.path()).unwrap();
    let key = fs::read_to_string(target.path().join("opt/kubernetes/ssl/own-key.pem")).unwrap();
    assert_eq!(key, "key of pool-a: SALT\n");
}

#[test]
fn without_its_seed_nothing_is_installed() {
    let pair = masters("x");
    let said = refused(pair.media.path(), &machine(MASTER2, b"nothing"));
    assert!(said.contains("no volume labelled OEMDRV") && said.contains("--format seed"), "{said}");
    // The stick alone is no disk for a node, however large.
    let alone = Fake::new();
    alone.nic("eth0", MASTER2, true).disk("sdb", 16, 64).on_disk("sdb", &pair.seed);
    let said = refused(pair.media.path(), &alone);
    assert!(said.contains("carries an ISO 9660 file system"), "{said}");
}

#[test]
fn a_machine_that_is_installed_needs_no_seed() {
    let pair = masters("x");
    let fake = machine(MASTER2, &pair.seed);
    run(pair.media.path(), &fake).unwrap();
    // A partition table comes, and the record knows it.
    fake.on_disk("vda", &[[0; 512].as_slice(), b"EFI PART", &[0; 48], &[7; 16]].concat());
    Claim::load(&fake.root().join("out")).unwrap().finish(fake.root()).unwrap();
    fake.on_disk("sdb", &vec![0; pair.seed.len()]);
    let outcome = attempt(pair.media.path(), &fake).unwrap();
    assert!(matches!(outcome, Outcome::Installed { disk, .. } if disk == "vda"));
    assert!(!fake.root().join("out/seed").exists(), "what was kept is gone");
}

#[test]
fn a_seed_of_something_else_is_refused() {
    let medium = masters("x");
    let other = |change: &dyn Fn(&mut Cluster)| {
        let mut cluster = cluster();
        change(&mut cluster);
        pair(&cluster, Role::Master, "authority", "x").seed
    };
    for (seed, why) in [
        (
            other(&|cluster| cluster.network.gateway = None),
            "it is the seed of another build, KILN-PROD-MASTER-",
        ),
        (
            other(&|cluster| cluster.name = "test".parse().unwrap()),
            "it is a seed of cluster test, and the medium is of prod",
        ),
        (
            pair(&cluster(), Role::Master, "another", "x").seed,
            "it is a seed of another cluster that is called prod too",
        ),
        (
            pair(&cluster(), Role::Lb, "authority", "x").seed,
            "it is a seed for profile lb, and the medium is for master",
        ),
    ] {
        let said = refused(medium.media.path(), &machine(MASTER2, &seed));
        assert!(said.contains(&format!("sdb: {why}")), "{why}: {said}");
    }
}

#[test]
fn a_damaged_seed_is_refused() {
    let Pair { media, seed } = masters("SALT");
    let at = |needle: &str| seed.windows(needle.len()).position(|part| part == needle.as_bytes()).unwrap();
    // Another node's archive counts as well: the seed is as it was made, or it is not.
    for (place, why) in [
        (at("key of k8s-master1: SALT"), "/kiln/secrets/nodes/k8s-master1.tar has SHA-256"),
        (at("authority: SALT"), "/kiln/secrets/common.tar has SHA-256"),
        (at("\"format\": 1") + 2, "no manifest of a seed"),
    ] {
        let mut bad = seed.clone();
        bad[place] ^= 1;
        let said = refused(media.path(), &machine(MASTER2, &bad));
        assert!(said.contains(why), "{why}: {said}");
    }
    // Cut short: the device is smaller than the volume.
    let cut = machine(MASTER2, b"");
    fs::write(cut.root().join("dev/sdb"), &seed[..seed.len() - 2048]).unwrap();
    let said = refused(media.path(), &cut);
    assert!(said.contains("truncated"), "{said}");
}

#[test]
fn of_several_volumes_the_right_one_is_taken() {
    let first = masters("first");
    let fake = machine(MASTER2, &first.seed);
    // A driver disk of a vendor's has that label too.
    let foreign = volume(vec![file("/rhdd3", b"Driver Update Disk version 3")]);
    fake.disk("sda", 32, 8).on_disk("sda", &foreign).disk("sdc", 48, 8).on_disk("sdc", &first.seed);
    run(first.media.path(), &fake).unwrap();
    fake.on_disk("sdc", &masters("other").seed);
    let error = run(first.media.path(), &fake).unwrap_err().to_string();
    assert!(error.contains("are seeds of") && error.contains("differ"), "{error}");
    let said = refused(first.media.path(), &machine(MASTER2, &foreign));
    assert!(said.contains("sdb: it is no seed of kiln's"), "{said}");
    // On a partition, and as a CD.
    let fake = Fake::new();
    fake.nic("eth0", MASTER2, true).disk("vda", 0, 40).disk("sr0", 11, 1).on_disk("sr0", &first.seed);
    run(first.media.path(), &fake).unwrap();
    let fake = Fake::new();
    fake.nic("eth0", MASTER2, true)
        .disk("vda", 0, 40)
        .disk("sdb", 16, 8)
        .put("sys/block/sdb/sdb1/partition", "1\n");
    fs::write(fake.root().join("dev/sdb1"), &first.seed).unwrap();
    run(first.media.path(), &fake).unwrap();
}

fn file(path: &str, bytes: &[u8]) -> MediumFile {
    MediumFile { path: path.to_owned(), mode: 0o600, content: Content::Blob(Blob::bytes(bytes)) }
}

/// The files of a seed, with one in another's place. The manifest tells what lies there.
fn with(change: impl Fn(&mut MediumFile)) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let kiln = dir.path().join("program");
    fs::write(&kiln, stub_elf()).unwrap();
    let (payload, mut seed) = halves(&cluster(), Role::Master, "authority", "SALT", &kiln);
    let media = tempfile::tempdir().unwrap();
    crate::image::dir::write(payload.files, media.path()).unwrap();
    seed.iter_mut().for_each(change);
    (media, volume(seed))
}

/// Names and checksum of a tar header changed, so that its member climbs out of the root.
fn climb(archive: &mut [u8]) {
    assert!(archive.starts_with(b"opt/"));
    archive[..4].copy_from_slice(b"../o");
    archive[148..156].fill(b' ');
    let sum: u32 = archive[..512].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn an_archive_that_climbs_lays_nothing_down() {
    let (media, seed) = with(|file| {
        if let (seed::COMMON, Content::Blob(blob)) = (file.path.as_str(), &mut file.content) {
            let mut bytes = blob.to_vec(1 << 20).unwrap();
            climb(&mut bytes);
            *blob = Blob::bytes(bytes);
        }
    });
    let fake = machine(MASTER2, &seed);
    run(media.path(), &fake).unwrap();
    let target = target();
    let error = lay(media.path(), &fake, target.path()).unwrap_err().to_string();
    assert!(error.contains("`..` part"), "{error}");
    assert!(!target.path().join("opt").exists());
}

#[test]
fn what_was_kept_is_compared_again() {
    let pair = masters("SALT");
    let fake = machine(MASTER2, &pair.seed);
    run(pair.media.path(), &fake).unwrap();
    let kept = fake.root().join("out/seed/kiln/secrets/nodes/k8s-master2.tar");
    let mut bytes = fs::read(&kept).unwrap();
    bytes[520] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let error = lay(pair.media.path(), &fake, target().path()).unwrap_err();
    assert!(error.to_string().contains("is not what the manifest says"), "{error}");
}

#[test]
fn a_password_that_is_no_hash_does_not_reach_the_kickstart() {
    let mut cluster = cluster();
    let hash = format!("$6$salt${}", "a".repeat(86));
    cluster.access.root_password_hash = Some(hash.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let kiln = dir.path().join("program");
    fs::write(&kiln, stub_elf()).unwrap();
    let (payload, mut files) = halves(&cluster, Role::Master, "authority", "x", &kiln);
    let media = tempfile::tempdir().unwrap();
    crate::image::dir::write(payload.files, media.path()).unwrap();
    for file in &mut files {
        if file.path == seed::ROOT_PASSWORD {
            let mut text = "x\n%pre\nreboot\n%end\n".to_owned();
            text += &" ".repeat(file.content.len() as usize - text.len());
            file.content = Content::Blob(Blob::bytes(text.into_bytes()));
        }
    }
    let said = run(media.path(), &machine(MASTER2, &volume(files))).unwrap_err().to_string();
    assert!(
        said.contains("/kiln/secrets/root-password on the seed: a password hash is written like"),
        "{said}"
    );
}

/// Links and files that are not there, on a volume that others made.
#[test]
fn links_are_no_files() {
    let pair = masters("x");
    let iso = Iso::open(pair.seed.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("kiln/secrets/nodes");
    fs::create_dir_all(&at).unwrap();
    let json = iso.read_path(seed::MANIFEST, 1 << 20).unwrap().unwrap();
    fs::write(dir.path().join("kiln/seed.json"), json).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", dir.path().join("kiln/secrets/common.tar")).unwrap();
    fs::create_dir(at.join("k8s-master1.tar")).unwrap();
    fs::write(at.join("k8s-master2.tar"), "short").unwrap();
    let out = dir.path().join("x.iso");
    let mut xorriso = std::process::Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-quiet", "-R", "-V", OEMDRV, "-o"]).arg(&out).arg("-graft-points");
    let done = xorriso.arg(format!("/kiln={}", dir.path().join("kiln").display())).output();
    assert!(done.expect("install the package xorriso").status.success());
    let said = refused(pair.media.path(), &machine(MASTER2, &fs::read(out).unwrap()));
    for part in [
        "/kiln/secrets/common.tar is no regular file",
        "/kiln/secrets/nodes/k8s-master1.tar is no regular file",
        "/kiln/secrets/nodes/k8s-master2.tar has 5 bytes, not",
        "/kiln/secrets/nodes/k8s-master3.tar is missing",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
