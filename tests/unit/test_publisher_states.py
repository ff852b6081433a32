"""What the publisher says of the unit beside its hits, and what it takes in for the recogniser."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest

from edge_anpr.unit.carrier import Carrier, Told
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.mqtt import Broker, Link
from edge_anpr.unit.outbox import Outbox
from tests.conftest import Broker as RealBroker
from tests.conftest import Process, Subscriber, until
from tests.unit.carrying import TOPIC, Carry, Script, Subscribe, Write, some_turns, turn

PLATE = b'{"read":"12ABC3"}'


@pytest.mark.parametrize("raw", [None, b'{"state":"running","fps":12.5}', b"[1]", b"\xff"])
def test_health_is_told_whatever_the_recogniser_says(
    scripted: Script, carry: Carry, outbox: Outbox, raw: bytes | None
) -> None:
    broker = scripted()
    broker.puback = 0x10
    outbox.append("a", "first", PLATE)
    if raw is not None:
        outbox.put_state("health", raw)
    carrier = carry(broker.port)
    turn(carrier, lambda: sum("/health" in topic for topic, _ in broker.published) >= 2)
    health = json.loads([payload for topic, payload in broker.published if "/health" in topic][-1])
    assert health["schema"] == "anpr.health/1"
    assert health["at"].endswith("Z")
    assert health["publisher"]["outbox"] == {"hits": 1, "bytes": len(PLATE), "oldest_s": ANY}
    assert health["publisher"]["sent"] >= 1
    assert health["publisher"]["acknowledged"] == 0
    assert health["publisher"]["connected_s"] >= 0
    if raw is None:
        assert health["recogniser"] is None
    else:
        assert health["recogniser"]["age_s"] >= 0
        assert health["recogniser"].get("state") in (None, "running", "unreadable")


def stated(subscriber: Subscriber, kind: str) -> list[tuple[bytes, bool]]:
    return [(payload, retained) for topic, payload, retained in list(subscriber.heard) if topic == f"{TOPIC}/{kind}"]


@pytest.mark.parametrize(("kind", "kept"), [("birth", True), ("arm", False), ("stats", False)])
def test_a_state_is_said_when_it_changes_and_on_every_connection(
    mosquitto: RealBroker, carry: Carry, outbox: Outbox, subscribe: Subscribe, kind: str, kept: bool
) -> None:
    early = subscribe(mosquitto.port)
    carrier = carry(mosquitto.port)
    turn(carrier, lambda: stated(early, "status"))
    outbox.put_state(kind, b"one")
    outbox.put_state("health", b"{}")
    turn(carrier, lambda: stated(early, kind))
    outbox.put_state(kind, b"one")
    some_turns(carrier)
    outbox.put_state(kind, b"two")
    turn(carrier, lambda: len(stated(early, kind)) > 1)
    assert stated(early, kind) == [(b"one", False), (b"two", False)]
    late = subscribe(mosquitto.port)
    until(lambda: stated(late, "status"))
    assert stated(late, kind) == ([(b"two", True)] if kept else [])
    mosquitto.kill()
    turn(carrier, lambda: carrier._connected is False)
    mosquitto.start()
    again = subscribe(mosquitto.port)
    turn(carrier, lambda: stated(again, kind) == [(b"two", False)])
    outbox.put_state(kind, b"")  # it stands no more
    some_turns(carrier)
    assert stated(again, kind) == [(b"two", False)]


def test_alarms_of_both_processes_are_told_as_one(scripted: Script, carry: Carry, outbox: Outbox) -> None:
    def active() -> list[str]:
        told = [payload for topic, payload in broker.published if topic == f"{TOPIC}/alarm"]
        return [alarm["code"] for alarm in json.loads(told[-1])["active"]] if told else ["nothing told"]

    broker = scripted()
    carrier = carry(broker.port)
    turn(carrier, lambda: active() == [])  # what an earlier start left at the broker is over
    broker.puback = 0x87
    outbox.append("a", "first", PLATE)
    outbox.put_state("alarm", b'{"schema":"anpr.alarm/1","active":[{"code":"list-refused","since":"x","text":"y"}]}')
    turn(carrier, lambda: active() == ["list-refused", "hits-not-authorised"])
    outbox.put_state("alarm", b"\xff")
    turn(carrier, lambda: active() == ["hits-not-authorised"])
    broker.puback = 0
    turn(carrier, lambda: active() == [])
    assert b"12ABC3" not in b"".join(payload for topic, payload in broker.published if "alarm" in topic)


def test_a_unit_without_a_list_is_disarmed_not_online(
    mosquitto: RealBroker, carry: Carry, outbox: Outbox, subscribe: Subscribe
) -> None:
    early = subscribe(mosquitto.port)

    def said() -> list[tuple[str, str | None]]:
        bodies = [json.loads(payload) for payload, _ in stated(early, "status")]
        assert all(body["at"].endswith("Z") for body in bodies)
        return [(body["status"], body.get("reason")) for body in bodies]

    outbox.put_state("status", b'{"status":"disarmed","reason":"no list"}')
    carrier = carry(mosquitto.port)
    turn(carrier, lambda: said() == [("disarmed", "no list")])
    late = subscribe(mosquitto.port)
    until(lambda: [retained for _, retained in stated(late, "status")] == [True])
    outbox.put_state("status", b'{"status":"online"}')
    turn(carrier, lambda: said()[1:] == [("online", None)])
    outbox.put_state("status", b"\xff")
    turn(carrier, lambda: said()[2:] == [("online", None)])
    outbox.put_state("status", json.dumps({"status": "disarmed", "reason": "x" * 900}).encode())
    turn(carrier, lambda: said()[3:] == [("disarmed", "x" * 200)])


def test_what_the_centre_sends_is_taken_in_from_its_own_topic_only(
    mosquitto: RealBroker, subscribe: Subscribe, unit_yaml: Write, publish: Callable[[Path], Process], tmp_path: Path
) -> None:
    subscriber = subscribe(mosquitto.port)
    process = publish(unit_yaml(mosquitto.port))
    process.command[-1:] = [process.command[-1], str(tmp_path / "inbox")]
    process.start()
    until(lambda: subscriber.payloads("/status"))
    inbox, large = Inbox(tmp_path / "inbox"), bytes(3_000_000)
    for topic, message in (("list/more", b"a"), ("receipt", b"b"), ("list", large), ("list", b"last")):
        subscriber.publish(f"{TOPIC}/{topic}", message)
    until(lambda: len(list((tmp_path / "inbox").glob("*.message"))) == 2)
    assert inbox.take() == [large, b"last"]
    assert "Traceback" not in process.said()


def test_a_message_that_is_not_taken_in_is_counted_and_told_once(
    mosquitto: RealBroker, subscribe: Subscribe, outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    inbox = Inbox(tmp_path / "inbox")
    link = Link(Broker("127.0.0.1", mosquitto.port, "unit"), subscribe=[f"{TOPIC}/list"])
    carrier = Carrier(outbox, link, Told(TOPIC, "cam-1", 0.5, 1e6, 10**7), inbox=inbox)
    subscriber = subscribe(mosquitto.port)
    turn(carrier, lambda: subscriber.payloads("/status"))
    for number in range(20):
        subscriber.publish(f"{TOPIC}/list", b"%d" % number)
    turn(carrier, lambda: carrier.counts.not_taken_in == 4)
    assert sum("is not taken in" in line for line in caplog.messages) == 1
    assert inbox.take() == [b"%d" % number for number in range(16)]
    link.close()
