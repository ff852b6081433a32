"""One connection to a broker, of one paho client; the only file that names paho.

paho keeps its network thread and its memory-only queue, and nothing else is left to it (its open issues 354,
492, 613, 891, 893: loops that hang while ``is_connected()`` is true). Its callbacks only append to a deque.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
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
from edge_anpr.unit.tls import Contexts, Files

WINDOW = 40
# What a broker may send us, who have it in RAM several times: the largest sealed list, and a little.
MAX_PACKET_BYTES = 20 * 1024 * 1024 + 1024
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


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over, or could not be made, and why."""

    trouble: Trouble


class Wire:
    """From its birth to its end, at most ``connect_s`` for a step of its beginning; callbacks run in paho's thread."""

    def __init__(
        self,
        broker: Broker,
        contexts: Contexts | None,
        will: Message | None,
        subscribe: tuple[str, ...],
        unacknowledged: int | None,
        wake: threading.Event,
        connect_s: float,
    ) -> None:
        self.events: deque[Connected | Answered | Received | Ended] = deque()
        self.began = self.heard = time.monotonic()
        self.keepalive_s = broker.keepalive_s
        self.receive_maximum, self.maximum_packet = 65_535, 268_435_455
        self._broker, self._contexts, self._subscribe = broker, contexts, subscribe
        self._unacknowledged, self._wake, self._connect_s = unacknowledged, wake, connect_s
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
        """Hand one message to paho; None when the connection is ending."""
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
        """Send the PUBACK of a message that came; 0 is one that wants none."""
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
            client.connect_timeout = self._connect_s * 0.6
            limit = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            limit.MaximumPacketSize = MAX_PACKET_BYTES
            if self._unacknowledged is not None:
                limit.ReceiveMaximum = self._unacknowledged
            client.connect(broker.host, broker.port, keepalive=broker.keepalive_s, clean_start=True, properties=limit)
        except (OSError, ValueError) as error:
            self._tell(Ended(advice.unreachable(error)))
            return
        if self._abandoned:
            client.disconnect()
        else:
            client.loop_start()

    def _on_socket_open(self, _client: paho.Client, _user: object, opened: paho.SocketLike) -> None:
        if isinstance(opened, socket.socket):  # waiting for the peer's delayed ACK costs up to 40 ms a window
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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

    def _tell(self, event: Connected | Answered | Received | Ended) -> None:
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
            self._tell(Ended(advice.refused(code.value, str(code))))
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
            self._tell(Ended(advice.refused_subscription(refused[0].value, str(refused[0]))))
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
            # paho 2.1, Debian 13's, overlooks a reason that comes without properties, and mosquitto's come so.
            if told := self._client._in_packet["packet"]:
                with suppress(KeyError):  # no reason that it knows: raised here it would end paho's thread
                    code = ReasonCode(PacketTypes.DISCONNECT, identifier=told[0])
            self._tell(Ended(advice.refused(code.value, str(code))))
        elif self._welcome:
            self._tell(Ended(Trouble("the connection broke")))
        else:
            self._tell(Ended(advice.hung_up(self._error, tls=self._contexts is not None)))

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
