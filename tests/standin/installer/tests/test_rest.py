"""Packages, network, boot loader, grubby."""

from __future__ import annotations

import contextlib
import gzip
import io
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from installer import bootloader, network, packages
from installer.host import InstallError
from installer.release import RELEASES

from .common import NETWORK, REST, parsed

CARDS = {"ens3": "52:54:00:00:31:71", "ens4": "52:54:00:00:31:72"}
STANDIN = Path(__file__).resolve().parents[2]


def repository(folder: Path, names: list[str], comps: bool = True) -> None:
    """Repodata as createrepo_c writes it, as far as it is read."""
    data = folder / "repodata"
    data.mkdir(parents=True)
    body = "".join(f'<package type="rpm"><name>{name}</name></package>' for name in names)
    (data / "primary.xml.gz").write_bytes(gzip.compress(
        f'<metadata xmlns="http://linux.duke.edu/metadata/common">{body}</metadata>'.encode()))
    kinds = '<data type="primary"><location href="repodata/primary.xml.gz"/></data>'
    if comps:
        groups = "<group><id>core</id></group><environment><id>minimal-environment</id></environment>"
        (data / "comps.xml").write_text(f"<comps>{groups}</comps>", encoding="utf-8")
        kinds += '<data type="group"><location href="repodata/comps.xml"/></data>'
    (data / "repomd.xml").write_text(f'<repomd xmlns="http://linux.duke.edu/metadata/repo">{kinds}</repomd>', encoding="utf-8")


