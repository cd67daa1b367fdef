//! From power-on to a running node: what kiln builds installs blank machines in QEMU by the kickstart that Anaconda would read,
//! boots them from their disks, and refuses what it must. Run by `make boot-tests`: one install of the EL7 layout (BIOS, a power
//! cut on the way), one of EL10's (UEFI, the medium left in the drive), and refusals on EL9's. Needs QEMU and OVMF, no root, no network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/images.rs"]
mod images;
#[path = "install/project.rs"]
mod project;
#[path = "install/scenario.rs"]
mod scenario;

use project::{EL7, EL9, EL10, Project};
use scenario::Scenario;

const LB1: &str = "52:54:00:00:31:81";
const LB2: &str = "52:54:00:00:31:82";

/// A blank disk.
const DISK: &str = "[[machine.disk]]\nsize = \"20G\"\n";
/// A disk that nothing may be written to.
const SPARE: &str = "[[machine.disk]]\nsize = \"40G\"\nbus = \"sata\"\nunchanged = true\n";

/// Keys of a machine that must refuse, and say this.
fn refused(firmware: &str, texts: &[&str]) -> String {
    let untils = texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ");
    format!("firmware = \"{firmware}\"\nexpect = \"refused\"\nuntil = [{untils}]\n")
}

/// The disk that is not wiped.
fn untouched(size: &str, more: &str) -> String {
    format!("[[machine.disk]]\nsize = \"{size}\"\nunchanged = true\n{more}")
}

#[test]
fn a_blank_machine_becomes_a_node_and_what_is_not_right_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let medium = |layout: project::Layout| {
        Project::new(&dir.path().join(layout.name), layout, |file| file).with_stand_ins().build("lb", &[])
    };
    let mut scenario = Scenario::new(dir.path(), "gate");
    let stays =
        "firmware = \"uefi\"\nmedium_stays = true\n[[machine.disk]]\nsize = \"20G\"\nbus = \"nvme\"\n";
    scenario.machine("el10-uefi-medium-stays", &medium(EL10), LB1, &format!("{stays}{SPARE}"));
    let cut = "firmware = \"bios\"\nas = \"cd\"\npower_cuts = [\"packages: laying+4\"]\n";
    scenario.machine("el7-bios-power-cut", &medium(EL7), LB2, &format!("{cut}{DISK}"));
    let el9 = medium(EL9);
    let alike = untouched("20G", "") + &untouched("20G", "");
    scenario.machine(
        "two-disks-alike",
        &el9,
        LB1,
        &(refused("uefi", &["2 disks of this machine fit the rule"]) + &alike),
    );
    let stranger = refused("bios", &["no node of cluster demo is this machine", "52:54:00:00:31:99"]);
    scenario.machine("unknown-machine", &el9, "52:54:00:00:31:99", &(stranger + &untouched("20G", "")));
    let taken = refused("uefi", &["the address of lb2, is in use by 52:54:00:00:00:66"]);
    scenario.wired("address-taken", &el9, LB2, &(taken + &untouched("20G", "")));
    scenario.peer("address = \"192.168.31.82\"\nmac = \"52:54:00:00:00:66\"");
    scenario.run();
}
