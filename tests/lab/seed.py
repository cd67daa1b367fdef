"""What users then do on the cluster: the manifests of tests/lab/seed, applied and asserted. Images: busybox, pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / "seed"
# The images that the cluster file has to name for it.
IMAGES = ["docker.io/library/busybox:1.35.0"]

# kubectl(arguments…) gives standard output, and raises an exception when kubectl fails.
Kubectl = Callable[..., str]

# What to wait for: arguments of `kubectl get` and the output that it has to come to.
EXPECTED = [
    ("the pod with configuration, secret and probes is ready",
     ["pod", "configured", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"], "True"),
    ("both replicas are there", ["deployment", "web", "-o", "jsonpath={.status.readyReplicas}"], "2"),
    ("the service answers by its name", ["job", "ask", "-o", "jsonpath={.status.succeeded}"], "1"),
    ("the claim is bound", ["pvc", "data", "-o", "jsonpath={.status.phase}"], "Bound"),
    ("the volume keeps what was written", ["job", "store", "-o", "jsonpath={.status.succeeded}"], "1"),
    ("the pod that no node can take waits",
     ["pod", "nowhere", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}"], "Unschedulable"),
]


def _until(what: str, look: Callable[[], str], good: Callable[[str], bool], end: float) -> None:
    """Looks until it is good; an error of kubectl counts as an answer."""
    while True:
        try:
            said = look()
        except Exception as error:  # noqa: BLE001: whatever the caller's kubectl raises
            said = f"{type(error).__name__}: {error}"
        if good(said):
            return
        if time.monotonic() > end:
            raise AssertionError(f"seed: {what}: last seen: {said!r}")
        time.sleep(1)


def _can(kubectl: Kubectl, verb: str, resource: str) -> str:
    """`yes` or `no`; kubectl exits with 1 for `no`, so the answer comes from a review."""
    listed = kubectl("auth", "can-i", "--list", "-n", "seed", "--as=system:serviceaccount:seed:reader")
    for line in listed.splitlines():
        if line.split()[:1] == [resource] and verb in line:
            return "yes"
    return "no"


def check(kubectl: Kubectl, seconds: float = 120, metrics: bool = False) -> str:
    """Applies everything, asserts what has to come of it, and removes it. `metrics`: the autoscaler has to have figures."""
    end = time.monotonic() + seconds
    files = sorted(FOLDER.glob("*.yaml"))
    assert files, f"no manifests in {FOLDER}"
    try:
        for file in files:
            # A new namespace has no account for its pods for a moment, and refuses them.
            _until(f"{file.name} is applied", lambda path=file: "applied" if kubectl("apply", "-f", str(path)) else "",
                   lambda said: said == "applied", end)
        for what, arguments, wanted in EXPECTED:
            _until(what, lambda given=arguments: kubectl("get", "-n", "seed", *given),
                   lambda said, want=wanted: said.strip() == want, end)
        counts = ["daemonset", "everywhere", "-o", "jsonpath={.status.desiredNumberScheduled} {.status.numberReady}"]
        _until("a pod is ready on every node", lambda: kubectl("get", "-n", "seed", *counts),
               lambda said: len(said.split()) == 2 and len(set(said.split())) == 1 and said.split()[0] != "0", end)
        assert _can(kubectl, "list", "pods") == "yes", "seed: the reader may not list pods"
        assert _can(kubectl, "get", "secrets") == "no", "seed: the reader may read secrets"
        if metrics:
            figure = ["hpa", "web", "-o", "jsonpath={.status.currentCPUUtilizationPercentage}"]
            _until("the autoscaler has figures", lambda: kubectl("get", "-n", "seed", *figure), str.isdigit, end)
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=false", "namespace/seed", "persistentvolume/seed-data")
    return f"{len(files)} manifests, {len(EXPECTED) + 3 + metrics} outcomes"
