"""Switches the installer's own network on, as the kickstart's lines say."""

from __future__ import annotations

import time
from pathlib import Path

from .host import InstallError, attempt, read, run, say
from .network import Link

#: Seconds to wait for a carrier: Anaconda waits for NetworkManager about as long.
PATIENCE = 10


def activate(links: list[Link]) -> None:
    """Makes and configures the links that are to be active. What does not come up is said, and is no error, as in Anaconda: a
    medium needs no network."""
    servers: list[str] = []
    for link in [one for one in links if one.activate and not one.master]:
        try:
            _make(link, [one.name for one in links if one.master == link.name])
            _configure(link)
        except InstallError as error:
            say(f"STAND-IN installer: {link.name} is not up: {error}")
        servers += link.dns
    lines = [f"nameserver {server}" for server in servers] or [read("/run/resolv.dhcp")]
    Path("/etc/resolv.conf").unlink(missing_ok=True)
    Path("/etc/resolv.conf").write_text("\n".join(lines) + "\n", encoding="ascii")


def _make(link: Link, ports: list[str]) -> None:
    if link.kind == "bond":
        attempt("modprobe", "bonding", "max_bonds=0")
        options = [word for pair in link.bond.items() for word in pair]
        run("ip", "link", "add", link.name, "type", "bond", *options)
        for port in ports:
            run("ip", "link", "set", port, "down")
            run("ip", "link", "set", port, "master", link.name)
    elif link.kind == "vlan":
        run("ip", "link", "set", link.parent, "up")
        run("ip", "link", "add", "link", link.parent, "name", link.name, "type", "vlan", "id", link.vlan)
    if link.mtu:
        run("ip", "link", "set", link.name, "mtu", link.mtu)
    if not link.ipv6:
        attempt("sysctl", "-q", "-w", f"net/ipv6/conf/{link.name}/disable_ipv6=1")
    run("ip", "link", "set", link.name, "up")


def _configure(link: Link) -> None:
    for _ in range(PATIENCE * 10):
        if read(f"/sys/class/net/{link.name}/carrier") == "1":
            break
        time.sleep(0.1)
    else:
        raise InstallError("no carrier")
    if link.dhcp:
        run("busybox", "udhcpc", "-i", link.name, "-f", "-q", "-n", "-t", "8", "-T", "2", "-s", "/kiln-standin/udhcpc")
    elif link.address:
        run("ip", "address", "replace", link.address, "dev", link.name)
        if link.gateway and link.default_route:
            run("ip", "route", "replace", "default", "via", link.gateway, "dev", link.name)
