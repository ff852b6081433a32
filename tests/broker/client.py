"""An MQTT 5 client over TLS that shows every code it gets; paho itself, with nothing of ours between."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

from tests.conftest import until

SUCCESS, NOT_AUTHORIZED, NO_SUBSCRIBER = 0x00, 0x87, 0x10


def context(files: Sequence[Path]) -> ssl.SSLContext:
    """``files``: the authority alone, or with a certificate and its key."""
    made = ssl.create_default_context(cafile=files[0])
    if len(files) > 1:
        made.load_cert_chain(files[1], files[2])
    return made


class Client:
    """Connects at once; ``code`` is the CONNACK's, None when there was none. A with block disconnects it."""

    def __init__(
        self,
        port: int,
        files: Sequence[Path],
        client_id: str = "client",
        *,
        will: tuple[str, bytes] | None = None,
        tls: ssl.SSLContext | None = None,
        keepalive_s: int = 60,
        manual_ack: bool = False,
    ) -> None:
        self.code: int | None = None
        self.connack: Properties | None = None
        self.ended = False
        self.said: list[int] = []
        self.heard: list[tuple[str, bytes]] = []
        self.pubacks: dict[int, int] = {}
        self._subacks: dict[int, int] = {}
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, reconnect_on_failure=False,
            manual_ack=manual_ack,
        )  # fmt: skip
        client.tls_set_context(tls or context(files))
        client.max_inflight_messages_set(10_000)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = lambda _c, _u, mid, code, _p: self.pubacks.update({mid: code.value})
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self._subacks.update({mid: codes[0].value})
        client.on_message = lambda _c, _u, message: self.heard.append((message.topic, bytes(message.payload)))
        if will is not None:
            client.will_set(*will, qos=1)
        client.connect("127.0.0.1", port, keepalive=keepalive_s)
        client.loop_start()
        until(lambda: self.code is not None or self.ended)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """Publish at QoS 1 and go on; the message's id."""
        return self._client.publish(topic, payload, qos=1, retain=retain).mid

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int | None:
        """Publish at QoS 1; the PUBACK's code, None when the connection ended instead."""
        mid = self.send(topic, payload, retain=retain)
        until(lambda: mid in self.pubacks or self.ended)
        return self.pubacks.get(mid)

    def subscribe(self, topic: str) -> int | None:
        """Subscribe at QoS 1; the SUBACK's code."""
        _, mid = self._client.subscribe(topic, qos=1)
        assert mid is not None
        until(lambda: mid in self._subacks or self.ended)
        return self._subacks.get(mid)

    def vanish(self) -> None:
        """End without a word, as a unit without power does."""
        sock = self._client.socket()
        assert sock is not None
        sock.close()
        self.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, _c: object, _u: object, _f: object, code: object, properties: Properties | None) -> None:
        self.code, self.connack = getattr(code, "value", None), properties

    def _on_disconnect(self, _c: object, _u: object, flags: object, code: object, _p: object) -> None:
        if getattr(flags, "is_disconnect_packet_from_server", False):
            self.said.append(getattr(code, "value", -1))
        self.ended = True


def connects(port: int, files: Sequence[Path], tls: ssl.SSLContext | None = None) -> bool:
    """Whether the broker lets somebody in.

    In TLS 1.3 a server judges the client's certificate when the client's side of the handshake is over already, so it
    takes a CONNACK to know. It connects by name, where ``Client`` does by address.
    """
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            (tls or context(files)).wrap_socket(raw, server_hostname="localhost") as wire,
        ):
            wire.sendall(b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x06client")
            return wire.recv(64)[0:1] == b"\x20"
    except OSError:  # ssl.SSLError is one
        return False


def heard_within(client: Client, count: int, seconds: float = 10.0) -> list[tuple[str, bytes]]:
    """What a client heard, once it is ``count`` messages."""
    until(lambda: len(client.heard) >= count, seconds)
    return client.heard


def settle(*clients: Client) -> None:
    """Wait until all that these were sent before is there: a message of their own comes after it, or is refused."""
    for client in clients:
        client.publish("settle")
    time.sleep(0.05)
