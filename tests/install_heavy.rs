//! What takes too long for the gate: every role on every layout and firmware with real components, each as far as a machine
//! comes alone; Secure Boot; disks, power cuts and media that an installer meets. Run by `make test-all`; logs and pictures stay in
//! cargo's folder for tests. Needs QEMU, OVMF, sgdisk, xorriso and the folder of `make components`, no root, no network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "install_heavy/disks.rs"]
mod disks;
#[path = "common/images.rs"]
mod images;
#[path = "install/project.rs"]
mod project;
#[path = "install/scenario.rs"]
mod scenario;

use std::fs;
use std::path::Path;

use project::{EL7, EL9, EL10, Layout, Project};
use scenario::Scenario;

const MASTER1: &str = "52:54:00:00:31:71";
const WORKER1: &str = "52:54:00:00:31:72";
const LB1: &str = "52:54:00:00:31:81";
const LB2: &str = "52:54:00:00:31:82";

/// A blank disk.
const DISK: &str = "[[machine.disk]]\nsize = \"40G\"\n";

/// Roles, a machine of each, and what it must say when it has come as far as it can alone.
const ROLES: [(&str, &str, &str); 3] = [
    ("master", MASTER1, "kiln: k8s-master1: waiting: formation: etcd waits for a majority of its members"),
    ("worker", WORKER1, "kiln: k8s-node1: waiting: kubelet: no answer to the kubelet's request"),
    ("lb", LB1, "login:"),
];

/// The demo cluster with what `make components` has filled.
fn real(dir: &Path, layout: Layout, change: impl Fn(String) -> String) -> Project {
    // EL10 is for Kubernetes of its time.
    let (version, folder) =
        if layout == EL10 { ("1.37.2", "components-1.37.2") } else { ("1.20.2", "components") };
    let project = Project::new(dir, layout, |file| change(file.replace("1.20.2", version)));
    let components = project::root().join(folder);
    assert!(components.is_dir(), "fill the folder first: make components KUBERNETES={version}");
    std::os::unix::fs::symlink(components, dir.join("components")).unwrap();
    project.kiln(&["fetch"]);
    project
}

/// The demo cluster with components that do nothing, on the base of EL9.
fn small(dir: &Path) -> Project {
    Project::new(dir, EL9, |file| file).with_stand_ins()
}

/// A role on a layout: BIOS and UEFI, on disks of all kinds.
fn installs(layout: Layout, number: usize, name: &'static str) {
    let (role, mac, says) = ROLES[number];
    let dir = tempfile::tempdir().unwrap();
    let medium = real(dir.path(), layout, |file| file).build(role, &[]);
    let mut scenario = Scenario::new(dir.path(), name);
    let buses = ["virtio", "sata", "nvme", "scsi"];
    for (firmware, attach) in [("bios", "cd"), ("uefi", "usb")] {
        // SeaBIOS of Debian 12 starts no NVMe disk that it was not told of.
        let bus = if firmware == "bios" { buses[number % 2] } else { buses[number + 1] };
        let keys = format!(
            "firmware = \"{firmware}\"\nas = \"{attach}\"\nmemory = 2500\nboots = 2\nuntil = [{says:?}, \"login:\"]\n"
        );
        let disk = format!("[[machine.disk]]\nsize = \"40G\"\nbus = \"{bus}\"\n");
        scenario.machine(&format!("{role}-{firmware}"), &medium, mac, &(keys + &disk));
    }
    scenario.run();
}

/// Each a test of its own: two machines take ten minutes.
macro_rules! installs {
    ($($test:ident: $layout:ident, $role:literal;)*) => { $(
        #[test]
        fn $test() {
            installs($layout, $role, stringify!($test));
        }
    )* };
}

installs! {
    a_master_on_el7: EL7, 0;
    a_worker_on_el7: EL7, 1;
    a_load_balancer_on_el7: EL7, 2;
    a_master_on_el9: EL9, 0;
    a_worker_on_el9: EL9, 1;
    a_load_balancer_on_el9: EL9, 2;
    a_master_on_el10: EL10, 0;
    a_worker_on_el10: EL10, 1;
    a_load_balancer_on_el10: EL10, 2;
}

/// A cluster of one master, from the ISO to its node's word that it is ready, which means that it is Ready for its API server too.
/// Wants the machine that tests for itself: beside other work clients of the API server give up before it answers.
#[test]
fn a_cluster_of_one_master_gets_ready() {
    let dir = tempfile::tempdir().unwrap();
    let alone = |file: String| {
        let mut parts = file.split("[[node]]");
        let head = parts.next().unwrap().to_owned();
        let master = parts.find(|part| part.contains("\"k8s-master1\"")).unwrap();
        format!("{head}[[node]]{master}")
    };
    let medium = real(dir.path(), EL9, alone).build("master", &[]);
    let mut scenario = Scenario::new(dir.path(), "one-master");
    let keys = "firmware = \"bios\"\nmemory = 5000\nuntil = [\"kiln: k8s-master1: ready\"]\n";
    scenario.machine("master", &medium, MASTER1, &format!("{keys}{DISK}"));
    scenario.run();
}

