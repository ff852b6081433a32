"""Which hits go to the broker now, and which of them the outbox may delete.

Two lanes share one window: *live* for hits of the last minutes, *backlog* for all older ones, each oldest first. A lane
ends a window's length behind its oldest hit, as TCP's does, so that one that is slow to arrive is passed by a window at
most. What counts as delivered is the promise:

* **receipt**: the centre's signed receipt for the message's digest. One that stays away for ``RESEND_S`` is sent again,
  ever more rarely; while there are no receipts at all only the oldest is, so that an absent centre costs a metered link
  little. A hit that alone gets none is parked, so that it holds up nobody.
* **puback**: the broker's acknowledgement, ``GRACE_S`` ago on a connection that still stands: a broker that is killed
  takes with it what it had acknowledged and not yet handed on. What it loses later is lost.

Decisions rest on the monotonic clock alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from edge_anpr.unit.mqtt import Outcome
from edge_anpr.unit.outbox import Outbox, Row

LATE_S = 300.0
RESEND_S, LONGEST_RESEND_S = 3.0, 60.0
GRACE_S = 2.0
LIVE, BACKLOG = 12, 28  # together the 40 messages that may be on their way
# What of the backlog the broker has not acknowledged lies in the modem's queue, before a live hit: half a second at
# 1 Mbit/s.
BACKLOG_BYTES = 64 * 1024
# Of two centres that share the work one may hang: half of what is sent goes there, and six times in a row one in 64.
PARK_AFTER, PARK_AFTER_S, PARKED_S = 6, 60.0, (120.0, 86400.0)
# A hit that the broker threw away or refused is tried again so much later; one alone, until it is taken.
NO_SUBSCRIBER_S, REFUSED_S = (5.0, 30.0), (60.0, 600.0)


@dataclass(slots=True)
class Flight:
    """A hit in the window.

    ``sent_s``: when it last went out, None when it has to; ``ticket`` while no PUBACK came; ``passed``: one that went
    out with it or later has its receipt already.
    """

    row: Row
    loaded_s: float
    sent_s: float | None = None
    first_s: float = 0.0
    tries: int = 0
    ticket: int | None = None
    passed: bool = False

    def overdue(self, now_s: float) -> bool:
        """Whether it is to be sent: for the first time, or because its receipt has stayed away long enough."""
        patience_s = _pause_s((RESEND_S, LONGEST_RESEND_S), max(self.tries - 1, 0))
        return self.sent_s is None or now_s - self.sent_s >= patience_s

    def age_s(self, now_s: float) -> float | None:
        """For how long it has waited on the unit; None when that was since before a reboot."""
        return None if self.row.age_s is None else self.row.age_s + now_s - self.loaded_s


@dataclass(slots=True)
class _Parked:
    """A hit apart: tried again at ``again_s``, then after twice the pause, so that it costs a metered link little."""

    digest: str
    again_s: float
    pause_s: float


class Delivery:
    """The window over an outbox, for the one thread that owns it; ``receipts`` chooses the promise.

    Rows are read when ``look`` was set: whoever knows that the outbox has changed sets it.
    """

    def __init__(self, outbox: Outbox, *, receipts: bool, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._outbox, self._receipts, self._clock_s = outbox, receipts, clock_s
        self._live: dict[int, Flight] = {}
        self._backlog: dict[int, Flight] = {}
        self._live_after = self._backlog_after = 0
        self._done: dict[int, float] = {}  # rows that are delivered and not yet deleted: since when
        self._parked: dict[int, _Parked] = {}
        self._silent_since: float | None = None
        self._receipt_s = float("-inf")
        self._probed_s, self._probes = 0.0, 0
        self._held_until, self._holds = 0.0, 0
        self._probe_ticket: int | None = None
        self.held: Outcome | None = None
        self.look = True

    @property
    def silent_s(self) -> float:
        """For how long hits have been on their way without any receipt; 0 while receipts come."""
        return 0.0 if self._silent_since is None else self._clock_s() - self._silent_since

    @property
    def parked(self) -> int:
        """How many hits wait apart, because they alone are not taken."""
        return len(self._parked)

    def restart(self) -> int:
        """A connection has begun or ended: nothing is on its way now. Returns how much was."""
        flying = sum(flight.sent_s is not None for flight in self._flights())
        self._live.clear()
        self._backlog.clear()
        self._live_after = self._backlog_after = 0
        if not self._receipts:
            flying += len(self._done)
            self._done.clear()  # the broker may be gone with what it took: it gets these again
        self._recall_parked()
        self._silent_since, self._probes = None, 0
        self.held, self._holds, self._held_until, self.look = None, 0, 0.0, True
        return flying

    def due(self) -> Iterator[Flight]:
        """What is to be sent now, in order; stop taking when the link has no room."""
        now_s = self._clock_s()
        if self.held is not None:
            yield from self._probe(now_s, self._held_until)
            return
        self._park_the_stuck(now_s)
        self._recall_one(now_s)
        if self.look:
            self._load(now_s)
        if self._is_silent(now_s):
            patience = _pause_s((RESEND_S, LONGEST_RESEND_S), self._probes)
            yield from [flight for flight in self._live.values() if flight.tries == 0]
            yield from self._probe(now_s, self._probed_s + patience)
            return
        yield from (flight for flight in list(self._live.values()) if self._goes(flight, now_s))
        flying = sum(len(one.row.payload) for one in self._backlog.values() if one.ticket is not None)
        for flight in list(self._backlog.values()):
            if self._goes(flight, now_s):
                if flying and flying + len(flight.row.payload) > BACKLOG_BYTES:
                    return
                flying += len(flight.row.payload)
                yield flight

    def sent(self, flight: Flight, ticket: int) -> None:
        """The link took it; ``ticket`` will be answered."""
        now_s = self._clock_s()
        flight.first_s = flight.first_s if flight.tries else now_s
        flight.sent_s, flight.ticket = now_s, ticket
        flight.tries += 1
        if self.held is not None:
            self._probe_ticket, self._held_until = ticket, now_s + LONGEST_RESEND_S  # or until it is answered

    def park(self, flight: Flight) -> None:
        """Let others pass: this one is not taken, though the centre takes others, or the broker takes none so large."""
        row, pause_s = flight.row, PARKED_S[0]
        self._parked.setdefault(row.rowid, _Parked(row.digest, self._clock_s() + pause_s, pause_s))
        self._remove(row.rowid)

    def answered(self, ticket: int, outcome: Outcome) -> bool:
        """A PUBACK; False when it was of none of ours."""
        flight = next((one for one in self._flights() if one.ticket == ticket), None)
        if flight is None:
            return False
        flight.ticket = None
        if outcome is Outcome.TAKEN:
            self.held, self._holds = None, 0
            if not self._receipts:
                self._deliver(flight)
        elif outcome is not self.held or ticket == self._probe_ticket:
            self._holds = self._holds + 1 if outcome is self.held else 0
            pauses = NO_SUBSCRIBER_S if outcome is Outcome.NO_SUBSCRIBER else REFUSED_S
            self.held, self._held_until = outcome, self._clock_s() + _pause_s(pauses, self._holds)
            for one in self._flights():  # those behind it share its fate, or are sent once too often
                one.sent_s, one.tries = None, 0
        self.look = True
        return True

    def receipted(self, digests: Sequence[str]) -> int:
        """The centre holds these; returns how many of them were on their way."""
        flying = {flight.row.digest: flight for flight in self._flights()}
        apart = {parked.digest: rowid for rowid, parked in self._parked.items()}
        known = [digest for digest in digests if digest in flying or digest in apart]
        if known and self._silent_since is not None:
            self._recall_parked()  # it was the centre that was away, unless others were taken before
            for flight in flying.values():
                flight.tries = flight.tries if flight.passed else 0
        latest_s = max((flying[digest].sent_s or 0.0 for digest in known if digest in flying), default=None)
        for flight in flying.values():
            flight.passed |= latest_s is not None and flight.sent_s is not None and flight.sent_s <= latest_s
        for digest in known:
            if digest in flying:
                self._deliver(flying[digest])
            else:
                self._done.setdefault(apart[digest], self._clock_s())
        if known:
            self._receipt_s = self._clock_s()
            self._silent_since, self._probes, self.held, self.look = None, 0, None, True
        return len(known)

    def settle(self, grace_s: float | None = None) -> int:
        """Delete what is delivered, and return how much that was. Raises OutboxFull, which costs nothing but disk."""
        grace_s = (0.0 if self._receipts else GRACE_S) if grace_s is None else grace_s
        before_s = self._clock_s() - grace_s
        rowids = [rowid for rowid, since_s in self._done.items() if since_s <= before_s]
        if rowids:
            self._outbox.delete(rowids)
            for rowid in rowids:
                del self._done[rowid]
                self._parked.pop(rowid, None)
        return len(rowids)

    def _deliver(self, flight: Flight) -> None:
        self._done.setdefault(flight.row.rowid, self._clock_s())
        self._remove(flight.row.rowid)

    def _remove(self, rowid: int) -> None:
        self._live.pop(rowid, None)
        self._backlog.pop(rowid, None)
        self.look = True

    def _load(self, now_s: float) -> None:
        self.look = False
        for row in self._fill(self._live, self._young(LIVE - len(self._live)), LIVE, now_s):
            self._live_after = row.rowid
        while (room := BACKLOG - len(self._backlog)) > 0:
            first = self._outbox.waiting(self._backlog_after, 1)  # what is young is not read again and again
            if not first or _is_young(first[0]):
                return
            rows = self._outbox.waiting(self._backlog_after, room)
            old = self._fill(self._backlog, takewhile(lambda row: not _is_young(row), rows), BACKLOG, now_s)
            for row in old:
                self._backlog_after = row.rowid
            if len(old) < room:
                return

    def _young(self, room: int) -> list[Row]:
        if room <= 0:
            return []
        rows = self._outbox.waiting(self._live_after, room)
        if rows and not _is_young(rows[0]):  # what grew old before its turn is the backlog's
            rows = self._outbox.recent(self._live_after, LATE_S, room)
        return rows

    def _fill(self, lane: dict[int, Flight], rows: Iterable[Row], size: int, now_s: float) -> list[Row]:
        """Take those of ``rows`` that lie in the window of the lane's oldest; returns them, and the parked between.

        A lane that has just begun does not hold what was delivered on the connection before, and must count it all the
        same: else each connection might let another window pass a hit that is slow to arrive. What is missing between
        the oldest and the end of its window has passed it.
        """
        rows = list(rows)
        waiting = [rowid for rowid in (*lane, *(row.rowid for row in rows)) if rowid not in self._parked]
        if not waiting:
            return rows
        oldest = min(waiting)
        near = list(takewhile(lambda row: row.rowid in self._parked or row.rowid < oldest + size, rows))
        self._take(lane, [row for row in near if row.rowid not in self._parked], now_s)
        if len(near) < len(rows) and oldest in lane:
            lane[oldest].passed = True
        return near

    def _take(self, lane: dict[int, Flight], rows: Sequence[Row], now_s: float) -> None:
        for row in rows:
            if row.rowid not in self._live and row.rowid not in self._backlog and row.rowid not in self._done:
                lane[row.rowid] = Flight(row, now_s, passed=row.rowid in self._parked)

    def _is_silent(self, now_s: float) -> bool:
        if self._receipts and self._silent_since is None:
            sent = min((one.sent_s for one in self._flights() if one.sent_s is not None), default=None)
            if sent is not None and now_s - sent >= RESEND_S and self._receipt_s < sent:
                self._silent_since, self._probed_s, self._probes = sent, sent, 0
        return self._silent_since is not None

    def _park_the_stuck(self, now_s: float) -> None:
        for flight in [one for one in self._flights() if one.passed and one.tries >= PARK_AFTER]:
            if self._receipts and now_s - flight.first_s >= PARK_AFTER_S:
                self.park(flight)

    def _recall_parked(self) -> None:
        """Those parked once may have been so for what is over now."""
        for parked in self._parked.values():
            if parked.pause_s == PARKED_S[0]:
                parked.again_s = min(parked.again_s, self._clock_s())

    def _recall_one(self, now_s: float) -> None:
        """Try a parked hit again; one at a time, so that a thousand hold up nobody either."""
        if len(self._backlog) >= BACKLOG or not self._parked.keys().isdisjoint(self._backlog):
            return
        rowid = min(self._parked, key=lambda rowid: self._parked[rowid].again_s, default=None)
        if rowid is not None and self._parked[rowid].again_s <= now_s:
            parked = self._parked[rowid]
            parked.pause_s = min(parked.pause_s * 2, PARKED_S[1])
            parked.again_s = now_s + parked.pause_s
            self._take(self._backlog, self._outbox.waiting(rowid - 1, 1), now_s)

    def _probe(self, now_s: float, at_s: float) -> Iterator[Flight]:
        oldest = next(self._flights(), None)
        if oldest is not None and now_s >= at_s:
            self._probed_s = now_s
            self._probes += 1
            yield oldest

    def _goes(self, flight: Flight, now_s: float) -> bool:
        if self._receipts:
            return flight.overdue(now_s)
        # Without a centre that knows better, a hit's end must not overtake its beginning.
        return flight.sent_s is None and not any(
            one.row.hit_id == flight.row.hit_id and one.row.rowid < flight.row.rowid for one in self._flights()
        )

    def _flights(self) -> Iterator[Flight]:
        yield from self._live.values()
        yield from self._backlog.values()


def _is_young(row: Row) -> bool:
    return row.age_s is not None and row.age_s < LATE_S


def _pause_s(shortest_and_longest: tuple[float, float], times: int) -> float:
    shortest, longest = shortest_and_longest
    return min(shortest * 2.0 ** min(times, 20), longest)
