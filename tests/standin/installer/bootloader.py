"""GRUB: installed for BIOS or UEFI, with a menu of one entry. Debian's grub-install and signed shim and GRUB stand for EL's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from .host import InstallError, read, run, write
from .plan import Layout
from .release import Release
from .storage import device_of, numbered, uuid

LOADERS = Path("usr/share/kiln-standin/efi")


def arguments(ks: Any, kernel_line: str) -> str:
    """The new kernel's arguments. `console=` of the installer's own line is kept (A* bootloader, `_set_console`)."""
    words = (ks.bootloader.appendLine or "").split()
    serial = serial_console(kernel_line)
    if serial and not any(word.startswith(f"console={serial.split(',')[0]}") for word in words):
        words.append(f"console={serial}")
    return " ".join(words)


def serial_console(kernel_line: str) -> str:
    """The last console of the line, if it is a serial one: `ttyS0,115200n8`."""
    consoles = re.findall(r"(?:^|\s)console=(\S+)", kernel_line)
    return consoles[-1] if consoles and consoles[-1].startswith("ttyS") else ""


def menu(title: str, kernel: str, root_uuid: str, boot_uuid: str, folder: str, words: str, timeout: int, serial: str,
         uefi: bool) -> str:
    """grub.cfg. `folder` is where the kernel lies on the file system with `boot_uuid`."""
    lines = ["# Made by the stand-in's installer; the stand-in's grubby edits it.", f"set timeout={timeout}", "set default=0"]
    if not uefi:
        # Debian's signed GRUB has all that it may use built in.
        lines += [f"insmod {name}" for name in ("part_gpt", "xfs", "ext2", "search_fs_uuid", "linux", "gzio")]
        lines += ["insmod serial"] if serial else []
    found = re.fullmatch(r"ttyS(\d+)(?:,(\d+).*)?", serial)
    if found:
        lines += [f"serial --unit={found[1]} --speed={found[2] or 9600}", "terminal_input serial console",
                  "terminal_output serial console"]
    lines += [f"search --no-floppy --fs-uuid --set=root {boot_uuid}", f"menuentry '{title}' {{",
              f"  linux {folder}/vmlinuz-{kernel} root=UUID={root_uuid} ro {words}".rstrip(),
              f"  initrd {folder}/initrd.img-{kernel}", "}"]
    return "\n".join(lines) + "\n"


def install(ks: Any, layout: Layout, release: Release, uefi: bool) -> None:
    """Writes the menu and installs GRUB."""
    root = release.sysimage
    if ks.bootloader.location not in (None, "mbr"):
        raise InstallError(f"bootloader: the stand-in knows --location=mbr only, not {ks.bootloader.location}")
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise InstallError("bootloader: the new system has no kernel")
    kernel = kernels[-1].name.removeprefix("vmlinuz-")
    boot_device, boot_part = device_of(layout, "/boot")
    root_device, _ = device_of(layout, "/")
    boot_uuid = uuid(boot_device)
    folder = "" if boot_part.mount == "/boot" else "/boot"
    line = read("/proc/cmdline")
    words = arguments(ks, line)
    timeout = ks.bootloader.timeout
    text = menu(f"kiln STAND-IN for {release.product} {release.major} (Debian, {kernel})", kernel, uuid(root_device), boot_uuid,
                folder, words, 5 if timeout is None else timeout, serial_console(line), uefi)
    (root / "boot/grub").mkdir(exist_ok=True)
    write(root / "boot/grub/grub.cfg", text, 0o600)
    write(root / "etc/default/grub", f'GRUB_TIMEOUT={5 if timeout is None else timeout}\nGRUB_CMDLINE_LINUX="{words}"\n')
    if uefi:
        _efi(layout, release, root, boot_uuid, folder)
    else:
        disk = ks.bootloader.bootDrive or next(one.disk for one in layout.partitions if one.fstype == "biosboot")
        run("grub-install", "--target=i386-pc", "--no-floppy", f"--boot-directory={root}/boot", f"--directory={root}/usr/lib/grub/i386-pc",
            f"/dev/{disk}")


def _efi(layout: Layout, release: Release, root: Path, boot_uuid: str, folder: str) -> None:
    """shim and GRUB below EFI/VENDOR, the fallback below EFI/BOOT as shim's package of EL has it, and the firmware's menu."""
    efi = root / "boot/efi/EFI"
    home = efi / release.efi_dir
    for place in (home, efi / "BOOT", efi / "debian"):
        place.mkdir(parents=True, exist_ok=True)
    for name in ("shimx64.efi", "mmx64.efi", "grubx64.efi"):
        shutil.copyfile(root / LOADERS / name, home / name)
    shutil.copyfile(root / LOADERS / "shimx64.efi", efi / "BOOT/BOOTX64.EFI")
    shutil.copyfile(root / LOADERS / "fbx64.efi", efi / "BOOT/fbx64.efi")
    shutil.copyfile(root / LOADERS / "mmx64.efi", efi / "BOOT/mmx64.efi")
    label = f"shimx64.efi,{release.product},,This is the boot entry for {release.product}\n"
    (home / "BOOTX64.CSV").write_bytes(label.encode("utf-16"))
    stub = f"search --no-floppy --fs-uuid --set=dev {boot_uuid}\nset prefix=($dev){folder}/grub\nconfigfile $prefix/grub.cfg\n"
    # Debian's signed GRUB looks below EFI/debian, wherever it was loaded from; EL's looks beside itself.
    for place in (home, efi / "debian"):
        write(place / "grub.cfg", stub)
    device, part = device_of(layout, "/boot/efi")
    number = [name for name, one in numbered(layout) if one.disk == part.disk].index(device) + 1
    # A* bootloader: entries of this product go, the new one comes first in BootOrder.
    for entry in efi_entries(run("efibootmgr"), release.product):
        run("efibootmgr", "--quiet", "--delete-bootnum", "--bootnum", entry)
    run("efibootmgr", "--quiet", "--create", "--write-signature", "--label", release.product, "--disk", f"/dev/{part.disk}",
        "--part", str(number), "--loader", f"\\EFI\\{release.efi_dir}\\shimx64.efi")


def efi_entries(listing: str, product: str) -> list[str]:
    """Numbers of the firmware's entries with exactly this name, from efibootmgr's output."""
    rows = re.findall(r"^Boot([0-9A-F]{4})\*? (.*)$", listing, re.M)
    return [number for number, text in rows if text.split("\t")[0].strip() == product]
