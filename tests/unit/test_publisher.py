"""The hits' way to the broker: kept until it has them, in order, whatever it does."""

from __future__ import annotations

import json
import logging
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_anpr import config
from edge_anpr.errors import Unusable
from edge_anpr.unit import delivery, publisher
from edge_anpr.unit.outbox import Outbox
from tests.conftest import Broker as RealBroker
from tests.conftest import Process, free_port, until
from tests.unit.carrying import TOPIC, Carry, Script, Subscribe, Write, hits, some_turns, turn

PLATE = b'{"read":"12ABC3"}'


def test_a_row_is_deleted_after_its_puback_only(scripted: Script, carry: Carry, outbox: Outbox) -> None:
    broker = scripted()
    broker.puback = None
    outbox.append("a", "first", b"1")
    carrier = carry(broker.port)
    turn(carrier, lambda: hits(broker))
    some_turns(carrier)
    assert outbox.depth().hits == 1
    assert hits(broker) == [b"1"]
    broker.puback = 0
    outbox.append("b", "first", b"2")
    turn(carrier, lambda: outbox.depth().hits == 1)
    assert [row.hit_id for row in outbox.waiting(0, 9)] == ["a"]


def test_what_a_broker_took_just_before_it_died_is_sent_again(
    scripted: Script, carry: Carry, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "GRACE_S", 30.0)
    broker = scripted()
    outbox.append("a", "final", b"1")
    carrier = carry(broker.port)
    turn(carrier, lambda: carrier.counts.acknowledged == 1)
    some_turns(carrier)
    assert outbox.depth().hits == 1
    assert hits(broker) == [b"1"]
    broker.drop()
    turn(carrier, lambda: hits(broker) == [b"1", b"1"])
    turn(carrier, lambda: carrier.counts.acknowledged == 2)
    carrier.settle(0.0)
    assert outbox.depth().hits == 0


