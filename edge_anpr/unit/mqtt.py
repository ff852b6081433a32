"""MQTT 5 towards the broker, for the one thread that owns a Link.

Each connection is a new ``Wire``; it is given at most ``WINDOW`` messages; silence of three keepalives ends it; and
when to try again is decided here. A message is acknowledged by a PUBACK that says success, and by nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge_anpr.unit import advice
from edge_anpr.unit.advice import Trouble
from edge_anpr.unit.backoff import Backoff
from edge_anpr.unit.tls import Contexts
from edge_anpr.unit.wire import WINDOW, Answered, Broker, Connected, Ended, Message, Outcome, Received, Wire

__all__ = [
    "WINDOW", "Answered", "Broker", "Connected", "Down", "Event", "Link", "Message", "Outcome", "Received",
]  # fmt: skip

CONNECT_S = 15.0
BACKOFF_S = (0.5, 30.0)
UNSTEADY = (5, 600.0)  # so many connections that end within so many seconds: somebody has to know
SETTLE_S = 2.0  # so long a renewal waits for what is in flight
CLOCK_STEP_S = 30.0
SILENT_KEEPALIVES = 3


@dataclass(frozen=True, slots=True)
class Down:
    """A connection, or an attempt at one, has ended; nothing is in flight now. ``reason`` says what to do.

    ``alarm`` is a code of ``advice.ALARMS`` when a person has to do something.
    """

    reason: str
    was_connected: bool
    retry_s: float
    alarm: str | None = None


Event = Connected | Down | Answered | Received


class Link:
    """A lasting wish to be connected to ``broker``; call ``advance`` often, from one thread.

    ``will`` is published by the broker when we vanish; ``subscribe`` are topic filters, taken at QoS 1. With
    ``unacknowledged`` at most so many messages come before some were given to ``acknowledge``; without it paho
    acknowledges each by itself. ``wake`` is set whenever something has come, for who has many links. Raises Unusable
    when the TLS files cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        will: Message | None = None,
        subscribe: Sequence[str] = (),
        unacknowledged: int | None = None,
        wake: threading.Event | None = None,
    ) -> None:
        self._contexts = None if broker.files is None else Contexts(broker.files)
        self._broker, self._will, self._subscribe = broker, will, tuple(subscribe)
        self._unacknowledged = unacknowledged
        self._wake = threading.Event() if wake is None else wake
        self._wire: Wire | None = None
        self._next_try, self._backoff = 0.0, Backoff(*BACKOFF_S)
        self._renew_at: float | None = None
        self._alarm: tuple[str, str] | None = None
        self._clock_s, self._ends = 0.0, deque[float](maxlen=UNSTEADY[0])
        self._connected_at: float | None = None
        self._in_flight: dict[int, float] = {}

    @property
    def connected_s(self) -> float | None:
        """For how long the link has stood, or None while it does not."""
        return None if self._connected_at is None else time.monotonic() - self._connected_at

    @property
    def alarm(self) -> tuple[str, str] | None:
        """Code (of ``advice.ALARMS``) and text of what keeps, or kept, us out; it ends when we are in again.

        Except for those that need a connection to arise: they end when one has stood for ten minutes.
        """
        if self._alarm is not None and self.connected_s is not None:
            lasting = self._alarm[0] in advice.LASTING and self.connected_s < UNSTEADY[1]
            self._alarm = self._alarm if lasting else None
        return self._alarm

    @property
    def room(self) -> int:
        """How many messages may be published now."""
        if self._wire is None or self._connected_at is None or self._renew_at is not None:
            return 0
        return max(0, min(WINDOW, self._wire.receive_maximum) - len(self._in_flight))

    def wait(self, timeout_s: float) -> None:
        """Sleep until the broker says something, or the time is over."""
        self._wake.wait(timeout_s)
        self._wake.clear()

    def publish(self, message: Message) -> int | None:
        """Hand one message over; its ticket comes back in an Answered. None: no room, or no connection.

        Raises ValueError when the broker has said that it takes no message of this size.
        """
        if self._wire is None or self.room == 0:
            return None
        if len(message.payload) + len(message.topic) + 64 > self._wire.maximum_packet:
            raise ValueError(f"{len(message.payload)} bytes; the broker takes {self._wire.maximum_packet}")
        ticket = self._wire.publish(message)
        if ticket is not None:
            self._in_flight[ticket] = time.monotonic()
        return ticket

    def hurry(self) -> None:
        """Something urgent waits: after a break of a steady connection the first attempt comes within a second.

        Call it as often as you like; the attempts after that take their time.
        """
        if self._wire is None and (soon_s := self._backoff.hurry()) is not None:
            self._next_try = min(self._next_try, time.monotonic() + soon_s)

    def renew(self) -> None:
        """Connect anew at once, politely, with the TLS files as they are now.

        What is in flight gets its answer first, for up to two seconds; nothing is published meanwhile.
        """
        if self._renew_at is None:
            self._renew_at = time.monotonic()
            self._wake.set()

    def advance(self) -> list[Event]:
        """Connect when it is time to, notice silence, and return what has happened since the last call."""
        now, events = time.monotonic(), list[Event]()
        if self._wire is None:
            if self._renew_at is not None:
                self._renew_at, self._next_try, self._backoff = None, now, Backoff(*BACKOFF_S)
            if now >= self._next_try or self._clock_was_set():
                self._wire = Wire(
                    self._broker,
                    self._contexts,
                    self._will,
                    self._subscribe,
                    self._unacknowledged,
                    self._wake,
                    CONNECT_S,
                )
            return events
        while self._wire is not None and self._wire.events:
            event = self._wire.events.popleft()
            if isinstance(event, Connected):
                self._connected_at = now
            elif isinstance(event, Answered):
                self._in_flight.pop(event.ticket, None)
            if isinstance(event, Ended):
                events.append(self._down(event.trouble, now))
            else:
                events.append(event)
        silence = self._silence(now)
        if silence:
            events.append(self._down(Trouble(silence), now))
        if self._may_renew(now):
            events.append(self._down(Trouble("its certificates have changed; connecting anew"), now, renewed=True))
        return events

    def acknowledge(self, received: Received) -> None:
        """Tell the broker that a message is held here; nothing happens when its connection has ended meanwhile."""
        if self._wire is not None:
            self._wire.acknowledge(received.ticket)

    def close(self, farewell: Message | None = None, timeout_s: float = 0.5) -> None:
        """Publish ``farewell`` if connected, wait at most ``timeout_s`` for its PUBACK, and disconnect."""
        if self._wire is None:
            return
        deadline = time.monotonic() + timeout_s
        ticket = self._wire.publish(farewell) if farewell and self._connected_at is not None else None
        while ticket is not None and (left := deadline - time.monotonic()) > 0:
            self.wait(min(left, 0.1))
            for event in self.advance():
                if isinstance(event, Down) or (isinstance(event, Answered) and event.ticket == ticket):
                    ticket = None
        if self._wire is not None:
            self._wire.end(polite=True)
            self._wire, self._connected_at = None, None

    def _silence(self, now: float) -> str | None:
        wire = self._wire
        if wire is None:
            return None
        if self._connected_at is None:
            patience = CONNECT_S
            text = f"no answer in {patience:.0f} s; check the network, and mqtt.host and mqtt.port"
            return text if now - wire.began > patience else None
        patience = SILENT_KEEPALIVES * wire.keepalive_s
        oldest = min(self._in_flight.values(), default=now)
        if now - wire.heard > patience or now - oldest > patience:
            return f"silent for {patience:.0f} s; connecting anew"
        return None

    def _may_renew(self, now: float) -> bool:
        # A connection that is being made may have the old files or the new ones; wait for its end, or its beginning.
        if self._renew_at is None or self._connected_at is None:
            return False
        return not self._in_flight or now - self._renew_at > SETTLE_S

    def _clock_was_set(self) -> bool:
        if self._alarm is None or self._alarm[0] not in advice.CLOCK_ALARMS:
            return False
        return abs(_wall_less_monotonic() - self._clock_s) > CLOCK_STEP_S

    def _down(self, trouble: Trouble, now: float, *, renewed: bool = False) -> Down:
        was_connected = self._connected_at is not None
        if was_connected and not renewed:
            self._ends.append(now)
            if trouble.alarm is None and len(self._ends) == UNSTEADY[0] and now - self._ends[0] < UNSTEADY[1]:
                trouble = advice.unsteady(trouble)
        retry_s = 0.0 if renewed else self._backoff.after(trouble.pace, self.connected_s)
        self._next_try, self._clock_s = now + retry_s, _wall_less_monotonic()
        if trouble.alarm is not None:
            self._alarm = trouble.alarm, trouble.words
        if self._wire is not None:
            self._wire.end(polite=renewed)
        self._wire, self._connected_at = None, None
        if self._in_flight:
            self.hurry()
        self._in_flight.clear()
        return Down(trouble.words, was_connected, self._next_try - now, trouble.alarm)


def _wall_less_monotonic() -> float:
    return time.time() - time.monotonic()
