"""Publishers and registries on loopback that have what a components folder has, for media that are fetched rather than copied.

Release files are packed as `profiles/components.toml` says that publishers pack them, nginx gives them out as a mirror, and
Debian's docker-registry has the images. They end before the machines are made: these have no network anyway.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import tomllib
from pathlib import Path
from types import TracebackType

from .host import LabError, run

REPO = Path(__file__).resolve().parents[2]
#: Registries that images of the reference cluster come from.
REGISTRIES = ("registry.k8s.io", "ghcr.io", "docker.io")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Publishers:
    """Servers as a context; `toml` is what [components] says of them."""

    def __init__(self, components: Path, folder: Path) -> None:
        self.components, self.folder = components, folder
        self.web, self.registry = free_port(), free_port()
        self.versions: dict[str, str] = {}
        self.children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Publishers:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "files").mkdir(parents=True)
        catalogue = tomllib.loads((REPO / "profiles/components.toml").read_text())["component"]
        for name, component in catalogue.items():
            for version in sorted((self.components / name).glob("*")):
                if version.is_dir() and version.name[0] != ".":
                    self._publish(name, component, version)
        if not (self.components / "cri-tools").exists():
            # Nothing of the cluster runs it, and kiln fetches it: a program that does nothing stands for it.
            stand_in = self.folder / "cri-tools/1.34.0"
            stand_in.mkdir(parents=True)
            shutil.copy("/bin/true", stand_in / "crictl")
            self._publish("cri-tools", catalogue["cri-tools"], stand_in)
        try:
            self._start()
            self._push()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    @property
    def toml(self) -> str:
        """Lines of [components]."""
        versions = ", ".join(f'{name} = "{version}"' for name, version in sorted(self.versions.items()))
        registries = ", ".join(f'"{name}" = "http://127.0.0.1:{self.registry}/{name}"' for name in REGISTRIES)
        return (f'mirror = "http://127.0.0.1:{self.web}"\nversions = {{ {versions} }}\n'
                f"registries = {{ {registries} }}\n")

    def _publish(self, name: str, component: dict, version: Path) -> None:
        """One version of a component, with the publisher's file of digests where there is one."""
        number = tuple(int(part) for part in version.name.split(".")[:2])

        def fits(source: dict) -> bool:
            bound = lambda key, other: tuple(int(part) for part in source.get(key, other).split("."))  # noqa: E731
            return bound("since", "0") <= number < bound("until", "9999")

        source = next(one for one in component["source"] if fits(one))
        fill = lambda text, file="": text.replace("{version}", version.name).replace("{file}", file)  # noqa: E731
        if component.get("follows") != "kubernetes":
            self.versions[name] = version.name
        place = lambda url: self.folder / "files" / url.removeprefix("https://")  # noqa: E731
        if "member" in source:
            inside = Path(fill(source["member"], "file")).parent
            archive = place(fill(source["url"]))
            archive.parent.mkdir(parents=True, exist_ok=True)
            run("tar", "-cf", archive, "--use-compress-program=gzip -1", "--transform", f"s,^\\.,{inside},", "-C", version, ".",
                timeout=300)
            files = {archive: fill(source["sums"]) if "sums" in source else None}
        else:
            files = {}
            for file in version.iterdir():
                target = place(fill(source["url"], file.name))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.resolve())
                files[target] = fill(source["sums"], file.name) if "sums" in source else None
        for file, sums in files.items():
            if sums:
                digest = run("sha256sum", file, timeout=300).stdout.split()[0]
                with place(sums).open("a") as out:
                    out.write(f"{digest}  {file.name}\n")

    def _start(self) -> None:
        at = self.folder
        (at / "nginx.conf").write_text(
            f"pid {at}/nginx.pid; error_log {at}/nginx.log; daemon off; user root; events {{}}\n"
            f"http {{ access_log {at}/access.log; server {{ listen 127.0.0.1:{self.web}; root {at}/files; }} }}\n")
        (at / "registry.yml").write_text(
            f"version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {at}/registry }} }}\n"
            f"http: {{ addr: '127.0.0.1:{self.registry}' }}\n")
        with (at / "log").open("wb") as log:
            for words in (["nginx", "-c", str(at / "nginx.conf"), "-e", str(at / "nginx.log")],
                          ["docker-registry", "serve", str(at / "registry.yml")]):
                self.children.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))  # pylint: disable=consider-using-with
        until = time.monotonic() + 30
        for port in (self.web, self.registry):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError as error:
                    if time.monotonic() > until:
                        raise LabError(f"nobody answers on port {port}: {(at / 'log').read_text()[-500:]}") from error
                    time.sleep(0.1)

    def _push(self) -> None:
        for archive in sorted((self.components / "images").glob("*.tar")):
            listed = run("tar", "-xOf", archive, "manifest.json", timeout=60).stdout
            name = json.loads(listed)[0]["RepoTags"][0]
            if name.split("/")[0] not in REGISTRIES:
                raise LabError(f"{archive.name} holds {name}, of no registry that is played here")
            run("skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"docker-archive:{archive}",
                f"docker://127.0.0.1:{self.registry}/{name}", timeout=300)

    def _stop(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait(30)
