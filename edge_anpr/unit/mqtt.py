"""MQTT 5 towards the broker, for the one thread that owns a Link; the only file that names paho.

paho keeps its network thread and its memory-only queue, and nothing else is left to it (its open issues 354,
492, 613, 891, 893: loops that hang while ``is_connected()`` is true). Each connection is a new client; it is
given at most ``WINDOW`` messages; its callbacks only append to a deque; silence of three keepalives ends it;
and when to try again is decided here. A message is acknowledged by a PUBACK that says success, and by nothing
else.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_anpr.unit import advice
from edge_anpr.unit.advice import Trouble
from edge_anpr.unit.backoff import Backoff
from edge_anpr.unit.tls import Contexts, Files

WINDOW = 40
# What a broker may send us, who have it in RAM several times: the largest sealed list, and a little.
MAX_PACKET_BYTES = 20 * 1024 * 1024 + 1024
CONNECT_S = 15.0
BACKOFF_S = (0.5, 30.0)
UNSTEADY = (5, 600.0)  # so many connections that end within so many seconds: somebody has to know
SETTLE_S = 2.0  # so long a renewal waits for what is in flight
CLOCK_STEP_S = 30.0
SILENT_KEEPALIVES = 3
NO_MATCHING_SUBSCRIBERS = 0x10


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how to be let in. ``ca`` None means no TLS."""

    host: str
    port: int
    client_id: str
    keepalive_s: int = 30
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def files(self) -> Files | None:
        """The TLS files, None without TLS."""
        return None if self.ca is None else Files(self.ca, self.certificate, self.key)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish at QoS 1, with its user properties; the broker throws it away after ``expiry_s``."""

    topic: str
    payload: bytes = field(repr=False)
    retain: bool = False
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


class Outcome(Enum):
    """What the broker said to a message."""

    TAKEN = "taken"
    NO_SUBSCRIBER = "no subscriber"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has let us in (and has taken the subscription, if there is one)."""


@dataclass(frozen=True, slots=True)
class Down:
    """A connection, or an attempt at one, has ended; nothing is in flight now. ``reason`` says what to do.

    ``alarm`` is a code of ``advice.ALARMS`` when a person has to do something.
    """

    reason: str
    was_connected: bool
    retry_s: float
    alarm: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The PUBACK of a message; ``reason`` is the broker's, in words."""

    ticket: int
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the subscription. ``retained``: the broker had kept it. ``ticket`` serves ``acknowledge``."""

    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False
    properties: tuple[tuple[str, str], ...] = ()
    ticket: int = field(default=0, compare=False)


Event = Connected | Down | Answered | Received


class Link:
    """A lasting wish to be connected to ``broker``; call ``advance`` often, from one thread.

    ``will`` is published by the broker when we vanish; ``subscribe`` are topic filters, taken at QoS 1. With
    ``unacknowledged`` at most so many messages come before some were given to ``acknowledge``; without it paho
    acknowledges each by itself. Raises Unusable when the TLS files cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        will: Message | None = None,
        subscribe: Sequence[str] = (),
        unacknowledged: int | None = None,
    ) -> None:
        self._contexts = None if broker.files is None else Contexts(broker.files)
        self._broker, self._will, self._subscribe = broker, will, tuple(subscribe)
        self._unacknowledged = unacknowledged
        self._wake = threading.Event()
        self._wire: _Wire | None = None
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
                self._wire = _Wire(
                    self._broker, self._contexts, self._will, self._subscribe, self._unacknowledged, self._wake
                )
            return events
        while self._wire is not None and self._wire.events:
            event = self._wire.events.popleft()
            if isinstance(event, Connected):
                self._connected_at = now
            elif isinstance(event, Answered):
                self._in_flight.pop(event.ticket, None)
            if isinstance(event, _Ended):
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


@dataclass(frozen=True, slots=True)
class _Ended:
    trouble: Trouble


