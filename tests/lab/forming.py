"""Scenarios of first boots: all at once, in any order, with the power cut in between."""

from __future__ import annotations

import time

from .cluster import Cluster
from .host import LabError, load, wait_for
from .registry import scenario


@scenario("start", fresh=True)
def start_at_once(cluster: Cluster) -> str:
    """All machines are switched on at once; nobody types a command."""
    begin = time.monotonic()
    cluster.start()
    seconds = cluster.wait_healthy(240)
    seconds = time.monotonic() - begin
    if seconds > 120:
        raise LabError(f"healthy only after {seconds:.0f} s, load {load()}")
    return f"healthy after {seconds:.0f} s"


def _start_in_order(cluster: Cluster, shortest: float, longest: float) -> str:
    """Switches the machines on one by one with gaps."""
    order = list(cluster.machines)
    cluster.dice.shuffle(order)
    begin = time.monotonic()
    for name in order:
        if name != order[0]:
            time.sleep(cluster.dice.uniform(shortest, longest))
        cluster.start(name)
    last = time.monotonic()
    cluster.wait_healthy(240)
    names = " ".join(name.removeprefix("k8s-") for name in order)
    return f"{names} within {last - begin:.0f} s: {time.monotonic() - last:.0f} s after the last"


@scenario("orders", quick=False, fresh=True)
def random_orders(cluster: Cluster) -> str:
    """Five random orders, with gaps as --gaps has them."""
    lines = []
    for _ in range(5):
        cluster.wipe()
        lines.append(_start_in_order(cluster, *cluster.gaps))
        cluster.say(f"{lines[-1]}, load {load()}")
    return "; ".join(lines)


@scenario("order", fresh=True)
def random_order(cluster: Cluster) -> str:
    """One random order with gaps of up to ten seconds."""
    return _start_in_order(cluster, 0, 10)


def _cut_while_forming(cluster: Cluster, cuts: int) -> int:
    """Starts all and pulls plugs at random moments until the cluster is there."""
    dice = cluster.dice
    cluster.start()
    for _ in range(cuts):
        time.sleep(dice.uniform(0.2, 12))
        victim = dice.choice(cluster.masters if dice.random() < 0.7 else list(cluster.machines.values()))
        victim.power_cut()
        time.sleep(dice.uniform(0, 3))
        victim.boot()
    cluster.wait_healthy(300)
    return cuts


@scenario("cuts", quick=False, fresh=True)
def power_cuts(cluster: Cluster) -> str:
    """Power cuts at 20 random moments of first boots, five to a first boot."""
    done = 0
    while done < 20:
        cluster.wipe()
        done += _cut_while_forming(cluster, 5)
        cluster.say(f"{done} power cuts")
    return f"{done} power cuts, one cluster each time"


@scenario("cut", fresh=True)
def some_power_cuts(cluster: Cluster) -> str:
    """Power cuts at three random moments of a first boot."""
    return f"{_cut_while_forming(cluster, 3)} power cuts"


@scenario("minority", fresh=True)
def a_minority_forms_nothing(cluster: Cluster) -> str:
    """One master alone waits and says for whom; with a second one the cluster is there; the third joins it."""
    first, second, third = cluster.masters
    lb, other = cluster.balancers
    cluster.start(first.name, lb.name, other.name)
    time.sleep(20)
    if cluster.kubectl("get", "--raw=/readyz", timeout=3, check=False).strip() == "ok":
        raise LabError("one master of three serves an API")
    said = first.run("kiln", "node", "status", check=False).stdout
    line = next((line for line in said.splitlines() if line.startswith(f"{first.name} ")), said)
    if second.name not in line or third.name not in line:
        raise LabError(f"{first.name} does not say that it waits for {second.name} and {third.name}: {line!r}")
    cluster.start(second.name)
    begin = time.monotonic()
    # A majority waits two minutes for the rest before it forms.
    wait_for("the API of two masters", lambda: bool(cluster.kubectl("get", "--raw=/readyz", timeout=3)), 200)
    seconds = time.monotonic() - begin
    cluster.start(third.name, *(machine.name for machine in cluster.workers))
    cluster.wait_healthy(240)
    return f"API {seconds:.0f} s after the second master"
