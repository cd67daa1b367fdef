//! Every finding, from facts that cause it: nothing of the machine that runs the tests is asked.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use time::macros::datetime;

use super::segment::{Heard, LinkState, Request};
use super::*;
use crate::cluster::Cluster;
use crate::cluster::types::Role;
use crate::node::disk;
use crate::payload::validity::{Moment, Validity};
use crate::progress::Silent;
use crate::testing::{Fake, cluster};

const OWN: [u8; 6] = [0x52, 0x54, 0, 0, 0x31, 0x71];
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0xee, 0x01];
const LB1: [u8; 6] = [0x52, 0x54, 0, 0, 0x31, 0x81];
const MADE: OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

fn ip(last: u8) -> Ipv4Addr {
    [192, 168, 31, last].into()
}

/// A machine with two cores of x86-64-v3, 4 GiB, UEFI, and one disk: fit to be a master.
fn machine() -> Fake {
    let fake = Fake::new();
    let flags = "lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave";
    let cpus = (0..2).map(|n| format!("processor\t: {n}\nflags\t\t: {flags}\n\n"));
    fake.nic("ens3", "52:54:00:00:31:71", true).disk("sda", 0, 40);
    fake.put("proc/cpuinfo", &cpus.collect::<String>());
    fake.put("proc/meminfo", "MemTotal:        4000000 kB\nMemFree: 1 kB\n");
    fake.put("sys/firmware/efi/fw_platform_size", "64\n");
    fake.put("sys/block/sda/queue/logical_block_size", "512\n");
    fake
}

/// Hands that tell what they were told to, and remember.
#[derive(Debug)]
struct Told {
    now: OffsetDateTime,
    heard: Heard,
    may_set: bool,
    set: Cell<Option<OffsetDateTime>>,
}

impl Hands for Told {
    fn now(&self) -> OffsetDateTime {
        self.now
    }

    fn set_clock(&self, to: OffsetDateTime) -> Result<()> {
        self.set.set(Some(to));
        if self.may_set { Ok(()) } else { Err(Error::input("not permitted")) }
    }

    fn hear(&self, _: &Request) -> Heard {
        self.heard.clone()
    }
}

/// A segment on which the gateway and a master answer, by frames of any length.
fn quiet() -> Heard {
    let mut heard = Heard {
        links: vec![LinkState { name: "ens3".into(), was: true, carrier: true, trouble: None }],
        mtu: Some(1500),
        frames: 9,
        long: BTreeSet::from([ip(74)]),
        ..Default::default()
    };
    heard.answers.insert(ip(1), [OTHER].into());
    heard.answers.insert(ip(74), [[0x52, 0x54, 0, 0, 0x31, 0x74]].into());
    heard
}

fn told() -> Told {
    Told { now: MADE + time::Duration::DAY, heard: quiet(), may_set: true, set: Cell::new(None) }
}

/// The findings about the first master of a cluster: level and check, and all texts.
fn look(cluster: &Cluster, fake: &Fake, hands: &Told) -> (Vec<(Level, Check)>, String) {
    let mut manifest = Manifest::of(cluster, Role::Master, "X".parse().unwrap());
    manifest.validity = Some(Validity { made: Moment(MADE), ends: Moment(MADE + time::Duration::days(365)) });
    let machine = Machine::look(fake.root()).unwrap();
    let found = machine.find(&manifest).unwrap();
    let disks = disk::list(fake.root(), fake.root()).unwrap();
    let disks: Vec<&Disk> = disks.iter().collect();
    let subject =
        Subject { root: fake.root(), manifest: &manifest, found: &found, machine: &machine, disks: &disks };
    let findings = run(&subject, hands, &Silent);
    (findings.iter().map(|finding| (finding.level, finding.check)).collect(), lines(&findings))
}

/// The one finding about a machine or segment that was changed.
fn one(fake: &Fake, hands: &Told) -> (Level, Check, String) {
    let (findings, text) = look(&cluster(), fake, hands);
    assert_eq!(findings.len(), 1, "{text}");
    (findings[0].0, findings[0].1, text)
}

