"""Network lines of a kickstart: which interfaces they mean, and the profiles that the new system gets. Nothing is switched on here.

Profiles: keyfiles on 9 and 10 (A9 network.py, nm_client.py), ifcfg files on 7 and 8 (A8 ifcfg.py). The Debian under the stand-in
reads keyfiles only, so 7 and 8 get both.
"""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .host import InstallError, read, write
from .release import Release

#: Where uuid5 draws from: the same profile has the same UUID whenever it is made.
SPACE = uuid.UUID("6b696c6e-0000-4000-8000-7374616e6469")


@dataclass(frozen=True)
class Link:
    """An interface, and what it is to have."""

    name: str
    kind: str  # ethernet, bond, vlan
    dhcp: bool = False
    address: str = ""  # 192.0.2.7/24
    gateway: str = ""
    dns: list[str] = field(default_factory=list)
    no_dns: bool = False
    ipv6: bool = True
    default_route: bool = True
    onboot: bool = True
    activate: bool = False
    mtu: str = ""
    #: Bound to this address in place of the name (--bindto=mac).
    mac: str = ""
    master: str = ""
    parent: str = ""
    vlan: str = ""
    bond: dict[str, str] = field(default_factory=dict)

    @property
    def uuid(self) -> str:
        """The profile's UUID."""
        return str(uuid.uuid5(SPACE, self.name))


def interfaces() -> dict[str, str]:
    """Names and MAC addresses of this machine's own network cards."""
    cards = [path for path in Path("/sys/class/net").iterdir() if (path / "device").exists()]
    return {path.name: read(path / "address") for path in sorted(cards)}


def links(ks: Any, cards: dict[str, str]) -> list[Link]:
    """The links that the lines ask for, in their order. The first line with a device is activated even without --activate
    (A* network, "the first network command")."""
    made: list[Link] = []
    for data in ks.network.network:
        if data.device or data.bootProto == "static" or data.activate:
            made += _line(data, cards, made, first=not made)
    return made


def hostname(ks: Any) -> str:
    """The name that the last line with --hostname gives; nothing if none does."""
    names = [data.hostname for data in ks.network.network if data.hostname]
    return names[-1] if names else ""


def _line(data: Any, cards: dict[str, str], before: list[Link], first: bool) -> list[Link]:
    active = bool(data.activate) or first
    onboot = data.onboot if isinstance(data.onboot, bool) else str(data.onboot or "").lower() not in ("no", "off", "false")
    made: list[Link] = []
    if data.bondslaves:
        name = data.device
        for port in data.bondslaves.split(","):
            # Interface names only: nm_client.py hands them on as they are.
            if port not in cards:
                raise InstallError(f"network: --bondslaves names {port}, and this machine has {', '.join(cards) or 'no card'}")
            made.append(Link(port, "ethernet", master=name, onboot=onboot, activate=active))
        options = dict(word.split("=", 1) for word in (data.bondopts or "").replace(";", ",").split(",") if word)
        base = Link(name, "bond", bond=options, onboot=onboot, activate=active, mtu=data.mtu)
    else:
        name = _device(data.device, cards, before)
        mac = cards[name] if data.bindto == "mac" and name in cards else ""
        base = Link(name, "ethernet", mac=mac, onboot=onboot, activate=active, mtu=data.mtu)
    if data.vlanid:
        if data.bondslaves:
            made.append(_without_address(base))
        elif name not in [link.name for link in before]:
            made.append(_without_address(base))
        base = Link(data.interfacename or f"{name}.{data.vlanid}", "vlan", parent=name, vlan=data.vlanid, onboot=onboot,
                    activate=active, mtu=data.mtu)
    made.append(_addressed(base, data))
    return made


def _device(device: str, cards: dict[str, str], before: list[Link]) -> str:
    """The interface that --device= names: a name, a MAC address, `link`, or one that an earlier line makes."""
    if device in cards or device in [link.name for link in before]:
        return device
    by_mac = {mac.lower(): name for name, mac in cards.items()}
    if device.lower() in by_mac:
        return by_mac[device.lower()]
    if device in ("", "link"):
        linked = [name for name in cards if read(f"/sys/class/net/{name}/carrier") == "1"]
        if linked or cards:
            return (linked or list(cards))[0]
    raise InstallError(f"network: this machine has no interface {device} (it has {cards or 'none'})")


def _without_address(link: Link) -> Link:
    return replace(link, dhcp=False, ipv6=False)


