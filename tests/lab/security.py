"""Scenarios of who gets in: ports, anonymous readers, keys on nodes, tokens, impostors, rotation."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path

from . import media
from .cluster import Cluster
from .host import LabError, run, wait_for
from .machine import Machine
from .registry import scenario

#: Ports that served without asking who it is, and what they were.
PLAIN = {8080: "the API", 10255: "the kubelet", 10252: "the controller manager", 10251: "the scheduler", 10249: "kube-proxy's metrics",
         2381: "etcd's metrics"}


def _refused(cluster: Cluster, url: str) -> None:
    """A request without credentials gets nothing."""
    answer = cluster.probe(None, "get", url, check=False)
    if re.match(r"[23]\d\d ", answer):
        raise LabError(f"{url} answers anybody: {answer[:200]}")


@scenario("closed")
def closed(cluster: Cluster) -> str:
    """Plain ports are closed from outside and mostly on the node too; nothing is read without credentials."""
    for machine in cluster.machines.values():
        for port, what in PLAIN.items():
            if cluster.probe(None, "tcp", machine.node.address, str(port), check=False) == "open":
                raise LabError(f"{machine.name}: port {port} ({what}) is open")
            # These two are for the node itself.
            if port not in (10249, 2381) and cluster.probe(machine, "tcp", "127.0.0.1", str(port), check=False) == "open":
                raise LabError(f"{machine.name}: port {port} ({what}) is open on 127.0.0.1")
    for host in (media.VIP, *(machine.node.address for machine in cluster.masters)):
        for path in ("/api/v1/nodes", "/api/v1/secrets", "/apis", "/metrics"):
            _refused(cluster, f"https://{host}:6443{path}")
    for machine in cluster.masters + cluster.workers:
        for path in ("/pods", "/metrics", "/stats/summary", "/runningpods/"):
            _refused(cluster, f"https://{machine.node.address}:10250{path}")
    for machine in cluster.masters:
        for port in (2379, 2380):
            _refused(cluster, f"https://{machine.node.address}:{port}/version")
    return f"{len(PLAIN)} ports of {len(cluster.machines)} machines"


def _public(pem: bytes) -> str:
    """The public half of a key or certificate, to compare keys without looking at them."""
    kind = ("x509", "-noout", "-pubkey") if b"BEGIN CERT" in pem else ("pkey", "-pubout")
    return run("openssl", *kind, text=pem.decode(), check=False).stdout.strip()


def _keys(machine: Machine) -> dict[str, str]:
    """Public halves of all private keys on a machine, by their files; keys in kubeconfigs too."""
    found = {}
    listed = machine.run("grep", "-rIlsE", "PRIVATE KEY|client-key-data", "/opt", "/etc", "/var/lib/kiln", "/var/lib/kubelet", "/root",
                         check=False).stdout.split("\n")
    for path in filter(None, listed):
        if path.startswith("/etc/ssl/") or "/bin/" in path:
            continue
        text = machine.run("cat", path).stdout
        for part in re.findall(r"client-key-data: (\S+)", text):
            text += base64.b64decode(part).decode()
        for number, key in enumerate(re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", text, re.S)):
            found[f"{path}#{number}"] = _public(key.encode())
    return found


@scenario("keys")
def keys(cluster: Cluster) -> str:
    """The cluster's CA key is on masters alone, other authorities' keys are on no node, and no node has another's keys."""
    authorities = {path.parent.name: _public(path.read_bytes()) for path in (cluster.media.folder / "pki/ca").glob("*/cert.pem")}
    owners: dict[str, set[str]] = {}
    count = 0
    for machine in cluster.machines.values():
        for path, public in _keys(machine).items():
            count += 1
            owners.setdefault(public, set()).add(machine.name)
            for name, authority in authorities.items():
                if public == authority and not (name == "kubernetes" and machine.node.role == "master"):
                    raise LabError(f"{machine.name} has the key of the {name} authority in {path}")
    for public, names in owners.items():
        roles = {cluster.machines[name].node.role for name in names}
        if len(names) > 1 and roles != {"master"}:
            raise LabError(f"{sorted(names)} share a key")
    return f"{count} private keys on {len(cluster.machines)} machines"


