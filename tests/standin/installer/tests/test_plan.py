"""Partitions by release and firmware."""

from __future__ import annotations

import unittest

from installer import plan, storage
from installer.host import InstallError
from installer.plan import Disk
from installer.release import RELEASES

from .common import DISK, REST, parsed


def lay(text: str = DISK, layout: str = "el9", uefi: bool = False, disks: list[Disk] | None = None) -> plan.Layout:
    """The layout for a machine with one disk of 40 GiB, or these."""
    return plan.layout(parsed(REST + text, layout), disks or [Disk("vda", 40960)], RELEASES[layout], uefi)


def rows(made: plan.Layout) -> list[tuple[str, str, str, int, int]]:
    """The partitions as the table shows them."""
    return [(one.disk, one.mount, one.fstype, one.start, one.size) for one in made.partitions]


class Reqpart(unittest.TestCase):
    """What `reqpart --add-boot` makes."""

    def test_bios(self) -> None:
        for layout, boot in (("el7", 1024), ("el8", 1024), ("el9", 1024), ("el10", 2048)):
            self.assertEqual(rows(lay(layout=layout)), [
                ("vda", "", "biosboot", 1, 1),
                ("vda", "/boot", "xfs", 2, boot),
                ("vda", "/", "xfs", 2 + boot, 40960 - 3 - boot),
            ], layout)

    def test_uefi_grows_the_esp_to_its_maximum(self) -> None:
        for layout, most in (("el7", 200), ("el8", 600), ("el9", 600), ("el10", 600)):
            made = lay(layout=layout, uefi=True)
            boot = RELEASES[layout].boot_mib
            self.assertEqual(rows(made), [
                ("vda", "/boot/efi", "efi", 1, made.partitions[0].size),
                ("vda", "/boot", "xfs", 1 + made.partitions[0].size, boot),
                ("vda", "/", "xfs", 1 + made.partitions[0].size + boot, 40960 - 2 - made.partitions[0].size - boot),
            ])
            self.assertLessEqual(made.partitions[0].size, most)
        self.assertEqual(lay(uefi=True).partitions[0].size, 600)

    def test_without_it_a_loader_has_no_place(self) -> None:
        text = DISK.replace("reqpart --add-boot\n", "")
        with self.assertRaisesRegex(InstallError, "biosboot"):
            lay(text)
        with self.assertRaisesRegex(InstallError, "EFI System Partition"):
            lay(text, uefi=True)


class Disks(unittest.TestCase):
    """Which disks are touched."""

    def test_etcd_on_a_disk_of_its_own(self) -> None:
        text = DISK.replace("vda\nzerombr", "vda,vdb\nzerombr").replace("--drives=vda", "--drives=vda,vdb")
        text += "part /var/lib/etcd --fstype=xfs --size=1 --grow --ondisk=vdb\n"
        made = lay(text, disks=[Disk("vda", 40960), Disk("vdb", 8192), Disk("vdc", 8192)])
        self.assertEqual(made.cleared, ["vda", "vdb"])
        self.assertEqual(rows(made)[-1], ("vdb", "/var/lib/etcd", "xfs", 1, 8190))

    def test_a_disk_that_is_not_there(self) -> None:
        with self.assertRaisesRegex(InstallError, "has no disk vda"):
            lay(disks=[Disk("sda", 40960)])
        with self.assertRaisesRegex(InstallError, "the disk vdb does not exist"):
            lay(DISK + "part /x --size=100 --ondisk=vdb\n", disks=[Disk("vda", 40960), Disk("vdb", 40960)])

    def test_a_blank_disk_needs_zerombr(self) -> None:
        blank = [Disk("vda", 40960, labelled=False)]
        self.assertEqual(len(lay(disks=blank).partitions), 3)
        with self.assertRaisesRegex(InstallError, "zerombr is missing"):
            lay(DISK.replace("zerombr\n", ""), disks=blank)

    def test_too_small(self) -> None:
        with self.assertRaisesRegex(InstallError, "not enough space on vda: 1027 MiB are missing"):
            lay(disks=[Disk("vda", 6144)])

    def test_no_gpt_unless_asked_for_on_bios_before_10(self) -> None:
        text = DISK.replace(" --disklabel=gpt", "")
        for layout in ("el7", "el8", "el9"):
            with self.assertRaisesRegex(InstallError, "msdos"):
                lay(text, layout)
        self.assertEqual(len(lay(text, "el10").partitions), 3)
        self.assertEqual(len(lay(text, "el9", uefi=True).partitions), 3)

    def test_twice_and_none(self) -> None:
        with self.assertRaisesRegex(InstallError, "/ is asked for twice|mountpoint"):
            lay(DISK + "part / --size=100 --ondisk=vda\n")
        with self.assertRaisesRegex(InstallError, "no root"):
            lay(DISK.replace("part / ", "part /srv "))


class Tables(unittest.TestCase):
    """What sfdisk, mkfs and fstab are told."""

    def test_sfdisk(self) -> None:
        self.assertEqual(storage.table(lay().partitions), "label: gpt\n"
                         f"start=1MiB, size=1MiB, type={plan.BIOS_BOOT}\n"
                         f"start=2MiB, size=1024MiB, type={plan.LINUX}\n"
                         f"start=1026MiB, size=39933MiB, type={plan.LINUX}\n")

    def test_devices(self) -> None:
        self.assertEqual([storage.node(disk, 2) for disk in ("vda", "sdb", "nvme0n1", "mmcblk0")],
                         ["/dev/vda2", "/dev/sdb2", "/dev/nvme0n1p2", "/dev/mmcblk0p2"])

    def test_mkfs_and_fstab(self) -> None:
        text = DISK + 'part /srv --fstype=ext4 --size=500 --label=data --mkfsoptions="-m 0" --fsoptions=noatime --ondisk=vda\n'
        made = lay(text, uefi=True)
        self.assertIn(["mkfs.ext4", "-q", "-F", "-L", "data", "-m", "0"], [storage.mkfs(one) for one in made.partitions])
        entries = [(f"U{number}", one) for number, one in enumerate(made.partitions)]
        self.assertEqual(storage.fstab(entries).splitlines()[1:], [
            "UUID=U2 / xfs defaults 0 0", "UUID=U1 /boot xfs defaults 0 0",
            "UUID=U0 /boot/efi vfat umask=0077,shortname=winnt 0 2", "UUID=U3 /srv ext4 noatime 0 2"])


if __name__ == "__main__":
    unittest.main()
