"""Which partitions a kickstart asks for, and how large they get: no disk is touched here.

As blivet lays out new partitions on cleared disks: what the firmware needs first, /boot next, the rest in the order of the file;
space that is left goes to those that grow, in proportion to their sizes and up to their maxima (B partitioning.py, Chunk).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pykickstart.constants import CLEARPART_TYPE_ALL

from .host import InstallError
from .release import Release

#: GPT types (UEFI 5.3.3, and the Discoverable Partitions list): what sfdisk is told.
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"

#: MiB before the first partition and after the last: the table, aligned.
MARGIN = 1


@dataclass(frozen=True)
class Disk:
    """A disk of this machine."""

    name: str
    mib: int
    #: Whether it has a partition table that can be read.
    labelled: bool = True


@dataclass(frozen=True)
class Partition:
    """A partition to be made; sizes in MiB."""

    disk: str
    mount: str
    fstype: str
    size: int
    grow: bool = False
    most: int | None = None
    label: str = ""
    mkfs: str = ""
    options: str = "defaults"
    start: int = 0

    @property
    def gpt_type(self) -> str:
        """The partition's type in the table."""
        return {"biosboot": BIOS_BOOT, "efi": ESP, "swap": SWAP}.get(self.fstype, LINUX)


@dataclass(frozen=True)
class Layout:
    """What is to be made of the disks."""

    #: Disks whose content goes.
    cleared: list[str]
    #: Partitions in the order of the tables.
    partitions: list[Partition]


def layout(ks: Any, disks: list[Disk], release: Release, uefi: bool) -> Layout:
    """The layout that the parsed kickstart asks for on these disks."""
    usable = _usable(ks, disks)
    cleared = _cleared(ks, usable, release, uefi)
    wanted = _firmware(ks, usable, release, uefi) + [_part(data, usable) for data in ks.partition.partitions]
    points = [one.mount for one in wanted if one.mount]
    for point in points:
        if points.count(point) > 1:
            raise InstallError(f"part: {point} is asked for twice")
    if "/" not in points:
        raise InstallError("part: no root file system is asked for")
    _check_boot(wanted, uefi)
    partitions: list[Partition] = []
    for disk in usable:
        on_it = [one for one in wanted if one.disk == disk.name]
        if on_it and disk.name not in cleared:
            raise InstallError(f"clearpart: {disk.name} is to carry partitions, but is not cleared (the stand-in adds to no table)")
        partitions += place(on_it, disk)
    return Layout(cleared, partitions)


def _usable(ks: Any, disks: list[Disk]) -> list[Disk]:
    """The disks that `ignoredisk` leaves."""
    only = ks.ignoredisk.onlyuse
    if not only:
        return disks
    names = [disk.name for disk in disks]
    for name in only:
        if name not in names:
            raise InstallError(f"ignoredisk: this machine has no disk {name} (it has {', '.join(names) or 'none'})")
    return [disk for disk in disks if disk.name in only]


def _cleared(ks: Any, usable: list[Disk], release: Release, uefi: bool) -> list[str]:
    names = [disk.name for disk in usable]
    clear = ks.clearpart
    if clear.type != CLEARPART_TYPE_ALL or not clear.initAll:
        raise InstallError("clearpart: the stand-in knows --all --initlabel only")
    label = clear.disklabel or ("gpt" if uefi or release.gpt_on_bios else "msdos")
    if label != "gpt":
        raise InstallError(f"clearpart: this release would make a {label} table here; the stand-in makes GPT only (--disklabel=gpt)")
    for name in clear.drives:
        if name not in names:
            raise InstallError(f"clearpart: the disk {name} does not exist, or is ignored")
    cleared = list(clear.drives) or names
    for disk in usable:
        # Anaconda asks about a disk without a table, which nobody answers here.
        if disk.name in cleared and not disk.labelled and not ks.zerombr.zerombr:
            raise InstallError(f"zerombr is missing, and {disk.name} has no partition table that can be read")
    return cleared


