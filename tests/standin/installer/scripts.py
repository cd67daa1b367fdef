"""%pre, %pre-install, %post, %onerror: run as Anaconda runs them (A* kickstart.py, AnacondaKSScript.run)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from pykickstart.constants import KS_SCRIPT_ONERROR, KS_SCRIPT_POST, KS_SCRIPT_PRE, KS_SCRIPT_PREINSTALL

from .host import InstallError, last_words, say, step

NAMES = {KS_SCRIPT_PRE: "%pre", KS_SCRIPT_PREINSTALL: "%pre-install", KS_SCRIPT_POST: "%post", KS_SCRIPT_ONERROR: "%onerror"}


class ScriptError(InstallError):
    """A script failed that must not. `kind` is its section."""

    def __init__(self, kind: str, line: int, details: str) -> None:
        super().__init__(f"the {kind} script at line {line} failed: {details}")
        self.kind = kind


def run_all(scripts: list[Any], kind: int, sysroot: Path) -> None:
    """Runs the scripts of one kind in the order of the file."""
    for script in scripts:
        if script.type == kind:
            run(script, sysroot)


def run(script: Any, sysroot: Path) -> None:
    """Runs one script. A failure counts only under --erroronfail."""
    kind = NAMES[script.type]
    root = sysroot if script.inChroot else Path("/")
    where = "" if script.type != KS_SCRIPT_POST else " in the new system" if script.inChroot else " outside the new system"
    step(f"{kind}{where}, line {script.lineno}")
    code, log = execute(script.script, script.interp, root, script.logfile)
    if code != 0:
        say(f"STAND-IN installer: the {kind} script at line {script.lineno} ended with {code}; its log is {log}")
        if script.errorOnFail:
            raise ScriptError(kind, script.lineno, last_words(log.read_text(encoding="utf-8", errors="replace")) or f"exit {code}")


def execute(text: str, interpreter: str, root: Path, logfile: str | None) -> tuple[int, Path]:
    """Runs a script's text below `root`; returns its exit code and where its output is. Without --log the output goes to
    /tmp/NAME.log outside of the new system."""
    (root / "tmp").mkdir(exist_ok=True)
    handle, path = tempfile.mkstemp("", "ks-script-", root / "tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o700)
    name = os.path.basename(path)
    log = root / logfile.lstrip("/") if logfile else Path(f"/tmp/{name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)

    def enter() -> None:
        if root != Path("/"):
            os.chroot(root)
        os.chdir("/")

    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        try:
            done = subprocess.run([interpreter, f"/tmp/{name}"], stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=subprocess.STDOUT, preexec_fn=enter, check=False)
        except OSError as error:
            raise InstallError(f"cannot run a script with {interpreter}: {error}") from error
    return done.returncode, log
