"""The running system: commands, and what is said on the consoles."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


class InstallError(Exception):
    """The installation cannot go on; the text says why. What stops Anaconda stops here."""


def consoles() -> list[str]:
    """The devices that `console=` names on the kernel's line (all of them, the kernel lists them in sysfs)."""
    try:
        active = Path("/sys/class/tty/console/active").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [f"/dev/{name}" for name in active]


def say(text: str) -> None:
    """Prints a line on every console, and in the log."""
    print(text, flush=True)
    for path in consoles():
        try:
            with open(path, "w", encoding="utf-8") as console:
                console.write(text + "\r\n")
        except OSError:
            pass


def uptime() -> float:
    """Seconds since the kernel started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def step(text: str) -> None:
    """Says which step begins; the form is what harnesses look for."""
    say(f"KILN-STANDIN-STEP {uptime():.1f} {text}")


def run(*command: str | Path, text: str | None = None, environment: dict[str, str] | None = None) -> str:
    """Runs a command and returns what it said; its failure is the installation's."""
    words = [str(word) for word in command]
    print(f"+ {' '.join(words)}", flush=True)
    done = subprocess.run(words, input=text, env=environment and {**os.environ, **environment}, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          stdin=None if text is not None else subprocess.DEVNULL)
    if done.stderr:
        print(done.stderr, end="", flush=True)
    if done.returncode != 0:
        raise InstallError(f"`{' '.join(words)}` ended with {done.returncode}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def attempt(*command: str | Path) -> bool:
    """Runs a command that may fail."""
    try:
        run(*command)
    except (InstallError, OSError) as error:
        print(f"  (not fatal) {error}", flush=True)
        return False
    return True


def last_words(text: str) -> str:
    """The end of an output, on one line."""
    return " / ".join(text.strip().splitlines()[-3:])


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file of the new system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def read(path: str | Path) -> str:
    """A small file's text without the line end, or nothing."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def chroot(root: Path, *command: str) -> Sequence[str]:
    """The command as it runs in the new system."""
    return ("chroot", str(root), *command)
