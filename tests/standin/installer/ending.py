"""How the machine ends: reboot, power off, halt, or waiting for somebody (A* anaconda.py, exitHandler)."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Any, NoReturn

from pykickstart.constants import KS_SHUTDOWN, KS_WAIT

from .host import read, say, step

# reboot(2).
RESTART, HALT, POWER_OFF = 0x01234567, 0xCDEF0123, 0x4321FEDC
#: Of linux/fs.h and scsi/sg.h.
SG_IO = 0x2285


def set_install_path(sysroot: Path) -> None:
    """ANA_INSTALL_PATH, for scripts outside of the new system (A* anaconda startup)."""
    os.environ["ANA_INSTALL_PATH"] = str(sysroot)


def wait(why: str) -> NoReturn:
    """Nobody will press a key here; a person at the machine would."""
    say(f"KILN-STANDIN-WAITS {why}")
    while True:
        time.sleep(3600)


def end(ks: Any, medium: Path, failed: bool) -> int:
    """exitHandler: what the kickstart says, also after a failure; a reboot if it says nothing. inst.nokill stops all of it."""
    line = read("/proc/cmdline").split()
    if "inst.nokill" in line:
        wait("inst.nokill")
    how = {KS_SHUTDOWN: "power off", KS_WAIT: "halt"}.get(ks.reboot.action if ks is not None else None, "reboot")
    eject = ks is not None and ks.reboot.eject
    step(f"{how}{' after an error' if failed else ''}")
    libc = ctypes.CDLL(None, use_errno=True)
    device = medium_device(medium)
    os.sync()
    if eject and device.startswith("/dev/sr"):
        eject_medium(device)
    libc.reboot({"power off": POWER_OFF, "halt": HALT}.get(how, RESTART))
    return 1


def medium_device(medium: Path) -> str:
    """The device that the medium is mounted from."""
    for line in read("/proc/mounts").splitlines():
        device, point = line.split()[:2]
        if point == str(medium):
            return device
    return ""


def eject_medium(device: str) -> None:
    """Opens the drive although the medium is mounted, as Anaconda's shutdown hook does after it has left it: SCSI commands ALLOW
    MEDIUM REMOVAL and START STOP UNIT with LoEj (MMC-6). Nothing may be read from the medium after that."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        for command in (bytes([0x1E, 0, 0, 0, 0, 0]), bytes([0x1B, 0, 0, 0, 2, 0])):
            _scsi(handle, command)
    except OSError as error:
        say(f"STAND-IN installer: {device} was not ejected: {error}")


def _scsi(handle: int, command: bytes) -> None:
    """One command without data (struct sg_io_hdr of scsi/sg.h)."""
    block, sense = ctypes.create_string_buffer(command, len(command)), ctypes.create_string_buffer(32)
    header = struct.pack("=iiBBHIQQQIIi4xQBBBBHHiII4x", ord("S"), -1, len(command), len(sense), 0, 0, 0, ctypes.addressof(block),
                         ctypes.addressof(sense), 10000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    buffer = bytearray(header)
    fcntl.ioctl(handle, SG_IO, buffer)
