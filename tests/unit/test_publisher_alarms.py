"""What is wrong with delivery is an alarm, said once, with an end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr.unit import carrier as carrying
from edge_anpr.unit import delivery, mqtt
from edge_anpr.unit.carrier import Carrier, Told
from edge_anpr.unit.mqtt import Broker, Link
from edge_anpr.unit.outbox import Outbox, OutboxFull
from tests.conftest import ScriptedBroker, free_port
from tests.unit.carrying import TOPIC, Script, hits, some_turns, turn

PLATE = b'{"read":"12ABC3"}'
Open = Callable[..., Carrier]


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Open]:
    """A carrier that looks after its outbox in every turn."""
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(carrying, "MINUTE_S", 0.05)
    monkeypatch.setattr(carrying, "WRITE_AGAIN_S", 0.05)
    monkeypatch.setattr(delivery, "GRACE_S", 0.0)
    caplog.set_level(logging.INFO)
    opened: list[Link | Outbox] = []

    def carrier(port: int, max_age_s: float = 1e6, max_bytes: int = 10**7, **more: object) -> Carrier:
        link, box = Link(Broker("127.0.0.1", port, "unit")), Outbox(tmp_path / "outbox.db", 10_000_000)
        opened.extend((link, box))
        return Carrier(box, link, Told(TOPIC, "cam-1", 0.5, max_age_s, max_bytes), **more)  # type: ignore[arg-type]

    yield carrier
    for one in opened:
        one.close()


def active(broker: ScriptedBroker) -> dict[str, str]:
    told = [payload for topic, payload in list(broker.published) if topic == f"{TOPIC}/alarm"]
    return {alarm["code"]: alarm["text"] for alarm in json.loads(told[-1])["active"]} if told else {}


def test_a_disk_that_takes_no_deletion_is_told_and_asked_again(
    scripted: Script, unit: Open, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted()
    carrier = unit(broker.port)
    delete = carrier._outbox.delete

    refused = []

    def refuse(rowids: object) -> None:
        refused.append(rowids)
        raise OutboxFull("the disk of the outbox is full; free some space")

    monkeypatch.setattr(carrier._outbox, "delete", refuse)
    outbox.append("a", "first", PLATE)
    turn(carrier, lambda: "free some space" in active(broker).get("outbox-not-writable", ""))
    some_turns(carrier)
    assert len(refused) <= 12  # in 0.4 s; a card that is full is not to be asked in every turn
    assert outbox.depth().hits == 1
    assert sum("/hit/" in topic for topic, _ in broker.published) == 1
    monkeypatch.setattr(carrier._outbox, "delete", delete)
    turn(carrier, lambda: outbox.depth().hits == 0 and not active(broker))
    assert caplog.text.count("outbox-not-writable") == 2  # its beginning and its end


def test_what_is_too_old_is_deleted_counted_and_told(
    scripted: Script, unit: Open, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted()
    broker.puback = None
    outbox.append("a", "first", PLATE)
    outbox.append("b", "first", PLATE)
    carrier = unit(broker.port, max_age_s=0.5)
    turn(carrier, lambda: "2 messages were deleted undelivered" in active(broker).get("outbox-expired", ""))
    assert outbox.depth().hits == 0
    assert carrier.counts.expired == 2
    outbox.append("c", "first", PLATE)
    broker.puback = 0
    turn(carrier, lambda: "outbox-expired" not in active(broker))
    assert "12ABC3" not in caplog.text


def test_an_outbox_that_fills_up_is_told_before_it_is_full(scripted: Script, unit: Open, outbox: Outbox) -> None:
    broker = scripted()
    broker.puback = None
    carrier = unit(broker.port, max_bytes=1000)
    outbox.append("a", "first", b"x" * 500)
    outbox.append("b", "first", b"x" * 290)
    deadline = time.monotonic() + 0.5
    turn(carrier, lambda: time.monotonic() > deadline)
    assert "outbox-filling" not in active(broker)
    outbox.append("c", "first", b"x" * 20)
    turn(carrier, lambda: active(broker).get("outbox-filling", "").startswith("81% of delivery.max_megabytes"))
    broker.drop()
    broker.puback = 0
    turn(carrier, lambda: outbox.depth().hits == 0 and not active(broker))


def test_hits_without_receipts_are_told(
    scripted: Script, unit: Open, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RESEND_S", 0.1)
    broker = scripted()
    carrier = unit(broker.port, centres={})
    outbox.append("a", "first", PLATE)
    turn(carrier, lambda: "no-receipts" in active(broker))
    health = json.loads(carrier.health())["publisher"]
    assert health["without_receipt_s"] > 0
    assert health["outbox"]["hits"] == 1
    assert health["acknowledged"] >= 1


def test_a_live_hit_hurries_a_link_that_is_down(unit: Open, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    carrier = unit(free_port())
    hurried = []
    monkeypatch.setattr(carrier._link, "hurry", lambda: hurried.append(1))
    some_turns(carrier)
    assert hurried == []
    outbox.append("a", "first", PLATE)
    some_turns(carrier)
    assert hurried == [1]


def test_what_the_link_says_is_an_alarm_until_it_is_over(
    scripted: Script, unit: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_anpr.unit.backoff.REFUSED_S", (0.05, 0.05))
    broker = scripted(connack=0x87)
    carrier = unit(broker.port)
    turn(carrier, lambda: "not-authorised: " in caplog.text)
    broker._connack = 0
    turn(carrier, lambda: carrier._connected)
    turn(carrier, lambda: "not-authorised is over" in caplog.text)
    outage = json.loads(carrier.health())["publisher"]["outage"]
    assert outage is None  # it had never been connected before
    broker.drop()
    turn(carrier, lambda: carrier.counts.reconnects == 1)
    outage = json.loads(carrier.health())["publisher"]["outage"]
    assert outage["seconds"] >= 0
    assert "broke" in outage["reason"]


def test_after_some_time_without_receipts_the_connection_is_made_anew(
    scripted: Script, unit: Open, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "RESEND_S", 0.1)
    monkeypatch.setattr(carrying, "RECONNECT_S", (0.3, 0.9))
    broker = scripted()
    carrier = unit(broker.port, centres={})
    some = time.monotonic() + 1.0
    turn(carrier, lambda: time.monotonic() > some)
    assert broker.connections == 1  # nothing waits for a receipt
    outbox.append("a", "first", PLATE)
    turn(carrier, lambda: broker.connections == 4)
    assert "connecting anew" in caplog.text
    assert len(hits(broker)) >= 4
