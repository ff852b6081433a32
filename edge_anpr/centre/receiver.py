"""Takes the hits of all units: opened, checked, stored once, acknowledged, and receipted, in this order.

A message that was stored before is acknowledged and receipted again: the receipt was lost, or came late. One that
cannot be opened, or is no hit, is kept aside and gets **no** receipt: the unit keeps it, and a centre with the right
key, or a newer one, may still take it. Several centres with one database may share the work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jsonschema_rs

from edge_anpr.centre.broker import words
from edge_anpr.centre.metrics import Figures
from edge_anpr.centre.store import Arrived, Said, Store, StoreDown, Taken
from edge_anpr.privacy import seal
from edge_anpr.privacy.keys import Key
from edge_anpr.unit.mqtt import Connected, Down, Event, Link, Message, Received
from edge_anpr.watch import receipt, strict

STATES = ("birth", "status", "health", "alarm", "stats")
UNACKNOWLEDGED = 200
"""So many messages the broker may hand over before some are acknowledged: what one transaction may hold, and RAM."""
RECEIPT_EXPIRY_S = 60
STORE_AGAIN_S = 1.0
MAX_HIT_BYTES = 256 * 1024
MAX_STATE_BYTES = 64 * 1024
MAX_OWED = 10_000
_TOPIC = re.compile(r"anpr/v1/((?:[a-z0-9-]{1,32}/){2}[a-z0-9-]{1,32})/(?:hit/([a-z0-9-]{1,32})|([a-z]+))")

_log = logging.getLogger(__name__)


def subscriptions(signing: Key) -> list[str]:
    """What a centre listens to. Centres with one receipt key share the hits, under a name that nobody else can know.

    mosquitto lets any client subscribe to anything: one that knew the name would read nothing, and take its turn.
    """
    group = hashlib.blake2b(b"share", key=signing.raw, digest_size=8, person=b"edge-anpr").hexdigest()
    return [f"$share/anpr-{group}/anpr/v1/+/+/+/hit/+", *(f"anpr/v1/+/+/+/{kind}" for kind in STATES)]


class _Poison(Exception):
    """A message that is no hit for this centre; the text says why and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a unit says of itself, stored or not; or a hit that was stored."""

    said: Said | None = None
    hit: Arrived | None = None


class Receiver:
    """Call ``turn`` often. ``secrets`` open hits, ``signing`` signs receipts.

    ``heard`` gets what came: a hit once it is stored, what a unit says of itself at once.
    """

    def __init__(
        self,
        link: Link,
        store: Store,
        secrets: Sequence[Key],
        signing: Key,
        figures: Figures,
        heard: Callable[[Event | Heard], None],
    ) -> None:
        self._link, self._store, self._secrets, self._signing = link, store, secrets, signing
        self._figures, self._heard = figures, heard
        schema = files("edge_anpr.unit").joinpath("hit.schema.json").read_text("utf-8")
        self._schema = jsonschema_rs.validator_for(json.loads(schema))
        self._waiting: list[Received] = []  # hits that are not stored yet, because the database does not answer
        self._said: dict[tuple[str, str], Said] = {}  # of each unit and kind the latest, not stored yet
        self._owed: dict[str, dict[str, None]] = {}  # receipts by unit: digests, each once
        self._store_again_s = 0.0
        self._complaint: str | None = None
        self._store_complaint: str | None = None
        self._told: set[tuple[str, str]] = set()

    def turn(self) -> None:
        """Hear the broker, store, acknowledge, receipt; never waits for the network."""
        for event in self._link.advance():
            self._hear(event)
        self._store_what_waits()
        self._send_receipts()

    def _hear(self, event: Event) -> None:
        match event:
            case Connected():
                _log.info("connected; taking hits")
                self._complaint = None
                self._heard(event)
            case Down():
                if event.was_connected or event.reason != self._complaint:
                    _log.warning("no broker: %s; trying again, ever more rarely", words(event.reason))
                self._complaint = event.reason
                # From a unit that trusts the broker's PUBACK, what is in hand here does not come again.
                self._store_what_waits()
                self._waiting.clear()  # its tickets mean nothing to the next connection
                self._heard(event)
            case Received():
                self._sort(event)
            case _:
                pass

    def _sort(self, message: Received) -> None:
        place = _TOPIC.fullmatch(message.topic)
        if place is not None and place.group(2) is not None and not message.retained:
            # At QoS 0, which no unit uses, the broker would not stop at UNACKNOWLEDGED.
            if message.ticket or len(self._waiting) < UNACKNOWLEDGED:
                self._waiting.append(message)
            return
        self._link.acknowledge(message)  # of a state the next one tells more
        if place is None or place.group(3) not in STATES:
            return
        if not message.payload:
            return
        body = _object(message.payload) if len(message.payload) <= MAX_STATE_BYTES else None
        if body is None:
            self._say_once(place.group(1), f"its {place.group(3)} is no JSON object")
            return
        said = Said(place.group(1), place.group(3), body, message.retained)
        self._said[said.unit, said.kind] = said
        self._heard(Heard(said=said))  # at once: that the database is down is no silence of the units

    def _store_what_waits(self) -> None:
        if not (self._waiting or self._said) or time.monotonic() < self._store_again_s:
            return
        try:
            self._keep()
        except StoreDown as error:
            self._store_again_s = time.monotonic() + STORE_AGAIN_S
            self._figures.store_down()
            if str(error) != self._store_complaint:
                _log.error("%s; nothing is acknowledged until then, and the units keep it", error)
            self._store_complaint = str(error)
        else:
            if self._store_complaint is not None:
                _log.info("the database takes records again")
            self._store_complaint = None

    def _keep(self) -> None:
        while self._waiting:
            batch = self._waiting[:UNACKNOWLEDGED]
            self._take(batch)
            del self._waiting[: len(batch)]
        if self._said:
            self._store.states(list(self._said.values()))
            self._said.clear()

    def _take(self, batch: Sequence[Received]) -> None:
        arrived: list[Arrived] = []
        for message in batch:
            unit, camera = _place(message)
            try:
                arrived.append(self._opened(message, unit, camera))
            except _Poison as error:
                self._store.set_aside(unit, str(error), message.payload, receipt.digest(message.payload))
                self._figures.poisoned(unit)
                self._say_once(unit, f"a message is kept aside: {error}")
        outcomes = self._store.take(arrived)
        self._figures.taken(arrived, outcomes, datetime.now(UTC))
        for one, taken in zip(arrived, outcomes, strict=True):
            if taken is Taken.STORED:
                self._heard(Heard(hit=one))
            if taken is Taken.UNFIT:
                self._say_once(one.unit, "a message is kept aside: no record can be made of it")
            elif len(self._owed) < MAX_OWED or one.unit in self._owed:
                self._owed.setdefault(one.unit, {})[one.digest] = None
        for message in batch:
            self._link.acknowledge(message)

    def _opened(self, message: Received, unit: str, camera: str) -> Arrived:
        raw = message.payload
        if len(raw) > MAX_HIT_BYTES:
            raise _Poison("it is too large for a hit")  # a text of its own for each size would fill _told
        body = _object(self._unsealed(raw))
        if body is None or not self._is_hit(body):
            raise _Poison("it is no anpr.hit/1")
        if (body["unit"], body["camera"]) != (unit, camera):
            raise _Poison("it came under the topic of another unit or camera")
        properties = dict(message.properties)
        age = properties.get("age_s", "")
        return Arrived(
            unit=unit,
            camera=camera,
            payload=body,
            raw=raw,
            digest=receipt.digest(raw),
            late=properties.get("late") == "true",
            age_s=int(age) if re.fullmatch(r"[0-9]{1,9}", age) else None,
        )

    def _is_hit(self, body: Mapping[str, Any]) -> bool:
        try:
            return self._schema.is_valid(body)
        except ValueError:  # half a surrogate pair, of which Python makes a text and nobody else does
            return False

    def _unsealed(self, raw: bytes) -> bytes:
        if not seal.is_sealed(raw):
            return raw
        for secret in self._secrets:
            try:
                return seal.open_sealed(raw, secret)
            except seal.SealRefused:
                continue
        raise _Poison("it is not sealed to a key of this centre, or was altered")

    def _send_receipts(self) -> None:
        while self._owed and self._link.room:
            unit, digests = next(iter(self._owed.items()))
            now = list(digests)[: receipt.MAX_DIGESTS]
            message = Message(
                f"anpr/v1/{unit}/receipt", receipt.make(unit, now, self._signing), expiry_s=RECEIPT_EXPIRY_S
            )
            if self._link.publish(message) is None:
                return
            self._figures.receipted(len(now))
            del self._owed[unit]
            if len(now) < len(digests):
                self._owed[unit] = dict.fromkeys(list(digests)[len(now) :])

    def _say_once(self, unit: str, text: str) -> None:
        if (unit, text) not in self._told and len(self._told) < MAX_OWED:
            self._told.add((unit, text))
            _log.warning("%s: %s", unit, text)


def _place(message: Received) -> tuple[str, str]:
    place = _TOPIC.fullmatch(message.topic)
    assert place is not None
    return place.group(1), place.group(2)


def _object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        body = strict.loads(raw)
    except strict.NotStrict:
        return None
    return body if isinstance(body, dict) else None
