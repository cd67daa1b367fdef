"""Scenarios of faults, each while a client keeps writing through the VIP."""

from __future__ import annotations

import contextlib
import time
from typing import Iterator

from .cluster import Cluster, Writer
from .host import LabError, wait_for
from .machine import Machine
from .registry import scenario


@contextlib.contextmanager
def _written(cluster: Cluster, label: str) -> Iterator[Writer]:
    """A client that writes all the time; afterwards nothing that was acknowledged may be missing."""
    writer = cluster.writing(label)
    try:
        time.sleep(1)
        yield writer
        writer.check()
    finally:
        writer.stop()


def _holder(cluster: Cluster) -> Machine:
    """The load balancer that holds the VIP."""
    holders = cluster.vip_holders()
    if len(holders) != 1:
        raise LabError(f"the VIP is on {[machine.name for machine in holders]}")
    return holders[0]


def _within(writer: Writer, since: float, limit: float, window: float) -> float:
    """Watches for `window` seconds and judges the longest pause of the client."""
    time.sleep(max(0.0, since + window - time.monotonic()))
    outage = writer.outage(since)
    if outage > limit:
        raise LabError(f"the API was away for {outage:.1f} s, {limit:.0f} s are allowed")
    return outage


def _kill_unit(cluster: Cluster, unit: str) -> str:
    with _written(cluster, unit.split(".")[0]) as writer:
        holder = _holder(cluster)
        since = time.monotonic()
        holder.kill(unit)
        outage = _within(writer, since, 5, 15)
    wait_for(f"{unit} again", lambda: holder.active(unit), 30)
    return f"{unit} on {holder.name}: API away for {outage:.1f} s"


@scenario("kill-nginx")
def kill_nginx(cluster: Cluster) -> str:
    """nginx of the VIP's holder is killed."""
    return _kill_unit(cluster, "nginx.service")


@scenario("kill-keepalived")
def kill_keepalived(cluster: Cluster) -> str:
    """keepalived of the VIP's holder is killed."""
    return _kill_unit(cluster, "keepalived.service")


@scenario("kill-lb")
def kill_balancer(cluster: Cluster) -> str:
    """The power of the VIP's holder is cut; the VIP stays where it went when the machine is back."""
    with _written(cluster, "lb") as writer:
        holder = _holder(cluster)
        since = time.monotonic()
        holder.power_cut()
        outage = _within(writer, since, 5, 15)
        holder.boot()
        since = time.monotonic()
        back = _within(writer, since, 5, 20)
    if _holder(cluster) is holder:
        raise LabError("the VIP went back by itself")
    return f"{holder.name}: API away for {outage:.1f} s, {back:.1f} s when it came back"


@scenario("hang-nginx", quick=False)
def hang_nginx(cluster: Cluster) -> str:
    """nginx of the VIP's holder hangs: its port is open, nothing answers. The check must see it."""
    with _written(cluster, "hang") as writer:
        holder = _holder(cluster)
        since = time.monotonic()
        holder.run("systemctl", "kill", "--signal=STOP", "nginx.service")
        outage = _within(writer, since, 30, 40)
        holder.run("systemctl", "kill", "--signal=CONT", "nginx.service")
    return f"{holder.name}: API away for {outage:.1f} s"


def _kill_master(cluster: Cluster, victim: Machine) -> str:
    with _written(cluster, victim.name) as writer:
        since = time.monotonic()
        victim.power_cut()
        outage = _within(writer, since, 10, 20)
        victim.boot()
        begin = time.monotonic()
        cluster.wait_healthy(180)
    return f"{victim.name}: API away for {outage:.1f} s, whole again {time.monotonic() - begin:.0f} s after power-on"


def _leader(cluster: Cluster) -> Machine:
    """The master whose etcd leads."""
    for machine in cluster.masters:
        if "true" in cluster.etcdctl(machine, "endpoint", "status").split(", ")[4:6]:
            return machine
    raise LabError("etcd has no leader")


@scenario("kill-master")
def kill_leading_master(cluster: Cluster) -> str:
    """The power of the master that leads etcd is cut."""
    return _kill_master(cluster, _leader(cluster))


@scenario("kill-masters", quick=False)
def kill_each_master(cluster: Cluster) -> str:
    """The power of each master in turn is cut."""
    return "; ".join(_kill_master(cluster, victim) for victim in cluster.masters)


