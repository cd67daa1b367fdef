//! Which disks are seen, and which one a rule means.

use std::fs;

use super::*;
use crate::cluster::storage::{Bus, DiskRule, Mount, Pick, Storage, Volume};
use crate::error::Result;
use crate::testing::Fake;

fn choose_on(fake: &Fake, rule: &DiskRule) -> Result<Disk> {
    let storage = Storage { disk: rule.clone(), ..Default::default() };
    choose(&list(fake.root(), fake.root()).unwrap(), &storage).map(|choice| choice.system)
}

fn refused(fake: &Fake, rule: &DiskRule) -> String {
    choose_on(fake, rule).unwrap_err().to_string()
}

#[test]
fn the_only_disk_is_taken() {
    let fake = Fake::new();
    fake.disk("vda", 0, 20).disk("sr0", 1, 20).disk("loop0", 2, 20).disk("dm-0", 3, 20);
    assert_eq!(choose_on(&fake, &DiskRule::default()).unwrap().name, "vda");
    fake.disk("vdb", 16, 20);
    let error = refused(&fake, &DiskRule::default());
    assert!(error.contains("2 disks of this machine fit the rule"), "{error}");
    assert!(error.contains("vda") && error.contains("20.0 GiB  QEMU HARDDISK: fits"), "{error}");
}

