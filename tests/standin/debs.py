#!/usr/bin/env python3
"""Fetches and unpacks Debian packages where there is no apt: on EL9, for the stand-in media.

    debs.py list NAME…        name and version of each; for linux-image-amd64, of the kernel that it stands for
    debs.py unpack DIR NAME…  downloads them and unpacks them below DIR

Every file is compared with the SHA-256 in the lists, and the lists with the one in Release. Release itself is believed because it
comes by HTTPS from the mirror: apt's keys are not at hand here. Nothing of it is installed on the machine. KILN_DEBIAN_MIRROR and
KILN_DEBIAN_SUITE name another mirror (https, or file for the tests) and another release.
"""

import hashlib
import io
import lzma
import os
import sys
import tarfile
import urllib.request

KERNEL = "linux-image-amd64"
MIRROR = os.environ.get("KILN_DEBIAN_MIRROR", "https://deb.debian.org/debian").rstrip("/")
SUITE = os.environ.get("KILN_DEBIAN_SUITE", "bookworm")
LISTS = "main/binary-amd64/Packages.xz"


def die(text, code=1):
    """Ends with a message."""
    print(f"debs: {text}", file=sys.stderr)
    sys.exit(code)


def fetch(path, sha256=None):
    """A file of the mirror, compared with its digest."""
    if not MIRROR.startswith(("https://", "file://")):
        die(f"{MIRROR} is not to be believed: the mirror must be named by https", 2)
    try:
        with urllib.request.urlopen(f"{MIRROR}/{path}", timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        die(f"{MIRROR}/{path}: {error}", 4)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        die(f"{MIRROR}/{path} is not what the list says (SHA-256)", 4)
    return content


def listed():
    """Digest of the list of packages, as Release has it."""
    within = False
    for line in fetch(f"dists/{SUITE}/Release").decode().splitlines():
        if not line.startswith(" "):
            within = line.startswith("SHA256:")
        elif within and line.split()[2:] == [LISTS]:
            return line.split()[0]
    die(f"Release of {SUITE} names no {LISTS}", 4)
    return None


def packages():
    """All packages of the release: fields by name, the newest where there are several."""
    found = {}
    for stanza in lzma.decompress(fetch(f"dists/{SUITE}/{LISTS}", listed())).decode().split("\n\n"):
        lines = (line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        fields = {line[0]: line[1] for line in lines}
        if "Package" in fields:
            found[fields["Package"]] = fields
    return found


def chosen(names):
    """Fields of the packages named; the name of the kernel's empty package gives the kernel that it stands for."""
    known, found = packages(), []
    for name in names:
        if name == KERNEL:
            depends = known.get(KERNEL, {}).get("Depends", "")
            name = depends.split(",")[0].split("(")[0].strip() or name
        if name not in known:
            die(f"Debian {SUITE} has no package {name}", 4)
        found.append(known[name])
    return found


def members(deb):
    """Name and content of the members of an ar archive (deb(5))."""
    if deb[:8] != b"!<arch>\n":
        die("a package is no archive", 4)
    at = 8
    while at + 60 <= len(deb):
        name, size = deb[at:at + 16].decode().strip().rstrip("/"), int(deb[at + 48:at + 58])
        yield name, deb[at + 60:at + 60 + size]
        at += 60 + size + size % 2


def unpack(fields, folder):
    """Unpacks one package."""
    for name, content in members(fetch(fields["Filename"], fields["SHA256"])):
        if name in ("data.tar.xz", "data.tar.gz", "data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(folder, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
            return
    die(f"{fields['Package']} has no data that Python can unpack (xz, gz)", 4)


def main(words):
    """Does what the words say."""
    if words[:1] == ["list"] and len(words) > 1:
        for fields in chosen(words[1:]):
            print(fields["Package"], fields["Version"])
    elif words[:1] == ["unpack"] and len(words) > 2:
        os.makedirs(words[1], exist_ok=True)
        for fields in chosen(words[2:]):
            unpack(fields, words[1])
    else:
        die("usage: debs.py list NAME… | debs.py unpack DIR NAME…", 2)


if __name__ == "__main__":
    main(sys.argv[1:])
