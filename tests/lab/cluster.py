"""The cluster as its operator sees it: the machines, the API through the VIP, etcd's members; and what "healthy" means."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

from . import host, media, net
from .host import LabError, run, wait_for
from .machine import Machine
from .media import Media

HERE = Path(__file__).resolve().parent
KUBE = "/opt/kubernetes/bin"


@dataclass
class Cluster:
    """All machines of a cluster and a place to stand outside of them."""

    media: Media
    network: net.Network
    machines: dict[str, Machine]
    folder: Path
    say: Callable[[str], None]
    operator: str = "admin"
    #: Shortest and longest time between two machines that are switched on, in `orders`.
    gaps: tuple[float, float] = (10.0, 70.0)
    dice: random.Random = field(default_factory=random.Random)
    writers: list["Writer"] = field(default_factory=list)

    # --- who is who ---

    def role(self, role: str) -> list[Machine]:
        """Machines of a role, in the order of cluster.toml."""
        return [machine for machine in self.machines.values() if machine.node.role == role]

    @property
    def masters(self) -> list[Machine]:
        """All masters."""
        return self.role("master")

    @property
    def workers(self) -> list[Machine]:
        """All workers."""
        return self.role("worker")

    @property
    def balancers(self) -> list[Machine]:
        """All load balancers."""
        return self.role("lb")

    def vip_holders(self) -> list[Machine]:
        """Machines that have the VIP; one, unless something is wrong."""
        return [machine for machine in self.balancers if machine.running and
                f" {media.VIP}/" in machine.run("ip", "-4", "addr", "show").stdout]

    # --- power ---

    def start(self, *names: str) -> None:
        """Switches machines on, all by default."""
        for machine in self.machines.values():
            if (not names or machine.name in names) and not machine.running:
                machine.boot()

    def wipe(self) -> None:
        """All machines off, all disks empty: as delivered."""
        for writer in list(self.writers):
            writer.stop()
        self.network.heal()
        for machine in self.machines.values():
            machine.power_cut()
            machine.wipe()
        # An installer leaves nothing to be written; here gigabytes would be, and all machines wait for one disk.
        os.sync()

    # --- the API ---

    def kubectl(self, *words: str, timeout: float = 30, check: bool = True, text: str | None = None,
                server: str = media.VIP) -> str:
        """kubectl of the version that runs, from the client's place, by the operator's certificate."""
        pki = self.media.folder / "pki"
        program = self.media.components / "kubernetes" / self.media.kubernetes / "kubectl"
        command = net.inside(
            "client", str(program), f"--server=https://{server}:6443", f"--certificate-authority={pki}/ca/kubernetes/cert.pem",
            f"--client-certificate={pki}/operators/{self.operator}/cert.pem",
            f"--client-key={pki}/operators/{self.operator}/key.pem", f"--request-timeout={timeout:.0f}s",
            f"--cache-dir={self.folder}/kubectl", *words)
        done = run(*command, timeout=timeout + 10, check=False, text=text, env={**os.environ, "KUBECONFIG": "/dev/null"})
        if check and done.returncode != 0:
            raise LabError(f"`kubectl {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def objects(self, *words: str) -> list[dict[str, Any]]:
        """A list of the API's."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))["items"]

    def ready(self) -> list[str]:
        """Names of the nodes that are Ready."""
        return sorted(node["metadata"]["name"] for node in self.objects("nodes") for condition in node["status"]["conditions"]
                      if condition["type"] == "Ready" and condition["status"] == "True")

    # --- etcd ---

    def etcdctl(self, machine: Machine, *words: str, timeout: float = 15) -> str:
        """etcdctl on a master, with the certificate of its etcd."""
        ssl = "/opt/etcd/ssl"
        return machine.run("env", "ETCDCTL_API=3", "/opt/etcd/bin/etcdctl", "--endpoints=https://127.0.0.1:2379",
                           f"--cacert={ssl}/ca.pem", f"--cert={ssl}/server.pem", f"--key={ssl}/server-key.pem",
                           "--command-timeout=5s", *words, timeout=timeout).stdout

    def members(self, machine: Machine) -> dict[str, dict[str, Any]]:
        """etcd's members as one of them sees them, by name; one that has not started yet has no name."""
        found = json.loads(self.etcdctl(machine, "member", "list", "--write-out=json"))["members"]
        return {member.get("name") or f"unstarted {member['ID']:x}": member for member in found}

    def voters(self, machine: Machine) -> list[str]:
        """Names of the members that have a vote."""
        return sorted(name for name, member in self.members(machine).items() if not member.get("isLearner"))

    def cluster_ids(self) -> set[int]:
        """The id of the etcd cluster that each running master is in: one, or there are two clusters."""
        ids = set()
        for machine in self.masters:
            if machine.running:
                status = json.loads(self.etcdctl(machine, "endpoint", "status", "--write-out=json"))
                ids.add(status[0]["Status"]["header"]["cluster_id"])
        return ids

    # --- health ---

    def whole_etcd(self) -> bool:
        """Every master is a voter of one and the same cluster."""
        names = sorted(machine.name for machine in self.masters)
        for machine in self.masters:
            found = self.voters(machine)
            if found != names:
                raise LabError(f"{machine.name} sees the voters {found}")
            self.etcdctl(machine, "endpoint", "health")
        ids = self.cluster_ids()
        if len(ids) != 1:
            raise LabError(f"TWO CLUSTERS: etcd's cluster ids are {sorted(ids)}")
        return True

    def nodes_ready(self) -> bool:
        """Every master and worker is Ready."""
        want = sorted(machine.name for machine in self.masters + self.workers)
        found = self.ready()
        if found != want:
            raise LabError(f"Ready are only {found}")
        return True

    def dns_answers(self) -> bool:
        """CoreDNS answers at the cluster's DNS address on a worker."""
        machine = self.workers[0]
        self.probe(machine, "dns", "kubernetes.default.svc.cluster.local", "10.96.0.10")
        return True

    def wait_healthy(self, seconds: float = 240) -> float:
        """Waits for all of it; returns how long that took."""
        start = time.monotonic()
        for what, test in (("the API", lambda: bool(self.kubectl("get", "--raw=/readyz"))), ("all of etcd", self.whole_etcd),
                           ("all nodes Ready", self.nodes_ready), ("DNS", self.dns_answers)):
            wait_for(what, test, max(5.0, seconds - (time.monotonic() - start)))
        holders = self.vip_holders()
        if len(holders) != 1:
            raise LabError(f"the VIP is on {[machine.name for machine in holders]}")
        return time.monotonic() - start

    # --- probes ---

    def probe(self, machine: Machine | None, *words: str, check: bool = True) -> str:
        """A question of probe.py, asked from a machine's network, or from the client's."""
        name = machine.name if machine else "client"
        done = run(*net.inside(name, sys.executable, str(HERE / "probe.py"), *words), check=False, timeout=20)
        if check and done.returncode != 0:
            raise LabError(f"from {name}: {' '.join(words)}: {done.stdout.strip()}")
        return done.stdout.strip()

    def writing(self, label: str) -> "Writer":
        """Starts a client that keeps writing."""
        writer = Writer(self, label)
        self.writers.append(writer)
        writer.start()
        return writer

    def save(self, to: Path) -> None:
        """All journals and what the API says, for a person to read after a failure."""
        to.mkdir(parents=True, exist_ok=True)
        for machine in self.machines.values():
            machine.save_journal(to)
        for name, words in (("nodes", ("get", "nodes", "-o", "wide")), ("pods", ("get", "pods", "-A", "-o", "wide")),
                            ("csr", ("get", "csr")), ("events", ("get", "events", "-A", "--sort-by=.lastTimestamp"))):
            try:
                (to / f"{name}.txt").write_text(self.kubectl(*words, timeout=10))
            except (LabError, subprocess.TimeoutExpired) as error:
                (to / f"{name}.txt").write_text(f"{error}\n")


