"""Which list is in force: takes new ones, keeps the old one when a new one is refused, and disarms when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge_anpr.datatypes import MatchClass
from edge_anpr.errors import Unusable
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.events import event
from edge_anpr.watch import envelope
from edge_anpr.watch.arming import Session
from edge_anpr.watch.breaker import Breaker
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.opener import Accepted, Moment, open_list
from edge_anpr.watch.opening import Trust
from edge_anpr.watch.ratchet import Ratchet
from edge_anpr.watch.watchlist import Header, ListRefused

log = logging.getLogger(__name__)

_GONE = (0, 0, 0)
DISARMED, REFUSED, BREAKER = "disarmed", "list-refused", "breaker"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a list may not exceed here: entries, false hits a day at so many passages a day, hits in 100 passages.

    ``match``: up to which class reads are matched; only those count among the false hits.
    """

    most_entries: int
    false_hits_per_day: float
    passages_per_day: float
    most_hits_percent: float
    match: MatchClass = MatchClass.CONFUSABLE


@dataclass(frozen=True, slots=True)
class Armed:
    """The list in force. ``ends_ns`` is monotonic; ``key_id`` None means that nobody signed it."""

    header: Header
    matcher: Matcher = field(repr=False)
    breaker: Breaker = field(repr=False)
    key_id: str | None
    digest: str
    ends_ns: int
    expected: Mapping[MatchClass, float]


class Lists:
    """Holds the list in force, ``armed``, which the vision thread reads while the main thread puts another in place.

    ``changed`` is called after every change.
    """

    def __init__(
        self,
        unit: str,
        trust: Trust,
        ratchet: Ratchet,
        alarms: Alarms,
        limits: Limits,
        changed: Callable[[], None],
    ) -> None:
        self._unit, self._trust, self._ratchet, self._alarms = unit, trust, ratchet, alarms
        self._limits, self._changed = limits, changed
        self._armed: Armed | None = None
        self._why = "no list has come yet"

    @property
    def armed(self) -> Armed | None:
        """The list in force, or None: then no plate is read."""
        return self._armed

    @property
    def why_disarmed(self) -> str:
        """Why no plate is read, in words."""
        return self._why

    def offer(self, raw: bytes, at: Moment, name: str, sessions: Sequence[Session] | None = None) -> bool:
        """Take a list if it may be taken; ``name`` says in alarms where it came from. The old one stays otherwise.

        With ``sessions`` it is an answer of the centre to one of them.
        """
        try:
            self.take(raw, at, sessions)
        except Unusable as error:
            self.refuse(f"{name}: {error}")
            return False
        return True

    def take(self, raw: bytes, at: Moment, sessions: Sequence[Session] | None = None) -> None:
        """Put this list in force. Raises Unusable, and leaves the old one in force, when it may not be taken."""
        accepted = open_list(
            raw,
            self._trust,
            self._unit,
            at,
            sessions,
            passages_per_day=self._limits.passages_per_day,
            most=self._limits.match,
        )
        self._judge(accepted)
        header, count = accepted.header, len(accepted.table)
        if accepted.key_id is None:
            log.warning(
                "watchlist: UNSIGNED list %s version %d with %d entries is in use: nobody answers for it",
                header.list_id, header.version, count, extra=event("list-unsigned"),
            )  # fmt: skip
        before = self._armed
        same = before is not None and before.digest == accepted.digest
        self._armed = Armed(
            header,
            Matcher(accepted.table, self._limits.match),
            # The same list again does not mend a breaker that it has tripped.
            before.breaker if before and same else Breaker(self._limits.most_hits_percent),
            accepted.key_id,
            accepted.digest,
            accepted.ends_ns,
            accepted.expected,
        )
        for code in (DISARMED, REFUSED) if same else (DISARMED, REFUSED, BREAKER):
            self._alarms.clear(code)
        log.info(
            "armed with list %s version %d: %d entries", header.list_id, header.version, count, extra=event("armed")
        )
        self._changed()

    def refuse(self, text: str) -> None:
        """Say that a list was not taken; what was in force stays."""
        self._alarms.raise_(REFUSED, text)

    def withdraw(self, list_id: str, up_to_version: int) -> None:
        """End a list that its authority has taken back, now and for good. Raises Unusable when that cannot be kept."""
        armed = self._armed
        if armed and armed.header.list_id == list_id and armed.header.version <= up_to_version:
            self._disarm(f"list {list_id} was withdrawn up to version {up_to_version}")
        self._ratchet.withdraw(list_id, up_to_version)

    def tick(self, now_ns: int) -> None:
        """Disarm when the list in force has ended, by the monotonic clock, or when its breaker has tripped."""
        armed = self._armed
        if armed is None:
            self._alarms.raise_(DISARMED, self._why)
        elif now_ns > armed.ends_ns:
            self._disarm(f"list {armed.header.list_id} version {armed.header.version} or its mandate has ended")
        elif armed.breaker.tripped:
            self._alarms.raise_(
                BREAKER,
                f"more than {self._limits.most_hits_percent:g} % of an hour's passages were hits; none goes out until "
                "another list comes",
            )

    def _judge(self, accepted: Accepted) -> None:
        count = len(accepted.table)
        if count > self._limits.most_entries:
            raise ListRefused(f"has {count} entries, watchlist.most_entries allows {self._limits.most_entries}")
        expected = sum(accepted.expected.values())
        if expected > self._limits.false_hits_per_day:
            raise ListRefused(
                f"would give {expected:.2g} false hits a day at {self._limits.passages_per_day:g} passages, "
                f"watchlist.false_hits_per_day allows {self._limits.false_hits_per_day:g}"
            )
        if accepted.key_id is not None:
            header = accepted.header
            self._ratchet.check(accepted.key_id, header.list_id, header.version, accepted.digest)
            self._ratchet.advance(accepted.key_id, header.version, accepted.digest)

    def _disarm(self, why: str) -> None:
        self._armed, self._why = None, why
        self._alarms.raise_(DISARMED, why)
        self._changed()


class ListFile:
    """A list on this unit's disk, taken when the file is another one than at the last look.

    ``must``: at the first look it has to be taken, or Unusable is raised: at a desk somebody watches, and mends it.
    """

    def __init__(self, path: Path, *, must: bool = False) -> None:
        self._path, self._must = path, must
        self._seen: tuple[int, int, int] | None = None

    def look(self, lists: Lists) -> None:
        """Offer the file to ``lists`` if it has changed. A file that goes away leaves the list in force to its end."""
        must, self._must = self._must, False
        raw = self._changed()
        if isinstance(raw, str):
            if must:
                raise ListRefused(raw)
            lists.refuse(raw)
        elif raw is not None and must:
            try:
                lists.take(raw, now())
            except ListRefused as error:
                raise ListRefused(f"{self._path}: {error}") from None
        elif raw is not None:
            lists.offer(raw, now(), str(self._path))

    def _changed(self) -> bytes | str | None:
        """The file's content if it has changed, why it cannot be read, or None when all is as it was."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return None
            with self._path.open("rb") as file:
                raw = file.read(envelope.MAX_BYTES + 1)
        except OSError as error:
            if self._seen == _GONE:
                return None
            self._seen = _GONE
            return f"{self._path}: cannot be read: {error.strerror}; set watchlist.path"
        self._seen = seen
        return raw


def now() -> Moment:
    """This moment, as far as the unit's own clock knows."""
    return Moment(datetime.now(UTC), time.monotonic_ns())