fn heard(change: impl Fn(&mut Heard)) -> Told {
    let mut told = told();
    change(&mut told.heard);
    told
}

#[test]
fn a_fit_machine_on_a_quiet_segment_has_no_findings() {
    let (findings, text) = look(&cluster(), &machine(), &told());
    assert_eq!(findings, [], "{text}");
}

#[test]
fn memory_cores_processor() {
    let fake = machine();
    fake.put("proc/meminfo", "MemTotal:         480000 kB\n");
    let (level, check, text) = one(&fake, &told());
    assert_eq!((level, check), (Level::Error, Check::Memory));
    assert!(
        text.contains("468 MiB of memory; k8s-master1, a master on centos-stream-9, needs 1600 MiB"),
        "{text}"
    );

    let fake = machine();
    fake.put("proc/cpuinfo", "processor : 0\nflags : lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3\n");
    let (level, check, text) = one(&fake, &told());
    assert_eq!((level, check), (Level::Warn, Check::Cores));
    assert!(text.contains("1 core; k8s-master1, a master, needs 2"), "{text}");

    let fake = machine();
    let all = "processor : 0\nflags : lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3\n";
    fake.put("proc/cpuinfo", &(all.to_owned() + "processor : 1\nflags : lm cx16 lahf_lm popcnt pni ssse3\n"));
    let (level, check, text) = one(&fake, &told());
    assert_eq!((level, check), (Level::Error, Check::Cpu));
    assert!(
        text.contains("needs x86-64-v2; the processor lacks sse4_1 sse4_2"),
        "what all cores have: {text}"
    );
}

#[test]
fn each_role_and_release_refuses_half_a_gibibyte() {
    for release in crate::cluster::types::Release::all() {
        for role in Role::ALL {
            let mut cluster = cluster();
            cluster.base.release = release;
            let manifest = Manifest::of(&cluster, role, "X".parse().unwrap());
            let fake = Fake::new();
            let mac = manifest.own_nodes().next().unwrap().mac.unwrap();
            fake.nic("ens3", &mac.to_string(), true);
            let found = Machine::look(fake.root()).unwrap().find(&manifest).unwrap();
            assert!(machine::Needs::of(&manifest, &found).memory > 512, "{role} on {release}");
        }
    }
}

#[test]
fn el10_asks_for_more_of_a_processor() {
    let (fake, mut cluster) = (machine(), cluster());
    cluster.base.release = "rocky-10".parse().unwrap();
    assert_eq!(look(&cluster, &fake, &told()).0, []);
    fake.put(
        "proc/cpuinfo",
        "processor : 0\nflags : lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3\nprocessor : 1\n",
    );
    let (findings, text) = look(&cluster, &fake, &told());
    assert_eq!(findings, [(Level::Error, Check::Cpu)], "{text}");
    cluster.base.release = "centos-7".parse().unwrap();
    assert_eq!(look(&cluster, &fake, &told()).0, []);
}

#[test]
fn firmware_and_sectors() {
    let fake = machine();
    fake.put("sys/block/sda/queue/logical_block_size", "4096\n");
    assert_eq!(look(&cluster(), &fake, &told()).0, [], "UEFI boots from any sector");
    std::fs::remove_dir_all(fake.root().join("sys/firmware")).unwrap();
    let (level, check, text) = one(&fake, &told());
    assert_eq!((level, check), (Level::Error, Check::Firmware));
    assert!(
        text.contains("sda has sectors of 4096 bytes, and BIOS boots from sectors of 512 bytes only"),
        "{text}"
    );

    let fake = machine();
    fake.put("sys/firmware/efi/fw_platform_size", "32\n");
    let (level, check, text) = one(&fake, &told());
    assert_eq!((level, check), (Level::Error, Check::Firmware));
    assert!(text.contains("UEFI is of 32 bits"), "{text}");
}

