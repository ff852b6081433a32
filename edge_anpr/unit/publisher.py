"""The process on the network: carries hits from the outbox to the broker, says how the unit is, and takes in lists.

A hit leaves the outbox some seconds after a PUBACK that says success, so that it reaches the broker at least once,
and once more when the connection is lost meanwhile: a broker that is killed takes with it what it had acknowledged
and not yet handed on. The receiver tells repeats by ``hit_id`` and ``phase``. What a broker does for subscribers that
are away is its own affair: mosquitto can lose what it keeps for them until its next autosave.
"""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_anpr.config import Config
from edge_anpr.errors import Unusable
from edge_anpr.privacy import process
from edge_anpr.unit.clock import iso
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.mqtt import Answered, Broker, Connected, Down, Event, Link, Message, Outcome, Received
from edge_anpr.unit.outbox import Outbox, OutboxError, OutboxFull, Row

LOST = b'{"status":"lost"}'  # said by the broker, later: a time of ours would mislead
HIT_EXPIRY_S = 7 * 24 * 3600
POLL_S = 0.1
GRACE_S = 2.0  # so long a hit that was taken stays, in case the broker dies of it
RESERVE = 4  # places in the link's window that hits leave to status, birth and health
MAX_REASON = 200
# A hit that the broker threw away or refused is tried again so much later; one alone, until it is taken.
NO_SUBSCRIBER_RETRY_S = 5.0
REFUSED_RETRY_S = 60.0

_log = logging.getLogger(__name__)


