"""Judges how the units are, from what they say and when: values in, values out.

Time is the centre's own monotonic clock, in seconds: neither the unit's clock nor a step of the centre's makes a unit
silent. What the broker kept, and the Last Will that it speaks, tell what a unit said last; they are no sign of life.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from edge_anpr.centre.arrival import Said

DEFAULT_INTERVAL_S = 30.0
INTERVALS = (1.0, 3600.0)  # what a unit may say of its own
SILENT_AFTER = 3  # intervals
CLOCK_OFF_S = 60.0
OUTBOX_HIGH = 100  # hits that wait on the unit
SETTLE_S = 600.0  # a gap in the numbers that stands so long is not merely late
MAX_UNITS = 10_000

SILENT, CLOCK, OUTBOX = "silent", "clock", "outbox-high"
_BY_HEARING = frozenset((CLOCK, OUTBOX))


class State(StrEnum):
    """How a unit is, the worst first; ``unheard``: not since this centre started, and not for too long yet."""

    SILENT = "silent"
    ALARM = "alarm"
    UNHEARD = "unheard"
    WELL = "well"


@dataclass(frozen=True, slots=True)
class Alarm:
    """What the centre has to say against a unit; ``text`` stays the same as long as the matter does."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a unit is now. ``undecided``: alarms of the centre of which it cannot say yet whether they stand.

    ``missing``: its messages that did not come and will not, None while that is not known. The rest is as the unit said
    last, None where it did not.
    """

    unit: str
    state: State
    alarms: tuple[Alarm, ...]
    undecided: frozenset[str]
    missing: int | None
    age_s: float | None
    interval_s: float
    status: str | None = None
    told: tuple[str, ...] = ()  # codes of the unit's own alarms
    outbox_hits: float | None = None
    outbox_bytes: float | None = None
    fps: float | None = None
    temperature_c: float | None = None


@dataclass(slots=True)
class _Unit:
    interval_s: float
    heard_s: float | None = None
    status: str | None = None
    told: tuple[str, ...] = ()
    clock_sync: bool | None = None
    clock_off_s: float | None = None
    outbox_hits: float | None = None
    outbox_bytes: float | None = None
    fps: float | None = None
    temperature_c: float | None = None
    gaps: deque[tuple[float, int]] = field(default_factory=deque)


class Fleet:
    """All units, known from before (``roster``: intervals in seconds by name) or heard of since."""

    def __init__(self, roster: Mapping[str, float | None], now_s: float) -> None:
        self._units = {name: _Unit(interval or DEFAULT_INTERVAL_S) for name, interval in roster.items()}
        self._since_s = now_s  # nobody could be heard before
        self._connected = False

    def connected(self, now_s: float) -> None:
        """The centre hears from now on; everybody has an interval's grace."""
        self._connected, self._since_s = True, now_s

    def cut(self) -> None:
        """The centre hears nothing: until it does again, nobody falls silent."""
        self._connected = False

    def heard(self, said: Said, now_s: float, wall: datetime) -> None:
        """A unit's birth, status, health, alarm or stats came ``now_s``, when the centre's clock said ``wall``."""
        unit = self._known(said.unit)
        if unit is None:
            return
        if said.shows_life:
            unit.heard_s = now_s
        body = said.payload
        if said.kind == "status":
            word = body.get("status")
            unit.status = word[:20] if isinstance(word, str) else None
        elif said.kind == "alarm":
            active = body.get("active")
            items = active if isinstance(active, list) else []
            codes = [item.get("code") for item in items if isinstance(item, dict)]
            unit.told = tuple(code[:40] for code in codes if isinstance(code, str))[:32]
        elif said.kind == "health" and not said.retained:
            unit.interval_s = interval_s(body) or DEFAULT_INTERVAL_S
            unit.clock_off_s = _off_s(body.get("at"), wall)
            self._health(unit, body)

    def hit(self, name: str, clock_sync: bool, now_s: float, *, late: bool) -> None:
        """A hit came; a late one says nothing of how the unit's clock is now."""
        unit = self._known(name)
        if unit is not None:
            unit.heard_s = now_s
            if not late:
                unit.clock_sync = clock_sync

    def gaps(self, gaps: Mapping[str, int], now_s: float) -> None:
        """How many messages of each unit have not come, as the store counts them; to be told every half minute."""
        for name, unit in self._units.items():
            unit.gaps.append((now_s, gaps.get(name, 0)))
            while len(unit.gaps) > 2 and unit.gaps[1][0] <= now_s - SETTLE_S:
                unit.gaps.popleft()

    def judge(self, now_s: float) -> list[Verdict]:
        """How every unit is, by name."""
        return [self._verdict(name, unit, now_s) for name, unit in sorted(self._units.items())]

    def _verdict(self, name: str, unit: _Unit, now_s: float) -> Verdict:
        alarms, undecided = self._silence(unit, now_s)
        if unit.heard_s is None:
            undecided |= _BY_HEARING
        alarms += _clock(unit)
        if unit.outbox_hits is not None and unit.outbox_hits > OUTBOX_HIGH:
            alarms.append(Alarm(OUTBOX, f"more than {OUTBOX_HIGH} hits wait on the unit"))
        silent = any(alarm.code == SILENT for alarm in alarms)
        if silent:
            state = State.SILENT
        elif alarms or unit.told:
            state = State.ALARM
        else:
            state = State.UNHEARD if unit.heard_s is None else State.WELL
        settled = unit.gaps and unit.gaps[-1][0] - unit.gaps[0][0] >= SETTLE_S
        return Verdict(
            unit=name,
            state=state,
            alarms=tuple(alarms),
            undecided=frozenset(undecided),
            missing=min(gap for _, gap in unit.gaps) if settled else None,
            age_s=None if unit.heard_s is None else now_s - unit.heard_s,
            interval_s=unit.interval_s,
            status=unit.status,
            told=unit.told,
            outbox_hits=unit.outbox_hits,
            outbox_bytes=unit.outbox_bytes,
            fps=unit.fps,
            temperature_c=unit.temperature_c,
        )

    def _silence(self, unit: _Unit, now_s: float) -> tuple[list[Alarm], set[str]]:
        if not self._connected:
            return [], {SILENT}
        heard_now = unit.heard_s is not None and unit.heard_s >= self._since_s
        counts_from = unit.heard_s if heard_now and unit.heard_s is not None else self._since_s + unit.interval_s
        if now_s - counts_from > SILENT_AFTER * unit.interval_s:
            last = f"its last status was {unit.status!r}" if unit.status else "it never told its status"
            return [
                Alarm(SILENT, f"nothing heard for {SILENT_AFTER} intervals of {unit.interval_s:g} s; {last}")
            ], set()
        return [], set() if heard_now else {SILENT}

    def _health(self, unit: _Unit, body: Mapping[str, Any]) -> None:
        recogniser, publisher, clock = _part(body, "recogniser"), _part(body, "publisher"), _part(body, "clock")
        outbox = _part(publisher, "outbox")
        if isinstance(clock.get("sync"), bool):
            unit.clock_sync = clock["sync"]
        unit.outbox_hits, unit.outbox_bytes = number(outbox.get("hits")), number(outbox.get("bytes"))
        unit.fps = number(recogniser.get("fps"))
        unit.temperature_c = number(body.get("temperature_c", recogniser.get("temperature_c")))

    def _known(self, name: str) -> _Unit | None:
        if name not in self._units and len(self._units) < MAX_UNITS:
            self._units[name] = _Unit(DEFAULT_INTERVAL_S)
        return self._units.get(name)


def interval_s(health: Mapping[str, Any]) -> float | None:
    """The interval that a unit's health tells, if it is a sensible one."""
    told = number(health.get("interval_s"))
    return None if told is None else min(max(told, INTERVALS[0]), INTERVALS[1])


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _clock(unit: _Unit) -> list[Alarm]:
    off_s = unit.clock_off_s
    if off_s is not None and abs(off_s) > CLOCK_OFF_S:
        return [Alarm(CLOCK, f"its clock is {_about(abs(off_s))} {'ahead of' if off_s > 0 else 'behind'} the centre's")]
    if unit.clock_sync is False:
        return [Alarm(CLOCK, "nothing disciplines its clock (NTP, GNSS): the times of its hits may be wrong")]
    return []


def _about(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours")):
        if seconds >= 2 * unit:
            return f"about {seconds / unit:.0f} {name}"
    return f"about {seconds / 60:.0f} min"


def _off_s(at: object, wall: datetime) -> float | None:
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else None
        return None if moment is None or moment.tzinfo is None else (moment.astimezone(UTC) - wall).total_seconds()
    except (ValueError, OverflowError):
        return None


def _part(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = body.get(key)
    return part if isinstance(part, dict) else {}