/// A master with real components on a machine with Secure Boot.
#[test]
fn a_master_under_secure_boot() {
    let dir = tempfile::tempdir().unwrap();
    let medium = real(dir.path(), EL9, |file| file).build("master", &[]);
    let mut scenario = Scenario::new(dir.path(), "secure");
    let (_, mac, says) = ROLES[0];
    let keys = format!("firmware = \"secure-boot\"\nmemory = 2500\nuntil = [{says:?}, \"login:\"]\n");
    scenario.machine("master", &medium, mac, &format!("{keys}{DISK}"));
    scenario.run();
}

/// Power cuts all along the way, and one machine that starts without its medium after the last of them.
#[test]
fn power_cuts() {
    let dir = tempfile::tempdir().unwrap();
    let medium = small(dir.path()).build("lb", &[]);
    let mut scenario = Scenario::new(dir.path(), "cuts");
    let early = [
        "kernel+3",
        "%pre+2",
        "storage",
        "storage+1.5",
        "%pre-install",
        "packages: laying+1",
        "packages: laying+9",
    ];
    let late =
        ["boot loader", "boot loader+2", "configuration", "%post in", "%post in+1", "%post in+3", "end"];
    // What is cut at the very end has all but the last step, which the start from the disk makes before it restarts.
    let end = "[[machine.phase]]\nmedium = true\nexpect = [\"reset\"]\n\
        [[machine.phase]]\nexpect = [\"ready\"]\nuntil = [\"login:\"]\nresets = 1\n";
    for (name, cuts) in [("cut-early", early), ("cut-late", late)] {
        let cuts = cuts.map(|cut| {
            format!("[[machine.phase]]\nmedium = true\nexpect = [\"cut\"]\npower_cut = {cut:?}\n")
        });
        let phases = cuts.concat() + end;
        scenario.machine(name, &medium, LB1, &format!("firmware = \"uefi\"\n{phases}{DISK}"));
    }
    let phases = "[[machine.phase]]\nmedium = true\nexpect = [\"cut\"]\npower_cut = \"%post in+1\"\n\
        [[machine.phase]]\nexpect = [\"ready\"]\nuntil = [\"the installation of this machine was cut short\"]\nthen = \"pull-plug\"\n\
        [[machine.phase]]\nmedium = true\nexpect = [\"reset\"]\n\
        [[machine.phase]]\nexpect = [\"ready\"]\nuntil = [\"login:\"]\n";
    for firmware in ["bios", "uefi"] {
        let keys = format!("firmware = \"{firmware}\"\n");
        scenario.machine(&format!("half-{firmware}"), &medium, LB1, &format!("{keys}{phases}{DISK}"));
    }
    scenario.run();
}

/// Disks that are wiped only when somebody says so, and such that cannot be used at all.
#[test]
fn disks_that_are_refused_and_taken() {
    let dir = tempfile::tempdir().unwrap();
    let medium = small(&dir.path().join("a")).build("lb", &[]);
    let any = |file: String| {
        file.replace("address = \"192.168.31.81\"", "address = \"192.168.31.81\"\nwipe = \"any\"")
    };
    let may = Project::new(&dir.path().join("b"), EL9, any).with_stand_ins().build("lb", &[]);
    let mut scenario = Scenario::new(dir.path(), "disks");
    let refused = |firmware: &str, texts: &str| {
        format!("firmware = \"{firmware}\"\nexpect = \"refused\"\nuntil = [{texts}]\n")
    };
    let file = |path: &Path, more: &str| format!("[[machine.disk]]\nfile = {path:?}\n{more}");

    let used = disks::lvm_and_md(&dir.path().join("used.raw"));
    let says = "\"what lies on the disk of lb1 may not be wiped\", \"LVM2_member\", \"linux_raid_member\"";
    scenario.machine(
        "lvm-md-gpt",
        &medium,
        LB1,
        &(refused("uefi", says) + &file(&used, "unchanged = true\n")),
    );
    let copy = dir.path().join("used-2.raw");
    fs::copy(&used, &copy).unwrap();
    scenario.machine("lvm-md-gpt-any", &may, LB1, &("firmware = \"bios\"\n".to_owned() + &file(&copy, "")));

    let large = "[[machine.disk]]\nsize = \"20G\"\nbus = \"scsi\"\nsector = 4096\n";
    let bios = refused("bios", "\"4096\"");
    scenario.machine("4k-bios", &medium, LB1, &format!("{bios}{large}unchanged = true\n"));
    scenario.machine("4k-uefi", &medium, LB1, &format!("firmware = \"uefi\"\n{large}"));

    let three = "[[machine.disk]]\nsize = \"3T\"\nbus = \"sata\"\n";
    for firmware in ["bios", "uefi"] {
        let keys = format!("firmware = \"{firmware}\"\n");
        scenario.machine(&format!("3t-{firmware}"), &medium, LB1, &format!("{keys}{three}"));
    }
    scenario.run();
}