#[test]
fn a_large_disk_on_bios_is_fine() {
    let fake = machine();
    std::fs::remove_dir_all(fake.root().join("sys/firmware")).unwrap();
    fake.disk("sda", 0, 3 << 10);
    assert_eq!(look(&cluster(), &fake, &told()).0, [], "the label is GPT, whatever the firmware");
}

#[test]
fn room_for_what_the_medium_carries() {
    let fake = machine();
    let mut manifest = Manifest::of(&cluster(), Role::Master, "X".parse().unwrap());
    let file = |size| crate::payload::manifest::ManifestFile { size, sha256: crate::digest::Sha256([0; 32]) };
    manifest.files.insert("/kiln/common.tar".into(), file(1 << 30));
    let found = Machine::look(fake.root()).unwrap().find(&manifest).unwrap();
    assert_eq!(machine::Needs::of(&manifest, &found).room, 12 << 30, "system, etcd, components");
    manifest.files.insert("/kiln/images/a.tar".into(), file(8 << 30));
    let needs = machine::Needs::of(&manifest, &found);
    assert_eq!(needs.room, 44 << 30);
    let disks = disk::list(fake.root(), fake.root()).unwrap();
    let mut findings = Findings::new(&manifest.preflight);
    machine::judge(&machine::Facts::look(fake.root(), &[&disks[0]]), &needs, &mut findings);
    let findings = findings.finish();
    assert_eq!((findings.len(), findings[0].level, findings[0].check), (1, Level::Error, Check::Space));
    assert!(findings[0].text.contains("40.0 GiB of disk"), "{findings:?}");
}

#[test]
fn a_clock_behind_is_set_and_one_past_the_end_is_refused() {
    let fake = machine();
    let hands = Told { now: OffsetDateTime::UNIX_EPOCH, ..told() };
    let (level, check, text) = one(&fake, &hands);
    assert_eq!((level, check, hands.set.get()), (Level::Warn, Check::Clock, Some(MADE)));
    assert!(
        text.contains("the clock said 1970-01-01T00:00:00Z") && text.contains("was set to 2026-11-23"),
        "{text}"
    );

    let hands = Told { now: MADE - time::Duration::SECOND, may_set: false, ..told() };
    let (level, _, text) = one(&fake, &hands);
    assert!(level == Level::Error && text.contains("cannot be set: not permitted"), "{text}");

    let hands = Told { now: MADE + time::Duration::days(400), ..told() };
    let (level, check, text) = one(&fake, &hands);
    assert_eq!((level, check, hands.set.get()), (Level::Error, Check::Clock, None), "never backwards");
    assert!(text.contains("good until 2027-11-23"), "{text}");

    let mut off = cluster();
    off.preflight.0.insert(Check::Clock, Level::Off);
    let hands = Told { now: OffsetDateTime::UNIX_EPOCH, ..told() };
    assert_eq!((look(&off, &fake, &hands).0, hands.set.get()), (vec![], None));
}

#[test]
fn the_link() {
    let (level, check, text) = one(&machine(), &heard(|heard| heard.links[0].carrier = false));
    assert_eq!((level, check), (Level::Error, Check::Link), "{text}");
    assert!(text.contains("ens3, to carry the address of k8s-master1, has no link"), "{text}");
    let (level, check, text) = one(&machine(), &heard(|heard| heard.trouble = Some("no socket".into())));
    assert_eq!((level, check), (Level::Warn, Check::Link));
    assert!(text.contains("could not be listened to: no socket"), "{text}");
}

#[test]
fn addresses_of_others() {
    let fake = machine();
    let answer =
        |last: u8, mac: [u8; 6]| heard(move |heard| drop(heard.answers.insert(ip(last), [mac].into())));
    let (level, check, text) = one(&fake, &answer(71, OTHER));
    assert_eq!((level, check), (Level::Error, Check::Address));
    assert!(
        text.contains("192.168.31.71, the address of k8s-master1, is in use by 52:54:00:00:ee:01"),
        "{text}"
    );
    assert!(one(&fake, &answer(71, LB1)).2.contains("52:54:00:00:31:81 (k8s-lb1)"), "a node is named");
    assert_eq!(look(&cluster(), &fake, &answer(71, OWN)).0, [], "this machine's own frames");

    let (level, check, text) = one(&fake, &answer(88, OTHER));
    assert_eq!((level, check), (Level::Warn, Check::Vip));
    assert!(
        text.contains("192.168.31.88, the VIP") && text.contains("none of the nodes that hold it"),
        "{text}"
    );
    assert_eq!(look(&cluster(), &fake, &answer(88, LB1)).0, [], "its holder, of a cluster that runs");
}

