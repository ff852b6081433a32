"""Answers the units that ask for their list: by an operator's yes, or by itself.

A unit asks again twice a minute while it has no list, and every ten while it has one, with a new key each time, and
says what it holds. So the newest request of each unit is kept: it serves the first arming, a newer version of the
list later, and tells who must still hear that a list is withdrawn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_anpr.centre.broker import UNIT_TOPIC, words
from edge_anpr.centre.listfile import Listed, ListFile
from edge_anpr.centre.revocations import Revocations
from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.unit.mqtt import Answered, Connected, Down, Event, Link, Message, Outcome, Received
from edge_anpr.watch import arming
from edge_anpr.watch.arming import ArmingRefused, Request

SUBSCRIPTION = "anpr/v1/+/+/+/arm"
MAX_UNITS = 10_000
# A minute less than a request is good for, so that the answer is not refused for the way it took.
GOOD_S = arming.LIFE.total_seconds() - 60
# An answer may be megabytes, and a request costs nothing. A unit that refuses its list (it would give too many false
# hits there, say) asks again twice a minute, for ever: each time the pause is twice as long.
PAUSE_S = 5.0
LONGEST_PAUSE_S = 1800.0
LOOK_S = 1.0

Decide = Callable[[str], bool | None]
"""Asks the operator a question: yes, no, or None while it is open."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Asking:
    """A unit's newest request."""

    request: Request
    heard_s: float
    told: str | None = None  # what was last said of it, so that it is said once
    declined: str | None = None  # the list's digest to which the operator said no
    warned: bool = False  # it was sent the revocation of what it holds


@dataclass(frozen=True, slots=True)
class _Sent:
    """What a unit was sent last: to which start of it, which list, how often in a row."""

    at_s: float
    boot_id: str
    digest: str
    times: int

    def pause_s(self) -> float:
        return float(min(PAUSE_S * 2 ** min(max(self.times - 1, 0), 20), LONGEST_PAUSE_S))


