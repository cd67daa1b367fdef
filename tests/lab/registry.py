"""Scenarios: functions with a name, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .cluster import Cluster


@dataclass(frozen=True)
class Scenario:
    """One scenario. Its function gives a line of figures, or raises."""

    name: str
    about: str
    run: Callable[[Cluster], str]
    quick: bool
    fresh: bool


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, quick: bool = True, fresh: bool = False) -> Callable[[Callable[[Cluster], str]], Callable[[Cluster], str]]:
    """Registers a function. `fresh`: it wants machines that have just been installed; others want a healthy cluster."""

    def register(function: Callable[[Cluster], str]) -> Callable[[Cluster], str]:
        about = (function.__doc__ or "").split("\n")[0].rstrip(".")
        SCENARIOS[name] = Scenario(name, about, function, quick, fresh)
        return function

    return register
