"""Settings of the new system: language, keyboard, time, accounts, SELinux, firewall, services."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pykickstart.constants import SELINUX_DISABLED, SELINUX_PERMISSIVE

from .host import InstallError, chroot, run, say, write


def configure(ks: Any, root: Path) -> None:
    """All of it, in the order of Anaconda's configuration queue (A9 installation.py): security, services, time, localization,
    firewall. Accounts come later, by `accounts`."""
    _selinux(ks, root)
    if getattr(ks, "authselect", None) is not None and ks.authselect.authselect:
        say("STAND-IN installer: authselect has nothing to do on Debian")
    _services(ks, root)
    _timezone(ks, root)
    write(root / "etc/locale.conf", f'LANG="{ks.lang.lang or "en_US.UTF-8"}"\n')
    write(root / "etc/vconsole.conf", f'KEYMAP="{ks.keyboard.vc_keymap or ks.keyboard.keyboard or "us"}"\n')
    _firewall(ks, root)


def _selinux(ks: Any, root: Path) -> None:
    mode = {SELINUX_DISABLED: "disabled", SELINUX_PERMISSIVE: "permissive"}.get(ks.selinux.selinux, "enforcing")
    write(root / "etc/selinux/config", f"SELINUX={mode}\nSELINUXTYPE=targeted\n")


def _services(ks: Any, root: Path) -> None:
    for names, verb in ((ks.services.disabled, "disable"), (ks.services.enabled, "enable")):
        for name in names:
            run(*chroot(root, "systemctl", verb, name if "." in name else f"{name}.service"))


def _timezone(ks: Any, root: Path) -> None:
    zone = ks.timezone.timezone or "America/New_York"
    if not (root / "usr/share/zoneinfo" / zone).is_file():
        raise InstallError(f"timezone: there is no zone {zone}")
    local = root / "etc/localtime"
    local.unlink(missing_ok=True)
    local.symlink_to(f"../usr/share/zoneinfo/{zone}")
    write(root / "etc/adjtime", f"0.0 0 0.0\n0\n{'UTC' if ks.timezone.isUtc else 'LOCAL'}\n")
    servers = list(getattr(ks.timezone, "ntpservers", None) or [])
    if hasattr(ks, "timesource"):
        servers += [one.ntp_server or one.ntp_pool for one in ks.timesource.timesource_list if one.ntp_server or one.ntp_pool]
    if servers:
        write(root / "etc/chrony.conf", "".join(f"server {name} iburst\n" for name in servers)
              + "driftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\n")


def _firewall(ks: Any, root: Path) -> None:
    """The default zone of firewalld lets SSH in already; more is firewall-offline-cmd's, as in A* firewall."""
    wanted = ks.firewall
    if wanted.enabled is None:
        return
    run(*chroot(root, "systemctl", "enable" if wanted.enabled else "disable", "firewalld.service"))
    services = [name for name in wanted.services if name != "ssh"]
    words = [f"--service={name}" for name in services] + [f"--port={port}" for port in wanted.ports]
    if wanted.enabled and words:
        run(*chroot(root, "firewall-offline-cmd", *words))


def accounts(ks: Any, root: Path) -> None:
    """root, users, their keys."""
    password = ks.rootpw
    if password.password and not password.lock:
        _password(root, "root", password.password, password.isCrypted)
    else:
        # As `passwd -l` leaves an account that never had a password.
        run(*chroot(root, "usermod", "--password", "!!", "root"))
    for user in ks.user.userList:
        _user(user, root)
    # EL 7's pykickstart has no such command.
    for key in ks.sshkey.sshUserList if hasattr(ks, "sshkey") else []:
        _key(root, key.username, key.key)


def _password(root: Path, name: str, password: str, crypted: bool) -> None:
    run(*chroot(root, "chpasswd", *(["--encrypted"] if crypted else [])), text=f"{name}:{password}\n")


def _user(user: Any, root: Path) -> None:
    known = {line.split(":")[0] for line in (root / "etc/group").read_text(encoding="utf-8").splitlines()}
    groups = [name.split("(")[0].strip() for name in user.groups]
    for name in groups:
        # Debian has not all of EL's groups: wheel.
        if name not in known:
            run(*chroot(root, "groupadd", "--system", name))
    words = ["--create-home", "--shell", user.shell or "/bin/bash"]
    words += ["--groups", ",".join(groups)] if groups else []
    words += ["--uid", str(user.uid)] if user.uid is not None else []
    words += ["--home-dir", user.homedir] if user.homedir else []
    run(*chroot(root, "useradd", *words, user.name))
    if user.password:
        _password(root, user.name, user.password, user.isCrypted)
    if user.lock:
        run(*chroot(root, "usermod", "--lock", user.name))


def _key(root: Path, name: str, key: str) -> None:
    rows = [line.split(":") for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines()]
    found = next((row for row in rows if row[0] == name), None)
    if found is None:
        raise InstallError(f"sshkey: the new system has no user {name}")
    folder = root / found[5].lstrip("/") / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "authorized_keys"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as keys:
        keys.write(key.strip() + "\n")
    for path in (folder, file):
        os.chown(path, int(found[2]), int(found[3]))