class Armer:
    """Call ``turn`` often. ``decide`` None answers every unit that may have the list.

    ``secret`` signs tickets; ``units`` are the public keys by unit that sign requests, None when they do not.
    """

    def __init__(
        self,
        link: Link,
        listfile: ListFile,
        revocations: Revocations,
        secret: Key,
        decide: Decide | None,
        units: Mapping[str, bytes] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._link, self._listfile, self._revocations = link, listfile, revocations
        self._secret, self._decide, self._units, self._now = secret, decide, units, now
        self._asking: dict[str, _Asking] = {}
        self._sent: dict[str, _Sent] = {}
        self._in_flight: dict[int, str] = {}
        self._connected = False
        self._complaint: str | None = None
        self._question: str | None = None  # the topic of the unit for which the operator is asked
        self._next_look = 0.0
        self._listed = listfile.look()

    def turn(self) -> None:
        """Hear the broker and the operator, answer who may be answered; never waits. Raises Unusable."""
        for event in self._link.advance():
            self._hear(event)
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_S
            self._listed = self._listfile.look()
            self._revocations.look()
        if not self._connected:
            return
        if self._question not in self._asking:
            self._question = None
        for topic, asking in list(self._asking.items()):
            if time.monotonic() - asking.heard_s > GOOD_S:
                del self._asking[topic]
            elif self._may_have(topic, asking, self._listed):
                self._decide_on(topic, asking, self._listed)

    def _hear(self, event: Event) -> None:
        match event:
            case Connected():
                _log.info("connected; waiting for units to ask")
                self._connected, self._complaint = True, None
            case Down():
                if event.was_connected or event.reason != self._complaint:
                    _log.warning("no broker: %s; trying again, ever more rarely", words(event.reason))
                self._connected, self._complaint = False, event.reason
                self._in_flight.clear()
            case Received():
                self._take(event.topic.removesuffix("/arm"), event.payload)
            case Answered() if event.ticket in self._in_flight:
                name = self._in_flight.pop(event.ticket)
                if event.outcome is not Outcome.TAKEN:
                    _log.warning("%s did not get it: %s; does it run, with source arm?", name, event.reason)
            case _:
                pass

    def _take(self, topic: str, raw: bytes) -> None:
        name = UNIT_TOPIC.fullmatch(topic)
        if name is None or not raw:
            return
        unit = name.group(1)
        try:
            request = arming.read_request(raw, self._keys(unit))
            if request.unit != unit:
                raise ArmingRefused(f"the request is refused: it names unit {request.unit}")  # noqa: TRY301
        except ArmingRefused as error:
            _log.warning("%s: %s", _short(topic), error)
            return
        before = self._asking.pop(topic, None)
        asking = _Asking(request, time.monotonic())
        if before is not None and before.request.boot_id == request.boot_id:
            asking.told, asking.declined = before.told, before.declined
        while len(self._asking) >= MAX_UNITS:
            del self._asking[next(iter(self._asking))]
        self._asking[topic] = asking

    def _keys(self, unit: str) -> Mapping[str, bytes] | None:
        if self._units is None:
            return None
        public = self._units.get(unit)
        return {} if public is None else {key_id(public): public}

    def _may_have(self, topic: str, asking: _Asking, listed: Listed) -> bool:
        request, holds, header = asking.request, asking.request.holds, listed.header
        if holds is not None:
            withdrawn = self._revocations.against(request.unit, holds.list_id, holds.version)
            if withdrawn is not None:
                if not asking.warned and self._send(topic, withdrawn):
                    asking.warned = True
                    _log.info(
                        "%s: told that list %s version %d is withdrawn", _short(topic), holds.list_id, holds.version
                    )
                return False
            if holds.list_id == header.list_id and holds.version >= header.version:
                if holds.version > header.version:
                    self._tell(topic, asking, f"holds version {holds.version} already; this one is older")
                return False
        why_not = header.why_not(request.unit, self._now())
        if why_not is None and self._revocations.against(request.unit, header.list_id, header.version) is not None:
            why_not = "is withdrawn; sign a newer version"
        if why_not is not None:
            which = f"list {header.list_id} version {header.version}"
            self._tell(topic, asking, f"asks for a list and gets none: {which} {why_not}")
        return why_not is None

    def _decide_on(self, topic: str, asking: _Asking, listed: Listed) -> None:
        sent = self._sent.get(topic)
        if sent is not None and (sent.boot_id, sent.digest) != (asking.request.boot_id, listed.digest):
            sent = _Sent(sent.at_s, asking.request.boot_id, listed.digest, 0)
        recent = sent is not None and time.monotonic() - sent.at_s < sent.pause_s()
        if asking.declined == listed.digest or recent or self._question not in (None, topic):
            return
        yes = True if self._decide is None else self._decide(self._question_of(topic, asking, listed))
        if yes is None:
            self._question = topic
            return
        self._question = None
        if not yes:
            asking.declined = listed.digest
            _log.info("%s: declined, until it starts anew or the list changes", _short(topic))
            return
        try:
            sealed = arming.answer(asking.request, listed.envelope, listed.header.version, self._secret, self._now())
        except ArmingRefused as error:
            _log.warning("%s: %s", _short(topic), error)
            del self._asking[topic]
            return
        if self._send(topic, sealed):
            del self._asking[topic]
            times = 1 if sent is None else sent.times + 1
            self._sent.pop(topic, None)
            while len(self._sent) >= MAX_UNITS:
                del self._sent[next(iter(self._sent))]
            self._sent[topic] = _Sent(time.monotonic(), asking.request.boot_id, listed.digest, times)
            again = "" if times == 1 else " again; it asked anew, and its alarm says why"
            _log.info("%s: sent list %s version %d%s", _short(topic), *_named(listed), again)

    def _question_of(self, topic: str, asking: _Asking, listed: Listed) -> str:
        request, header = asking.request, listed.header
        held = "no list" if request.holds is None else f"version {request.holds.version}"
        proof = "signed by its key" if request.signer else "NOT signed: anybody who may publish as it can ask this"
        return (
            f"{_short(topic)} has {held} and asks (boot {request.boot_id}, {proof}). "
            f"Give it list {header.list_id} version {header.version}: {listed.entries} entries, valid until "
            f"{header.valid_until:%Y-%m-%d %H:%M} UTC, mandate {header.mandate.reference}?"
        )

    def _send(self, topic: str, payload: bytes) -> bool:
        try:
            ticket = self._link.publish(Message(f"{topic}/list", payload, expiry_s=int(arming.LIFE.total_seconds())))
        except ValueError as error:
            _log.error("%s: too large for the broker (%s); raise its packet limit", _short(topic), error)
            return True  # asked again, it would be too large again
        if ticket is None:
            return False
        self._in_flight[ticket] = _short(topic)
        return True

    def _tell(self, topic: str, asking: _Asking, text: str) -> None:
        if asking.told != text:
            _log.warning("%s: %s", _short(topic), text)
        asking.told = text


def _named(listed: Listed) -> tuple[str, int]:
    return listed.header.list_id, listed.header.version


def _short(topic: str) -> str:
    """``org/site/unit``, of a topic that may be anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in topic.removeprefix("anpr/v1/"))[:100]