#[test]
fn media_and_what_cannot_be_written_are_never_taken() {
    let fake = Fake::new();
    assert!(refused(&fake, &DiskRule::default()).contains("has no disk"));
    for name in ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg"] {
        fake.disk(name, name.as_bytes()[2] - b'a', 20);
    }
    let root = fs::canonicalize(fake.root()).unwrap();
    fake.put("sys/block/sda/removable", "1\n").put("sys/block/sdb/ro", "1\n");
    fake.put("sys/block/sdc/sdc1/dev", "8:33\n");
    fake.put("proc/self/mountinfo", &format!("1 0 8:33 / {} ro - iso9660 x ro\n", root.display()));
    fake.put("dev/sdd", &format!("{}\u{1}CD001", "\0".repeat(32768)));
    fake.put("sys/block/sde/size", "0\n").put("sys/block/sdf/size", "2048\n");
    fs::remove_file(fake.root().join("dev/sdg")).unwrap();
    let error = refused(&fake, &DiskRule::default());
    for reason in [
        "no disk of this machine may be installed to",
        "is removable",
        "is read-only",
        "carries this medium",
        "carries an ISO 9660",
        "has no medium in it",
        "too small for a node",
        "cannot be read",
    ] {
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn what_the_installer_uses_is_never_taken() {
    let fake = Fake::new();
    fake.disk("sda", 0, 20).disk("sdb", 16, 20).disk("cciss!c0d0", 32, 20);
    // The image of the medium lies on a logical volume of sda.
    fake.put("sys/block/sda/sda2/dev", "8:2\n").put("sys/block/sda/sda2/holders/dm-3", "");
    fake.put("sys/block/dm-3/dev", "253:3\n");
    fake.put("sys/block/sdb/sdb1/dev", "8:17\n");
    let mounts = "1 0 253:3 / /run/install/isodir ro - xfs /dev/mapper/x ro\n\
                  1 0 7:0 / /run/install/repo ro - iso9660 /dev/loop0 ro\n";
    fake.put("proc/self/mountinfo", mounts).put("dev/cciss/c0d0", "");
    assert!(
        refused(&fake, &DiskRule { pick: Pick::Smallest, ..Default::default() })
            .contains("is in use: /run/install/isodir is on it")
    );
    fake.put("proc/self/mountinfo", &(mounts.to_owned() + "1 0 8:17 / /mnt ro - xfs /dev/sdb1 ro\n"));
    assert_eq!(choose_on(&fake, &DiskRule::default()).unwrap().name, "cciss/c0d0");
    fs::remove_file(fake.root().join("proc/self/mountinfo")).unwrap();
    assert!(list(fake.root(), fake.root()).unwrap_err().to_string().contains("mountinfo"));
}

#[test]
fn a_disk_on_usb_is_taken_only_by_its_name() {
    let fake = Fake::new();
    fake.disk("sda", 0, 20).disk("mmcblk0", 32, 30);
    fake.put("sys/block/mmcblk0/device/type", "SD\n");
    let bus = fake.root().join("sys/devices/pci0000:00/usb2/2-1/block");
    fs::create_dir_all(&bus).unwrap();
    fs::rename(fake.root().join("sys/block/sda"), bus.join("sda")).unwrap();
    std::os::unix::fs::symlink(bus.join("sda"), fake.root().join("sys/block/sda")).unwrap();
    let error = refused(&fake, &DiskRule { pick: Pick::Smallest, ..Default::default() });
    assert!(error.contains("is on USB, and is taken only if") && error.contains("is an SD card"), "{error}");
    fake.put("run/udev/data/b8:0", "E:ID_SERIAL_SHORT=S3Z\n");
    let named = DiskRule { serial: Some("S3Z".into()), ..Default::default() };
    assert_eq!(choose_on(&fake, &named).unwrap().name, "sda");
}

#[test]
fn rules_narrow_the_choice() {
    let fake = Fake::new();
    fake.disk("sda", 0, 20).disk("sdb", 16, 40).disk("sdc", 32, 80);
    fake.put(
        "run/udev/data/b8:16",
        "S:disk/by-path/pci-0000:00:1f.2-ata-2\nE:ID_SERIAL_SHORT=S3Z\nE:ID_WWN=0x5002538\n",
    );
    let taken = |rule: DiskRule| choose_on(&fake, &rule).unwrap().name;
    let none = DiskRule::default;
    assert_eq!(taken(DiskRule { serial: Some("S3Z".into()), ..none() }), "sdb");
    assert_eq!(taken(DiskRule { wwn: Some("naa.5002538".into()), ..none() }), "sdb");
    assert_eq!(taken(DiskRule { by_path: Some("pci-0000:00:1f.2-ata-2".into()), ..none() }), "sdb");
    assert_eq!(taken(DiskRule { min_size: Some(50 << 30), ..none() }), "sdc");
    assert_eq!(taken(DiskRule { max_size: Some(20 << 30), ..none() }), "sda");
    assert_eq!(taken(DiskRule { pick: Pick::Smallest, min_size: Some(21 << 30), ..none() }), "sdb");
    fake.disk("sdd", 48, 20);
    let error = refused(&fake, &DiskRule { pick: Pick::Smallest, ..none() });
    assert!(
        error.contains("2 disks") && error.contains("sdb") && error.contains("is not the smallest"),
        "{error}"
    );
    assert!(refused(&fake, &DiskRule { serial: Some("X".into()), ..none() }).contains("rule of /: serial X"));
}

#[test]
fn bus_and_platters_narrow_the_choice_too() {
    let fake = Fake::new();
    fake.disk("nvme0n1", 0, 20).disk("vda", 16, 40).disk("sda", 32, 80);
    fake.put("sys/block/sda/queue/rotational", "1\n");
    let taken = |rule: DiskRule| choose_on(&fake, &rule).unwrap().name;
    assert_eq!(taken(DiskRule { bus: Some(Bus::Nvme), ..Default::default() }), "nvme0n1");
    assert_eq!(taken(DiskRule { rotational: Some(true), ..Default::default() }), "sda");
    assert_eq!(taken(DiskRule { pick: Pick::Largest, ..Default::default() }), "sda");
    let solid = DiskRule { rotational: Some(false), pick: Pick::Largest, ..Default::default() };
    assert_eq!(taken(solid), "vda");
    let error = refused(&fake, &DiskRule { bus: Some(Bus::Usb), ..Default::default() });
    assert!(
        error.contains("is on nvme") && error.contains("is on virtio") && error.contains("on scsi"),
        "{error}"
    );
}

#[test]
fn a_volume_has_a_disk_of_its_own() {
    let fake = Fake::new();
    fake.disk("sda", 0, 20).disk("sdb", 16, 40).put("run/udev/data/b8:0", "E:ID_SERIAL_SHORT=S1\n");
    let disks = list(fake.root(), fake.root()).unwrap();
    let named = DiskRule { serial: Some("S1".into()), ..Default::default() };
    // What is named is taken first, so the system's disk is the only one that is left.
    let volumes = vec![Volume { mount: Mount::Etcd, disk: named.clone() }];
    let choice = choose(&disks, &Storage { volumes, ..Default::default() }).unwrap();
    let all: Vec<_> = choice.all().map(|(folder, disk)| (folder, disk.name.as_str())).collect();
    assert_eq!(all, [("/", "sdb"), ("/var/lib/etcd", "sda")]);
    let twice = Storage {
        disk: named.clone(),
        volumes: vec![Volume { mount: Mount::Etcd, disk: named }],
        ..Default::default()
    };
    let error = choose(&disks, &twice).unwrap_err().to_string();
    assert!(error.contains("rule of /var/lib/etcd: serial S1") && error.contains("is that of /"), "{error}");
}

#[test]
fn ways_to_one_disk_are_not_taken_for_disks() {
    let fake = Fake::new();
    fake.disk("sda", 0, 20).disk("sdb", 16, 20).disk("sdc", 32, 20);
    fake.put("sys/block/sda/holders/dm-1", "").put("sys/block/dm-1/dm/uuid", "mpath-3600508b\n");
    assert!(refused(&fake, &DiskRule::default()).contains("is one way to the multipath device dm-1"));
    fake.put("sys/block/sdb/wwid", "naa.5000\n").put("sys/block/sdc/wwid", "0x5000\n");
    let error = refused(&fake, &DiskRule::default());
    assert!(error.contains("is another way to the disk sdc: both have the WWN 5000"), "{error}");
}