def run(config: Config, broker: tuple[str, int] | None = None, inbox: Path | None = None) -> int:
    """Publish until SIGTERM or SIGINT, and return the exit code; ``broker`` (host, port) replaces the config's.

    With an ``inbox`` it takes in what the centre sends to this unit's ``list`` topic.

    Raises Unusable when the outbox, the password or the TLS files cannot be used, or no broker is named.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="publisher: %(message)s")
    process.harden()
    topic = config.topic
    into = None if inbox is None else Inbox(inbox)
    link = Link(
        link_to(config, broker),
        will=Message(f"{topic}/status", LOST, retain=True),
        subscribe=[] if into is None else [f"{topic}/list"],
    )
    outbox = Outbox(config.delivery.outbox, config.delivery.max_megabytes * 1_000_000, "publisher")
    carrier = Carrier(outbox, link, topic, config.camera.id, config.health.interval_s, into)
    stopping: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopping.append(number)  # and no more: a lock taken here may be one that the main thread holds

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        while not stopping:
            carrier.turn()
            link.wait(POLL_S)
    except OutboxError as error:
        _log.critical("%s", error)
        return 1
    finally:
        link.close(Message(f"{topic}/status", _status("offline"), retain=True))
        carrier.settle(0.0)
        outbox.close()
    return 0


@dataclass(slots=True)
class Counts:
    """What the publisher has done since it began."""

    sent: int = 0
    acknowledged: int = 0
    retries: int = 0
    reconnects: int = 0
    not_taken_in: int = 0


class Carrier:
    """The hits' way from ``outbox`` to ``link``; ``turn`` is one round of it, and never waits."""

    def __init__(
        self,
        outbox: Outbox,
        link: Link,
        topic: str,
        camera: str,
        health_interval_s: float,
        inbox: Inbox | None = None,
    ) -> None:
        self._outbox, self._link, self._topic, self._camera = outbox, link, topic, camera
        self._inbox = inbox
        self._inbox_complaint: str | None = None
        self._interval_s = health_interval_s
        self._began = time.monotonic()
        self._next_health = 0.0
        self._connected = False
        self._complaint: str | None = None  # what was last said of the broker, so that it is said once
        self._version: int | None = None
        self._said: dict[str, bytes | None] = {}  # what this connection's broker has of each kind of state
        self._states_due = self._look = True
        self._flying: dict[int, Row] = {}
        self._sent_up_to = 0
        self._rewind = False
        self._held: Outcome | None = None
        self._hold_until = 0.0
        self._taken: dict[int, float] = {}  # rowid: when (monotonic)
        self._too_big: set[int] = set()
        self._disk_full = self._backlog = False
        self.counts = Counts()

    def turn(self) -> None:
        """Hear the broker, then send what there is to send."""
        for event in self._link.advance():
            self._hear(event)
        self.settle(GRACE_S)
        if not self._connected:
            return
        version = self._outbox.version()
        if version != self._version:
            self._version, self._look, self._states_due = version, True, True
        if self._states_due:
            self._states_due = not all(self._say_state(*state) for state in STATES.items())
        if self._look and time.monotonic() >= self._hold_until:
            self._send_hits()
        if time.monotonic() >= self._next_health:
            message = Message(f"{self._topic}/health", self._health(), expiry_s=int(4 * self._interval_s) + 60)
            if self._say(message):
                self._next_health = time.monotonic() + self._interval_s

    def _hear(self, event: Event) -> None:
        match event:
            case Connected():
                depth = self._outbox.depth()
                _log.info("connected to the broker; %d messages wait", depth.hits)
                if self._complaint is not None:
                    self.counts.reconnects += 1
                self._connected, self._complaint, self._next_health = True, None, 0.0
                self._said, self._states_due, self._look, self._sent_up_to = {}, True, True, 0
                self._backlog = depth.hits > 0
            case Down():
                self._lose(event)
            case Answered() if event.ticket in self._flying:
                self._judge(self._flying.pop(event.ticket), event)
            case Received() if event.topic == f"{self._topic}/list":
                self._take_in(event.payload)
            case _:
                pass  # the answer to a state or a health

    def _lose(self, event: Down) -> None:
        if event.was_connected or event.reason != self._complaint:
            _log.warning(
                "%s: %s; %d messages wait in the outbox; retry in %.1f s, then ever more rarely, for ever",
                "lost the broker" if event.was_connected else "cannot reach the broker",
                event.reason,
                self._outbox.depth().hits,
                event.retry_s,
            )
        self._complaint, self._connected = event.reason, False
        self.counts.retries += len(self._flying) + len(self._taken)
        self._flying.clear()
        self._taken.clear()  # the broker may be gone with what it took: it gets these again
        self._rewind, self._hold_until = False, 0.0

    def _judge(self, row: Row, answer: Answered) -> None:
        if answer.outcome is Outcome.TAKEN:
            self.counts.acknowledged += 1
            self._taken[row.rowid] = time.monotonic()
            if self._held is not None and not self._rewind:
                _log.info("the broker takes hits again")
                self._held = None
            self._look = True
            return
        # A PUBACK, but not of a message that the broker keeps: everything is sent again from the oldest on, one at
        # a time until one is taken, so that a hit's phases stay in order.
        self.counts.retries += 1
        if answer.outcome is not self._held:
            if answer.outcome is Outcome.NO_SUBSCRIBER:
                _log.warning("nobody subscribes to the hits; they stay in the outbox until somebody does")
            else:
                _log.warning("the broker refuses hits (%s); they stay in the outbox; check its rules", answer.reason)
        retry_s = NO_SUBSCRIBER_RETRY_S if answer.outcome is Outcome.NO_SUBSCRIBER else REFUSED_RETRY_S
        self._held, self._hold_until = answer.outcome, time.monotonic() + retry_s
        self._rewind = self._look = self._backlog = True

    def settle(self, older_than_s: float) -> None:
        """Delete the hits that the broker took so long ago."""
        before = time.monotonic() - older_than_s
        done = [rowid for rowid, at in self._taken.items() if at <= before]
        if not done:
            return
        try:
            self._outbox.delete(done)
        except OutboxFull as error:
            if not self._disk_full:
                _log.error("%s; hits that were delivered cannot be deleted", error)
            self._disk_full = True
            return
        for rowid in done:
            del self._taken[rowid]
        self._disk_full = False
        if self._backlog and self._outbox.depth().hits == 0:
            self._backlog = False
            _log.info("outbox drained")

    def _send_hits(self) -> None:
        if self._rewind:
            if self._flying:
                return
            self._rewind, self._sent_up_to = False, 0
        if self._held is not None and self._flying:
            return
        room = self._link.room - RESERVE if self._held is None else 1
        if room <= 0:
            return
        rows = self._outbox.waiting(self._sent_up_to, room)
        self._look = len(rows) == room
        for row in rows:
            if any(other.hit_id == row.hit_id for other in self._flying.values()):
                self._look = True  # the final report of a hit follows when its first one has arrived
                return
            if not self._send(row):
                self._look = True
                return
            self._sent_up_to = row.rowid

    def _send(self, row: Row) -> bool:
        if row.rowid in self._taken:
            return True
        message = Message(f"{self._topic}/hit/{self._camera}", row.payload, expiry_s=HIT_EXPIRY_S)
        try:
            ticket = self._link.publish(message)
        except ValueError as error:
            if row.rowid not in self._too_big:
                _log.error("a hit is too large for the broker (%s); raise its packet limit", error)
            self._too_big.add(row.rowid)
            return True
        if ticket is None:
            return False
        self.counts.sent += 1
        self._flying[ticket] = row
        return True

    def _take_in(self, message: bytes) -> None:
        if self._inbox is None:
            return
        complaint = self._inbox.drop(message)
        if complaint is not None:
            self.counts.not_taken_in += 1
        if complaint is not None and self._inbox_complaint is None:
            _log.error("a message of the centre is not taken in: %s", complaint)
        self._inbox_complaint = complaint

    def _say_state(self, kind: str, how: _State) -> bool:
        state = self._outbox.state(kind)
        if kind in self._said and self._said[kind] == state:
            return True
        payload = how.form(state)
        if payload and not self._say(Message(f"{self._topic}/{kind}", payload, retain=how.retain)):
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

    def _health(self) -> bytes:
        depth = self._outbox.depth()
        connected_s = self._link.connected_s
        return _json(
            {
                "schema": "anpr.health/1",
                "at": _now(),
                "uptime_s": round(time.monotonic() - self._began, 1),
                "recogniser": self._recogniser(),
                "publisher": {
                    "connected_s": None if connected_s is None else round(connected_s, 1),
                    "outbox": {"hits": depth.hits, "bytes": depth.bytes},
                    "too_big": len(self._too_big),
                    **asdict(self.counts),
                },
            }
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


def link_to(config: Config, instead: tuple[str, int] | None, role: str = "") -> Broker:
    """The broker of a config, or the one at ``instead``; ``role`` tells a unit's second client from its first."""
    mqtt = config.mqtt
    client_id = f"edge-anpr-{config.unit.org}-{config.unit.site}-{config.unit.id}{role}"
    if len(client_id) > 64:  # cut to a length that brokers take, still one of its kind
        client_id = f"{client_id[:55]}-{hashlib.sha256(client_id.encode()).hexdigest()[:8]}"
    if instead is not None:
        return Broker(*instead, client_id, mqtt.keepalive_s)
    if mqtt.host is None:
        raise Unusable("mqtt.host is missing; name the broker, or start everything with 'edge-anpr run'")
    tls = mqtt.tls
    return Broker(
        host=mqtt.host,
        port=mqtt.port,
        client_id=client_id,
        keepalive_s=mqtt.keepalive_s,
        username=mqtt.username,
        password=None if mqtt.password_file is None else _password(mqtt.password_file),
        ca=tls.ca if tls else None,
        certificate=tls.certificate if tls else None,
        key=tls.key if tls else None,
    )


def _password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Unusable(f"mqtt.password_file {path} cannot be read: {words}") from error


def _status(word: str, **more: str) -> bytes:
    return _json({"status": word, "at": _now(), **more})


def _standing(state: bytes | None) -> bytes:
    """Online; or disarmed, and why, if the recogniser says so."""
    try:
        said = json.loads(state or b"null")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("status") != "disarmed":
        return _status("online")
    return _status("disarmed", reason=str(said.get("reason", ""))[:MAX_REASON])


@dataclass(frozen=True, slots=True)
class _State:
    """How a kind of the recogniser's state is said, under the topic of its name; ``form`` None or empty: not at all."""

    retain: bool
    form: Callable[[bytes | None], bytes | None] = lambda state: state


# Each is said when it changes, and again on every new connection; so receivers of ``stats`` tell repeats by its times.
STATES = {
    "status": _State(retain=True, form=_standing),
    "birth": _State(retain=True),
    "alarm": _State(retain=True),
    "arm": _State(retain=False),  # what was asked before a reboot must not be answered after it
    "stats": _State(retain=False),
}


def _now() -> str:
    return iso(datetime.now(UTC))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
