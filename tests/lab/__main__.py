"""`python3 -m lab`: runs scenarios on a cluster of machines and says what came of each in a line. `make lab` calls it."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from xml.sax.saxutils import quoteattr

from . import cluster as clusters
from . import faults, forming, host, media, net, quiet, rootfs, security, traffic
from .cluster import Cluster
from .host import LabError, load
from .registry import SCENARIOS, Scenario


#: Modules of scenarios, in the order in which they run; they register themselves when they are imported.
MODULES = (forming, traffic, security, faults, quiet)


def gaps(text: str) -> tuple[float, float]:
    """`20-90`."""
    shortest, longest = (float(part) for part in text.split("-"))
    if not 0 <= shortest <= longest:
        raise ValueError(text)
    return shortest, longest


def options() -> argparse.Namespace:
    """Words of the command line."""
    parser = argparse.ArgumentParser(prog="lab", description="A cluster of kiln's nodes as systemd-nspawn machines.")
    parser.add_argument("--kiln", type=Path, required=True, help="the static binary")
    parser.add_argument("--components", type=Path, help="their folder; of 1.20.2 `components`, of others `components-VERSION`")
    parser.add_argument("--work", type=Path, default=media.REPO / "out/lab", help="everything the run makes")
    parser.add_argument("--kubernetes", default="1.20.2")
    parser.add_argument("--operator", default="admin", help="whose certificate of pki/operators is used")
    parser.add_argument("--cluster-extra", default="", help="more lines of [cluster]")
    parser.add_argument("--gaps", type=gaps, default=(10.0, 70.0), metavar="SHORTEST-LONGEST",
                        help="seconds between two machines in `orders`; 10-70 if not given")
    parser.add_argument("--dice", type=int, default=random.randrange(1 << 30), help="a number that a run printed, for the same chances")
    parser.add_argument("--repeat", type=int, default=1, help="how often the scenarios are run")
    parser.add_argument("--fetched", action="store_true",
                        help="bring components and images by `kiln fetch` from servers on loopback, not out of the folder")
    parser.add_argument("--hold", action="store_true", help="keep the machines until this process is interrupted")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("scenario", nargs="*", help="names, or `quick` (the default), `all`")
    return parser.parse_args()


def chosen(words: list[str]) -> list[Scenario]:
    """The scenarios that are asked for, in their own order."""
    words = words or ["quick"]
    unknown = set(words) - set(SCENARIOS) - {"quick", "all", "none"}
    if unknown:
        raise LabError(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    # First boots come last but for the first: the others share a cluster.
    modules = [module.__name__ for module in MODULES]
    order = sorted(SCENARIOS.values(), key=lambda one: (
        one.fresh and one.name != "start", not one.fresh, modules.index(one.run.__module__)))
    return [one for one in order if one.name in words or "all" in words or ("quick" in words and one.quick)]


class Run:
    """Runs scenarios and keeps their outcomes."""

    def __init__(self, cluster: Cluster, results: Path) -> None:
        self.cluster, self.results = cluster, results
        self.outcomes: list[tuple[Scenario, float, str, str]] = []
        self.healthy = False
        # A cluster that does not come up by itself need not be tried again.
        self.hopeless = False

    def one(self, scenario: Scenario) -> None:
        """One scenario; whatever it does wrong, the next one gets what it wants."""
        begin = time.monotonic()
        try:
            if scenario.fresh:
                self.cluster.wipe()
            elif not self.healthy:
                self.cluster.wipe()
                self.cluster.start()
                try:
                    self.cluster.wait_healthy(180)
                except LabError:
                    self.hopeless = True
                    raise
                begin = time.monotonic()
            self.healthy = False
            figures = scenario.run(self.cluster)
            self.cluster.wait_healthy(120)
            self.healthy = True
            self._note(scenario, time.monotonic() - begin, figures, "")
        except LabError as error:
            self._note(scenario, time.monotonic() - begin, "", str(error))
        except Exception as error:  # pylint: disable=broad-except
            self._note(scenario, time.monotonic() - begin, "", f"{repr(error)[:300]}\n{traceback.format_exc(chain=False)[:3000]}")

    def _note(self, scenario: Scenario, seconds: float, figures: str, fault: str) -> None:
        self.outcomes.append((scenario, seconds, figures, fault))
        word = "FAIL" if fault else "ok  "
        print(f"{word} {scenario.name:16} {seconds:6.1f} s  load {load():>4}  {fault or figures}", flush=True)
        if fault:
            for writer in list(self.cluster.writers):
                writer.stop()
            self.cluster.save(self.results / scenario.name)
            print(f"     journals: {self.results / scenario.name}", flush=True)
        self.report()

    def report(self) -> None:
        """The outcomes as JUnit's XML, for whoever collects such."""
        failed = sum(1 for *_, fault in self.outcomes if fault)
        lines = [f'<testsuite name="lab" tests="{len(self.outcomes)}" failures="{failed}">']
        for scenario, seconds, figures, fault in self.outcomes:
            lines.append(f'  <testcase classname="lab" name={quoteattr(scenario.name)} time="{seconds:.1f}">')
            if fault:
                lines.append(f"    <failure message={quoteattr(fault)}/>")
            lines.append(f"    <system-out>{figures.replace('&', '+').replace('<', '(')}</system-out>\n  </testcase>")
        (self.results / "junit.xml").write_text("\n".join([*lines, "</testsuite>", ""]))


