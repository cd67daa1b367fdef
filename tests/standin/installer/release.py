"""How the releases differ, as far as the installer has to know: one place, with the source of each fact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .host import InstallError


@dataclass(frozen=True)
class Release:
    """A major version of Enterprise Linux."""

    major: int
    #: What pykickstart calls it.
    handler: str
    #: Value of ANA_INSTALL_PATH, and where the new system is seen: A7 pyanaconda/constants (ROOT_PATH), A8+ data/anaconda.conf.
    sysroot: Path
    #: Size of /boot that `reqpart --add-boot` asks for, MiB: B rhel7 platform.py, A8 to A10 modules/storage/platform.py.
    boot_mib: int
    #: Smallest and largest size of the EFI system partition, MiB: the same files.
    esp_mib: tuple[int, int]
    #: Whether a disk gets GPT on BIOS without being asked: B formats/disklabel.py (rhel10: everywhere).
    gpt_on_bios: bool
    #: Folder below EFI of the boot loader, and the name in the firmware's menu: .buildstamp and A* bootloader/efi.py.
    efi_dir: str = "centos"
    product: str = "CentOS"

    #: Where file systems are mounted; on 8 and later the same is bound to `sysroot` (A8 core/util.py, set_system_root).
    sysimage = Path("/mnt/sysimage")

    @property
    def writes_ifcfg(self) -> bool:
        """Profiles of the network: ifcfg files on 7 and 8 (A8 network/ifcfg.py), keyfiles after."""
        return self.major <= 8

    def waits_for_key(self, kind: str) -> bool:
        """Whether a script that fails under --erroronfail is shown in a dialog that waits for somebody: kickstart.py,
        AnacondaKSScript.run. 7 has a dialog only when somebody is there; 8 and 9 set `ksprompt` for every script, 10 for %pre
        alone."""
        return self.major in (8, 9) or (self.major == 10 and kind == "%pre")


RELEASES = {
    "el7": Release(7, "RHEL7", Path("/mnt/sysimage"), 1024, (20, 200), False),
    "el8": Release(8, "RHEL8", Path("/mnt/sysroot"), 1024, (200, 600), False, product="CentOS Stream"),
    "el9": Release(9, "RHEL9", Path("/mnt/sysroot"), 1024, (200, 600), False, product="CentOS Stream"),
    "el10": Release(10, "RHEL10", Path("/mnt/sysroot"), 2048, (500, 600), True, product="CentOS Stream"),
}


def of_stage2(marker: str) -> Release:
    """The release that the marker of stage 2 names: `kiln-standin el9 installer`."""
    for word in marker.split():
        if word in RELEASES:
            return RELEASES[word]
    raise InstallError(f"stage 2 says `{marker}`, which names no release")