def _shows(cluster: Cluster, machine: Machine, words: str, seconds: float) -> str:
    """Waits for the board of any master to say something about a node."""
    seen = ""

    def said() -> bool:
        nonlocal seen
        for place in (cluster.masters[0], machine):
            seen = place.run("kiln", "node", "status", check=False, timeout=20).stdout
            for line in seen.splitlines():
                if re.search(words, line, re.IGNORECASE):
                    seen = line.strip()
                    return True
        return False

    try:
        wait_for(f"a line about /{words}/ on the board", said, seconds, every=2)
    except LabError as error:
        raise LabError(f"{error}; it shows:\n{seen}") from None
    return seen


def _reject(cluster: Cluster, victim: Machine, edit: dict[str, tuple[str, str]], words: str) -> str:
    """Re-images a machine, changes files of it before it boots, and expects that it is refused and shown; then mends it."""
    cluster.kubectl("delete", "node", victim.name)
    victim.reimage()
    victim.edit = edit
    victim.boot()
    try:
        line = _shows(cluster, victim, words, 90)
        if victim.name in cluster.ready():
            raise LabError(f"{victim.name} is a Ready node")
    finally:
        victim.edit = {}
        victim.reimage()
        victim.boot()
    cluster.wait_healthy(180)
    return f"{victim.name}: {line}"


BOOTSTRAP = "opt/kubernetes/cfg/bootstrap.kubeconfig"


@scenario("token")
def wrong_token(cluster: Cluster) -> str:
    """A machine whose bootstrap token is not one of the cluster's is refused, and the board says so."""
    return _reject(cluster, cluster.workers[1], {BOOTSTRAP: (r"token: .*", 'token: "abcdef.0123456789abcdef"')},
                   f"{cluster.workers[1].name}.*(token|refused|unauthori[sz]ed|401)")


@scenario("impostor")
def impostor(cluster: Cluster) -> str:
    """A machine that bears another node's name with a token of its own is refused, and the board says so."""
    victim, other = cluster.workers[1], cluster.workers[0]
    return _reject(cluster, victim, {"opt/kiln/node.env": (f"KILN_NODE_NAME={victim.name}", f"KILN_NODE_NAME={other.name}")},
                   f"(refused|denied).*{other.name}|{other.name}.*(refused|denied)")


def _certificate(machine: Machine, name: str) -> tuple[str, str]:
    """Serial number and end of a kubelet's certificate."""
    out = machine.run("openssl", "x509", "-noout", "-serial", "-enddate", "-in", f"/opt/kubernetes/ssl/{name}-current.pem").stdout
    serial, end = out.split()[0], out.split("=", 2)[-1].strip()
    return serial, end


@scenario("rotate", quick=False)
def rotate(cluster: Cluster) -> str:
    """Kubelets renew short-lived certificates by themselves, client's and server's."""
    config = Path("/opt/kubernetes/cfg/kube-controller-manager.conf")
    flag = r"--\(experimental-\)\?cluster-signing-duration=[0-9a-z]*"
    for machine in cluster.masters:
        machine.run("sed", "-i", f"s/{flag}/--\\1cluster-signing-duration=8m/", str(config))
        if "signing-duration=8m" not in machine.run("cat", str(config)).stdout:
            raise LabError(f"{config} has no flag for the duration")
        machine.run("systemctl", "restart", "kube-controller-manager.service")
    time.sleep(20)
    victim = cluster.workers[0]
    victim.reimage()
    victim.boot()
    cluster.wait_healthy(180)
    before = {name: _certificate(victim, name) for name in ("kubelet-client", "kubelet-server")}
    begin = time.monotonic()
    for name, old in before.items():
        wait_for(f"another {name}", lambda name=name, old=old: _certificate(victim, name)[0] != old[0], 600, every=5)
    seconds = time.monotonic() - begin
    time.sleep(max(0.0, 500 - seconds))
    cluster.wait_healthy(30)
    return f"{victim.name}: both renewed after {seconds:.0f} s, Ready past the first ones' end"


