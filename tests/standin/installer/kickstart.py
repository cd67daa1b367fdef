"""The kickstart file: read by pykickstart's handler of the release, and refused if it says what the stand-in does not do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from pykickstart.errors import KickstartError
from pykickstart.parser import KickstartParser, Script
from pykickstart.sections import NullSection, PreScriptSection
from pykickstart.version import makeVersion

from .host import InstallError, say
from .release import Release

#: What is carried out, or has nothing to be carried out here: command, and its options.
COMMANDS: dict[str, set[str]] = {
    "auth": {"--enableshadow", "--passalgo"},
    "authconfig": {"--enableshadow", "--passalgo"},
    "authselect": set(),
    "bootloader": {"--location", "--timeout", "--append", "--boot-drive"},
    "cdrom": set(),
    "clearpart": {"--all", "--initlabel", "--disklabel", "--drives"},
    "cmdline": set(),
    "eula": {"--agreed"},
    "firewall": {"--enabled", "--disabled", "--enable", "--disable", "--ssh", "--service", "--port"},
    "firstboot": {"--disable", "--disabled"},
    "halt": {"--eject"},
    "ignoredisk": {"--only-use"},
    "install": set(),
    "keyboard": {"--vckeymap", "--xlayouts"},
    "lang": set(),
    "module": {"--name", "--stream"},
    "network": {"--activate", "--bindto", "--bondopts", "--bondslaves", "--bootproto", "--device", "--gateway", "--hostname",
                "--interfacename", "--ip", "--mtu", "--nameserver", "--netmask", "--nodefroute", "--nodns", "--noipv4",
                "--noipv6", "--onboot", "--vlanid"},
    "part": {"--asprimary", "--fsoptions", "--fstype", "--grow", "--label", "--maxsize", "--mkfsoptions", "--ondisk", "--ondrive",
             "--size"},
    "poweroff": {"--eject"},
    "reboot": {"--eject"},
    "repo": {"--name", "--baseurl", "--cost"},
    "reqpart": {"--add-boot"},
    "rootpw": {"--iscrypted", "--lock", "--plaintext"},
    "selinux": {"--enforcing", "--permissive", "--disabled"},
    "services": {"--enabled", "--disabled"},
    "shutdown": {"--eject"},
    "skipx": set(),
    "sshkey": {"--username"},
    "text": {"--non-interactive"},
    "timesource": {"--ntp-server", "--ntp-pool", "--ntp-disable"},
    "timezone": {"--utc", "--isUtc", "--ntpservers", "--nontp"},
    "user": {"--gid", "--groups", "--homedir", "--iscrypted", "--lock", "--name", "--password", "--plaintext", "--shell", "--uid"},
    "zerombr": set(),
}
COMMANDS["partition"] = COMMANDS["part"]

#: Addons that may stand in the file, with the only thing they may say.
ADDONS = {"com_redhat_kdump": ["--disable"]}


class _Addon(NullSection):
    """An addon's section: those of ADDONS do nothing here, any other is refused."""

    def handleHeader(self, lineno: int, args: list[str]) -> None:
        if ADDONS.get(args[1] if len(args) > 1 else "") != args[2:]:
            raise InstallError(f"line {lineno}: the stand-in does not know `{' '.join(args)}`")


class _Parser(KickstartParser):
    """Checks each command against COMMANDS before pykickstart reads it."""

    def setupSections(self) -> None:
        super().setupSections()
        self.registerSection(_Addon(self.handler, sectionOpen="%addon"))

    def handleCommand(self, lineno: int, args: list[str]) -> Any:
        check_known(lineno, args)
        return super().handleCommand(lineno, args)


class _PreParser(KickstartParser):
    """Sees the %pre sections and nothing else (A* kickstart.py, AnacondaPreParser)."""

    def setupSections(self) -> None:
        super().setupSections()
        others = ["%pre-install", "%post", "%onerror", "%traceback", "%packages", "%addon", "%certificate"]
        self._sections = {}
        self.registerSection(PreScriptSection(self.handler, dataObj=Script))
        for name in [*others, "%anaconda"]:
            self.registerSection(NullSection(self.handler, sectionOpen=name))

    def handleCommand(self, lineno: int, args: list[str]) -> Any:
        return None


def check_known(lineno: int, args: list[str]) -> None:
    """Refuses a command, or an option of one, that the stand-in would not carry out."""
    known = COMMANDS.get(args[0])
    if known is None:
        raise InstallError(f"line {lineno}: the stand-in does not carry out the command `{args[0]}`")
    for word in args[1:]:
        if word.startswith("--") and word.split("=")[0] not in known:
            raise InstallError(f"line {lineno}: the stand-in does not carry out `{word.split('=')[0]}` of `{args[0]}`")


def pre_scripts(path: Path, release: Release) -> list[Any]:
    """The %pre scripts. This pass comes before all else, so that %include may name what they make."""
    handler = makeVersion(release.handler)
    parser = _PreParser(handler, errorsAreFatal=False, missingIncludeIsFatal=False)
    with _said_aloud():
        parser.readKickstart(str(path))
    return list(handler.scripts)


def parse(path: Path, release: Release) -> Any:
    """The whole file, with what it includes."""
    handler = makeVersion(release.handler)
    try:
        with _said_aloud():
            _Parser(handler).readKickstart(str(path))
    except KickstartError as error:
        raise InstallError(f"kickstart: {error}") from error
    return handler


class _said_aloud(warnings.catch_warnings):
    """pykickstart's warnings (deprecated commands), on the console: real media show them too."""

    def __enter__(self) -> None:  # type: ignore[override]
        super().__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: say(f"STAND-IN installer: kickstart warning: {message}")  # type: ignore[assignment]
