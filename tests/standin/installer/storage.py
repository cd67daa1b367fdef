"""The disks: emptied, partitioned, formatted and mounted as plan.py says. Only the disks of the plan are opened for writing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from .host import InstallError, attempt, read, run, write
from .plan import Disk, Layout, Partition
from .release import Release


def disks(medium: Path) -> list[Disk]:
    """The disks of this machine: what blivet would list: no CDs, loops or RAM disks, and not the medium."""
    found = []
    mounted = [line.split() for line in read("/proc/mounts").splitlines()]
    own = next((device for device, point, *_ in mounted if point == str(medium)), "")
    for path in sorted(Path("/sys/block").iterdir()):
        size = int(read(path / "size") or 0) * 512
        if size == 0 or path.name.startswith(("loop", "ram", "zram", "sr", "fd", "dm-", "md")) or read(path / "ro") == "1":
            continue
        # The kernel writes `!` for `/`.
        name = path.name.replace("!", "/")
        if own.startswith(f"/dev/{name}"):
            continue
        labelled = attempt("sfdisk", "--dump", f"/dev/{name}")
        found.append(Disk(name, size // 1048576, labelled))
    return found


def node(disk: str, number: int) -> str:
    """The device of a partition: vda1, nvme0n1p1."""
    return f"/dev/{disk}{'p' if disk[-1].isdigit() else ''}{number}"


def numbered(layout: Layout) -> list[tuple[str, Partition]]:
    """Each partition with its device."""
    counts: dict[str, int] = {}
    pairs = []
    for one in layout.partitions:
        counts[one.disk] = counts.get(one.disk, 0) + 1
        pairs.append((node(one.disk, counts[one.disk]), one))
    return pairs


def release_disk(disk: str) -> None:
    """Stops what lies on a disk (LVM, then RAID) and removes its signatures, those of partitions first."""
    tree = json.loads(run("lsblk", "--json", "--output", "NAME,TYPE,PATH", f"/dev/{disk}"))["blockdevices"][0]
    held: list[dict[str, str]] = []

    def collect(nodes: list[dict]) -> None:
        for one in nodes:
            collect(one.get("children", []))
            held.append(one)

    collect(tree.get("children", []))
    for one in held:
        if one["type"] == "lvm":
            attempt("dmsetup", "remove", one["path"])
        elif one["type"].startswith("raid"):
            attempt("mdadm", "--stop", one["path"])
    for one in held:
        if one["type"] == "part":
            run("wipefs", "--all", "--force", one["path"])
    run("wipefs", "--all", "--force", f"/dev/{disk}")


def table(partitions: list[Partition]) -> str:
    """What sfdisk(8) is told about one disk."""
    lines = ["label: gpt"]
    lines += [f"start={one.start}MiB, size={one.size}MiB, type={one.gpt_type}" for one in partitions]
    return "\n".join(lines) + "\n"


def make(layout: Layout) -> None:
    """Empties the disks and makes tables and file systems."""
    for disk in layout.cleared:
        release_disk(disk)
        on_it = [one for one in layout.partitions if one.disk == disk]
        run("sfdisk", "--quiet", "--wipe=always", "--wipe-partitions=always", f"/dev/{disk}", text=table(on_it))
    run("udevadm", "settle", "--timeout=30")
    for device, one in numbered(layout):
        command = mkfs(one)
        if command:
            run(*command, device)


def mkfs(one: Partition) -> list[str]:
    """The command that formats a partition, without the device; nothing for those without a file system."""
    more = shlex.split(one.mkfs)
    label = ["-L", one.label] if one.label else []
    match one.fstype:
        case "xfs":
            return ["mkfs.xfs", "-q", "-f", *label, *more]
        case "ext4":
            return ["mkfs.ext4", "-q", "-F", *label, *more]
        case "efi":
            return ["mkfs.vfat", "-F", "32", *(["-n", one.label] if one.label else []), *more]
        case "swap":
            return ["mkswap", *label, *more]
        case _:
            return []


def mount(layout: Layout, release: Release) -> None:
    """Mounts the new file systems at /mnt/sysimage, and what programs in the new system need (B fsset, `mount_filesystems`)."""
    root = release.sysimage
    mounts = sorted((pair for pair in numbered(layout) if pair[1].mount), key=lambda pair: pair[1].mount)
    for device, one in mounts:
        point = root / one.mount.lstrip("/")
        point.mkdir(parents=True, exist_ok=True)
        kind = "vfat" if one.fstype == "efi" else one.fstype
        run("mount", "-t", kind, "-o", one.options, device, point)
    for folder in ("dev", "proc", "run", "sys"):
        (root / folder).mkdir(exist_ok=True)
        run("mount", "--rbind", f"/{folder}", root / folder)
    if release.sysroot != root:
        release.sysroot.mkdir(parents=True, exist_ok=True)
        run("mount", "--rbind", root, release.sysroot)


def uuid(device: str) -> str:
    """The UUID of a new file system."""
    return run("blkid", "-p", "-s", "UUID", "-o", "value", device).strip()


def fstab(entries: list[tuple[str, Partition]]) -> str:
    """/etc/fstab from UUIDs and partitions: only `/` of ext4 is checked first, xfs never (A* storage/utils, FSSet.fstab)."""
    lines = ["# Made by the stand-in's installer, in the place of Anaconda."]
    for name, one in sorted(entries, key=lambda pair: pair[1].mount):
        kind = "vfat" if one.fstype == "efi" else one.fstype
        check = {"ext4": 1 if one.mount == "/" else 2, "efi": 2}.get(one.fstype, 0)
        if one.fstype == "swap":
            lines.append(f"UUID={name} none swap defaults 0 0")
        elif one.mount:
            lines.append(f"UUID={name} {one.mount} {kind} {one.options} 0 {check}")
    return "\n".join(lines) + "\n"


def write_fstab(layout: Layout, root: Path) -> None:
    """Writes /etc/fstab of the new system."""
    entries = [(uuid(device), one) for device, one in numbered(layout) if one.mount or one.fstype == "swap"]
    write(root / "etc/fstab", fstab(entries))


def device_of(layout: Layout, mount_point: str) -> tuple[str, Partition]:
    """The partition that carries a folder: of its own, or that of the root."""
    by_mount = {one.mount: (device, one) for device, one in numbered(layout)}
    found = by_mount.get(mount_point) or by_mount.get("/")
    if found is None:
        raise InstallError(f"nothing is mounted at {mount_point}")
    return found