class Packages(unittest.TestCase):
    """%packages against repodata."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.medium = Path(folder.name)
        repository(self.medium / "BaseOS", ["chrony", "tar", "odd"])
        repository(self.medium / "AppStream", ["nginx"], comps=False)
        (self.medium / ".treeinfo").write_text("[variant-AppStream]\nrepository = AppStream\n[variant-BaseOS]\nrepository = BaseOS\n",
                                               encoding="utf-8")

    def check(self, body: str, options: str = "") -> None:
        ks = parsed(f"{REST}%packages {options}\n{body}\n%end\n")
        offer = packages.Offer()
        for folder in packages.repositories(self.medium, ks):
            offer.add(folder)
        packages.check(ks, offer, packages.table(STANDIN / "root/packages.list"))

    def test_what_is_there(self) -> None:
        self.check("@^minimal-environment\n@core\nchrony\nnginx\n-iwl*-firmware")

    def test_what_is_missing(self) -> None:
        with self.assertRaisesRegex(InstallError, "not on the medium: keepalived @nosuch @\\^other"):
            self.check("@^other\n@nosuch\nkeepalived\nchrony")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.check("keepalived\nchrony", "--ignoremissing")
        self.assertIn("ignored: keepalived", said.getvalue())

    def test_what_no_debian_package_stands_for(self) -> None:
        with self.assertRaisesRegex(InstallError, "nothing of Debian stands for odd"):
            self.check("odd")

    def test_a_medium_without_repositories(self) -> None:
        (self.medium / ".treeinfo").unlink()
        with self.assertRaisesRegex(InstallError, "no repository"):
            self.check("chrony")


class Network(unittest.TestCase):
    """Lines and profiles."""

    def links(self, text: str, layout: str = "el9") -> list[network.Link]:
        return network.links(parsed(REST + text, layout), CARDS)

    def test_static_by_mac(self) -> None:
        ks = parsed(REST + NETWORK)
        link, = network.links(ks, CARDS)
        self.assertEqual((link.name, link.address, link.gateway, link.activate), ("ens3", "192.168.31.71/24", "192.168.31.1", True))
        self.assertEqual(network.hostname(ks), "k8s-master1")
        self.assertEqual(network.keyfile(link, [link]), f"[connection]\nid=ens3\nuuid={link.uuid}\ntype=ethernet\nautoconnect=true\n"
                         "interface-name=ens3\n\n[ipv4]\nmethod=manual\naddress1=192.168.31.71/24,192.168.31.1\nignore-auto-dns=true\n\n"
                         "[ipv6]\nmethod=disabled\n\n")
        self.assertIn("IPADDR=192.168.31.71\nPREFIX=24\nGATEWAY=192.168.31.1\nPEERDNS=no\n", network.ifcfg(link))

    def test_dhcp_and_binding(self) -> None:
        link, = self.links("network --bootproto=dhcp --device=52:54:00:00:31:72 --bindto=mac --onboot=no\n")
        text = network.keyfile(link, [link])
        self.assertIn("[ethernet]\nmac-address=52:54:00:00:31:72\n", text)
        self.assertIn("method=auto", text)
        self.assertIn("autoconnect=false", text)
        self.assertNotIn("interface-name", text)

    def test_only_the_first_line_is_activated_by_itself(self) -> None:
        first, second = self.links("network --bootproto=dhcp --device=ens3\nnetwork --bootproto=dhcp --device=ens4\n")
        self.assertEqual((first.activate, second.activate), (True, False))

    def test_bond_with_vlan(self) -> None:
        made = self.links("network --device=bond0 --bondslaves=ens3,ens4 --bondopts=mode=802.3ad,miimon=100 --vlanid=171 "
                          "--interfacename=v171 --bootproto=static --ip=10.0.0.7 --netmask=255.255.0.0 --activate\n")
        self.assertEqual([(one.name, one.kind, one.master, one.address) for one in made], [
            ("ens3", "ethernet", "bond0", ""), ("ens4", "ethernet", "bond0", ""), ("bond0", "bond", "", ""),
            ("v171", "vlan", "", "10.0.0.7/16")])
        texts = {one.name: network.keyfile(one, made) for one in made}
        self.assertIn(f"master={made[2].uuid}\nslave-type=bond", texts["ens3"])
        self.assertIn("[bond]\nmode=802.3ad\nmiimon=100\n", texts["bond0"])
        self.assertIn(f"[vlan]\nid=171\nparent={made[2].uuid}\n", texts["v171"])
        self.assertIn('BONDING_OPTS="mode=802.3ad miimon=100"', network.ifcfg(made[2]))

    def test_vlan_over_a_bond_of_an_earlier_line(self) -> None:
        made = self.links("network --device=bond0 --bondslaves=ens3,ens4 --bondopts=mode=active-backup --noipv4 --noipv6 --activate\n"
                          "network --device=bond0 --vlanid=5 --bootproto=dhcp --activate\n")
        self.assertEqual([one.name for one in made], ["ens3", "ens4", "bond0", "bond0.5"])
        self.assertEqual(made[3].parent, "bond0")

    def test_what_this_machine_has_not(self) -> None:
        with self.assertRaisesRegex(InstallError, "no interface 52:54:00:00:31:99"):
            self.links("network --bootproto=dhcp --device=52:54:00:00:31:99\n")
        with self.assertRaisesRegex(InstallError, "bondslaves names ens9"):
            self.links("network --device=bond0 --bondslaves=ens9 --bootproto=dhcp\n")


class Loader(unittest.TestCase):
    """GRUB's menu, and the stand-in's grubby."""

    def menu(self, uefi: bool, serial: str = "ttyS0,115200n8") -> str:
        return bootloader.menu("T", "6.1", "R", "B", "", "quiet console=ttyS0,115200n8", 3, serial, uefi)

    def test_menu(self) -> None:
        text = self.menu(False)
        self.assertIn("serial --unit=0 --speed=115200\n", text)
        self.assertIn("  linux /vmlinuz-6.1 root=UUID=R ro quiet console=ttyS0,115200n8\n  initrd /initrd.img-6.1\n", text)
        self.assertIn("insmod xfs", text)
        self.assertNotIn("insmod", self.menu(True))
        self.assertNotIn("serial", self.menu(True, ""))

    def test_the_installers_serial_console_is_kept(self) -> None:
        ks = parsed(REST + 'bootloader --location=mbr --append="audit=0"\n')
        self.assertEqual(bootloader.arguments(ks, "quiet console=tty0 console=ttyS0,115200n8"), "audit=0 console=ttyS0,115200n8")
        self.assertEqual(bootloader.arguments(ks, "console=ttyS0 console=tty0"), "audit=0")
        given = parsed(REST + 'bootloader --append="console=tty0 console=ttyS0,9600"\n')
        self.assertEqual(bootloader.arguments(given, "console=ttyS0"), "console=tty0 console=ttyS0,9600")

    def test_entries_of_the_firmware(self) -> None:
        listing = ("BootCurrent: 0001\nBootOrder: 0001\nBoot0001* CentOS\tHD(1,GPT)\nBoot0002* CentOS Stream\tHD(1)\n"
                   "Boot000A  CentOS\tHD(2)\n")
        self.assertEqual(bootloader.efi_entries(listing, "CentOS"), ["0001", "000A"])

    def grubby(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, STANDIN / "root/files/usr/sbin/grubby", "--root-dir", folder, *words], text=True,
                              capture_output=True, check=False)

    def test_grubby(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path, text in (("boot/grub/grub.cfg", self.menu(False)), ("etc/default/grub", 'GRUB_CMDLINE_LINUX="quiet x=1"\n')):
                (folder / path).parent.mkdir(parents=True)
                (folder / path).write_text(text, encoding="utf-8")
            done = self.grubby(folder, "--update-kernel=ALL", "--args=cgroup.memory=nokmem console=tty0 x=2", "--remove-args=quiet")
            self.assertEqual(done.returncode, 0, done.stderr)
            words = "console=ttyS0,115200n8 cgroup.memory=nokmem console=tty0 x=2"
            self.assertIn(f"root=UUID=R ro {words}\n", (folder / "boot/grub/grub.cfg").read_text(encoding="utf-8"))
            self.assertEqual((folder / "etc/default/grub").read_text(encoding="utf-8"),
                             'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem console=tty0 x=2"\n')
            self.assertIn(f'args="ro {words}"', self.grubby(folder, "--info=ALL").stdout)
            self.assertEqual(self.grubby(folder, "--set-default=1").returncode, 2)


class Releases(unittest.TestCase):
    """Where the new system lies."""

    def test_install_path(self) -> None:
        self.assertEqual({name: str(one.sysroot) for name, one in RELEASES.items()},
                         {"el7": "/mnt/sysimage", "el8": "/mnt/sysroot", "el9": "/mnt/sysroot", "el10": "/mnt/sysroot"})


if __name__ == "__main__":
    unittest.main()