/// A node's disk is wiped by a medium that was made to reinstall it, and by no other.
#[test]
fn a_live_node_stays() {
    let dir = tempfile::tempdir().unwrap();
    let project = small(dir.path());
    let keep = |medium: &Path, name: &str| {
        let kept = dir.path().join(name);
        fs::rename(medium, &kept).unwrap();
        kept
    };
    let first = keep(&project.build("lb", &[]), "first.iso");
    let again = project.build("lb", &["--reinstall", "lb1"]);
    let path = dir.path().join("cluster.toml");
    let file =
        fs::read_to_string(&path).unwrap().replace("[console]", "[preflight]\nmtu = \"off\"\n\n[console]");
    fs::write(&path, file).unwrap();
    let other = project.build("lb", &[]);
    let disk = dir.path().join("node.raw");
    let file = |more: &str| format!("[[machine.disk]]\nsize = \"20G\"\nfile = {disk:?}\n{more}");
    let mut scenario = Scenario::new(dir.path(), "live");
    scenario.machine("made", &first, LB1, &format!("firmware = \"uefi\"\n{}", file("")));
    let asks = "firmware = \"uefi\"\nafter = \"made\"\nexpect = \"refused\"\nuntil = [\"carries lb1, installed from\"]\n";
    scenario.machine("other-medium", &other, LB1, &(asks.to_owned() + &file("unchanged = true\n")));
    let anew = "firmware = \"uefi\"\nafter = \"other-medium\"\n";
    scenario.machine("reinstalled", &again, LB1, &(anew.to_owned() + &file("")));
    scenario.run();
}

/// Too little memory, a processor that is too old, damaged media and the menu's entry that looks for damage, and others on the segment.
#[test]
fn machines_and_media() {
    let dir = tempfile::tempdir().unwrap();
    let medium = small(&dir.path().join("a")).build("lb", &[]);
    let mut scenario = Scenario::new(dir.path(), "machines");
    let blank = "[[machine.disk]]\nsize = \"20G\"\nunchanged = true\n";
    let little =
        "firmware = \"bios\"\nmemory = 512\nexpect = \"refused\"\nuntil = [\"MiB of memory; lb1\"]\n";
    scenario.machine("little-memory", &medium, LB1, &format!("{little}{blank}"));
    // EL9 is built for x86-64-v2.
    let old = "firmware = \"uefi\"\ncpu = \"core2duo\"\nexpect = \"refused\"\nuntil = [\"needs x86-64-v2; the processor lacks\"]\n";
    scenario.machine("old-processor", &medium, LB1, &format!("{old}{blank}"));
    let damaged = dir.path().join("damaged.iso");
    disks::flip(&medium, "/kiln/common.tar", &damaged);
    let says = "firmware = \"uefi\"\nexpect = \"refused\"\nuntil = [\"/kiln/common.tar: has SHA-256\"]\n";
    scenario.machine("damaged", &damaged, LB1, &format!("{says}{blank}"));

    // The entry of the menu that only verifies: behind the default, one a node, and the one that installs then.
    let says = "firmware = \"uefi\"\nas = \"cd\"\nexpect = \"refused\"\nuntil = [\"this medium is as it was made. Nothing was installed\", \"; build \"]\n";
    let verify = dir.path().join("verify.iso");
    disks::choose(&medium, '4', &verify);
    scenario.machine("verified", &verify, LB1, &format!("{says}{blank}"));
    let not = dir.path().join("not-verified.iso");
    disks::choose(&damaged, '4', &not);
    let says = "firmware = \"uefi\"\nas = \"cd\"\nexpect = \"refused\"\nuntil = [\"this medium is NOT as it was made\", \"/kiln/common.tar: has SHA-256\"]\n";
    scenario.machine("not-verified", &not, LB1, &format!("{says}{blank}"));

    // A segment where somebody else has the VIP, and speaks VRRP with this cluster's router id.
    let strict = |file: String| {
        file.replace("[console]", "[preflight]\nvip = \"error\"\nvrrp = \"error\"\n\n[console]")
    };
    let strict = Project::new(&dir.path().join("c"), EL9, strict).with_stand_ins();
    // What keepalived of cluster "demo" is told.
    let id = 194;
    let says = format!(
        "\"192.168.31.88, the VIP, is in use by\", \"the virtual router id {id} of this cluster is used by\""
    );
    let keys = format!("firmware = \"bios\"\nexpect = \"refused\"\nuntil = [{says}]\n");
    scenario.wired("vip-taken", &strict.build("lb", &[]), LB2, &format!("{keys}{blank}"));
    scenario.peer(&format!("address = \"192.168.31.88\"\nmac = \"52:54:00:00:00:88\"\nvrrp = {id}"));
    scenario.run();
}

