"""One torture from the first hit to the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture import judge
from tests.torture.faults import KINDS, Kind, Storm
from tests.torture.judge import Verdict
from tests.torture.proxy import Way
from tests.torture.site import Plan, Site

LOOK_S = 0.02
COUNT_S = 1.0


@dataclass(frozen=True, slots=True)
class Aim:
    """When the storm may end: after so many hits and so many faults; ``seconds`` says how fast the latter come.

    ``finale``: in the end everything is killed at once.
    """

    hits: int
    faults: int
    seconds: float
    kinds: Sequence[Kind] = KINDS
    finale: bool = True
    drain_s: float = 240.0


@dataclass(frozen=True)
class Result:
    """What happened, and what was found."""

    verdict: Verdict
    faults: Counter[str]
    seconds: float
    drain_s: float
    sent_megabytes: float
    corrupted: int

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.verdict.wrong


def torture(folder: Path, plan: Plan, aim: Aim, seed: int, step: Callable[[int], None] = lambda _: None) -> Result:
    """Build a site in ``folder``, torture it, let it drain, and judge; ``step`` hears how many more hits there are."""
    with Site(folder, plan) as site:
        began_s = time.monotonic()
        site.start()
        _until_it_flows(site)
        storm = Storm(site, seed, aim.seconds / aim.faults if aim.faults else None, aim.kinds)
        _blow(site, storm, aim, step)
        if aim.faults and aim.finale:
            storm.everything_falls()
        storm.calm()
        calm_s = time.monotonic()
        drained = _drain(site, aim.drain_s)
        drain_s = time.monotonic() - calm_s
        verdict = judge.judge(site, corrupted=sum(proxy.corrupted + proxy.repeated for proxy in site.proxies))
        if not drained:
            verdict.wrong.append(f"it had not drained after {aim.drain_s:.0f} s")
        return Result(
            verdict=verdict,
            faults=storm.counts,
            seconds=time.monotonic() - began_s,
            drain_s=drain_s,
            sent_megabytes=sum(unit.proxy.passed[Way.UP] for unit in site.units) / 1e6,
            corrupted=sum(proxy.corrupted for proxy in site.proxies),
        )


def _until_it_flows(site: Site) -> None:
    deadline = time.monotonic() + 60.0
    while judge.units_heard(site.database) < len(site.units):
        assert time.monotonic() < deadline, "no hits arrive even before the first fault"
        time.sleep(LOOK_S * 5)


def _blow(site: Site, storm: Storm, aim: Aim, step: Callable[[int], None]) -> None:
    hits, next_count_s = 0, 0.0
    while hits < aim.hits or storm.faults < aim.faults or (storm.rages and not aim.finale):
        storm.blow()
        for part in site.parts:
            part.keep()
        if time.monotonic() >= next_count_s:
            next_count_s = time.monotonic() + COUNT_S
            now = site.hits()
            step(now - hits)
            hits = now
        time.sleep(LOOK_S)


def _drain(site: Site, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while site.waiting():
        if time.monotonic() > deadline:
            return False
        for part in site.parts:
            part.keep()
        time.sleep(LOOK_S * 5)
    return True