def _reimage(cluster: Cluster, victim: Machine) -> str:
    with _written(cluster, f"re-{victim.name}") as writer:
        before = cluster.cluster_ids()
        old = cluster.members(cluster.masters[-1] if victim is not cluster.masters[-1] else cluster.masters[0])[victim.name]["ID"]
        since = time.monotonic()
        victim.reimage()
        outage = _within(writer, since, 10, 15)
        victim.boot()
        begin = time.monotonic()
        cluster.wait_healthy(240)
        seconds = time.monotonic() - begin
    if cluster.cluster_ids() != before:
        raise LabError("it is another etcd cluster now")
    if cluster.members(victim)[victim.name]["ID"] == old:
        raise LabError("the member with the empty disk kept its id")
    return f"{victim.name}: 3 voters and healthy {seconds:.0f} s after power-on, API away for {outage:.1f} s"


@scenario("reimage")
def reimage_first_master(cluster: Cluster) -> str:
    """The first-named master gets an empty disk and rejoins by itself."""
    return _reimage(cluster, cluster.masters[0])


@scenario("reimage-all", quick=False)
def reimage_each_master(cluster: Cluster) -> str:
    """Each master in turn gets an empty disk."""
    return "; ".join(_reimage(cluster, victim) for victim in cluster.masters)


@scenario("reimage-worker")
def reimage_worker(cluster: Cluster) -> str:
    """A worker gets an empty disk and joins again under its name."""
    victim = cluster.workers[0]
    victim.reimage()
    begin = time.monotonic()
    victim.boot()
    wait_for(f"{victim.name} not Ready first, or ready at once", lambda: victim.active("kubelet.service"), 60)
    cluster.wait_healthy(240)
    return f"{victim.name}: healthy {time.monotonic() - begin:.0f} s after power-on"


@scenario("reimage-paused")
def reimage_while_paused(cluster: Cluster) -> str:
    """A master is re-imaged while another one is paused: there is no majority, so it waits, says so and forms nothing."""
    first, second, third = cluster.masters
    before = cluster.cluster_ids()
    with _written(cluster, "paused"):
        second.pause()
        try:
            first.reimage()
            first.boot()
            time.sleep(30)
            if first.active("etcd.service"):
                raise LabError(f"{first.name} runs an etcd without a majority that knows of it")
            said = first.run("kiln", "node", "status", check=False).stdout
            if second.name not in said and second.node.address not in said:
                raise LabError(f"{first.name} does not say that it waits for {second.name}: {said!r}")
        finally:
            second.resume()
        begin = time.monotonic()
        cluster.wait_healthy(240)
        seconds = time.monotonic() - begin
    if cluster.cluster_ids() != before:
        raise LabError("it is another etcd cluster now")
    return f"{first.name} waited for {second.name}, healthy {seconds:.0f} s after it went on"


@scenario("partition")
def partition(cluster: Cluster) -> str:
    """The network between one master and the two others is cut for 20 s and healed."""
    alone, *rest = cluster.masters
    with _written(cluster, "partition") as writer:
        since = time.monotonic()
        cluster.network.cut([alone.name], [machine.name for machine in rest])
        try:
            outage = _within(writer, since, 10, 20)
        finally:
            cluster.network.heal()
        begin = time.monotonic()
        cluster.wait_healthy(120)
    return f"{alone.name} cut off: API away for {outage:.1f} s, healthy {time.monotonic() - begin:.0f} s after"


@scenario("reboot-all")
def reboot_everything(cluster: Cluster) -> str:
    """The power of all machines fails at once and comes back."""
    before = cluster.cluster_ids()
    writer = cluster.writing("reboot")
    try:
        time.sleep(3)
        for machine in cluster.machines.values():
            machine.pause()
        for machine in cluster.machines.values():
            machine.power_cut()
        begin = time.monotonic()
        cluster.start()
        cluster.wait_healthy(240)
        seconds = time.monotonic() - begin
        count = writer.check()
    finally:
        writer.stop()
    if cluster.cluster_ids() != before:
        raise LabError("it is another etcd cluster now")
    return f"healthy {seconds:.0f} s after power-on, {count} writes kept"
