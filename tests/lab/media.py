"""From cluster.toml to what each node gets: `kiln build` makes a medium of each profile, `/kiln` is taken out of it, and
`kiln node place` lays the tree of each node down, as it does in the installer.

What the lab does in place of the installer is: answering for `kiln node prepare` (there is no disk to choose), enabling the
units that the kickstart on the medium enables, and writing the host name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import net, settings
from .host import LabError, run
from .publish import Publishers

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Node:
    """A node as cluster.toml has it."""

    name: str
    role: str
    address: str

    @property
    def mac(self) -> str:
        """As in the reference cluster: the last part of the address is the last part of the MAC address."""
        return f"52:54:00:00:31:{self.address.rsplit('.', 1)[1]}"


VIP = "192.168.31.88"
#: The reference cluster of kiln's documents.
REFERENCE = (
    Node("k8s-master1", "master", "192.168.31.71"),
    Node("k8s-master2", "master", "192.168.31.74"),
    Node("k8s-master3", "master", "192.168.31.75"),
    Node("k8s-node1", "worker", "192.168.31.72"),
    Node("k8s-node2", "worker", "192.168.31.73"),
    Node("k8s-lb1", "lb", "192.168.31.81"),
    Node("k8s-lb2", "lb", "192.168.31.82"),
)


def cluster_toml(kubernetes: str, nodes: tuple[Node, ...], extra: str, source: str) -> str:
    """The reference cluster with the given version; `extra` is more of [cluster], `source` of [components]."""
    text = f"""[cluster]
name = "lab"
kubernetes = "{kubernetes}"
pod_cidr = "10.244.0.0/16"
service_cidr = "10.96.0.0/16"
vip = "{VIP}"
{extra}
[base]
release = "centos-stream-9"
iso = "base.iso"

[components]
{source}
images = ["docker.io/library/busybox:1.35.0"]

[network]
gateway = "{net.GATEWAY}"
prefix = {net.PREFIX}
"""
    for node in nodes:
        text += f"""
[[node]]
name = "{node.name}"
profile = "{node.role}"
address = "{node.address}"
mac = "{node.mac}"
"""
    return text


@dataclass
class Media:
    """A project folder, its media, and the tree of each node."""

    kiln: Path
    folder: Path
    components: Path
    nodes: tuple[Node, ...]
    kubernetes: str
    extra: str = ""
    #: Whether components and images come from publishers and registries, played on loopback, and not out of the folder.
    fetched: bool = False

    def build(self) -> None:
        """`kiln check`, `fetch` and `build` of each profile, as a user does it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        base = run(REPO / "tests/standin/make.sh", "el9", timeout=900).stdout.strip().splitlines()[-1]
        (self.folder / "base.iso").symlink_to(base)
        if self.fetched:
            with Publishers(self.components.resolve(), self.folder.parent / "publishers") as publishers:
                self._fetch(publishers.toml)
        else:
            (self.folder / "components").symlink_to(self.components.resolve())
            self._fetch('dir = "components"')
        for role in sorted({node.role for node in self.nodes}):
            self._kiln("build", "--profile", role)
            self._extract(role)

    def _fetch(self, source: str) -> None:
        (self.folder / "cluster.toml").write_text(cluster_toml(self.kubernetes, self.nodes, self.extra, source))
        self._kiln("check")
        self._kiln("fetch", "--update")

    def _kiln(self, *words: str) -> str:
        # A cache of its own: what is fetched here was fetched here.
        environment = {**os.environ, "KILN_CACHE": str(self.folder.parent / "cache")} if self.fetched else None
        return run(self.kiln, *words, cwd=self.folder, timeout=900, env=environment).stdout

    def _extract(self, role: str) -> None:
        iso = self.folder / "out" / f"lab-{role}.iso"
        to = self.folder / "media" / role
        to.mkdir(parents=True)
        run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/kiln", to / "kiln",
            "-extract", "/ks.cfg", to / "ks.cfg", timeout=300)
        run("chmod", "-R", "u+rwX", to)
        iso.unlink()

    def units(self, role: str) -> list[str]:
        """What the kickstart of the profile enables."""
        text = (self.folder / "media" / role / "ks.cfg").read_text()
        found = re.findall(r"^systemctl enable (\S+)$", text, re.MULTILINE)
        if not found:
            raise LabError(f"the kickstart of {role} enables nothing")
        return [unit for unit in found if unit not in settings.ABSENT_UNITS]

    def place(self, node: Node, root: Path) -> None:
        """Lays the tree of a node down and does what the rest of the installer does."""
        media = self.folder / "media" / node.role
        manifest = json.loads((media / "kiln/manifest.json").read_text())
        prepared = self.folder / "prepared" / node.name
        prepared.mkdir(parents=True, exist_ok=True)
        (prepared / "node.json").write_text(json.dumps({
            "name": node.name, "profile": node.role, "cluster": manifest["cluster"], "pool": None,
            "address": node.address, "mac": node.mac, "label": manifest["label"], "build_id": manifest["build_id"],
        }))
        run(self.kiln, "node", "place", "--media", media, "--prepared", prepared, "--root", root, timeout=300)
        (root / "etc/hostname").write_text(f"{node.name}\n")
        run("systemctl", f"--root={root}", "enable", *self.units(node.role))
        settings.adapt_node(root, self.kubernetes)
