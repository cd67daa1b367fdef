"""The network: a bridge in a namespace of its own, a namespace and a pair of interfaces for each machine, no way out.

Machines have a default route, as every node has one (the kubelet registers only with one). It leads to an address of the
bridge's namespace, which forwards nothing.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .host import LabError, run

NETNS = "kiln-lab"
GATEWAY = "192.168.31.1"
PREFIX = 24
CLIENT = "192.168.31.200"
SUBNET = "192.168.31.0/24"
#: Packets that nobody on this network should send: to any address but the nodes' and the pods' (which travel as they are in
#: bridge mode), what the kernel says to the link itself aside.
OUTSIDE = (f"(ip and not (dst net {SUBNET} or dst net 10.244.0.0/16 or dst net 224.0.0.0/24)) or (arp and not dst net {SUBNET})"
           " or (ip6 and not (dst net ff02::/16 or dst net fe80::/10))")


def _ip(*words: str, ns: str = NETNS) -> None:
    run("ip", "-n", ns, *words)


@dataclass
class Network:
    """The bridge and who is on it."""

    folder: Path
    ports: dict[str, str] = field(default_factory=dict)
    made: int = 0
    tcpdump: subprocess.Popen[bytes] | None = None

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
        with open(self.folder / "outside.txt", "wb") as out, open(self.folder / "tcpdump.log", "wb") as log:
            self.tcpdump = subprocess.Popen(["nsenter", f"--net=/run/netns/{NETNS}", "tcpdump", "-n", "-l", "-i", "br0", OUTSIDE],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)

    def captured(self) -> list[str]:
        """What was sent to addresses outside so far, a line a packet."""
        if self.tcpdump is None or self.tcpdump.poll() is not None:
            raise LabError("the capture does not run")
        return (self.folder / "outside.txt").read_text(errors="replace").splitlines()

    def down(self) -> None:
        """Ends the capture; the namespaces are the business of whoever cleans up."""
        if self.tcpdump is not None:
            self.tcpdump.kill()
            self.tcpdump.wait()

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