def _firmware(ks: Any, usable: list[Disk], release: Release, uefi: bool) -> list[Partition]:
    """What `reqpart` adds: A* modules/storage/platform.py; it goes on the disk that the loader goes to."""
    if not ks.reqpart.reqpart:
        return []
    disk = boot_disk(ks, usable)
    esp_least, esp_most = release.esp_mib
    needed = [Partition(disk, "/boot/efi", "efi", esp_least, True, esp_most, options="umask=0077,shortname=winnt") if uefi
              else Partition(disk, "", "biosboot", 1)]
    if ks.reqpart.addBoot:
        needed.append(Partition(disk, "/boot", "xfs", release.boot_mib))
    return needed


def boot_disk(ks: Any, usable: list[Disk]) -> str:
    """The disk that the loader goes to: the one named, else that of the root, else the first (A* bootloader, stage1)."""
    if ks.bootloader.bootDrive:
        return ks.bootloader.bootDrive
    for data in ks.partition.partitions:
        if data.mountpoint == "/" and data.disk:
            return data.disk
    if not usable:
        raise InstallError("this machine has no disk to install to")
    return usable[0].name


def _part(data: Any, usable: list[Disk]) -> Partition:
    names = [disk.name for disk in usable]
    if data.disk and data.disk not in names:
        raise InstallError(f"part {data.mountpoint}: the disk {data.disk} does not exist, or is ignored")
    if not data.disk and len(names) != 1:
        raise InstallError(f"part {data.mountpoint}: the stand-in needs --ondisk where there are {len(names)} disks")
    mount, fstype = data.mountpoint, data.fstype or "xfs"
    if mount in ("biosboot", "swap"):
        mount, fstype = "", mount
    elif fstype in ("xfs", "ext4", "efi") and mount.startswith("/"):
        pass
    else:
        raise InstallError(f"part {mount} --fstype={fstype}: the stand-in makes xfs, ext4, efi, swap and biosboot only")
    if not data.size:
        raise InstallError(f"part {data.mountpoint}: --size is missing")
    return Partition(data.disk or names[0], mount, fstype, int(data.size), bool(data.grow), data.maxSizeMB or None, data.label,
                     data.mkfsopts, data.fsopts or "defaults")


def _check_boot(wanted: list[Partition], uefi: bool) -> None:
    """Anaconda's words, as bootloader.py says them."""
    if uefi and not any(one.fstype == "efi" and one.mount == "/boot/efi" for one in wanted):
        raise InstallError("for a UEFI installation, you must include an EFI System Partition on a GPT-formatted disk, mounted at "
                           "/boot/efi")
    if not uefi and not any(one.fstype == "biosboot" for one in wanted):
        raise InstallError("your BIOS-based system needs a special partition to boot from a GPT disk label: biosboot")


def _rank(one: Partition) -> int:
    """B devices/partition.py, weight: the loader's partition, then /boot, then the rest."""
    return 0 if one.fstype in ("biosboot", "efi") else 1 if one.mount == "/boot" else 2


def place(wanted: list[Partition], disk: Disk) -> list[Partition]:
    """Grows partitions into what is free on their disk, and gives them their places."""
    wanted = sorted(wanted, key=_rank)
    free = disk.mib - 2 * MARGIN - sum(one.size for one in wanted)
    if free < 0:
        raise InstallError(f"not enough space on {disk.name}: {-free} MiB are missing")
    sizes = _grown(wanted, free)
    placed, at = [], MARGIN
    for one, size in zip(wanted, sizes):
        placed.append(replace(one, start=at, size=size))
        at += size
    return placed


def _grown(wanted: list[Partition], free: int) -> list[int]:
    """Sizes after growth: shares in proportion to the sizes asked for; what a maximum leaves over is shared again."""
    sizes = [one.size for one in wanted]
    growing = {index for index, one in enumerate(wanted) if one.grow and (one.most is None or one.most > one.size)}
    while growing and free > 0:
        base = sum(wanted[index].size for index in growing)
        shares = {index: free * wanted[index].size // base for index in growing}
        if not any(shares.values()):
            sizes[min(growing)] += free
            break
        for index, share in shares.items():
            most = wanted[index].most
            if most is not None and sizes[index] + share >= most:
                share = most - sizes[index]
                growing = growing - {index}
            sizes[index] += share
            free -= share
    return sizes
