"""What several tests need: brokers on free ports, a subscriber, a config; all real, all on this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

Wait = Callable[[Callable[[], object], float], None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Poll until ``condition`` is true; the timeout is long because the machine may be busy."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program that is started, killed and started again."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log = command, log
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.running = None

    def ends(self, timeout_s: float = 10.0) -> int:
        assert self.running is not None
        code = self.running.wait(timeout_s)
        self.running = None
        return code

    def said(self) -> str:
        return self.log.read_text("utf-8") if self.log.exists() else ""


class Broker(Process):
    def __init__(self, command: list[str], log: Path, port: int) -> None:
        super().__init__(command, log)
        self.port = port

    def start(self) -> None:
        super().start()
        until(lambda: listening(self.port))


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto that keeps nothing on disk, so that a killed one has forgotten everything."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.fail("mosquitto is missing; `make test` installs it")
    port = free_port()
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", "utf-8")
    broker = Broker([program, "-c", str(settings)], tmp_path / "mosquitto.log", port)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def embedded_broker(tmp_path: Path) -> Iterator[Broker]:
    pytest.importorskip("iotcore")
    port = free_port()
    broker = Broker([sys.executable, "-m", "edge_anpr.unit.broker", str(port)], tmp_path / "embedded.log", port)
    broker.start()
    yield broker
    broker.kill()


class Subscriber:
    """Hears everything at QoS 0: it then sends nothing that a dying broker could leave unread."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"subscriber-{id(self)}", protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=0)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = lambda _client, _user, message: self.heard.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self._client.reconnect_delay_set(1, 1)
        self._client._reconnect_min_delay = self._client._reconnect_max_delay = 0.05  # type: ignore[assignment]
        self._client.connect("127.0.0.1", port, keepalive=30)
        self._client.loop_start()
        assert self.subscribed.wait(10)

    def payloads(self, part: str) -> list[bytes]:
        return [payload for topic, payload, _ in list(self.heard) if part in topic]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscribe() -> Iterator[Callable[[int], Subscriber]]:
    made: list[Subscriber] = []

    def subscriber(port: int) -> Subscriber:
        made.append(Subscriber(port))
        return made[-1]

    yield subscriber
    for one in made:
        one.close()


class ScriptedBroker:
    """As much of an MQTT 5 server as a test needs to misbehave: it connects everybody, and answers as it is told.

    ``puback`` is the reason code for messages with a topic that holds ``/hit/``, None for no answer at all.
    """

    def __init__(self, *, connack: int = 0, properties: bytes = b"") -> None:
        self.puback: int | None = 0
        self.deaf = False
        self.connections = 0
        self.published: list[tuple[str, bytes]] = []
        self._connack, self._properties = connack, properties
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def drop(self) -> None:
        """Cut the connection, as a killed broker does."""
        for connection in self._open:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open = [connection]
            with connection, connection.makefile("rb") as stream:
                try:
                    self._talk(connection, stream.read)
                except (OSError, IndexError):
                    continue

    def _talk(self, connection: socket.socket, read: Callable[[int], bytes]) -> None:
        while True:
            kind = read(1)[0]
            length = shift = 0
            while True:
                digit = read(1)[0]
                length |= (digit & 127) << shift
                shift += 7
                if digit < 128:
                    break
            body = read(length)
            if self.deaf:
                continue
            if kind >> 4 == 1:
                head = bytes([0, self._connack, len(self._properties)]) + self._properties
                connection.sendall(bytes([0x20, len(head)]) + head)
            elif kind >> 4 == 3:
                self._take(connection, body)
            elif kind >> 4 == 12:
                connection.sendall(b"\xd0\x00")
            elif kind >> 4 == 14:
                return

    def _take(self, connection: socket.socket, body: bytes) -> None:
        size = int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
        self.published.append((topic, rest[3 + rest[2] :]))
        code = self.puback if "/hit/" in topic else 0
        if code is not None:
            connection.sendall(b"\x40\x03" + rest[:2] + bytes([code]))


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedBroker]]:
    made: list[ScriptedBroker] = []

    def broker(*, connack: int = 0, properties: bytes = b"") -> ScriptedBroker:
        made.append(ScriptedBroker(connack=connack, properties=properties))
        return made[-1]

    yield broker
    for one in made:
        one.close()


@pytest.fixture
def unit_yaml(tmp_path: Path) -> Callable[..., Path]:
    """Writes a unit's config: ``port`` of the broker, None for an embedded one; ``extra`` lines below ``mqtt``."""

    def write(port: int | None, extra: str = "", health_s: float = 0.5) -> Path:
        mqtt = "" if port is None else f"  host: 127.0.0.1\n  port: {port}\n"
        path = tmp_path / "unit.yaml"
        path.write_text(
            "unit: {org: town, site: bridge, id: pole-07}\n"
            "camera: {source: folder, path: pictures}\n"
            "watchlist: {path: list.json, allow_unsigned: true}\n"
            "delivery: {outbox: outbox.db}\n"
            f"mqtt:\n  keepalive_s: 10\n{mqtt}{extra}"
            f"health: {{interval_s: {health_s}}}\n",
            "utf-8",
        )
        return path

    return write