@pytest.mark.parametrize("code", [0x10, 0x87])
def test_a_puback_that_is_no_success_keeps_the_row(
    scripted: Script, carry: Carry, outbox: Outbox, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted()
    broker.puback = code
    outbox.append("a", "first", b"1")
    carrier = carry(broker.port)
    turn(carrier, lambda: len(hits(broker)) >= 4)
    assert outbox.depth().hits == 1
    assert sum("stay in the outbox" in line for line in caplog.messages) == 1
    broker.puback = 0
    turn(carrier, lambda: outbox.depth().hits == 0)
    assert sum("takes hits again" in line for line in caplog.messages) == 1
    assert "outbox drained" in caplog.messages


def test_mosquitto_without_a_subscriber_keeps_the_row(
    mosquitto: RealBroker, carry: Carry, outbox: Outbox, subscribe: Subscribe, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(60):
        outbox.append(str(number), "first", str(number).encode())
    carrier = carry(mosquitto.port)
    turn(carrier, lambda: any("nobody subscribes" in line for line in caplog.messages))
    some_turns(carrier)
    assert outbox.depth().hits == 60
    subscriber = subscribe(mosquitto.port)
    turn(carrier, lambda: outbox.depth().hits == 0)
    until(lambda: len(subscriber.payloads("/hit/")) == 60)
    assert subscriber.payloads("/hit/") == [str(number).encode() for number in range(60)]


def test_the_phases_of_a_hit_stay_in_order(scripted: Script, carry: Carry, outbox: Outbox) -> None:
    broker = scripted()
    broker.puback = None
    outbox.append("a", "first", b"a first")
    outbox.append("b", "first", b"b first")
    outbox.append("a", "final", b"a final")
    carrier = carry(broker.port)
    turn(carrier, lambda: len(hits(broker)) == 2)
    some_turns(carrier)
    assert hits(broker) == [b"a first", b"b first"]


def test_a_hit_too_large_for_the_broker_does_not_stop_the_others(
    scripted: Script, carry: Carry, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted(properties=b"\x27\x00\x00\x10\x00")
    outbox.append("a", "first", b"x" * 5000)
    outbox.append("b", "first", b"2")
    carrier = carry(broker.port)
    turn(carrier, lambda: outbox.depth().hits == 1)
    assert hits(broker) == [b"2"]
    assert [row.hit_id for row in outbox.waiting(0, 9)] == ["a"]
    some_turns(carrier)
    assert sum("too large" in line for line in caplog.messages) == 1
    assert json.loads(carrier.health())["publisher"]["parked"] == 1


def test_an_unreachable_broker_is_told_once(carry: Carry, outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    outbox.append("a", "first", PLATE)
    carrier = carry(free_port())
    some_turns(carrier)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "check mqtt.host and mqtt.port" in warnings[0]
    assert "1 messages wait" in warnings[0]


def test_a_broker_that_takes_next_to_nothing_does_not_stop_it(
    scripted: Script, carry: Carry, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.append("a", "first", b"1")
    outbox.put_state("birth", b"x" * 500)
    carrier = carry(scripted(properties=b"\x27\x00\x00\x00\xff").port)
    turn(carrier, lambda: outbox.depth().hits == 0)
    assert any("/birth is too large" in line for line in caplog.messages)


def test_no_plate_in_any_log(scripted: Script, carry: Carry, outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    broker = scripted(properties=b"\x27\x00\x00\x10\x00")
    broker.puback = 0x10
    outbox.append("a", "first", PLATE)
    outbox.append("b", "first", PLATE * 500)
    carrier = carry(broker.port)
    turn(carrier, lambda: len(hits(broker)) >= 2)
    assert caplog.messages
    assert "12ABC3" not in caplog.text
    assert "12ABC3" not in repr(vars(carrier))


def test_a_name_that_is_too_long_is_cut_but_still_its_own(unit_yaml: Write) -> None:
    unit = config.load(unit_yaml(1))
    assert publisher.link_to(unit, None).client_id == "edge-anpr-town-bridge-pole-07"
    names = set()
    for last in "ab":
        long = replace(unit.unit, org="o" * 32, site="s" * 32, id="u" * 31 + last)
        names.add(publisher.link_to(replace(unit, unit=long), None).client_id)
    assert len(names) == 2
    assert {len(name) for name in names} == {64}


def test_what_a_person_must_mend_is_told(unit_yaml: Write, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"mqtt\.host is missing"):
        publisher.run(config.load(unit_yaml(None)))
    with pytest.raises(Unusable, match=r"mqtt\.password_file .*nothing cannot be read: No such file"):
        publisher.run(config.load(unit_yaml(1, "  username: u\n  password_file: nothing\n")))
    (tmp_path / "outbox.db").write_bytes(b"no database at all, only some text that is long enough" * 50)
    with pytest.raises(Unusable, match="no SQLite file"):
        publisher.run(config.load(unit_yaml(1)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    mosquitto: RealBroker,
    subscribe: Subscribe,
    unit_yaml: Write,
    publish: Callable[[Path], Process],
    number: signal.Signals,
) -> None:
    subscriber = subscribe(mosquitto.port)
    process = publish(unit_yaml(mosquitto.port))
    process.start()
    until(lambda: subscriber.payloads("/health"))
    assert process.running is not None
    began = time.monotonic()
    process.running.send_signal(number)
    assert process.ends() == 0
    assert time.monotonic() - began < 1.5  # 1 s is promised; the machine may be busy
    until(lambda: len(subscriber.payloads("/status")) == 2)
    assert [json.loads(payload)["status"] for payload in subscriber.payloads("/status")] == ["online", "offline"]
    assert "Traceback" not in process.said()


def test_a_signal_ends_it_while_the_broker_does_not_answer(
    scripted: Script, unit_yaml: Write, publish: Callable[[Path], Process]
) -> None:
    broker = scripted()
    broker.deaf = True
    process = publish(unit_yaml(broker.port))
    process.start()
    until(lambda: broker.connections)
    assert process.running is not None
    began = time.monotonic()
    process.running.terminate()
    assert process.ends() == 0
    assert time.monotonic() - began < 1.5


def test_the_last_will_says_lost(
    mosquitto: RealBroker, subscribe: Subscribe, unit_yaml: Write, publish: Callable[[Path], Process]
) -> None:
    subscriber = subscribe(mosquitto.port)
    process = publish(unit_yaml(mosquitto.port))
    process.start()
    until(lambda: subscriber.payloads("/status"))
    process.kill()
    until(lambda: json.loads(subscriber.payloads("/status")[-1])["status"] == "lost")
    late = subscribe(mosquitto.port)
    until(lambda: (f"{TOPIC}/status", b'{"status":"lost"}', True) in late.heard)


def test_killing_publisher_and_broker_at_any_moment_loses_no_hit(
    mosquitto: RealBroker,
    subscribe: Subscribe,
    unit_yaml: Write,
    publish: Callable[[Path], Process],
    outbox: Outbox,
) -> None:
    """What is promised is at least once *to the broker's PUBACK*, and mosquitto's PUBACK comes before delivery.

    So the subscriber is made such that, when this mosquitto acknowledges, it has already written to the subscriber's
    socket: QoS 0 (no window, nothing queued), no persistent session. Gone with the broker, it leaves mosquitto without
    a subscriber, which answers 0x10, and the hit stays. A publisher that took any PUBACK for success, deleted before
    the PUBACK, or forgot what was in flight would lose hits here.
    """
    subscriber = subscribe(mosquitto.port)
    process = publish(unit_yaml(mosquitto.port))
    process.start()
    written: list[bytes] = []

    def write_for(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            number = len(written) // 2
            for phase in ("first", "final"):
                written.append(f"{number} {phase}".encode())
                outbox.append(str(number), phase, written[-1])
            time.sleep(0.005)

    kills = 0
    while kills < 5:
        before = len(subscriber.payloads("/hit/"))
        write_for(random.uniform(0.05, 0.3))
        until(lambda seen=before: len(subscriber.payloads("/hit/")) > seen)  # type: ignore[misc]
        write_for(random.uniform(0.0, 0.1))
        process.kill()
        write_for(0.05)
        process.start()
        kills += 1
    for _ in range(5):
        before = len(subscriber.payloads("/hit/"))
        write_for(random.uniform(0.05, 0.3))
        until(lambda seen=before: len(subscriber.payloads("/hit/")) > seen)  # type: ignore[misc]
        write_for(random.uniform(0.0, 0.1))
        mosquitto.kill()
        write_for(0.05)
        mosquitto.start()
    until(lambda: outbox.depth().hits == 0, 30)
    until(lambda: set(written) <= set(subscriber.payloads("/hit/")), 5)
    heard = subscriber.payloads("/hit/")
    assert len(heard) >= len(written)
    first_heard = {payload: heard.index(payload) for payload in set(heard)}
    for number in range(len(written) // 2):
        assert first_heard[f"{number} first".encode()] < first_heard[f"{number} final".encode()]
    assert "Traceback" not in process.said()
