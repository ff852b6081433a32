"""What can go wrong at a site, and a seeded storm of it."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.torture.parts import Part
from tests.torture.proxy import Proxy, Way
from tests.torture.site import Site

Victim = Part | Proxy | Site


@dataclass(frozen=True)
class Kind:
    """A kind of fault: how often among others, whom it may strike, what it does, and how and when it is over.

    Without ``mend`` it is over at once, or the victim has to notice it.
    """

    name: str
    weight: float
    victims: Callable[[Site], Sequence[Victim]]
    strike: Callable[[Any, random.Random], None]
    mend: Callable[[Any], None] | None = None
    lasts_s: tuple[float, float] = (0.0, 0.0)


def _recognisers(site: Site) -> list[Part]:
    return [unit.recogniser for unit in site.units]


def _publishers(site: Site) -> list[Part]:
    return [unit.publisher for unit in site.units]


def _centres(site: Site) -> list[Part]:
    return [centre.part for centre in site.centres]


def _broker(site: Site) -> list[Part]:
    return [site.broker]


def _ways(site: Site) -> list[Proxy]:
    return site.proxies


def _kills(name: str, victims: Callable[[Site], list[Part]], weight: float, away_s: tuple[float, float]) -> Kind:
    return Kind(name, weight, victims, lambda part, _: part.kill(), Part.start, away_s)


def _halts(name: str, victims: Callable[[Site], list[Part]], weight: float) -> Kind:
    return Kind(name, weight, victims, lambda part, _: part.halt(), Part.go_on, (0.3, 4.0))


def _delay(proxy: Proxy, chance: random.Random) -> None:
    proxy.delay(Way.UP, chance.uniform(0.02, 1.0))
    proxy.delay(Way.DOWN, chance.uniform(0.02, 1.0))


def _no_delay(proxy: Proxy) -> None:
    proxy.delay(Way.UP, 0.0)
    proxy.delay(Way.DOWN, 0.0)


def _throttle(proxy: Proxy, chance: random.Random) -> None:
    proxy.throttle(Way.UP, chance.uniform(4_000, 64_000))
    proxy.throttle(Way.DOWN, chance.uniform(1_000, 64_000))


def _no_throttle(proxy: Proxy) -> None:
    proxy.throttle(Way.UP, None)
    proxy.throttle(Way.DOWN, None)


def _hang(site: Site, _: random.Random) -> None:
    for centre in site.centres:
        centre.part.halt()


def _fall(site: Site) -> None:
    room = [site.broker, *_centres(site)]
    for part in room:
        part.kill()
    for part in room:
        part.start()


CONTROL_ROOM_FALLS = Kind("kill -9 broker and centres that hung", 2, lambda site: [site], _hang, _fall, (3.0, 5.0))
"""What the broker acknowledged, and nobody stored, is gone."""

KINDS: tuple[Kind, ...] = (
    _kills("kill -9 recogniser", _recognisers, 12, (0.1, 2.0)),
    _kills("kill -9 publisher", _publishers, 12, (0.1, 2.0)),
    _kills("kill -9 broker", _broker, 3, (0.1, 2.0)),
    _kills("kill -9 centre", _centres, 6, (0.1, 2.0)),
    _kills("centre away", _centres, 2, (3.0, 10.0)),
    CONTROL_ROOM_FALLS,
    _halts("halt recogniser", _recognisers, 4),
    _halts("halt publisher", _publishers, 5),
    _halts("halt broker", _broker, 2),
    _halts("halt centre", _centres, 4),
    Kind("cut by RST", 8, _ways, lambda proxy, _: proxy.cut(reset=True)),
    Kind("cut by FIN", 6, _ways, lambda proxy, _: proxy.cut(reset=False)),
    Kind("half-open for ever", 3, _ways, lambda proxy, _: proxy.freeze()),
    Kind("no network", 6, _ways, lambda proxy, _: proxy.silence(True), lambda proxy: proxy.silence(False), (0.5, 6.0)),
    Kind("refused", 3, _ways, lambda proxy, _: proxy.refuse(True), lambda proxy: proxy.refuse(False), (0.5, 4.0)),
    Kind("delay", 6, _ways, _delay, _no_delay, (2.0, 8.0)),
    Kind("throttle", 5, _ways, _throttle, _no_throttle, (2.0, 8.0)),
    Kind("bytes twice, up", 5, _ways, lambda proxy, chance: proxy.repeat(Way.UP, chance.randint(1, 3))),
    Kind("bytes twice, down", 3, _ways, lambda proxy, chance: proxy.repeat(Way.DOWN, chance.randint(1, 3))),
    Kind("bytes changed, up", 8, _ways, lambda proxy, chance: proxy.corrupt(Way.UP, chance.randint(1, 3))),
    Kind("bytes changed, down", 5, _ways, lambda proxy, chance: proxy.corrupt(Way.DOWN, chance.randint(1, 3))),
)


@dataclass(order=True)
class _Mend:
    at_s: float
    number: int
    victim: Victim = field(compare=False)
    do: Callable[[], None] = field(compare=False)


class Storm:
    """Faults at random moments, ``every_s`` on average, several at a time but one at a victim; let it ``blow`` often.

    ``every_s`` None: no fault ever.
    """

    def __init__(self, site: Site, seed: int, every_s: float | None, kinds: Sequence[Kind] = KINDS) -> None:
        self._site, self._seed, self._every_s, self._kinds = site, seed, every_s, kinds
        self._next_s = time.monotonic() + (every_s or 0.0)
        self._numbered = 0
        self._mends: list[_Mend] = []
        self.counts: Counter[str] = Counter()
        self._began_s = time.monotonic()
        self._log = site.folder / "faults.log"

    @property
    def faults(self) -> int:
        """How many struck so far."""
        return self.counts.total()

    @property
    def rages(self) -> bool:
        """Whether a fault is not mended yet."""
        return bool(self._mends)

    def blow(self) -> None:
        """Mend what is due, and strike when it is time."""
        now_s = time.monotonic()
        while self._mends and self._mends[0].at_s <= now_s:
            self._mend(heapq.heappop(self._mends))
        if self._every_s is not None and now_s >= self._next_s:
            self._numbered += 1
            # One for each fault: how long others last, which no seed can say, does not change what comes.
            chance = random.Random(f"{self._seed} {self._numbered}")
            self._next_s = max(now_s, self._next_s + chance.expovariate(1 / self._every_s))
            self._strike(chance.choices(self._kinds, [kind.weight for kind in self._kinds])[0], chance)

    def everything_falls(self) -> None:
        """Every process is killed at one moment: one fault, and the last."""
        for part in self._site.parts:
            part.kill()
        self._count("kill -9 everything", self._site)

    def calm(self) -> None:
        """No fault any more: every way is open, and all runs but the recognisers, which have made enough hits.

        Control room first: that units wait when they find nobody there was to be seen often enough before.
        """
        while self._mends:
            self._mend(heapq.heappop(self._mends))
        for proxy in self._site.proxies:
            proxy.calm()
        for unit in self._site.units:
            unit.recogniser.kill()
        self._site.start(recognisers=False)
        self._note("calm", self._site)

    def _strike(self, kind: Kind, chance: random.Random) -> None:
        suffering = [mend.victim for mend in self._mends]
        free = [victim for victim in kind.victims(self._site) if victim not in suffering]
        if not free:
            return
        victim = chance.choice(free)
        kind.strike(victim, chance)
        self._count(kind.name, victim)
        if kind.mend is not None:
            over_s = time.monotonic() + chance.uniform(*kind.lasts_s)
            heapq.heappush(self._mends, _Mend(over_s, self.faults, victim, partial(kind.mend, victim)))

    def _mend(self, mend: _Mend) -> None:
        mend.do()
        self._note("mended", mend.victim)

    def _count(self, name: str, victim: object) -> None:
        self.counts[name] += 1
        self._note(name, victim)

    def _note(self, what: str, whom: object) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{time.monotonic() - self._began_s:9.3f} {what} {whom}\n")
