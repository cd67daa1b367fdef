"""%packages: the names are looked up in the medium's own repositories; what is laid down is one Debian root, whatever they are."""

from __future__ import annotations

import configparser
import gzip
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykickstart.constants import KS_MISSING_IGNORE

from .host import InstallError, say

REPO = "{http://linux.duke.edu/metadata/repo}"
COMMON = "{http://linux.duke.edu/metadata/common}"


@dataclass
class Offer:
    """What repositories have: names of packages, groups and environments."""

    packages: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)

    def add(self, repository: Path) -> None:
        """Reads the repodata of a folder (repomd.xml, primary.xml, comps.xml)."""
        index = repository / "repodata/repomd.xml"
        try:
            entries = ET.parse(index).getroot().findall(f"{REPO}data")
        except (OSError, ET.ParseError) as error:
            raise InstallError(f"{index}: {error}") from error
        files = {entry.get("type"): repository / entry.find(f"{REPO}location").get("href") for entry in entries}
        for package in _xml(files["primary"]).iter(f"{COMMON}package"):
            self.packages.add(package.findtext(f"{COMMON}name", ""))
        comps = files.get("group_gz") or files.get("group")
        if comps:
            root = _xml(comps)
            self.groups |= {group.findtext("id", "") for group in root.findall("group")}
            self.environments |= {group.findtext("id", "") for group in root.findall("environment")}


def _xml(path: Path) -> ET.Element:
    try:
        data = path.read_bytes()
        return ET.fromstring(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, ET.ParseError) as error:
        raise InstallError(f"{path}: {error}") from error


def repositories(medium: Path, ks: Any) -> list[Path]:
    """The folders with repodata: the medium's (its root, or the variants that .treeinfo names), and those of `repo`."""
    found = [medium] if (medium / "repodata/repomd.xml").exists() else []
    tree = configparser.ConfigParser(interpolation=None, strict=False)
    tree.read(medium / ".treeinfo", encoding="utf-8")
    for section in tree.sections():
        if section.startswith("variant-"):
            folder = medium / tree.get(section, "repository", fallback=".")
            if folder not in found:
                found.append(folder)
    if not found:
        raise InstallError("cdrom: the medium has no repository (neither repodata nor variants in .treeinfo)")
    for data in ks.repo.repoList:
        if not data.baseurl.startswith("file:///"):
            raise InstallError(f"repo {data.name}: the stand-in knows file:///… only")
        found.append(Path(data.baseurl.removeprefix("file://")))
    return found


def table(path: Path) -> dict[str, list[str]]:
    """packages.list: what of Debian stands for a name of Enterprise Linux."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {row[0]: [name for name in row[1:] if name != "-"] for row in rows}


def check(ks: Any, offer: Offer, known: dict[str, list[str]]) -> None:
    """Errors as on 8 and later: a name that no repository has ends the installation, unless --ignoremissing."""
    wanted = ks.packages
    missing = sorted(set(wanted.packageList) - offer.packages)
    groups = {group.name for group in wanted.groupList}
    missing += sorted(f"@{name}" for name in groups - offer.groups)
    if wanted.environment and wanted.environment not in offer.environments:
        missing.append(f"@^{wanted.environment}")
    if missing and wanted.handleMissing == KS_MISSING_IGNORE:
        say(f"STAND-IN installer: not on the medium, and ignored: {' '.join(missing)}")
    elif missing:
        raise InstallError(f"packages: not on the medium: {' '.join(missing)}")
    unknown = sorted(name for name in wanted.packageList if name not in known and name in offer.packages)
    if unknown:
        raise InstallError(f"packages: nothing of Debian stands for {' '.join(unknown)}: add it to tests/standin/root/packages.list")
