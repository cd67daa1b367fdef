"""What the lab does to the machine it runs on: commands, cgroups, kernel settings, mounts; and how all of it is undone.

A run writes down what it holds before it takes it (`/run/kiln-lab/state.json`), so that the next run can clean up after one
that was killed. Its mounts are in a mount namespace of its own: they are gone with its last process, and nobody else on the
machine can hold on to them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

from . import settings

RUN = Path("/run/kiln-lab")
CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_NAME = "kiln-lab"


class LabError(Exception):
    """Something did not come out as it must; the text is for a person."""


class Interrupted(BaseException):
    """Somebody wants the run to end; nothing but the clean-up stands in the way."""


def run(*command: str | Path, check: bool = True, timeout: float = 300, text: str | None = None,
        **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; what it prints is in the error if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=text, stdin=None if text is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise LabError(f"`{' '.join(words)}` failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}")
    return done


def wait_for(what: str, test: Any, seconds: float, every: float = 0.5) -> float:
    """Calls `test` until it gives something true; returns how long that took. The last error is in the message."""
    start, last = time.monotonic(), ""
    while True:
        try:
            if test():
                return time.monotonic() - start
        except (LabError, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
            last = f": {error}"
        if time.monotonic() - start > seconds:
            raise LabError(f"{what}: not within {seconds:.0f} s{last}")
        time.sleep(every)


# --- cgroups -----------------------------------------------------------------------------------------------------------

def own_cgroups() -> dict[str, str]:
    """Where the lab's cgroups go in each hierarchy, by the name of its mount: below this process's own."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = controllers.removeprefix("name=") or "unified"
        if (CGROUP_ROOT / name).is_dir():
            found[name] = str(CGROUP_ROOT / name / path.lstrip("/") / CGROUP_NAME)
    return found


def make_cgroups(bases: dict[str, str], node: str) -> dict[str, Path]:
    """Makes a machine's cgroups. A cpuset has no processors of its own until it is given some."""
    groups = {name: Path(base, node) for name, base in bases.items()}
    for name, path in groups.items():
        path.mkdir(parents=True, exist_ok=True)
        if name == "cpuset":
            for folder in (path.parent, path):
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    (folder / setting).write_text((folder.parent / setting).read_text())
        if name == "cpu":
            # Beside processes that are in no group, a group counts as one of them; the lab is a hundred.
            (path.parent / "cpu.shares").write_text("16384")
    return groups


def members(group: Path) -> list[int]:
    """Processes of a cgroup and all below it."""
    pids: list[int] = []
    for folder, _, _ in os.walk(group):
        with contextlib.suppress(OSError):
            pids += [int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()]
    return pids


def kill_cgroup(groups: dict[str, Path]) -> None:
    """Kills every process of a machine, at once, and removes its cgroups. One that is paused does nothing more."""
    deadline = time.monotonic() + 20
    while pids := {pid for group in groups.values() if group.is_dir() for pid in members(group)}:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for folder, _, _ in os.walk(groups["freezer"]):
            with contextlib.suppress(OSError):
                Path(folder, "freezer.state").write_text("THAWED")
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(pids)} do not die")
        time.sleep(0.05)
    for group in groups.values():
        remove_cgroup(group)


def remove_cgroup(group: Path) -> None:
    """Removes an empty cgroup and all below it; a process's last moments may take a little."""
    for _ in range(100):
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if not group.exists():
            return
        time.sleep(0.05)


# --- kernel settings ---------------------------------------------------------------------------------------------------

def read_sysctls() -> dict[str, str]:
    """The settings that machines change although they are the host's."""
    values = {}
    for name in settings.HOST_SYSCTLS:
        path = Path("/proc/sys", *name.split("."))
        with contextlib.suppress(OSError):
            values[name] = path.read_text().strip()
    return values


def write_sysctls(values: dict[str, str]) -> None:
    """Puts them back."""
    for name, value in values.items():
        Path("/proc/sys", *name.split(".")).write_text(value)


# --- mounts ------------------------------------------------------------------------------------------------------------

def mounts_below(folder: Path) -> list[str]:
    """Mount points below a folder, the deepest first."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in
              Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point == str(folder) or point.startswith(f"{folder}/")),
                  key=len, reverse=True)


def private_mounts() -> None:
    """Starts this program again in a mount namespace of its own; the process stays the same."""
    mark = "KILN_LAB_MOUNTS"
    if os.environ.get(mark) != str(os.getpid()):
        os.environ[mark] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *sys.orig_argv])


def unmount_below(folder: Path) -> None:
    """Unmounts all below a folder. A file system that was in use the moment before may take a little."""
    for point in mounts_below(folder):
        wait_for(f"unmounting {point}", lambda: run("umount", point).returncode == 0, 10, every=0.1)


# --- the one lab of a machine ------------------------------------------------------------------------------------------

def clean(state: dict[str, Any]) -> None:
    """Undoes what a run did, as far as it is still there."""
    kill_cgroup({name: Path(base) for name, base in state["cgroups"].items()})
    for name in os.listdir("/run/netns") if Path("/run/netns").is_dir() else ():
        if name == state["netns"] or name.startswith(f"{state['netns']}-"):
            for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", name, check=False)
            # Of a run that was killed, only the mount point is left.
            Path("/run/netns", name).unlink(missing_ok=True)
    unmount_below(Path(state["work"]))
    for name in state["machines"]:
        unmount_below(Path("/run/systemd/nspawn/unix-export") / name)
        with contextlib.suppress(OSError):
            (Path("/run/systemd/nspawn/unix-export") / name).rmdir()
    write_sysctls(state["sysctls"])
    (RUN / "state.json").unlink(missing_ok=True)


@contextlib.contextmanager
def held(work: Path, netns: str) -> Iterator[dict[str, Any]]:
    """Holds the machine for one run: cleans up after one that was killed, and after this one however it ends."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes namespaces, cgroups and mounts of its own")
    RUN.mkdir(exist_ok=True)
    with open(RUN / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another run of the lab is under way on this machine") from None
        old = RUN / "state.json"
        if old.exists():
            clean(json.loads(old.read_text()))
        state = {"work": str(work), "netns": netns, "cgroups": own_cgroups(), "machines": [], "sysctls": read_sysctls()}
        save(state)
        try:
            yield state
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            clean(state)


def save(state: dict[str, Any]) -> None:
    """Writes down what the run holds."""
    new = RUN / "state.json.new"
    new.write_text(json.dumps(state))
    new.replace(RUN / "state.json")


def interrupted(number: int, _frame: object) -> None:
    """INT and TERM end the run like an error, so that it cleans up."""
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def load() -> str:
    """The machine's load, for the figures."""
    return f"{os.getloadavg()[0]:.1f}"


def quote(words: Sequence[str]) -> str:
    """Words as a person would type them."""
    return subprocess.list2cmdline(list(words))