def _reissued(cluster: Cluster, machine: Machine, path: str, hours: int) -> None:
    """A certificate of a machine takes the place of the one that it has: the same but for its end."""
    folder = cluster.folder / "reissued"
    folder.mkdir(exist_ok=True)
    cert, key, request = folder / "cert.pem", folder / "key.pem", folder / "request.pem"
    cert.write_text(machine.run("cat", path).stdout)
    key.write_text(machine.run("cat", path.replace(".pem", "-key.pem")).stdout)
    authority = cluster.media.folder / "pki/ca/kubernetes"
    run("openssl", "x509", "-x509toreq", "-copy_extensions", "copyall", "-in", cert, "-signkey", key, "-out", request)
    end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 3600 * hours))
    (folder / "index").write_text("")
    (folder / "ca.cnf").write_text(f"""[ca]
default_ca = a
[a]
dir = {folder}
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
copy_extensions = copyall
unique_subject = no
policy = p
[p]
organizationName = optional
commonName = supplied
""")
    run("openssl", "ca", "-batch", "-notext", "-config", folder / "ca.cnf", "-cert", authority / "cert.pem", "-keyfile",
        authority / "key.pem", "-enddate", end, "-in", request, "-out", cert)
    machine.run("sh", "-c", f"cat >{path}", text=cert.read_text())


@scenario("ending")
def ending(cluster: Cluster) -> str:
    """A certificate that ends in less than 30 days is on every node's board; one that ends later is not. The API takes both."""
    victim, other = cluster.masters[1], cluster.workers[0]
    path = "/opt/kubernetes/ssl/apiserver.pem"
    old = victim.run("cat", path).stdout
    lines = {}
    try:
        for hours in (30 * 24 + 2, 30 * 24 - 2):
            _reissued(cluster, victim, path, hours)
            # The agent reads certificates every ten minutes, and when it starts. An API server takes a minute to end
            # while somebody watches.
            victim.run("systemctl", "restart", "kube-apiserver.service", "kiln-agent.service", timeout=150)
            wait_for("an API that serves by it", lambda: "ok" in cluster.kubectl("get", "--raw=/readyz", server=victim.node.address), 90)
            time.sleep(15)
            board = other.run("kiln", "node", "status", check=False).stdout
            lines[hours] = [line.strip() for line in board.splitlines() if f"{path} ends at" in line]
    finally:
        victim.run("sh", "-c", f"cat >{path}", text=old)
        victim.run("systemctl", "restart", "kube-apiserver.service", "kiln-agent.service", timeout=150)
    late, soon = lines.values()
    if late or not soon:
        raise LabError(f"2 h before the 30 days the board says {late}, 2 h after {soon}")
    return f"{other.name} says: {soon[0]}"


@scenario("expired", quick=False)
def expired_token(cluster: Cluster) -> str:
    """A bootstrap token is of no use after its expiry."""
    data = {"token-id": "labexp", "token-secret": "0123456789abcdef", "expiration": "2020-01-01T00:00:00Z",
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "false"}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
              "metadata": {"name": "bootstrap-token-labexp", "namespace": "kube-system"}, "stringData": data}
    cluster.kubectl("apply", "-f", "-", text=json.dumps(secret))
    answer = run("nsenter", "--net=/run/netns/kiln-lab-client", "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}",
                 "-H", "Authorization: Bearer labexp.0123456789abcdef", f"https://{media.VIP}:6443/api/v1/nodes").stdout
    if answer != "401":
        raise LabError(f"an expired token gets {answer}")
    return "401"
