"""What the tests share: kickstarts as kiln writes them, parsed for a release."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from installer import kickstart
from installer.release import RELEASES

GOLDEN = Path(__file__).resolve().parents[4] / "tests/golden/kickstart"

DISK = """ignoredisk --only-use=vda
zerombr
clearpart --all --initlabel --disklabel=gpt --drives=vda
reqpart --add-boot
part / --fstype=xfs --size=6144 --grow --ondisk=vda
"""
# What `kiln node prepare` answers.
KILNS_DISK = """bootloader --location=mbr --boot-drive=vda --timeout=3 --append="quiet systemd.unit=kiln-unfinished.target"
ignoredisk --only-use=vda
zerombr
clearpart --all --initlabel --disklabel=gpt --drives=vda
reqpart
part /boot --fstype=xfs --size=1024 --label=kiln-boot --ondisk=vda
part / --fstype=xfs --size=6144 --grow --label=kiln-root --ondisk=vda
"""
NETWORK = """network --bootproto=static --ip=192.168.31.71 --netmask=255.255.255.0 --gateway=192.168.31.1 --nodns \
--device=52:54:00:00:31:71 --noipv6 --activate --onboot=yes
network --hostname=k8s-master1
"""
# What the seed answers for a medium that has no secrets.
ACCESS = "rootpw --lock\n"
REST = "cdrom\nlang en_US.UTF-8\nrootpw --lock\ntimezone Etc/UTC --utc\nreboot --eject\n"


def parsed(text: str, layout: str = "el9") -> Any:
    """A kickstart's text as the installer sees it."""
    with tempfile.NamedTemporaryFile("w", suffix=".ks") as file:
        file.write(text)
        file.flush()
        return kickstart.parse(Path(file.name), RELEASES[layout])
