#!/usr/bin/env python3
"""Measures `kiln build` of disk images against programs that do no more than what must be done, in one run, interleaved.

- qcow2 in place: the payload added to the vendor's qcow2, against `cp` of the result;
- a full recompress (`--compress zlib`), against `qemu-img convert -c` of the same disk, which uses zlib;
- raw, against `cp --sparse=always` of the result.

The vendor's image is made here: a disk of `--mib` MiB of data, half of which does not compress, in a compressed qcow2. Everything is
flushed to disk. Exits 1 when a bound is broken. disk.py KILN [--mib 64] [--rounds 1]
"""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

import iso
from iso import flushed, peak_memory, run, timed

CP_BOUND, RECOMPRESS_BOUND, RAW_BOUND, MEMORY_BOUND_MIB = 1.5, 0.5, 1.25, 128


def vendor(work, mib):
    """A vendor's image: an MBR, one partition, text and noise by turns."""
    raw, image = work / "vendor.raw", work / "vendor.qcow2"
    text = (b"all work and no play makes the bench a dull one\n" * 22000)[: 1 << 20]
    with open(raw, "wb") as disk:
        for part in range(mib):
            disk.seek((1 + part * 2) << 20)
            disk.write(text if part % 2 else os.urandom(1 << 20))
        disk.truncate(10 << 30)
    run("sfdisk", "-q", raw, input=b"label: dos\nlabel-id: 0x6b696c6e\nstart=2048, type=83\n")
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, image)
    raw.unlink()
    return image


def judge(name, ours, theirs, bound):
    """One line; whether the bound holds."""
    ratio = ours / theirs
    print(f"{name}: {ours:.2f} s against {theirs:.2f} s: {ratio:.2f} (bound {bound})")
    return ratio <= bound


def measure(work, kiln, mib, rounds):
    """Runs everything; whether all bounds hold."""
    iso.prepare(work, kiln, mib)
    vendor(work, mib)
    file = work / "cluster.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("[base]\n", '[base]\nimage = "vendor.qcow2"\n', 1), encoding="utf-8")
    out, other = work / "out.img", work / "other.img"
    build = [kiln, "build", "--profile", "master", "--force", "--output", out]
    kinds = {
        "qcow2 in place / cp": (["--format", "qcow2"], lambda made: ["cp", made, other], CP_BOUND),
        "recompress / qemu-img convert -c": (
            ["--format", "qcow2", "--compress", "zlib"],
            lambda made: ["qemu-img", "convert", "-c", "-O", "qcow2", made, other],
            RECOMPRESS_BOUND,
        ),
        "raw / cp --sparse": (["--format", "raw"], lambda made: ["cp", "--sparse=always", made, other], RAW_BOUND),
    }
    fine = True
    for name, (words, against, bound) in kinds.items():
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(timed(lambda w=words: run(*build, *w, cwd=work), out)[0])
            made = work / "made.img"
            os.rename(out, made)
            theirs.append(timed(lambda m=made, a=against: (run(*a(m)), flushed(other)), other)[0])
            made.unlink()
        fine &= judge(name, statistics.median(ours), statistics.median(theirs), bound)
        memory = peak_memory([str(word) for word in [*build, *words]], work)
        print(f"  peak memory {memory:.0f} MiB (bound {MEMORY_BOUND_MIB})")
        fine &= memory <= MEMORY_BOUND_MIB
    return fine


def main():
    """Measures and judges."""
    options = argparse.ArgumentParser()
    options.add_argument("kiln", type=pathlib.Path)
    options.add_argument("--mib", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--dir", default=None, help="folder to work in; its file system is what is measured")
    args = options.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="kiln-bench-", dir=args.dir or iso.ROOT / "target")).resolve()
    try:
        sys.exit(0 if measure(work, args.kiln.resolve(), args.mib, args.rounds) else 1)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
