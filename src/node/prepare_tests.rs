//! The order of things, and what is written when something is wrong.

use std::os::unix::fs::FileExt;

use super::super::disk::record::Record;
use super::*;
use crate::cluster::types::Role;
use crate::progress::Silent;
use crate::testing::{Fake, cluster, medium};

fn options<'a>(media: &'a Path, out: &'a Path, fake: &'a Fake) -> Options<'a> {
    Options {
        media,
        out,
        root: fake.root(),
        node: None,
        seed_wait: Duration::ZERO,
        check_medium: true,
        dry: false,
        preflight: None,
    }
}

/// Somebody who types this name whatever is asked.
struct Types(&'static str);

impl Operator for Types {
    fn types_name(&self, name: &HostName, _: &str) -> Result<bool> {
        Ok(name.as_str() == self.0)
    }
}

fn run(options: &Options<'_>) -> Result<Outcome> {
    prepare(options, &Nobody, &Silent)
}

fn ready(outcome: Result<Outcome>) -> Prepared {
    match outcome {
        Ok(Outcome::Ready(prepared)) => *prepared,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_installer_of_another_release_is_refused_before_anything_is_answered() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40);
    fake.put("etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"10.1\"\n");
    let error = run(&options(media.path(), out.path(), &fake)).unwrap_err();
    assert!(
        error.to_string().contains("is rocky 10.1, and this medium was built for centos-stream-9"),
        "{error}"
    );
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    let disk = fs::File::open(fake.root().join("dev/vda")).unwrap();
    assert_eq!(Record::read(&disk), None);
    fake.put("etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.6\"\n");
    ready(run(&options(media.path(), out.path(), &fake)));
}

#[test]
fn a_known_machine_gets_its_answers() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40).disk("vdb", 16, 80);
    let out = out.path().join("kiln");
    let prepared = ready(run(&options(media.path(), &out, &fake)));
    assert_eq!((prepared.node.name.as_str(), prepared.disks.system.name.as_str()), ("k8s-master1", "vda"));
    assert_eq!(prepared.verified.unwrap().files, 6);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(read("node"), "k8s-master1\n");
    assert_eq!(
        read("network.ks"),
        "network --bootproto=static --ip=192.168.31.71 --netmask=255.255.255.0 --gateway=192.168.31.1 --nodns \
         --device=52:54:00:00:31:71 --bindto=mac --noipv6 --activate --onboot=yes\nnetwork --hostname=k8s-master1\n"
    );
    assert_eq!(
        read("disk.ks"),
        "bootloader --location=mbr --boot-drive=vda --timeout=3 --append=\"quiet systemd.unit=kiln-unfinished.target\"\n\
         ignoredisk --only-use=vda\nzerombr\nclearpart --all --initlabel --disklabel=gpt --drives=vda\nreqpart\n\
         part /boot --fstype=xfs --size=1024 --label=kiln-boot --ondisk=vda\n\
         part / --fstype=xfs --size=6144 --grow --label=kiln-root --ondisk=vda\n"
    );
    let record = |disk: &str| Record::read(&fs::File::open(fake.root().join("dev").join(disk)).unwrap());
    assert_eq!(record("vda").unwrap().node.as_str(), "k8s-master1");
    assert_eq!(record("vdb"), None);
    let node: NodeFile = serde_json::from_str(&read("node.json")).unwrap();
    assert_eq!(node, prepared.node);
}

#[test]
fn without_a_disk_the_node_is_named_and_nothing_can_be_installed() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:71", true);
    fs::write(out.path().join("disk.ks"), "old").unwrap();
    let error = run(&options(media.path(), out.path(), &fake)).unwrap_err();
    assert!(error.to_string().contains("no disk"), "{error}");
    assert_eq!(fs::read_to_string(out.path().join("node")).unwrap(), "k8s-master1\n");
    assert!(!out.path().join("disk.ks").exists());
}

#[test]
fn a_damaged_medium_installs_nothing() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40);
    fs::write(media.path().join("ks.cfg"), "x").unwrap();
    assert!(run(&options(media.path(), out.path(), &fake)).is_err());
    assert!(!out.path().join("disk.ks").exists());
    let unchecked = Options { check_medium: false, ..options(media.path(), out.path(), &fake) };
    assert_eq!(ready(run(&unchecked)).verified, None);
}

#[test]
fn all_faults_are_told_at_once() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40);
    let disk = fs::File::options().write(true).open(fake.root().join("dev/vda")).unwrap();
    disk.write_all_at(b"somebody's", 100 << 10).unwrap();
    fs::write(media.path().join("ks.cfg"), "x").unwrap();
    let error = run(&options(media.path(), out.path(), &fake)).unwrap_err();
    let (text, hint) = (error.to_string(), error.hint_text().unwrap());
    assert!(text.contains("may not be wiped") && text.contains("/ks.cfg"), "{text}");
    assert!(hint.contains("wipe = \"any\""), "{hint}");
    assert!(!out.path().join("disk.ks").exists());
}

