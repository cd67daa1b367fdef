"""The kickstart file: what is understood, what is refused, in which order scripts run and what their failure means."""

from __future__ import annotations

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

from installer import kickstart, scripts
from installer.host import InstallError
from installer.release import RELEASES

from .common import ACCESS, GOLDEN, KILNS_DISK, NETWORK, REST, parsed


class Golden(unittest.TestCase):
    """All that kiln writes is carried out: not one command or option of it is unknown."""

    def test_every_kickstart_of_kiln(self) -> None:
        files = sorted(GOLDEN.glob("*.ks"))
        self.assertGreaterEqual(len(files), 12)
        for path in files:
            # `split-el9-master.ks` has its secrets on a seed, `beside-…` all of kiln's: the release is named behind that.
            layout = next(word for word in path.stem.split("-") if word in RELEASES)
            text = path.read_text(encoding="utf-8")
            with tempfile.TemporaryDirectory() as folder:
                for name, part in (("disk", KILNS_DISK), ("network", NETWORK), ("access", ACCESS)):
                    Path(folder, f"{name}.ks").write_text(part, encoding="utf-8")
                    text = text.replace(f"/tmp/kiln/{name}.ks", f"{folder}/{name}.ks")
                ks = parsed(text, layout)
            self.assertIn("chrony", ks.packages.packageList, path.name)
            self.assertTrue(ks.reboot.eject)
            self.assertEqual(ks.ignoredisk.onlyuse, ["vda"])
            kinds = [scripts.NAMES[one.type] for one in ks.scripts]
            self.assertEqual(kinds, ["%pre", "%pre-install", "%post", "%post", "%post", "%onerror"], path.name)


class Refused(unittest.TestCase):
    """What is not carried out is an error that names it."""

    def refused(self, line: str, layout: str = "el9") -> str:
        with self.assertRaises(InstallError) as caught:
            parsed(REST + line + "\n", layout)
        return str(caught.exception)

    def test_commands_options_addons(self) -> None:
        self.assertIn("does not carry out the command `autopart`", self.refused("autopart"))
        self.assertIn("line 6", self.refused("volgroup vg pv.1"))
        self.assertIn("`--lock-everything` of `rootpw`", self.refused("rootpw --lock-everything"))
        self.assertIn("%addon org_fedora_oscap", self.refused("%addon org_fedora_oscap\n%end"))
        self.assertIn("%addon com_redhat_kdump --enable", self.refused("%addon com_redhat_kdump --enable\n%end"))

    def test_what_the_release_refuses(self) -> None:
        self.assertIn("install", self.refused("install", "el9"))
        self.assertIn("ntpservers", self.refused("timezone Etc/UTC --ntpservers=a", "el10"))
        self.assertIn("authselect", self.refused("authselect select minimal", "el7"))

    def test_a_missing_include(self) -> None:
        self.assertIn("/nowhere/disk.ks", self.refused("%include /nowhere/disk.ks"))


class Scripts(unittest.TestCase):
    """Scripts and their failure."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.quiet = contextlib.redirect_stdout(io.StringIO())
        self.quiet.__enter__()
        self.addCleanup(self.quiet.__exit__, None, None, None)

    def pre(self, text: str) -> list:
        path = self.folder / "ks.cfg"
        path.write_text(text, encoding="utf-8")
        return kickstart.pre_scripts(path, RELEASES["el9"])

    def test_pre_comes_before_includes_and_unknown_commands(self) -> None:
        log = self.folder / "pre.log"
        found = self.pre(f"frobnicate\n%include /nowhere\n%post\nexit 9\n%end\n%pre --log={log}\necho one $ANA_X\n%end\n%pre\ntrue\n%end\n")
        self.assertEqual(len(found), 2)
        scripts.run(found[0], self.folder)
        self.assertEqual(log.read_text(encoding="utf-8"), "one\n")

    def test_a_failure_counts_only_under_erroronfail(self) -> None:
        plain, fatal = self.pre("%pre\nexit 3\n%end\n%pre --erroronfail --interpreter=/bin/bash\necho it broke >&2\nexit 3\n%end\n")
        scripts.run(plain, self.folder)
        with self.assertRaisesRegex(scripts.ScriptError, r"%pre script at line 4 failed: it broke") as caught:
            scripts.run(fatal, self.folder)
        self.assertEqual(caught.exception.kind, "%pre")

    def test_who_waits_for_a_key(self) -> None:
        waits = {name: [kind for kind in ("%pre", "%pre-install", "%post") if release.waits_for_key(kind)]
                 for name, release in RELEASES.items()}
        self.assertEqual(waits, {"el7": [], "el8": ["%pre", "%pre-install", "%post"], "el9": ["%pre", "%pre-install", "%post"],
                                 "el10": ["%pre"]})

    def test_an_interpreter_that_is_not_there(self) -> None:
        script, = self.pre("%pre --interpreter=/bin/nosuch\ntrue\n%end\n")
        with self.assertRaisesRegex(InstallError, "/bin/nosuch"):
            scripts.run(script, self.folder)


if __name__ == "__main__":
    unittest.main()
