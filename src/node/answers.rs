//! What the kickstart includes: the answers to what only the machine itself knows. Pure: text out, no file is written here.

use super::disk::Choice;
use crate::cluster::storage::Mount;
use crate::error::Result;
use crate::kickstart::Word;

/// The boot loader starts this target until the installation is finished: half a system must not come up as a whole one.
/// `kiln node finish` leads to its removal.
pub const UNFINISHED: &str = "systemd.unit=kiln-unfinished.target";

/// Label of the system's file system.
const ROOT_LABEL: &str = "kiln-root";
/// Label of the file system with kernels.
const BOOT_LABEL: &str = "kiln-boot";
/// MiB that a system needs at least; it takes all there is.
const ROOT_MIB: u32 = 6144;
/// MiB for kernels.
const BOOT_MIB: u32 = 1024;
/// MiB that a volume has at least; it takes all there is.
const VOLUME_MIB: u32 = 1024;

/// Partitions and boot loader: everything on the disks that were chosen, nothing on any other. `reqpart` adds what the
/// firmware needs, a BIOS boot partition or an EFI system partition. The labels are what the wipe guard knows an
/// installation by that was cut short.
pub fn disk_kickstart(disks: &Choice, kernel_args: &[String]) -> Result<String> {
    let mut names = Vec::new();
    for (_, disk) in disks.all() {
        names.push(Word::new("disk", &disk.name)?.to_string());
    }
    let (all, system) = (names.join(","), &names[0]);
    let mut args = Vec::new();
    for arg in kernel_args {
        args.push(Word::new("kernel argument", arg)?.to_string());
    }
    args.push(UNFINISHED.to_owned());
    let mut text = format!(
        "bootloader --location=mbr --boot-drive={system} --timeout=3 --append=\"{}\"\n\
         ignoredisk --only-use={all}\nzerombr\nclearpart --all --initlabel --disklabel=gpt --drives={all}\nreqpart\n\
         part /boot --fstype=xfs --size={BOOT_MIB} --label={BOOT_LABEL} --ondisk={system}\n\
         part / --fstype=xfs --size={ROOT_MIB} --grow --label={ROOT_LABEL} --ondisk={system}\n",
        args.join(" ")
    );
    for ((mount, _), name) in disks.volumes.iter().zip(&names[1..]) {
        text += &volume(*mount, name);
    }
    Ok(text)
}

fn volume(mount: Mount, disk: &str) -> String {
    let (folder, label) = (mount.as_str(), mount.label());
    format!("part {folder} --fstype=xfs --size={VOLUME_MIB} --grow --label={label} --ondisk={disk}\n")
}
