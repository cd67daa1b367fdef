"""The network: a bridge in a namespace of its own, a namespace and a pair of interfaces for each machine, no way out.

Machines have a default route, as every node has one (the kubelet registers only with one). It leads to an address of the
bridge's namespace, which forwards nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .host import run

NETNS = "kiln-lab"
GATEWAY = "192.168.31.1"
PREFIX = 24
CLIENT = "192.168.31.200"


def _ip(*words: str, ns: str = NETNS) -> None:
    run("ip", "-n", ns, *words)


@dataclass
class Network:
    """The bridge and who is on it."""

    ports: dict[str, str] = field(default_factory=dict)
    made: int = 0

    def up(self) -> None:
        """Makes the bridge and the client's place on it."""
        run("ip", "netns", "add", NETNS)
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        _ip("addr", "add", f"{GATEWAY}/{PREFIX}", "dev", "br0")
        _ip("link", "set", "br0", "up")
        # A new namespace may inherit the host's answer to this.
        run("nsenter", f"--net=/run/netns/{NETNS}", "sysctl", "-qw", "net.ipv4.ip_forward=0",
            "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0",
            "net.bridge.bridge-nf-call-arptables=0")
        run("nsenter", f"--net=/run/netns/{NETNS}", "nft", "-f", "-", text="""
            table bridge lab { chain forward { type filter hook forward priority 0; policy accept; }; }
        """)
        self.join("client", CLIENT, None)

    def join(self, name: str, address: str, mac: str | None) -> Path:
        """Connects a namespace for a machine to the bridge; one that is there already stays as it is."""
        ns = f"{NETNS}-{name}"
        path = Path("/run/netns", ns)
        if name in self.ports:
            return path
        port, self.made = f"port{self.made}", self.made + 1
        run("ip", "netns", "add", ns)
        _ip("link", "set", "lo", "up", ns=ns)
        own = ("address", mac) if mac else ()
        _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", *own, "netns", ns)
        _ip("link", "set", port, "master", "br0", "up")
        self.ports[name] = port
        _ip("addr", "add", f"{address}/{PREFIX}", "brd", "+", "dev", "eth0", ns=ns)
        _ip("link", "set", "eth0", "up", ns=ns)
        _ip("route", "add", "default", "via", GATEWAY, ns=ns)
        return path

    def leave(self, name: str) -> None:
        """Takes a namespace away: an interface of a machine that was reinstalled remembers nothing."""
        if self.ports.pop(name, None):
            run("ip", "netns", "del", f"{NETNS}-{name}", check=False)

    def cut(self, left: list[str], right: list[str]) -> None:
        """Drops all frames between two sets of machines."""
        a = ", ".join(f'"{self.ports[name]}"' for name in left)
        b = ", ".join(f'"{self.ports[name]}"' for name in right)
        run("nsenter", f"--net=/run/netns/{NETNS}", "nft", "-f", "-", text=f"""
            add rule bridge lab forward iifname {{ {a} }} oifname {{ {b} }} drop
            add rule bridge lab forward iifname {{ {b} }} oifname {{ {a} }} drop
        """)

    def heal(self) -> None:
        """Lets everything through again."""
        run("nsenter", f"--net=/run/netns/{NETNS}", "nft", "flush", "chain", "bridge", "lab", "forward")


def inside(name: str, *command: str) -> list[str]:
    """A command, to be run on the network of a machine, or of the `client`: on the bridge, outside of the cluster.

    Not by `ip netns exec`, whose mount namespace would hold on to the machines' disks.
    """
    return ["nsenter", f"--net=/run/netns/{NETNS}-{name}", *command]
