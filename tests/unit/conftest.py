"""A publisher as a process, and its carrier inside the test."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr.unit import delivery, mqtt
from edge_anpr.unit.carrier import Carrier, Told
from edge_anpr.unit.mqtt import Broker, Link
from edge_anpr.unit.outbox import Outbox
from tests.conftest import Process
from tests.unit.carrying import TOPIC, Carry
from tests.unit.linking import Watch, Watched

RUN = """
import sys
from pathlib import Path
from edge_anpr import config
from edge_anpr.unit import delivery, mqtt, publisher
mqtt.BACKOFF_S = (0.02, 0.1)
delivery.NO_SUBSCRIBER_S = 0.1, 0.1
sys.exit(publisher.run(config.load(Path(sys.argv[1])), inbox=Path(sys.argv[2]) if sys.argv[2:] else None))
"""


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.db", 10_000_000)
    yield box
    box.close()


@pytest.fixture
def publish(tmp_path: Path) -> Iterator[Callable[[Path], Process]]:
    """Makes (does not start) the publisher as a process of its own."""
    made: list[Process] = []

    def process(path: Path) -> Process:
        made.append(Process([sys.executable, "-W", "error", "-c", RUN, str(path)], tmp_path / "publisher.log"))
        return made[-1]

    yield process
    for one in made:
        one.kill()


@pytest.fixture
def carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Carry]:
    """A publisher's carrier inside the test, which turns it by hand."""
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(delivery, "NO_SUBSCRIBER_S", (0.1, 0.1))
    monkeypatch.setattr(delivery, "REFUSED_S", (0.1, 0.1))
    monkeypatch.setattr(delivery, "GRACE_S", 0.0)
    caplog.set_level(logging.DEBUG)
    opened: list[Link | Outbox] = []

    def carrier(port: int) -> Carrier:
        link, box = Link(Broker("127.0.0.1", port, "unit")), Outbox(tmp_path / "outbox.db", 10_000_000)
        opened.extend((link, box))
        return Carrier(box, link, Told(TOPIC, "cam-1", 0.5, 1e6, 10**7))

    yield carrier
    for one in opened:
        one.close()


@pytest.fixture
def quick_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that try again at once."""
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Links without TLS, and what they say."""
    made: list[Watched] = []

    def watched(port: int, keepalive_s: int = 10, name: str = "unit", **options: object) -> Watched:
        made.append(Watched(Link(Broker("127.0.0.1", port, name, keepalive_s), **options)))  # type: ignore[arg-type]
        return made[-1]

    yield watched
    for one in made:
        one.link.close()