#[test]
fn routers_with_the_clusters_id() {
    let vrid = crate::plan::vrid("prod");
    let with = |source: Ipv4Addr, id: u8| {
        heard(move |heard| {
            let advert = segment::Advert { source, id, version: 2, priority: 150 };
            heard.adverts.insert(advert);
        })
    };
    let (level, check, text) = one(&machine(), &with(ip(9), vrid));
    assert_eq!((level, check), (Level::Warn, Check::Vrrp));
    assert!(
        text.contains(&format!("id {vrid} of this cluster is used by 192.168.31.9 (VRRPv2, priority 150)")),
        "{text}"
    );
    assert_eq!(look(&cluster(), &machine(), &with(ip(81), vrid)).0, [], "our own load balancer");
    assert_eq!(look(&cluster(), &machine(), &with(ip(9), vrid % 255 + 1)).0, [], "another id");
}

#[test]
fn gateway_peers_and_mtu() {
    let fake = machine();
    let (level, check, text) = one(&fake, &heard(|heard| drop(heard.answers.remove(&ip(1)))));
    assert_eq!((level, check), (Level::Warn, Check::Gateway));
    assert!(text.contains("the gateway 192.168.31.1 does not answer"), "{text}");
    let (level, check, text) = one(&fake, &heard(|heard| drop(heard.answers.remove(&ip(74)))));
    assert_eq!((level, check), (Level::Warn, Check::Peers));
    assert!(text.contains("none of 4 masters and load balancers answers"), "{text}");
    let (level, check, text) = one(&fake, &heard(|heard| heard.long.clear()));
    assert_eq!((level, check), (Level::Warn, Check::Mtu));
    assert!(text.contains("k8s-master2 answer short frames, but none of 1500 bytes"), "{text}");
    let (_, check, text) = one(&fake, &heard(|heard| heard.mtu = Some(1400)));
    assert!(check == Check::Mtu && text.contains("ens3 carries packets of 1400 bytes"), "{text}");
}

#[test]
fn errors_stop_and_tell_all() {
    let (fake, mut cluster) = (machine(), cluster());
    fake.put("proc/meminfo", "MemTotal: 480000 kB\n");
    let hands = heard(|heard| drop(heard.answers.remove(&ip(1))));
    assert_eq!(
        look(&cluster, &fake, &hands).0,
        [(Level::Error, Check::Memory), (Level::Warn, Check::Gateway)]
    );
    let finding = |check, level| Finding { check, level, text: "seen".into(), hint: "do".into() };
    let both = [finding(Check::Memory, Level::Error), finding(Check::Gateway, Level::Warn)];
    let error = settle("n1", &both, Err::<(), _>(Error::input("the medium is damaged"))).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("not fit to become n1 (1 error, 1 warning)"), "{text}");
    assert!(text.contains("error: memory: seen") && text.contains("and the medium is damaged"), "{text}");
    assert!(settle("n1", &both[1..], Ok(())).is_ok());
    assert!(settle("n1", &both[1..], Err::<(), _>(Error::input("x"))).is_err());

    cluster.preflight.0 = [(Check::Memory, Level::Warn), (Check::Gateway, Level::Off)].into();
    assert_eq!(look(&cluster, &fake, &hands).0, [(Level::Warn, Check::Memory)]);
    cluster.preflight.0 = [(Check::Gateway, Level::Error)].into();
    assert_eq!(look(&cluster, &fake, &hands).0[1], (Level::Error, Check::Gateway));
}
