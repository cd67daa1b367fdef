"""Scenarios of what people do on a cluster: pods that talk, services, names, logs, metrics, and the exercises of `seed`."""

from __future__ import annotations

import json
import time
from typing import Any

from . import seed
from .cluster import Cluster
from .host import LabError, wait_for
from .registry import scenario

#: The image that the components folder brings for trials (tests/components/images.sh).
BUSYBOX = "docker.io/library/busybox:1.35.0"
#: Says who asks, as the pod sees it.
SERVER = ("mkdir -p /www/cgi-bin; printf '#!/bin/sh\\necho Content-Type: text/plain; echo; echo $REMOTE_ADDR\\n' >/www/cgi-bin/who; "
          "chmod 755 /www/cgi-bin/who; hostname >/www/index.html; echo serving; exec httpd -f -p 8080 -h /www")


def _pod(name: str, node: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "lab-web"}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "web", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", SERVER]}]}}


def _service() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lab-web"},
            "spec": {"type": "NodePort", "selector": {"app": "lab-web"}, "ports": [{"port": 80, "targetPort": 8080}]}}


def _apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def _expect(what: str, found: str, want: str) -> None:
    if found.strip() != want:
        raise LabError(f"{what}: `{found.strip()}` in place of `{want}`")


@scenario("traffic")
def traffic(cluster: Cluster) -> str:
    """Pod to pod across nodes without masquerade, Service, NodePort, DNS, logs and exec."""
    begin = time.monotonic()
    nodes = [machine.name for machine in cluster.workers]
    _apply(cluster, *(_pod(f"lab-{node}", node) for node in nodes), _service())

    def addresses() -> dict[str, str]:
        pods = cluster.objects("pods", "-l", "app=lab-web")
        found = {pod["metadata"]["name"]: pod["status"].get("podIP", "") for pod in pods if pod["status"]["phase"] == "Running"}
        if len(found) != len(nodes):
            raise LabError(f"running are {sorted(found)}")
        return found

    wait_for("the pods", addresses, 60)
    pods = addresses()
    started = time.monotonic() - begin
    one, two = (f"lab-{node}" for node in nodes[:2])

    def fetch(url: str) -> str:
        return cluster.kubectl("exec", one, "--", "timeout", "5", "wget", "-qO-", url)

    wait_for("exec", lambda: fetch(f"http://{pods[two]}:8080/"), 30)
    _expect("pod to pod", fetch(f"http://{pods[two]}:8080/"), two)
    # busybox writes IPv4 addresses as those of IPv6 that stand for them.
    seen = fetch(f"http://{pods[two]}:8080/cgi-bin/who").strip().removeprefix("[::ffff:").removesuffix("]")
    _expect("who a pod sees that is asked from another node", seen, pods[one])
    names = {fetch("http://lab-web.default.svc.cluster.local/").strip() for _ in range(12)}
    if not names <= {one, two} or not names:
        raise LabError(f"the service by its name gives {names}")
    if "serving" not in cluster.kubectl("logs", two):
        raise LabError("kubectl logs shows nothing")
    port = json.loads(cluster.kubectl("get", "service", "lab-web", "-o", "json"))["spec"]["ports"][0]["nodePort"]
    for machine in cluster.workers + cluster.masters:
        answer = cluster.probe(None, "get", f"http://{machine.node.address}:{port}/")
        if not answer.startswith("200 lab-"):
            raise LabError(f"NodePort {port} of {machine.name}: {answer}")
    cluster.kubectl("delete", "pods,services", "-l", "app=lab-web", "--wait=false")
    cluster.kubectl("delete", "service", "lab-web", "--ignore-not-found", "--wait=false")
    return f"pods ran after {started:.0f} s"


@scenario("metrics")
def metrics(cluster: Cluster) -> str:
    """metrics-server answers through the aggregation layer, and an autoscaler reads from it."""
    begin = time.monotonic()
    want = sorted(machine.name for machine in cluster.masters + cluster.workers)

    def measured() -> bool:
        found = json.loads(cluster.kubectl("get", "--raw=/apis/metrics.k8s.io/v1beta1/nodes"))
        names = sorted(item["metadata"]["name"] for item in found["items"])
        if names != want:
            raise LabError(f"metrics of {names} only")
        return True

    wait_for("metrics of all nodes", measured, 180, every=2)
    all_nodes = time.monotonic() - begin
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lab-hpa"}, "spec": {
        "selector": {"matchLabels": {"app": "lab-hpa"}}, "template": {"metadata": {"labels": {"app": "lab-hpa"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "busy", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sleep", "3600"],
                "resources": {"requests": {"cpu": "10m"}}}]}}}}
    hpa = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "lab-hpa"}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "lab-hpa"}, "minReplicas": 1, "maxReplicas": 2,
        "targetCPUUtilizationPercentage": 50}}
    _apply(cluster, web, hpa)

    def scaled() -> bool:
        status = json.loads(cluster.kubectl("get", "horizontalpodautoscalers.v1.autoscaling", "lab-hpa", "-o", "json"))["status"]
        return status.get("currentCPUUtilizationPercentage") is not None

    wait_for("an autoscaler that knows the load", scaled, 180, every=2)
    seconds = time.monotonic() - begin
    cluster.kubectl("delete", "deployment/lab-hpa", "horizontalpodautoscalers.v1.autoscaling/lab-hpa", "--wait=false")
    return f"all nodes after {all_nodes:.0f} s, autoscaler after {seconds:.0f} s"


@scenario("seed")
def exercises(cluster: Cluster) -> str:
    """What users do on a cluster: pods, probes, configuration, secrets, volumes, scheduling, rights (tests/lab/seed)."""
    begin = time.monotonic()
    try:
        done = seed.check(cluster.kubectl)
    except AssertionError as error:
        raise LabError(str(error)) from None
    return f"{done} after {time.monotonic() - begin:.0f} s"
