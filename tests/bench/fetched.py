#!/usr/bin/env python3
"""Measures what a user waits for: the first `kiln fetch` and `kiln build`, and the same again, in one run.

The reference cluster with real components (`make components`), given out by nginx and docker-registry on loopback. Cold is an
empty cache for the fetch, and for the build nothing in the kernel's page cache (which takes root; else that row is left out);
warm is everything there. `cp` of the medium, flushed, is measured beside each build. Prints a table; has no bounds.

    fetched.py KILN [--kubernetes 1.37.2]
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.dont_write_bytecode = True

from lab import host, media  # noqa: E402  pylint: disable=wrong-import-position
from lab.publish import Publishers  # noqa: E402  pylint: disable=wrong-import-position


def timed(action):
    """Seconds."""
    os.sync()
    start = time.monotonic()
    action()
    return time.monotonic() - start


def drop_caches():
    """Whether the kernel forgot what it had read."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
    except OSError:
        return False
    return True


def main():
    """Measures and prints."""
    options = argparse.ArgumentParser()
    options.add_argument("kiln", type=pathlib.Path)
    options.add_argument("--kubernetes", default="1.37.2")
    options.add_argument("--dir", default=None, help="folder to work in; its file system is what is measured")
    args = options.parse_args()
    components = ROOT / ("components" if args.kubernetes == "1.20.2" else f"components-{args.kubernetes}")
    if not components.is_dir():
        sys.exit(f"bench: make components KUBERNETES={args.kubernetes} fills {components.name} first")
    work = pathlib.Path(tempfile.mkdtemp(prefix="kiln-bench-", dir=args.dir or ROOT / "target")).resolve()
    try:
        measure(args.kiln.resolve(), components, work, args.kubernetes)
    finally:
        shutil.rmtree(work)


def measure(kiln, components, work, kubernetes):
    """One line a measurement."""
    folder, output = work / "project", work / "project/out/lab-master.iso"
    folder.mkdir()
    base = host.run(ROOT / "tests/standin/make.sh", "el9", timeout=900).stdout.strip().splitlines()[-1]
    shutil.copy(base, folder / "base.iso")
    environment = {**os.environ, "KILN_CACHE": str(work / "cache")}

    def run(*words):
        host.run(kiln, *words, cwd=folder, timeout=900, env=environment)

    def copy():
        host.run("cp", "--reflink=never", output, work / "copy.iso")
        with (work / "copy.iso").open("rb") as file:
            os.fsync(file.fileno())

    def told(name, seconds):
        print(f"{name:44} {seconds:7.2f} s   load {os.getloadavg()[0]:.1f}", flush=True)

    with Publishers(components, work / "publishers") as publishers:
        (folder / "cluster.toml").write_text(
            media.cluster_toml(kubernetes, media.REFERENCE, "", publishers.toml), encoding="utf-8")
        told("fetch, nothing in the cache", timed(lambda: run("fetch")))
    told("fetch --locked, everything there, no network", timed(lambda: run("fetch", "--locked")))
    told("build master, keys made", timed(lambda: run("build", "--profile", "master")))
    for name in ("cold", "warm"):
        if name == "cold" and not drop_caches():
            continue
        told(f"build master, {name}", timed(lambda: run("build", "--profile", "master")))
        if name == "cold":
            drop_caches()
        told(f"cp of the medium, flushed, {name}", timed(copy))
    size = output.stat().st_size
    cache = sum(file.stat().st_size for file in (work / "cache").rglob("*") if file.is_file())
    print(f"medium {size / 1e6:.0f} MB, cache {cache / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