def _addressed(link: Link, data: Any) -> Link:
    common = {"ipv6": not data.noipv6, "no_dns": bool(data.nodns), "default_route": not data.nodefroute,
              "dns": [one for one in (data.nameserver or "").split(",") if one]}
    if data.noipv4:
        return replace(link, **common)
    if data.bootProto == "dhcp":
        return replace(link, dhcp=True, **common)
    if not data.ip or not data.netmask:
        raise InstallError("network: --bootproto=static needs --ip and --netmask")
    try:
        prefix = ipaddress.IPv4Network(f"0.0.0.0/{data.netmask}").prefixlen
        address = ipaddress.IPv4Address(data.ip)
    except ValueError as error:
        raise InstallError(f"network: {error}") from error
    return replace(link, address=f"{address}/{prefix}", gateway=data.gateway or "", **common)


def keyfile(link: Link, others: list[Link]) -> str:
    """A NetworkManager keyfile (nm-settings-keyfile(5))."""
    sections: dict[str, dict[str, str]] = {
        "connection": {"id": link.name, "uuid": link.uuid, "type": link.kind, "autoconnect": str(link.onboot).lower()}}
    if not link.mac:
        sections["connection"]["interface-name"] = link.name
    if link.master:
        sections["connection"] |= {"master": next(one.uuid for one in others if one.name == link.master), "slave-type": "bond"}
    ethernet = {key: value for key, value in (("mac-address", link.mac.upper()), ("mtu", link.mtu)) if value}
    if ethernet:
        sections["ethernet"] = ethernet
    if link.kind == "bond":
        sections["bond"] = link.bond
    if link.kind == "vlan":
        parent = next((one.uuid for one in others if one.name == link.parent), link.parent)
        sections["vlan"] = {"id": link.vlan, "parent": parent}
    if not link.master:
        sections["ipv4"] = _ipv4(link)
        sections["ipv6"] = {"method": "auto" if link.ipv6 else "disabled"}
    return "".join(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items()) + "\n"
                   for name, values in sections.items())


def _ipv4(link: Link) -> dict[str, str]:
    if link.dhcp:
        values = {"method": "auto"}
    elif link.address:
        values = {"method": "manual", "address1": link.address + (f",{link.gateway}" if link.gateway else "")}
    else:
        return {"method": "disabled"}
    if link.dns:
        values["dns"] = ";".join(link.dns) + ";"
    if link.no_dns:
        values["ignore-auto-dns"] = "true"
    if not link.default_route:
        values["never-default"] = "true"
    return values


def ifcfg(link: Link) -> str:
    """An ifcfg file (EL's initscripts, sysconfig.txt)."""
    values = {"NAME": link.name, "DEVICE": link.name, "UUID": link.uuid, "ONBOOT": "yes" if link.onboot else "no",
              "TYPE": {"ethernet": "Ethernet", "bond": "Bond", "vlan": "Vlan"}[link.kind]}
    if link.mac:
        values["HWADDR"] = link.mac.upper()
    if link.master:
        values |= {"MASTER": link.master, "SLAVE": "yes"}
    if link.kind == "bond":
        values |= {"BONDING_MASTER": "yes", "BONDING_OPTS": '"' + " ".join(f"{key}={value}" for key, value in link.bond.items()) + '"'}
    if link.kind == "vlan":
        values |= {"VLAN": "yes", "PHYSDEV": link.parent, "VLAN_ID": link.vlan}
    if link.mtu:
        values["MTU"] = link.mtu
    if not link.master:
        values |= {"BOOTPROTO": "dhcp" if link.dhcp else "none", "IPV6INIT": "yes" if link.ipv6 else "no",
                   "DEFROUTE": "yes" if link.default_route else "no"}
        if link.address:
            address, prefix = link.address.split("/")
            values |= {"IPADDR": address, "PREFIX": prefix}
        if link.gateway:
            values["GATEWAY"] = link.gateway
        values |= {f"DNS{number}": server for number, server in enumerate(link.dns, 1)}
        if link.no_dns:
            values["PEERDNS"] = "no"
    return "".join(f"{key}={value}\n" for key, value in values.items())


def write_profiles(wanted: list[Link], root: Path, release: Release) -> None:
    """Writes the profiles into the new system."""
    for link in wanted:
        write(root / f"etc/NetworkManager/system-connections/{link.name}.nmconnection", keyfile(link, wanted), 0o600)
        if release.writes_ifcfg:
            write(root / f"etc/sysconfig/network-scripts/ifcfg-{link.name}", ifcfg(link))


def write_hostname(name: str, root: Path) -> None:
    """Writes /etc/hostname; without a name Anaconda writes localhost.localdomain (A8+ network, 7 the same)."""
    write(root / "etc/hostname", (name or "localhost.localdomain") + "\n")