class Writer:
    """The writing client: what it had acknowledged must be there in the end, and its pauses are the outages."""

    def __init__(self, cluster: Cluster, label: str) -> None:
        self.cluster, self.label = cluster, label
        self.log = cluster.folder / f"writer-{label}.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits for its first success."""
        command = net.inside("client", sys.executable, str(HERE / "writer.py"), "--host", media.VIP, "--label", self.label,
                                "--operator", self.cluster.operator, "--pki", str(self.cluster.media.folder / "pki"))
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                            start_new_session=True)
        wait_for("a first write", lambda: any(record["ok"] for record in self.records()), 30)

    def records(self) -> Iterator[dict[str, Any]]:
        """All attempts so far."""
        with open(self.log, encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)

    def acknowledged(self) -> list[tuple[float, str]]:
        """When, and what."""
        return [(record["at"], record["name"]) for record in self.records() if record["ok"]]

    def outage(self, since: float) -> float:
        """The longest time without a success from `since` on, the time since the last one included."""
        times = [at for at, _ in self.acknowledged()]
        before = max((at for at in times if at <= since), default=since)
        points = [before, *(at for at in times if at > since), time.monotonic()]
        return max(after - at for at, after in zip(points, points[1:]))

    def wait_write(self, since: float, seconds: float) -> float:
        """Waits for a success after `since`; returns how long after it that was."""
        wait_for("a write", lambda: any(at > since for at, _ in self.acknowledged()), seconds, every=0.2)
        return next(at for at, _ in self.acknowledged() if at > since) - since

    def stop(self) -> None:
        """Ends it."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self in self.cluster.writers:
            self.cluster.writers.remove(self)

    def check(self) -> int:
        """Nothing acknowledged is lost. Returns the number of writes; they are removed."""
        self.stop()
        want = {name for _, name in self.acknowledged()}
        if not want:
            raise LabError("the client never wrote anything")
        found: set[str] = set()

        def listed() -> bool:
            found.update(item["metadata"]["name"] for item in self.cluster.objects("configmaps", "-l", f"lab={self.label}"))
            return True

        wait_for("a list of what was written", listed, 30)
        if lost := sorted(want - found):
            raise LabError(f"LOST {len(lost)} of {len(want)} acknowledged writes, the first is {lost[0]}")
        self.cluster.kubectl("delete", "configmaps", "-l", f"lab={self.label}", "--wait=false", timeout=120)
        return len(want)


def build(kiln: Path, components: Path, work: Path, base: Path, kubernetes: str, extra: str, fetched: bool,
          state: dict[str, Any], say: Callable[[str], None]) -> Cluster:
    """Media, network and installed machines, all off."""
    made = Media(kiln, work / "build", components, media.REFERENCE, kubernetes, extra, fetched)
    made.build()
    say(f"media built, load {host.load()}")
    network = net.Network(work)
    network.up()
    machines = {}
    for node in media.REFERENCE:
        folder = work / "nodes" / node.name
        folder.mkdir(parents=True)
        machines[node.name] = Machine(node, folder, base, made, network, state)
        machines[node.name].install()
    say(f"{len(machines)} machines installed")
    return Cluster(made, network, machines, work, say)