/// Network cards that change places keep their addresses.
#[test]
fn cards_that_change_places() {
    let dir = tempfile::tempdir().unwrap();
    let mut scenario = Scenario::new(dir.path(), "cards");
    let second = "52:54:00:00:33:81";
    let project = Project::new(dir.path(), EL9, |file| {
        let nic = format!(
            "address = \"192.168.31.81\"\nnic = [{{ mac = \"{second}\", address = \"10.9.0.81/24\" }}]"
        );
        file.replace("address = \"192.168.31.81\"", &nic)
    });
    tell_addresses(&project);
    let swapped = project.with_stand_ins().build("lb", &[]);
    // NetworkManager gives addresses to cards with a link only.
    let nic = format!("[[machine.nic]]\nmac = \"{second}\"\n");
    let says = format!("until = [\"{LB1} has 192.168.31.81/24\", \"{second} has 10.9.0.81/24\"]\n");
    let phases = format!(
        "[[machine.phase]]\nmedium = true\nexpect = [\"reset\"]\n\
        [[machine.phase]]\nexpect = [\"ready\"]\n{says}\
        [[machine.phase]]\nexpect = [\"ready\"]\nswap_nics = true\n{says}"
    );
    scenario.wired("swapped-nics", &swapped, LB1, &format!("firmware = \"uefi\"\n{nic}{phases}{DISK}"));
    scenario.run();
}

/// Nodes of this project say on their console which card has which address.
fn tell_addresses(project: &Project) {
    let write = |path: &str, text: &str| {
        let path = project.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let profile = fs::read_to_string(project::root().join("profiles/lb.toml")).unwrap();
    let profile = profile.replacen("units = [", "units = [\"tell-addresses.service\", ", 1);
    assert!(profile.contains("tell-addresses"), "profiles/lb.toml lists no units");
    write("profiles/lb.toml", &profile);
    write(
        "overlays/lb/usr/lib/systemd/system/tell-addresses.service",
        "[Unit]\nDescription=Tells addresses\n[Service]\nExecStart=/usr/local/bin/tell-addresses\n\
        [Install]\nWantedBy=multi-user.target\n",
    );
    // Should it fail, the log has to say why.
    write(
        "overlays/lb/usr/lib/systemd/system/sshd.service.d/console.conf",
        "[Service]\nStandardOutput=journal+console\nStandardError=journal+console\n",
    );
    write(
        "overlays/lb/usr/local/bin/tell-addresses",
        // The line is opened anew each time: a getty that starts takes it from whoever holds it.
        "#!/bin/sh\nwhile sleep 5; do\n  for card in /sys/class/net/*; do\n    \
        ip -o -4 addr show dev \"${card##*/}\" | while read -r _ _ _ address _; do\n      \
        echo \"$(cat \"$card/address\") has $address\" > /dev/ttyS0\n    done\n  done\ndone\n",
    );
}

/// A medium without secrets installs with its seed on a second stick, and with nothing else.
#[test]
fn secrets_on_a_seed() {
    let dir = tempfile::tempdir().unwrap();
    let project = small(&dir.path().join("one"));
    let medium = project.build("lb", &["--secrets", "seed"]);
    let seed = medium.with_extension("seed.iso");
    let other = small(&dir.path().join("two")).build("lb", &["--secrets", "seed"]).with_extension("seed.iso");
    let stick = |file: &Path| {
        format!("[[machine.disk]]\nfile = \"{}\"\nbus = \"usb\"\nunchanged = true\n", file.display())
    };
    let blank = "[[machine.disk]]\nsize = \"40G\"\nunchanged = true\n";
    let mut scenario = Scenario::new(dir.path(), "seed");
    let keys = "firmware = \"uefi\"\nas = \"cd\"\nuntil = [\"login:\"]\n";
    scenario.machine("with-its-seed", &medium, LB1, &format!("{keys}{DISK}{}", stick(&seed)));
    let refused = |text: &str| format!("firmware = \"bios\"\nexpect = \"refused\"\nuntil = [{text:?}]\n");
    let none = refused("this machine has no volume labelled OEMDRV");
    scenario.machine("without-a-seed", &medium, LB2, &(none + blank));
    let foreign = refused("it is a seed of another cluster that is called demo too");
    scenario.machine("with-another-seed", &medium, LB2, &(foreign + blank + &stick(&other)));
    scenario.run();
}
