"""With sealing on no plate is readable on the wire, in the broker's memory on disk, or in its log: not even where
nothing is hardened, there is no TLS, and the broker writes down all that it can."""

from __future__ import annotations

import base64
import select
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.centre.test_receiver import Way
from tests.conftest import Broker, free_port, until

PLATE = "12ABC3"  # what tests.centre.records puts into each hit, as read and as listed
PICTURE = "jpeg of hit"


def forms(text: str) -> list[bytes]:
    raw = text.encode()
    texts = [raw, raw.lower(), text.encode("utf-16-le"), raw.hex().encode(), raw.hex().upper().encode()]
    # In base64 a text looks in three ways, by its place: of each the groups that lie wholly in it, with the quotes if
    # they fill one. Six bytes at least, or it would be found by chance.
    groups = [
        said[start : start + (len(said) - start) // 3 * 3] for said in (raw, b'"' + raw + b'"') for start in range(3)
    ]
    return texts + [base64.b64encode(whole) for whole in groups if len(whole) >= 6]


class Wiretap:
    """Carries bytes between units and broker, and keeps them all."""

    def __init__(self, to_port: int) -> None:
        self.heard = bytearray()
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._carry, args=(near,), daemon=True))
            self._threads[-1].start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._to_port)) as far:
            other = {near: far, far: near}
            while True:
                for one in select.select([near, far], [], [])[0]:
                    try:
                        raw = one.recv(65536)
                        other[one].sendall(raw)
                    except OSError:
                        return
                    if not raw:
                        return
                    self.heard += raw

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto that writes everything down at once."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    assert program is not None
    port, kept = free_port(), tmp_path / "kept"
    kept.mkdir(mode=0o777)
    kept.chmod(0o777)
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {kept}/\n"
        "autosave_on_changes true\nautosave_interval 1\nlog_type all\nuser root\n",
        "utf-8",
    )
    broker = Broker([program, "-c", str(settings)], tmp_path / "mosquitto.log", port)
    broker.start()
    yield broker
    broker.kill()


def absent_subscriber(port: int) -> None:
    """Leaves a session behind, for which the broker keeps every hit."""
    kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    kept.SessionExpiryInterval = 3600
    there = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "absent", protocol=paho.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe("anpr/#", qos=1)
    client.on_subscribe = lambda *_: there.set()
    client.connect("127.0.0.1", port, properties=kept)
    client.loop_start()
    assert there.wait(10)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("sealed", [True, False])
def test_a_plate_is_nowhere_in_clear(tmp_path: Path, talkative: Broker, sealed: bool) -> None:
    absent_subscriber(talkative.port)
    tap = Wiretap(talkative.port)
    way = Way(tmp_path, tap.port)
    way.open()
    for number in range(1, 6):
        for phase in ("first", "final", "withdrawn"):
            way.append(number, phase, sealed=sealed)
    way.turn(way.empty)
    database = tmp_path / "kept" / "mosquitto.db"
    until(lambda: database.exists() and database.stat().st_size > 5 * 3 * 1000)
    way.close()
    tap.close()
    talkative.kill()
    places = {"wire": bytes(tap.heard), "disk": database.read_bytes(), "log": talkative.said().encode()}
    assert len(places["wire"]) > 20_000
    assert b"/hit/cam-1" in places["wire"]
    assert b"/hit/cam-1" in places["log"]
    found = {
        (place, word)
        for place, raw in places.items()
        for word in (PLATE, PICTURE)
        for form in forms(word)
        if form in raw
    }
    # Unsealed hits are found, so that the search is known to find.
    assert found == (set() if sealed else {(place, word) for place in ("wire", "disk") for word in (PLATE, PICTURE)})
