"""The root file system under kiln's tree: Debian packages in place of an Enterprise Linux base. Made once, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from . import settings
from .host import LabError, run

SUITE = "bookworm"
CACHE = Path(os.environ.get("KILN_CACHE") or Path.home() / ".cache/kiln") / "lab"


def _sources() -> Path:
    """The machine's own package sources of Debian: a mirror that can be reached from here."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if path.exists() and SUITE in path.read_text():
            return path
    raise LabError(f"no package sources of Debian {SUITE} in /etc/apt: the lab's root file system is made from them")


def base(say) -> Path:
    """The folder of the root file system; made if it is not in the cache."""
    sources = _sources()
    key = hashlib.sha256()
    for part in (Path(settings.__file__).read_bytes(), Path(__file__).read_bytes(), sources.read_bytes()):
        key.update(part)
    home = CACHE / key.hexdigest()[:16]
    if (home / "root").is_dir():
        return home / "root"
    say("making the root file system from Debian packages (about 40 s)")
    home.mkdir(parents=True, exist_ok=True)
    tar = CACHE / f"debian-{hashlib.sha256(repr(settings.PACKAGES).encode() + sources.read_bytes()).hexdigest()[:16]}.tar"
    if not tar.exists():
        new = tar.with_suffix(f".{os.getpid()}.tar")
        options = ["--variant=minbase", "--mode=root", f"--include={','.join(settings.PACKAGES)}",
                   '--aptopt=Acquire::Languages "none"']
        options += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale", "info")]
        run("mmdebstrap", *options, SUITE, new, sources, timeout=900)
        new.rename(tar)
    staging = Path(tempfile.mkdtemp(prefix="new.", dir=home))
    staging.chmod(0o755)
    run("tar", "-C", staging, "--numeric-owner", "--xattrs", "-xpf", tar, timeout=300)
    _adapt(staging)
    try:
        staging.rename(home / "root")
    except OSError:
        shutil.rmtree(staging)
    return home / "root"


def _adapt(root: Path) -> None:
    """The lab's own settings on the root file system."""
    for name, text in settings.BASE_FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    for name, target in settings.BASE_LINKS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    for unit in settings.DISABLED_UNITS:
        run("systemctl", f"--root={root}", "disable", unit)
    run("systemctl", f"--root={root}", "mask", *settings.MASKED_UNITS)
    run("systemctl", f"--root={root}", "set-default", "multi-user.target")
    for name in ("run", "tmp", "var/log/journal"):
        (root / name).mkdir(exist_ok=True)