class _Wire:
    """One connection of one paho client, from its birth to its end. Its callbacks run in paho's thread."""

    def __init__(
        self,
        broker: Broker,
        contexts: Contexts | None,
        will: Message | None,
        subscribe: tuple[str, ...],
        unacknowledged: int | None,
        wake: threading.Event,
    ) -> None:
        self.events: deque[Connected | Answered | Received | _Ended] = deque()
        self.began = self.heard = time.monotonic()
        self.keepalive_s = broker.keepalive_s
        self.receive_maximum, self.maximum_packet = 65_535, 268_435_455
        self._broker, self._contexts, self._subscribe = broker, contexts, subscribe
        self._unacknowledged, self._wake = unacknowledged, wake
        self._error: str | None = None
        self._abandoned = self._welcome = False
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, broker.client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        client.max_inflight_messages_set(WINDOW + 8)
        client.manual_ack_set(unacknowledged is not None)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_message = self._on_publish, self._on_message
        client.on_subscribe, client.on_log = self._on_subscribe, self._on_log
        client.on_socket_open, client.on_socket_close = self._on_socket_open, self._on_socket_close
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        # Name resolution and the TCP and TLS handshakes block, for longer than a SIGTERM may take.
        self._dialling = threading.Thread(target=self._dial, name="mqtt-dial", daemon=True)
        self._dialling.start()

    def publish(self, message: Message) -> int | None:
        properties = None
        if message.expiry_s is not None or message.properties:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if message.expiry_s is not None:
                properties.MessageExpiryInterval = message.expiry_s
            if message.properties:
                properties.UserProperty = list(message.properties)
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
        # On any other answer paho may have queued it; the connection is ending, and with it this client.
        return info.mid if info.rc == paho.MQTT_ERR_SUCCESS else None

    def acknowledge(self, ticket: int) -> None:
        if ticket:
            self._client.ack(ticket, qos=1)

    def end(self, *, polite: bool) -> None:
        """Leave this client for good: close its socket, and let its thread, which may hang, find that out."""
        self._abandoned = True
        sock = self._client.socket()
        if polite and self._client.is_connected():
            self._client.disconnect()
        elif sock is not None:
            with suppress(OSError):  # it was closed already, which is all we wanted
                sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
        reaper = threading.Thread(target=self._reap, name="mqtt-reap", daemon=True)
        reaper.start()
        reaper.join(0.3)

    def _reap(self) -> None:
        self._dialling.join()
        self._client.loop_stop()

    def _dial(self) -> None:
        broker, client = self._broker, self._client
        try:
            if self._contexts is not None:
                client.tls_set_context(self._contexts.current())
            client.connect_timeout = CONNECT_S * 0.6
            limit = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            limit.MaximumPacketSize = MAX_PACKET_BYTES
            if self._unacknowledged is not None:
                limit.ReceiveMaximum = self._unacknowledged
            client.connect(broker.host, broker.port, keepalive=broker.keepalive_s, clean_start=True, properties=limit)
        except (OSError, ValueError) as error:
            self._tell(_Ended(advice.unreachable(error)))
            return
        if self._abandoned:
            client.disconnect()
        else:
            client.loop_start()

    def _on_socket_open(self, _client: paho.Client, _user: object, opened: paho.SocketLike) -> None:
        if self._abandoned:  # to say CONNECT now would throw out the client that came after this one
            opened.close()
            raise ConnectionAbortedError

    def _on_socket_close(self, _client: paho.Client, _user: object, closing: paho.SocketLike) -> None:
        # A broker that refuses our certificate has said so and gone by the time that we write CONNECT; paho sees the
        # write fail, and does not read.
        if not self._welcome and self._contexts is not None and "SSL:" not in (self._error or ""):
            try:
                closing.recv(1)
            except (OSError, ValueError) as error:
                self._error = str(error)

    def _tell(self, event: Connected | Answered | Received | _Ended) -> None:
        self.events.append(event)
        self._wake.set()

    def _on_connect(
        self,
        client: paho.Client,
        _user: object,
        _flags: object,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._tell(_Ended(advice.refused(code.value, str(code))))
            return
        self._welcome = True
        self.receive_maximum = getattr(properties, "ReceiveMaximum", self.receive_maximum)
        self.maximum_packet = getattr(properties, "MaximumPacketSize", self.maximum_packet)
        self.keepalive_s = getattr(properties, "ServerKeepAlive", self.keepalive_s)
        if self._subscribe:
            client.subscribe([(topic, 1) for topic in self._subscribe])
        else:
            self._tell(Connected())

    def _on_subscribe(
        self, _client: paho.Client, _user: object, _mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        refused = [code for code in codes if code.is_failure]
        if refused:
            self._tell(_Ended(advice.refused_subscription(refused[0].value, str(refused[0]))))
        else:
            self._tell(Connected())

    def _on_disconnect(
        self,
        _client: paho.Client,
        _user: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        _properties: object,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._tell(_Ended(advice.refused(code.value, str(code))))
        elif self._welcome:
            self._tell(_Ended(Trouble("the connection broke")))
        else:
            self._tell(_Ended(advice.hung_up(self._error, tls=self._contexts is not None)))

    def _on_publish(
        self, _client: paho.Client, _user: object, ticket: int, code: ReasonCode, _properties: object
    ) -> None:
        if code.value == NO_MATCHING_SUBSCRIBERS:
            outcome = Outcome.NO_SUBSCRIBER
        else:
            outcome = Outcome.REFUSED if code.is_failure else Outcome.TAKEN
        self._tell(Answered(ticket, outcome, str(code)))

    def _on_message(self, _client: paho.Client, _user: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # raised here it would end paho's thread
            self._client.ack(message.mid, message.qos)
            return
        properties = tuple(getattr(message.properties, "UserProperty", ()))
        # What comes at QoS 0 needs no acknowledgement; paho numbers it 0 as well.
        self._tell(Received(topic, bytes(message.payload), message.retain, properties, message.mid))

    def _on_log(self, _client: paho.Client, _user: object, _level: int, text: str) -> None:
        if text.startswith("Received "):  # the only place where paho tells of a PINGRESP
            self.heard = time.monotonic()
        elif text.startswith("failed to receive"):  # and of an error of the socket
            self._error = text