#[test]
fn an_unknown_machine_is_told_how_to_become_a_node() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:99", true).disk("vda", 0, 40);
    let error = run(&options(media.path(), out.path(), &fake)).unwrap_err();
    let hint = error.hint_text().unwrap();
    assert!(hint.contains("[[node]]") && hint.contains("# disk vda: 40.0 GiB, QEMU HARDDISK"), "{hint}");
    assert!(fs::read_dir(out.path()).unwrap().next().is_none());
    let asked = Options { node: Some("k8s-master2"), ..options(media.path(), out.path(), &fake) };
    assert_eq!(ready(run(&asked)).node.name, "k8s-master2");
}

#[test]
fn a_member_of_a_pool_asks_dhcp() {
    let (media, out, fake) = (medium(&cluster(), Role::Worker), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:99", true).disk("vda", 0, 40);
    let prepared = ready(run(&options(media.path(), out.path(), &fake)));
    assert_eq!(prepared.node.name, "pool-a-003199");
    let network = fs::read_to_string(out.path().join("network.ks")).unwrap();
    assert!(network.starts_with("network --bootproto=dhcp --device=52:54:00:00:31:99"), "{network}");
}

/// A machine with one disk, on which the node of this medium has come this far.
fn machine(media: &Path, out: &Path, far: impl Fn(&Claim, &Path)) -> Fake {
    let fake = Fake::new();
    fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40);
    ready(run(&options(media, out, &fake)));
    let disk = fs::OpenOptions::new().write(true).open(fake.root().join("dev/vda")).unwrap();
    let header = [b"EFI PART".as_slice(), &[0; 48], &[7; 16]].concat();
    disk.write_all_at(&header, 512).unwrap();
    far(&Claim::load(out).unwrap(), fake.root());
    fake
}

#[test]
fn the_medium_that_installed_a_machine_does_not_install_it_again() {
    let (media, out) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap());
    let fake = machine(media.path(), out.path(), |claim, root| claim.finish(root).unwrap());
    let outcome = run(&options(media.path(), out.path(), &fake)).unwrap();
    assert!(matches!(outcome, Outcome::Installed { disk, .. } if disk == "vda"));
    assert_eq!(fs::read_to_string(out.path().join(INSTALLED)).unwrap(), "vda\n");
    assert!(!out.path().join("disk.ks").exists() && !out.path().join(claim::FILE).exists());
}

#[test]
fn a_node_is_lost_only_if_its_name_is_typed() {
    let (media, out) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap());
    let mut newer = cluster();
    newer.network.gateway = None;
    let newer = medium(&newer, Role::Master);
    let fake = machine(media.path(), out.path(), |claim, root| claim.finish(root).unwrap());
    let before = fs::read(fake.root().join("dev/vda")).unwrap();
    let options = options(newer.path(), out.path(), &fake);
    for operator in [&Nobody as &dyn Operator, &Types("k8s-master2")] {
        let error = prepare(&options, operator, &Silent).unwrap_err();
        assert!(
            error.to_string().contains("vda carries k8s-master1, installed from KILN-PROD-MASTER"),
            "{error}"
        );
        assert!(error.hint_text().unwrap().contains("kiln build --profile master --reinstall k8s-master1"));
        assert!(!out.path().join("disk.ks").exists());
    }
    assert_eq!(fs::read(fake.root().join("dev/vda")).unwrap(), before);
    let prepared = ready(prepare(&options, &Types("k8s-master1"), &Silent));
    assert!(prepared.notes[0].contains("was typed at the console"), "{:?}", prepared.notes);
    // Power is cut now, nothing has been done: what was allowed once is allowed still, to this medium.
    ready(run(&options));
}

#[test]
fn a_dry_run_writes_to_no_disk() {
    let (media, out, fake) = (medium(&cluster(), Role::Master), tempfile::tempdir().unwrap(), Fake::new());
    fake.nic("eth0", "52:54:00:00:31:71", true).disk("vda", 0, 40);
    let before = fs::read(fake.root().join("dev/vda")).unwrap();
    ready(run(&Options { dry: true, ..options(media.path(), out.path(), &fake) }));
    assert_eq!(fs::read(fake.root().join("dev/vda")).unwrap(), before);
}

#[test]
fn one_name_is_not_enough_for_two_nodes() {
    let manifest = Manifest::of(&cluster(), Role::Master, "X".parse().unwrap());
    let lost = |name: &str| Lost { name: name.parse().unwrap(), why: format!("vda carries {name}") };
    let nodes = [lost("k8s-master1"), lost("k8s-master2")];
    let error = ask(&nodes, &manifest, &Types("k8s-master1")).err().unwrap();
    assert!(error.to_string().contains("vda carries k8s-master2"), "{error}");
    assert!(
        matches!(ask(&nodes[..1], &manifest, &Types("k8s-master1")), Ok(Guarded::Free(notes)) if notes.len() == 1)
    );
}
