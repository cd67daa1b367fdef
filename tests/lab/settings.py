"""The lab's own settings: all that a node of the lab has and a node installed from a medium has not, in one place.

Nothing here belongs into kiln's overlays. docs/lab.md lists each with its reason.
"""

from __future__ import annotations

import json
from pathlib import Path

#: Packages of the root file system: what the profiles ask of an Enterprise Linux base, under Debian's names.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "iproute2", "kmod", "procps", "ethtool", "curl", "openssl", "ca-certificates",
    "iptables", "nftables", "conntrack", "socat", "ipset", "firewalld", "python3-nftables",
    "nginx-light", "libnginx-mod-stream", "keepalived", "chrony", "iputils-ping",
    # Debian's dockerd is linked against it.
    "libdevmapper1.02.1",
)

#: Units of the profiles that the lab leaves out: nobody logs in, not even by SSH.
ABSENT_UNITS = frozenset({"sshd.service"})

#: Units that Debian enables and that kiln's profiles enable by themselves, or that a machine without hardware must not run:
#: /sys is writable inside, so udev would act on the host's devices.
DISABLED_UNITS = ("nginx.service", "keepalived.service", "chrony.service", "firewalld.service")
MASKED_UNITS = (
    "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
    "systemd-networkd.service", "console-getty.service", "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer",
    "fstrim.timer", "e2scrub_all.timer", "dpkg-db-backup.timer", "logrotate.timer", "systemd-hwdb-update.service",
    "nftables.service", "conntrackd.service",
)

#: Files of the root file system, before kiln's tree is laid over it.
BASE_FILES = {
    # A stand-in for the unit of that name in EL. The clock belongs to the host: `-x` never sets it.
    "usr/lib/systemd/system/chronyd.service": """\
[Unit]
Description=NTP client/server (the lab's: it never sets the clock)
After=network.target
[Service]
Type=simple
ExecStart=/usr/sbin/chronyd -d -x -u _chrony -f /etc/chrony.conf
[Install]
WantedBy=multi-user.target
""",
    # cgroup v1 is mounted read-only in a machine; container engines need it writable.
    "usr/lib/systemd/system/lab-cgroups.service": """\
[Unit]
Description=cgroups writable, for the lab
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for c in cpu cpuacct cpuset memory devices freezer blkio pids; do [ ! -d /sys/fs/cgroup/$c ] || mount -o remount,bind,rw /sys/fs/cgroup/$c; done'
""",
    # docker has no restrict_oom_score_adj, so what it hands to runc is changed on the way.
    "usr/local/bin/lab-runc": """\
#!/bin/sh
for word; do
    case $before in
        --bundle | -b) sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$word/config.json" ;;
        --process | -p) sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$word" ;;
    esac
    before=$word
done
exec /usr/bin/runc "$@"
""",
    # The host's kernel messages are not this machine's.
    "etc/systemd/journald.conf.d/50-lab.conf": "[Journal]\nReadKMsg=no\nRateLimitBurst=0\n",
    # NetworkManager leaves a resolv.conf without servers where none are given.
    "etc/resolv.conf": "# no servers\n",
    "etc/machine-id": "",
}

#: Links of the root file system.
BASE_LINKS = {
    "usr/lib/systemd/system/sysinit.target.wants/lab-cgroups.service": "../lab-cgroups.service",
}

#: Settings of the host's kernel that a kubelet and kiln's own sysctl file write although they are not a machine's own.
HOST_SYSCTLS = (
    "vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops", "vm.panic_on_oom", "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys", "fs.inotify.max_user_instances", "fs.inotify.max_user_watches", "fs.may_detach_mounts",
)

#: Containerd may not lower an oom_score_adj in a machine without CAP_SYS_RESOURCE.
CONTAINERD_PLUGINS = ('[plugins."io.containerd.grpc.v1.cri"]', '[plugins."io.containerd.cri.v1.runtime"]')


def adapt_node(root: Path, kubernetes: str) -> None:
    """Changes what was laid down on a node: as little as the machine can do with."""
    config = root / "etc/containerd/config.toml"
    if config.exists():
        text = config.read_text()
        for plugin in CONTAINERD_PLUGINS:
            text = text.replace(f"{plugin}\n", f"{plugin}\n  restrict_oom_score_adj = true\n")
        config.write_text(text)
    docker = root / "etc/docker/daemon.json"
    if docker.exists():
        runc = root / "usr/local/bin/lab-runc"
        runc.chmod(0o755)
        words = json.loads(docker.read_text())
        docker.write_text(json.dumps({**words, "default-runtime": "lab", "runtimes": {"lab": {"path": "/usr/local/bin/lab-runc"}}}))
    # Kubelets of today do not start on a host with cgroup v1 unless they are told to; older ones do not know the word.
    kubelet = root / "opt/kubernetes/cfg/kubelet-config.yml"
    if kubelet.exists() and int(kubernetes.split(".")[1]) >= 35 and "failCgroupV1" not in kubelet.read_text():
        kubelet.write_text(kubelet.read_text().rstrip("\n") + "\nfailCgroupV1: false\n")
    # The table of connections has its size from the host: in a network namespace of its own the setting is read-only.
    proxy = root / "opt/kubernetes/cfg/kube-proxy-config.yml"
    if proxy.exists():
        proxy.write_text(proxy.read_text().rstrip("\n") + "\nconntrack:\n  maxPerCore: 0\n  min: 0\n")
