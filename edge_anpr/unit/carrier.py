"""The publisher's work, one round at a time: hear the broker, send hits, say states and health, raise alarms."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_anpr.unit import states, statusline
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.clock import quality
from edge_anpr.unit.delivery import LATE_S, Delivery, Flight
from edge_anpr.unit.events import event
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.mqtt import Answered, Connected, Down, Event, Link, Message, Outcome, Received
from edge_anpr.unit.outbox import Outbox, OutboxFull
from edge_anpr.watch import receipt
from edge_anpr.watch.receipt import ReceiptRefused

HIT_EXPIRY_S = 7 * 24 * 3600
RECEIPTED_EXPIRY_S = 300  # it is sent again anyway
RESERVE = 4  # places in the link's window that hits leave to status, birth and health
MINUTE_S = 60.0
# Hits are taken and no receipt comes: perhaps our connection is not what it seems; a subscription that the broker did
# not get as it was sent, say. After so long a new one is made, then ever more rarely, for most often it is the centre.
RECONNECT_S = (90.0, 3600.0)
WRITE_AGAIN_S = 5.0  # after the disk refused a deletion
# Alarms about the outbox begin here, and end a little lower.
FILLING, NOT_FILLING = 0.8, 0.7
FORGERY_STANDS_S = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """Where and how often: ``topic`` without a slash at its end; how old hits may get here, and how much may wait."""

    topic: str
    camera: str
    health_interval_s: float
    max_age_s: float
    max_bytes: int

    @property
    def unit(self) -> str:
        """``org/site/unit``, as receipts name it."""
        return self.topic.removeprefix("anpr/v1/")


@dataclass(slots=True)
class Counts:
    """What the publisher has done since it began. ``acknowledged`` by the broker, ``receipted`` by the centre."""

    sent: int = 0
    acknowledged: int = 0
    receipted: int = 0
    retries: int = 0
    late: int = 0
    expired: int = 0
    reconnects: int = 0
    not_taken_in: int = 0
    receipts_refused: int = 0


class Carrier:
    """The hits' way from ``outbox`` to ``link``; ``turn`` is one round of it, and never waits.

    ``centres`` are the keys whose receipts count, by key id; None: a hit is delivered when the broker has it.
    """

    def __init__(
        self,
        outbox: Outbox,
        link: Link,
        told: Told,
        *,
        centres: Mapping[str, bytes] | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self._outbox, self._link, self._told, self._centres, self._inbox = outbox, link, told, centres, inbox
        self._delivery = Delivery(outbox, receipts=centres is not None)
        self._began = time.monotonic()
        self._next_health = self._next_minute = self._write_again_s = 0.0
        self._connected = False
        self._complaint: str | None = None  # what was last said of the broker, so that it is said once
        self._version: int | None = None
        self._said: dict[str, bytes | None] = {}  # what this connection's broker has of each kind of state
        self._states_due = True
        self._backlog = False
        self._lost_s: float | None = None
        self._outage: dict[str, Any] | None = None
        self._forged_s = 0.0
        self._our_alarms, self._link_alarm = b"", ""
        self.alarms = self._alarms = Alarms(self._keep_alarms)
        self._reconnect_s = RECONNECT_S[0]
        self.counts = Counts()

    def turn(self) -> None:
        """Hear the broker, then send what there is to send. Raises OutboxError."""
        for heard in self._link.advance():
            self._hear(heard)
        self._tell_of_the_link()
        self.settle()
        if time.monotonic() >= self._next_minute:
            self._next_minute = time.monotonic() + MINUTE_S
            self._look_after_the_outbox()
        version = self._outbox.version()
        if version != self._version:
            self._version, self._delivery.look, self._states_due = version, True, True
            if not self._connected and self._outbox.recent(0, LATE_S, 1):
                self._link.hurry()
        if not self._connected:
            return
        if self._states_due:
            self._states_due = not self._say_states()
        self._send_hits()
        if time.monotonic() >= self._next_health:
            interval_s = self._told.health_interval_s
            message = Message(f"{self._told.topic}/health", self.health(), expiry_s=int(4 * interval_s) + 60)
            if self._say(message):
                self._next_health = time.monotonic() + interval_s

    def _tell_of_the_link(self) -> None:
        code, text = self._link.alarm or ("", "")
        if self._link_alarm not in ("", code):
            self._alarms.clear(self._link_alarm)
        if code:
            self._alarms.raise_(code, text)
        self._link_alarm = code

    def settle(self, grace_s: float | None = None) -> None:
        """Delete what was delivered."""
        if time.monotonic() < self._write_again_s:
            return
        try:
            deleted = self._delivery.settle(grace_s)
        except OutboxFull as error:
            self._write_again_s = time.monotonic() + WRITE_AGAIN_S
            self._alarms.raise_("outbox-not-writable", f"{error}; hits that were delivered cannot be deleted")
            return
        if not deleted:
            return
        self._alarms.clear("outbox-not-writable")
        if self._backlog and self._outbox.depth().hits == 0:
            self._backlog = False
            _log.info("outbox drained", extra=event("outbox-drained"))
            self._alarms.clear("outbox-expired")

    def _hear(self, item: Event) -> None:
        match item:
            case Connected():
                self._begin()
            case Down():
                self._lose(item)
            case Answered():
                held = self._delivery.held
                if self._delivery.answered(item.ticket, item.outcome):
                    self._judge(item, held)
            case Received() if item.topic == f"{self._told.topic}/list":
                self._take_in(item.payload)
            case Received() if item.topic == f"{self._told.topic}/receipt" and not item.retained:
                self._take_receipt(item.payload)
            case Received() if item.retained:
                # No centre lets a receipt be kept; this one would be heard at each connection.
                self._alarms.raise_(
                    "retained-receipt",
                    f"somebody keeps a message on {item.topic} at the broker; it is not heeded; clear it there",
                )
            case _:
                pass

    def _begin(self) -> None:
        depth = self._outbox.depth()
        _log.info("connected to the broker; %d messages wait", depth.hits, extra=event("broker-connected"))
        if self._lost_s is not None:
            self.counts.reconnects += 1
            self._outage = {"seconds": round(time.monotonic() - self._lost_s, 1), "reason": self._complaint}
        self._connected, self._complaint, self._lost_s, self._next_health = True, None, None, 0.0
        self._said, self._states_due, self._backlog = {}, True, depth.hits > 0
        self._delivery.restart()
        self._alarms.clear("retained-receipt")

    def _lose(self, down: Down) -> None:
        if down.was_connected or down.reason != self._complaint:
            _log.warning(
                "%s: %s; %d messages wait in the outbox; retry in %.1f s, then ever more rarely, for ever",
                "lost the broker" if down.was_connected else "cannot reach the broker",
                down.reason,
                self._outbox.depth().hits,
                down.retry_s,
                extra=event("broker-lost"),
            )
        if self._connected:
            self._lost_s = time.monotonic()
        self._complaint, self._connected = down.reason, False
        self.counts.retries += self._delivery.restart()

    def _judge(self, answer: Answered, held_before: Outcome | None) -> None:
        held = self._delivery.held
        if answer.outcome is Outcome.TAKEN:
            self.counts.acknowledged += 1
            if held_before is not None:
                _log.info("the broker takes hits again")
                self._alarms.clear("nobody-listens")
                self._alarms.clear("hits-not-authorised")
            return
        self.counts.retries += 1
        self._backlog = True
        if held is held_before:
            return
        if held is Outcome.NO_SUBSCRIBER:
            self._alarms.raise_("nobody-listens", "nobody subscribes to the hits; they stay in the outbox until then")
        else:
            self._alarms.raise_(
                "hits-not-authorised",
                f"the broker refuses hits ({answer.reason}); they stay in the outbox; check its rules for this unit",
            )

    def _take_receipt(self, raw: bytes) -> None:
        if self._centres is None:
            return
        try:
            digests = receipt.read(raw, self._told.unit, self._centres)
        except ReceiptRefused as error:
            self.counts.receipts_refused += 1
            self._forged_s = time.monotonic()
            self._alarms.raise_("receipt-refused", f"{error}; nothing is deleted for it")
            return
        self.counts.receipted += self._delivery.receipted(digests)
        self._alarms.clear("no-receipts")
        self._reconnect_s = RECONNECT_S[0]
        self._alarms.clear("nobody-listens")

    def _take_in(self, message: bytes) -> None:
        if self._inbox is None:
            return
        complaint = self._inbox.drop(message)
        if complaint is None:
            self._alarms.clear("not-taken-in")
        else:
            self.counts.not_taken_in += 1
            self._alarms.raise_("not-taken-in", f"a message of the centre is not taken in: {complaint}")

    def _send_hits(self) -> None:
        for flight in self._delivery.due():
            if self._link.room <= RESERVE or not self._send(flight):
                return

    def _send(self, flight: Flight) -> bool:
        age_s = flight.age_s(time.monotonic())
        late = age_s is None or age_s > LATE_S
        properties = [] if age_s is None else [("age_s", str(int(age_s)))]
        message = Message(
            f"{self._told.topic}/hit/{self._told.camera}",
            flight.row.payload,
            expiry_s=HIT_EXPIRY_S if self._centres is None else RECEIPTED_EXPIRY_S,
            properties=(*properties, *([("late", "true")] if late else [])),
        )
        try:
            ticket = self._link.publish(message)
        except ValueError as error:
            self._alarms.raise_("too-large", f"a hit is too large for the broker ({error}); raise its packet limit")
            self._delivery.park(flight)
            return True
        if ticket is None:
            return False
        self.counts.sent += 1
        self.counts.retries += flight.tries > 0
        self.counts.late += late and flight.tries == 0
        self._delivery.sent(flight, ticket)
        return True

    def _look_after_the_outbox(self) -> None:
        told = self._told
        try:
            expired = self._outbox.expire(told.max_age_s)
        except OutboxFull as error:
            expired = 0
            self._alarms.raise_("outbox-not-writable", f"{error}; hits that are too old cannot be deleted")
        if expired:
            self.counts.expired += expired
            self._alarms.raise_(
                "outbox-expired",
                f"{self.counts.expired} messages were deleted undelivered: older than delivery.max_days",
            )
        depth = self._outbox.depth()
        full, old = depth.bytes / told.max_bytes, (depth.oldest_s or 0.0) / told.max_age_s
        if max(full, old) >= FILLING:
            self._alarms.raise_(
                "outbox-filling",
                f"{full:.0%} of delivery.max_megabytes and {old:.0%} of delivery.max_days are used; "
                "then hits are refused, or deleted: mend the way to the control room",
            )
        elif max(full, old) < NOT_FILLING:
            self._alarms.clear("outbox-filling")
        if self._connected and self._delivery.silent_s >= MINUTE_S:
            self._alarms.raise_("no-receipts", "hits reach the broker, and no receipt of the control room comes back")
        if self._connected and self._delivery.silent_s >= self._reconnect_s:
            _log.warning("no receipt for %.0f s; connecting anew", self._delivery.silent_s)
            self._reconnect_s = min(self._reconnect_s * 2, RECONNECT_S[1])
            self._link.renew()
        if self._forged_s and time.monotonic() - self._forged_s > FORGERY_STANDS_S:
            self._alarms.clear("receipt-refused")

    def _keep_alarms(self, told: bytes) -> None:
        self._our_alarms, self._states_due = told, True

    def _say_states(self) -> bool:
        kept = [self._say_state(kind, state, self._outbox.state(kind)) for kind, state in states.STATES.items()]
        alarms = states.alarms(self._outbox.state("alarm"), self._our_alarms)
        return all([*kept, self._say_state("alarm", states.State(retain=True), alarms)])

    def _say_state(self, kind: str, how: states.State, state: bytes | None) -> bool:
        if kind in self._said and self._said[kind] == state:
            return True
        payload = how.form(state)
        if payload and not self._say(Message(f"{self._told.topic}/{kind}", payload, retain=how.retain)):
            return False
        self._said[kind] = state
        return True

    def _say(self, message: Message) -> bool:
        """Hand over what is no hit; False when it has to be tried again."""
        try:
            return self._link.publish(message) is not None
        except ValueError as error:
            _log.error("%s is too large for the broker (%s); raise its packet limit", message.topic, error)
            return True

    def health(self) -> bytes:
        """How the unit is now, as JSON."""
        depth = self._outbox.depth()
        connected_s, clock = self._link.connected_s, quality()
        return states.as_json(
            {
                "schema": "anpr.health/1",
                "at": states.now(),
                "clock": {"sync": clock.sync, "error_ms": clock.error_ms},
                "interval_s": self._told.health_interval_s,
                "uptime_s": round(time.monotonic() - self._began, 1),
                "recogniser": self._recogniser(),
                "publisher": {
                    "connected_s": None if connected_s is None else round(connected_s, 1),
                    "outage": self._outage,
                    "outbox": {"hits": depth.hits, "bytes": depth.bytes, "oldest_s": round(depth.oldest_s or 0)},
                    "parked": self._delivery.parked,
                    "without_receipt_s": round(self._delivery.silent_s, 1),
                    **asdict(self.counts),
                },
            }
        )

    def status(self) -> str:
        """How it is now, in a line."""
        return statusline.publisher(
            connected_s=self._link.connected_s,
            why_not=self._complaint,
            depth=self._outbox.depth(),
            alarms=self._alarms.codes,
        )

    def _recogniser(self) -> dict[str, Any] | None:
        raw, age_s = self._outbox.state("health"), self._outbox.state_age_s("health")
        if raw is None or age_s is None:
            return None
        try:
            state = json.loads(raw)
        except ValueError:
            state = None
        if not isinstance(state, dict):
            return {"state": "unreadable", "age_s": round(age_s, 1)}
        return {**state, "age_s": round(age_s, 1)}
