#!/usr/bin/env python3
"""Measures `kiln build` of an ISO against `cp` of the same bytes and against xorriso + implantisomd5, in one run.

Base 1 GiB (a stand-in medium padded with incompressible packages), payload 1 GiB (component files). Medians of five,
interleaved so that a slow minute hits all alike. Every candidate starts with no old output in its place (what that takes to
remove, and the memory it frees, would count for one and not for the other) and is flushed to disk. kiln also implants the media check's
MD5 and leaves SHA256SUMS; two more candidates do that by other programs, so that the same results can be compared. Prints
ratios, processor time and the machine's load; exits 1 when a bound is broken. Sizes and rounds can be given for a quick
look: iso.py KILN [--mib 64] [--rounds 1].
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CP_BOUND, XORRISO_BOUND, MEMORY_BOUND_MIB = 1.25, 0.6, 64


def run(*words, **options):
    """Runs a command to success; its output is shown only if it fails."""
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, words))} failed:\n{done.stdout.decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")


def flushed(path):
    """Forces a file to disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def timed(action, output):
    """Seconds that `action` takes to make `output`, and seconds of processor time of its programs; started without an old
    output and with nothing left to write back."""
    output.unlink(missing_ok=True)
    os.sync()
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    action()
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_memory(words, cwd):
    """Peak resident size of a command in MiB, measured for that child alone."""
    pid = os.fork()
    if pid == 0:
        os.chdir(cwd)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        os.execv(words[0], words)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"bench: {words} failed")
    return usage.ru_maxrss / 1024


def prepare(work, kiln, mib):
    """A project folder with a base of `mib` MiB and components of `mib` MiB, pinned."""
    layout = work / "base.iso"
    run(ROOT / "tests/standin/make.sh", "el9", layout, "--size", mib)
    shutil.copy(ROOT / "tests/demo/cluster.toml", work / "cluster.toml")
    wanted = [
        ("kubernetes/1.20.2", ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"]),
        ("etcd/3.5.0", ["etcd", "etcdctl"]),
        ("containerd/1.6.20", ["containerd", "containerd-shim-runc-v2", "ctr"]),
        ("runc/1.1.5", ["runc"]),
        ("cni-plugins/1.1.1", ["bridge", "host-local", "loopback", "portmap", "bandwidth", "firewall", "tuning"]),
    ]
    files = [work / "components" / folder / name for folder, names in wanted for name in names]
    each = (mib << 20) // len(files)
    program = pathlib.Path("/bin/true").read_bytes()
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(program)
            left = each - len(program)
            while left > 0:
                file.write(os.urandom(min(left, 1 << 20)))
                left -= 1 << 20
        path.chmod(0o755)
    images(work, kiln)
    run(kiln, "fetch", cwd=work)
    run(kiln, "build", "--profile", "master", cwd=work)  # makes pki/, which is not part of what is measured
    return layout


def images(work, kiln, minor=20):
    """Images of one small file under the names that the cluster needs."""
    folder = work / "components/images"
    folder.mkdir()
    known = tomllib.loads((ROOT / "profiles/images.toml").read_text(encoding="utf-8"))["image"]
    wanted = [i for i in known if i.get("is", {}).get("since", 0) <= minor <= i.get("is", {}).get("until", minor)]
    for image in wanted:
        run(kiln, "image", "create", "--name", image["name"], "--output", folder / f"{image['for']}.tar", "--file", "/bin/true=/program")


def xorriso_remaster(work, base, built, out):
    """What a script with xorriso does for the same remaster: replay, map the payload, implant the checksum."""
    run("xorriso", "-indev", base, "-outdev", out, "-boot_image", "any", "replay", "-volid", "KILN-BENCH",
        "-update", built / "isolinux.cfg", "/isolinux/isolinux.cfg", "-update", built / "grub.cfg", "/EFI/BOOT/grub.cfg",
        "-update", built / "efiboot.img", "/images/efiboot.img", "-map", built / "kiln", "/kiln", "-map", built / "ks.cfg", "/ks.cfg",
        cwd=work)
    run("implantisomd5", "--force", out)
    flushed(out)


def summed(image):
    """Leaves SHA256SUMS beside an image, by the quickest program at hand: Debian 12's sha256sum takes four times as long."""
    digest = run("openssl", "sha256", "-r", image.name, cwd=image.parent)
    image.with_name("SHA256SUMS").write_text(digest, encoding="ascii")


def main():
    """Measures and judges."""
    options = argparse.ArgumentParser()
    options.add_argument("kiln", type=pathlib.Path)
    options.add_argument("--mib", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--dir", default=None, help="folder to work in; its file system is what is measured")
    args = options.parse_args()
    kiln = args.kiln.resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="kiln-bench-", dir=args.dir or ROOT / "target")).resolve()
    try:
        judge(measure(work, kiln, args.mib, args.rounds))
    finally:
        if os.environ.get("KILN_BENCH_KEEP") is None:
            shutil.rmtree(work)