def main() -> int:
    """Runs what is asked for; ends with 1 if anything failed."""
    wanted = options()
    if wanted.list:
        for one in SCENARIOS.values():
            print(f"{one.name:16} {'quick' if one.quick else 'long '}  {one.about}")
        return 0
    host.private_mounts()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, host.interrupted)
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {text}", flush=True)

    folder = "components" if wanted.kubernetes == "1.20.2" else f"components-{wanted.kubernetes}"
    components = (wanted.components or media.REPO / folder).resolve()
    scenarios = chosen(wanted.scenario) * wanted.repeat
    work = wanted.work.resolve()
    base = rootfs.base(say)
    with host.held(work, net.NETNS) as state:
        shutil.rmtree(work, ignore_errors=True)
        results = work / "results"
        results.mkdir(parents=True)
        cluster = clusters.build(wanted.kiln.resolve(), components, work, base, wanted.kubernetes,
                                 wanted.cluster_extra, wanted.fetched, state, say)
        cluster.operator, cluster.gaps, cluster.dice = wanted.operator, wanted.gaps, random.Random(wanted.dice)
        say(f"--dice {wanted.dice}")
        run = Run(cluster, results)
        try:
            for scenario in scenarios:
                run.one(scenario)
                if run.hopeless:
                    say("the cluster does not come up; the rest is not tried")
                    break
            if wanted.hold:
                hold(cluster, work)
        finally:
            for writer in list(cluster.writers):
                writer.stop()
            cluster.network.down()
    failed = [scenario.name for scenario, *_, fault in run.outcomes if fault]
    say(f"{len(run.outcomes) - len(failed)} of {len(run.outcomes)} scenarios passed, load {load()}"
        + (f"; failed: {' '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def hold(cluster: Cluster, work: Path) -> None:
    """Keeps the machines for a person, who enters them by `enter NAME [COMMAND]`."""
    cluster.start()
    enter = work / "enter"
    lines = ["#!/bin/sh", 'name=$1; shift; [ $# -gt 0 ] || set -- bash', "case $name in"]
    for machine in cluster.machines.values():
        words = " ".join(machine.inside()).replace("C.UTF-8", "C.UTF-8 TERM=$TERM")
        lines.append(f'{machine.name}) exec {words} "$@";;')
    enter.write_text("\n".join([*lines, 'esac', 'echo "no such machine" >&2; exit 2', ""]))
    enter.chmod(0o755)
    print(f"machines are on; {enter} NAME [COMMAND]; interrupt this process to end", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, host.Interrupted) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        sys.exit(1)
