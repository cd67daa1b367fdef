"""The installation from the kickstart to the reboot. Order: A9 installation.py, `_prepare_installation` and
`_prepare_configuration`; 7, 8 and 10 differ in nothing that is done here.
"""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from pykickstart.constants import KS_SCRIPT_ONERROR, KS_SCRIPT_POST, KS_SCRIPT_PRE, KS_SCRIPT_PREINSTALL

from . import bootloader, ending, kickstart, netup, network, packages, plan, release, scripts, storage, system
from .host import InstallError, attempt, read, run, say, step, uptime, write

KS = Path("/run/install/ks.cfg")
MEDIUM = Path("/run/install/repo")


def main() -> int:
    """Installs, or says why not; ends the machine either way."""
    say("STAND-IN installer: not Anaconda; it carries out a kickstart with Debian packages")
    facts = release.of_stage2(read("/.kiln-standin"))
    state = State(facts)
    try:
        install(state)
    except Exception as error:  # pylint: disable=broad-except  # whatever it is, somebody has to be told
        return failed(state, error)
    say(f"KILN-STANDIN-RESULT installed after {uptime():.1f} s")
    return ending.end(state.ks, MEDIUM, failed=False)


class State:
    """What is known so far, for whatever comes after a failure."""

    def __init__(self, facts: release.Release) -> None:
        self.release = facts
        self.ks: Any = None


def install(state: State) -> None:
    """The whole installation."""
    facts = state.release
    ending.set_install_path(facts.sysroot)
    step("kickstart: %pre")
    scripts.run_all(kickstart.pre_scripts(KS, facts), KS_SCRIPT_PRE, facts.sysroot)
    step("kickstart: commands")
    ks = state.ks = kickstart.parse(KS, facts)
    step("network")
    links = network.links(ks, network.interfaces())
    netup.activate(links)
    step("packages: names")
    offer = packages.Offer()
    for repository in packages.repositories(MEDIUM, ks):
        offer.add(repository)
    packages.check(ks, offer, packages.table(Path("/kiln-standin/packages.list")))
    step("storage")
    uefi = Path("/sys/firmware/efi").is_dir()
    layout = plan.layout(ks, storage.disks(MEDIUM), facts, uefi)
    for device, one in storage.numbered(layout):
        say(f"STAND-IN installer: {device} {one.size} MiB {one.fstype} {one.mount}".rstrip())
    storage.make(layout)
    storage.mount(layout, facts)
    scripts.run_all(ks.scripts, KS_SCRIPT_PREINSTALL, facts.sysroot)
    step("packages: laying down")
    lay_down(facts)
    storage.write_fstab(layout, facts.sysimage)
    step("boot loader")
    bootloader.install(ks, layout, facts, uefi)
    step("configuration")
    system.configure(ks, facts.sysimage)
    network.write_profiles(links, facts.sysimage, facts)
    network.write_hostname(network.hostname(ks), facts.sysimage)
    system.accounts(ks, facts.sysimage)
    scripts.run_all(ks.scripts, KS_SCRIPT_POST, facts.sysroot)
    step("end")
    write(facts.sysimage / "root/anaconda-ks.cfg", str(ks), 0o600)
    copy_logs(facts.sysimage)
    unmount(facts)


def lay_down(facts: release.Release) -> None:
    """The Debian root: all of stage 2 but the installer itself. It stands for what dnf installs."""
    source = MEDIUM / read("/run/install/stage2")
    root = facts.sysimage
    run("unsquashfs", "-force", "-quiet", "-no-progress", "-dest", root, source)
    shutil.rmtree(root / "kiln-standin")
    (root / ".kiln-standin").unlink()
    name = f"{facts.product} {facts.major}"
    text = read(root / "etc/os-release").splitlines()
    text = [line for line in text if not line.startswith("PRETTY_NAME=")] + [f'PRETTY_NAME="kiln STAND-IN for {name} (Debian)"']
    (root / "etc/os-release").unlink()
    write(root / "etc/os-release", "\n".join(text) + "\n")


def copy_logs(root: Path) -> None:
    """Logs of the installation go to /var/log/anaconda (A* data/post-scripts/99-copy-logs.ks)."""
    folder = root / "var/log/anaconda"
    folder.mkdir(parents=True, exist_ok=True)
    for path in Path("/tmp").glob("*.log"):
        shutil.copyfile(path, folder / path.name)
        (folder / path.name).chmod(0o600)


def unmount(facts: release.Release) -> None:
    """A clean journal: GRUB reads XFS without replaying it."""
    run("sync")
    for place in (facts.sysroot, facts.sysimage):
        if not Path(place).is_mount():
            continue
        for _ in range(20):
            if attempt("umount", "--recursive", place):
                break
            time.sleep(0.5)
        else:
            raise InstallError(f"{place} cannot be unmounted")


def failed(state: State, error: Exception) -> int:
    """What Anaconda does after an error, by release."""
    if not isinstance(error, InstallError):
        traceback.print_exc()
    say(f"KILN-STANDIN-RESULT failed after {uptime():.1f} s: {type(error).__name__}: {error}")
    if isinstance(error, scripts.ScriptError):
        if state.release.waits_for_key(error.kind):
            ending.wait(f"Anaconda of {state.release.major} shows the failure of {error.kind} in a dialog and waits for a key")
        # A7 to A9: sys.exit(0) straight away, no %onerror. A10 hands errors of %post to the installation task, which ends as after
        # any other error.
        if state.release.major < 10:
            return ending.end(state.ks, MEDIUM, failed=True)
    on_error(state)
    return ending.end(state.ks, MEDIUM, failed=True)


def on_error(state: State) -> None:
    """%onerror: on errors that end the installation (A8+ core/util.py, ipmi_abort; pykickstart, kickstart-docs, %onerror). They are
    known once the file has been parsed."""
    for script in state.ks.scripts if state.ks is not None else []:
        if script.type == KS_SCRIPT_ONERROR:
            try:
                scripts.run(script, state.release.sysroot)
            except InstallError as error:
                say(f"STAND-IN installer: {error}")


if __name__ == "__main__":
    sys.exit(main())