def measure(work, kiln, mib, rounds):
    """Medians in seconds, the size built, the peak memory."""
    base = prepare(work, kiln, mib)
    output = next((work / "out").glob("*.iso"))
    parts = work / "parts"
    parts.mkdir()
    run("xorriso", "-osirrox", "on", "-indev", output, "-extract", "/kiln", parts / "kiln", "-extract", "/ks.cfg", parts / "ks.cfg",
        "-extract", "/isolinux/isolinux.cfg", parts / "isolinux.cfg", "-extract", "/EFI/BOOT/grub.cfg", parts / "grub.cfg",
        "-extract", "/images/efiboot.img", parts / "efiboot.img")
    original, copy, replay = work / "original.iso", work / "copy.iso", work / "replay.iso"
    shutil.copy(output, original)

    def by_kiln():
        run(kiln, "build", "--profile", "master", cwd=work)

    def by_cp():
        run("cp", "--reflink=never", original, copy)
        flushed(copy)

    def by_cp_same():
        run("cp", "--reflink=never", original, copy)
        run("implantisomd5", "--force", copy)
        summed(copy)
        flushed(copy)

    def by_xorriso_same():
        xorriso_remaster(work, base, parts, replay)
        summed(replay)

    candidates = {"kiln": (by_kiln, output), "cp": (by_cp, copy),
                  "xorriso": (lambda: xorriso_remaster(work, base, parts, replay), replay),
                  "cp-same": (by_cp_same, copy), "xorriso-same": (by_xorriso_same, replay)}
    times, work_times, load = {name: [] for name in candidates}, {name: [] for name in candidates}, []
    for _ in range(rounds):
        for name, (action, made) in candidates.items():
            load.append(os.getloadavg()[0])
            seconds, processor = timed(action, made)
            times[name].append(seconds)
            work_times[name].append(processor)
            print(f"  {name:12} {seconds:6.2f} s, {processor:5.2f} s of processor time", flush=True)
    memory = peak_memory([str(kiln), "build", "--profile", "master"], work)
    return {"seconds": {name: statistics.median(values) for name, values in times.items()},
            "spread": {name: [min(values), max(values)] for name, values in times.items()},
            "processor": {name: statistics.median(values) for name, values in work_times.items()},
            "load": [min(load), max(load)], "bytes": output.stat().st_size, "memory_mib": memory}


def judge(result):
    """Prints the ratios and fails when one is out of bounds."""
    seconds = result["seconds"]
    to_cp, to_xorriso = seconds["kiln"] / seconds["cp"], seconds["kiln"] / seconds["xorriso"]
    print(json.dumps(result, indent=1))
    print(f"disk, by cp and fsync: {result['bytes'] / seconds['cp'] / 1e6:.0f} MB/s")
    print("the same results (MD5 implanted, SHA256SUMS), without a bound:")
    for name, text in [("xorriso-same", "kiln / (xorriso + implantisomd5 + sha256)"), ("cp-same", "kiln / (cp + implantisomd5 + sha256)")]:
        print(f"  time, {text:42} {seconds['kiln'] / seconds[name]:5.2f}")
    if max(result["load"]) > os.cpu_count() / 2:
        print(f"the machine was not quiet: load {min(result['load']):.1f} to {max(result['load']):.1f} on {os.cpu_count()} processors")
    rows = [("time, kiln / cp", to_cp, CP_BOUND), ("time, kiln / (xorriso + implantisomd5)", to_xorriso, XORRISO_BOUND),
            ("peak memory, MiB", result["memory_mib"], MEMORY_BOUND_MIB)]
    for name, value, bound in rows:
        print(f"{name:40} {value:7.2f}  bound {bound:6.2f}  {'ok' if value <= bound else 'BROKEN'}")
    if any(value > bound for _, value, bound in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
