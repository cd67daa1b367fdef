"""A node as a machine: a systemd-nspawn container that boots its own init on a disk of its own.

The disk is a file with an ext4 file system on a loop device, so that a power cut loses what was not written, as on a real
one. The root of a machine is the base, the tree that kiln placed, and that disk, laid over each other.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import host
from .host import LabError, run
from .media import Media, Node
from .net import Network

PATH = "/opt/kiln/bin:/opt/kubernetes/bin:/opt/etcd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: _IOR('X', 125, __u32) of ext4 and XFS: the file system stops at once, and what was not written is lost.
EXT4_IOC_SHUTDOWN = 0x8004587D
EXT4_NO_LOG_FLUSH = 2

#: The disk and the root of a machine are mounted where only its own processes see them: another machine that starts while
#: they are mounted would hold on to them, and the file system would outlive the power cut.
MOUNT = """
folder=$1 base=$2
shift 2
mount -o loop,noatime "$folder/disk.img" "$folder/disk"
mkdir -p "$folder/disk/upper" "$folder/disk/work" "$folder/disk/containerd" "$folder/disk/docker"
mount -t overlay overlay -o "lowerdir=$folder/placed:$base,upperdir=$folder/disk/upper,workdir=$folder/disk/work" "$folder/root"
exec "$@"
"""


@dataclass
class Machine:
    """One machine. `state` is what the run holds and writes down."""

    node: Node
    folder: Path
    base: Path
    media: Media
    network: Network
    state: dict[str, Any]
    boots: int = 0
    #: Changes that the next boots make to the machine's files first: for a file, a pattern and what takes its place.
    edit: dict[str, tuple[str, str]] = field(default_factory=dict)
    groups: dict[str, Path] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    leader: int = 0

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def running(self) -> bool:
        """Whether the machine is switched on."""
        return self.process is not None and self.process.poll() is None

    @property
    def root(self) -> Path:
        """The machine's root as the host sees it."""
        return self.folder / "root"

    # --- disk ---

    def install(self) -> None:
        """What booting the medium does: an empty disk, and the node's tree. The tree is laid down once; disks are made anew."""
        placed = self.folder / "placed"
        if not placed.exists():
            staging = self.folder / "placing"
            shutil.rmtree(staging, ignore_errors=True)
            for name in ("upper", "work", "root"):
                (staging / name).mkdir(parents=True)
            run("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir={self.base},upperdir={staging}/upper,workdir={staging}/work", staging / "root")
            try:
                self.media.place(self.node, staging / "root")
            finally:
                run("umount", staging / "root")
            (staging / "upper").rename(placed)
            shutil.rmtree(staging)
        self.wipe()

    def wipe(self) -> None:
        """An empty disk."""
        host.wait_for(f"the disk of {self.name}", self._released, 10, every=0.05)
        disk = self.folder / "disk.img"
        disk.unlink(missing_ok=True)
        with open(disk, "wb") as file:
            file.truncate(20 << 30)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", disk)

    def _released(self) -> bool:
        """Whether the kernel has let go of the disk."""
        return not run("losetup", "--associated", self.folder / "disk.img").stdout

    # --- power ---

    def boot(self) -> None:
        """Switches the machine on; does not wait for anything but its init."""
        if self.running:
            raise LabError(f"{self.name} is on already")
        netns = self.network.join(self.name, self.node.address, self.node.mac)
        host.wait_for(f"the disk of {self.name}", self._released, 10, every=0.05)
        for part in ("disk", "root"):
            (self.folder / part).mkdir(exist_ok=True)
        self._apply_edits()
        self.boots += 1
        name = f"kiln-lab-{os.getpid()}-{self.name}-{self.boots}"
        self.state["machines"].append(name)
        host.save(self.state)
        self.groups = host.make_cgroups(self.state["cgroups"], self.name)
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", MOUNT, "sh", str(self.folder), str(self.base),
                   "systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", f"--machine={name}",
                   f"--hostname={self.name}", "--register=no", "--keep-unit", "--capability=all",
                   "--drop-capability=CAP_SYS_TIME", "--system-call-filter=@keyring bpf", "--bind=/dev/kmsg",
                   f"--bind={self.folder}/disk/containerd:/var/lib/containerd", f"--bind={self.folder}/disk/docker:/var/lib/docker", f"--network-namespace-path={netns}",
                   "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"]
        with open(self.folder / "console.log", "ab") as console:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"}, preexec_fn=self._enter)
        host.wait_for(f"the init of {self.name}", self._find_leader, 20, every=0.05)

    def _apply_edits(self) -> None:
        """Writes changed copies of files onto the empty disk, over those that were placed."""
        if not self.edit:
            return
        disk = self.folder / "disk"
        run("mount", "-o", "loop", self.folder / "disk.img", disk)
        for name, (pattern, instead) in self.edit.items():
            placed, changed = self.folder / "placed" / name, disk / "upper" / name
            text, count = re.subn(pattern, instead, placed.read_text())
            if not count:
                raise LabError(f"{name} of {self.name} has nothing like {pattern}")
            for folder in reversed(changed.relative_to(disk / "upper").parents[:-1]):
                (disk / "upper" / folder).mkdir(parents=True, exist_ok=True)
                shutil.copystat(self.folder / "placed" / folder, disk / "upper" / folder)
            changed.write_text(text)
            shutil.copystat(placed, changed)
        host.unmount_below(disk)

    def _enter(self) -> None:
        for group in self.groups.values():
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _find_leader(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise LabError(f"systemd-nspawn ended: {(self.folder / 'console.log').read_text()[-500:]}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text()
            inside = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
            if inside == "1" and Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                self.leader = int(child)
                return True
        return False

    def power_cut(self) -> None:
        """As if the plug was pulled: every process dies, and what the disk does not have is lost."""
        if self.process is None:
            return
        self.pause()
        self._stop_disk()
        self._gone()

    def _stop_disk(self) -> None:
        assert self.process
        descriptor = os.open(f"/proc/{self.process.pid}/root{self.folder}/disk", os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", EXT4_NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def _gone(self) -> None:
        assert self.process
        host.kill_cgroup(self.groups)
        self.process.wait(timeout=20)
        self.process, self.leader = None, 0
        host.wait_for(f"the disk of {self.name}", self._released, 10, every=0.05)
        # The interface of a machine that is off has no neighbours, addresses or rules left.
        self.network.leave(self.name)

    def shut_down(self, seconds: float = 90) -> None:
        """An orderly end."""
        assert self.process
        self.run("systemctl", "poweroff", check=False)
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} does not shut down within {seconds:.0f} s") from None
        self._gone()

    def reimage(self) -> None:
        """Cuts the power and installs the machine again, on an empty disk."""
        self.power_cut()
        self.wipe()

    def pause(self) -> None:
        """Stops every process where it is; the machine's network stays."""
        self._freezer("FROZEN")

    def resume(self) -> None:
        """Lets them go on."""
        self._freezer("THAWED")

    def _freezer(self, state: str) -> None:
        path = self.groups["freezer"] / "freezer.state"
        path.write_text(state)
        host.wait_for(f"{self.name} {state}", lambda: path.read_text().strip() == state, 10, every=0.05)

    # --- inside ---

    def inside(self, *command: str) -> list[str]:
        """A command, to be run inside by root."""
        return ["nsenter", "--target", str(self.leader), "--all", "env", "-i", "HOME=/root", f"PATH={PATH}", "LC_ALL=C.UTF-8",
                *command]

    def run(self, *command: str, check: bool = True, timeout: float = 60, text: str | None = None,
            ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside."""
        if not self.running:
            raise LabError(f"{self.name} is off")
        try:
            return run(*self.inside(*command), check=check, timeout=timeout, text=text)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: `{' '.join(command)}` does not end within {timeout:.0f} s") from None

    def kill(self, unit: str) -> None:
        """Kills the main process and all others of a unit, by the signal that cannot be caught."""
        self.run("systemctl", "kill", "--signal=KILL", unit)

    def active(self, unit: str) -> bool:
        """Whether a unit is active."""
        return self.run("systemctl", "is-active", "--quiet", unit, check=False).returncode == 0

    def restarts(self, unit: str) -> int:
        """How often systemd restarted a unit by itself."""
        return int(self.run("systemctl", "show", "--value", "--property=NRestarts", unit).stdout or 0)

    def save_journal(self, to: Path) -> None:
        """Copies the journal as text; of a machine that is off, from its disk."""
        to.mkdir(parents=True, exist_ok=True)
        disk = self.folder / "disk"
        if self.running:
            command = self.inside("journalctl", "--no-pager", "--output=short-precise")
        else:
            disk.mkdir(exist_ok=True)
            run("mount", "-o", "loop", self.folder / "disk.img", disk)
            command = ["journalctl", "--no-pager", f"--directory={disk}/upper/var/log/journal"]
        with open(to / f"{self.name}.log", "wb") as out:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL, timeout=60, check=False)
        host.unmount_below(disk)

