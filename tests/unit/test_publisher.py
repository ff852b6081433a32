from __future__ import annotations

import json
import logging
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr import config
from edge_anpr.errors import Unusable
from edge_anpr.unit import mqtt, publisher
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.mqtt import Broker, Link
from edge_anpr.unit.outbox import Outbox
from edge_anpr.unit.publisher import Carrier
from tests.conftest import Broker as RealBroker
from tests.conftest import Process, ScriptedBroker, Subscriber, free_port, until

PLATE = b'{"read":"12ABC3"}'
TOPIC = "anpr/v1/town/bridge/pole-07"
Script = Callable[..., ScriptedBroker]
Subscribe = Callable[[int], Subscriber]
Write = Callable[..., Path]
Carry = Callable[[int], Carrier]

RUN = """
import sys
from pathlib import Path
from edge_anpr import config
from edge_anpr.unit import mqtt, publisher
mqtt.BACKOFF_S = (0.02, 0.1)
publisher.NO_SUBSCRIBER_RETRY_S = 0.1
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
    monkeypatch.setattr(publisher, "NO_SUBSCRIBER_RETRY_S", 0.1)
    monkeypatch.setattr(publisher, "REFUSED_RETRY_S", 0.1)
    monkeypatch.setattr(publisher, "GRACE_S", 0.0)
    caplog.set_level(logging.DEBUG)
    opened: list[Link | Outbox] = []

    def carrier(port: int) -> Carrier:
        link, box = Link(Broker("127.0.0.1", port, "unit")), Outbox(tmp_path / "outbox.db", 10_000_000)
        opened.extend((link, box))
        return Carrier(box, link, TOPIC, "cam-1", 0.5)

    yield carrier
    for one in opened:
        one.close()


def turn(carrier: Carrier, condition: Callable[[], object]) -> None:
    def turned() -> object:
        carrier.turn()
        return condition()

    until(turned)


def hits(broker: ScriptedBroker) -> list[bytes]:
    return [payload for topic, payload in list(broker.published) if topic == f"{TOPIC}/hit/cam-1"]


def some_turns(carrier: Carrier) -> None:
    for _ in range(20):
        carrier.turn()
        time.sleep(0.02)


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
    monkeypatch.setattr(publisher, "GRACE_S", 30.0)
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


def test_an_hour_of_traffic_is_published_once_and_not_retained(
    carry: Carry, mosquitto: RealBroker, outbox: Outbox, subscribe: Subscribe
) -> None:
    carrier, ear = carry(mosquitto.port), subscribe(mosquitto.port)
    outbox.put_state("stats", b"nine")
    turn(carrier, lambda: ear.payloads("/stats") == [b"nine"])
    outbox.put_state("health", b"{}")  # not a new hour
    outbox.put_state("stats", b"ten")
    turn(carrier, lambda: ear.payloads("/stats") == [b"nine", b"ten"])
    late = subscribe(mosquitto.port)
    turn(carrier, lambda: late.payloads("/birth") or late.payloads("/status"))
    assert late.payloads("/stats") == []


def test_birth_is_retained_and_said_again_when_it_changes(
    mosquitto: RealBroker, carry: Carry, outbox: Outbox, subscribe: Subscribe
) -> None:
    early = subscribe(mosquitto.port)
    outbox.put_state("birth", b"one")
    carrier = carry(mosquitto.port)
    turn(carrier, lambda: early.payloads("/birth") == [b"one"])
    outbox.put_state("health", b"{}")  # not a new birth
    outbox.put_state("birth", b"two")
    turn(carrier, lambda: early.payloads("/birth") == [b"one", b"two"])
    late = subscribe(mosquitto.port)
    until(
        lambda: [(payload, retained) for topic, payload, retained in late.heard if "birth" in topic] == [(b"two", True)]
    )
    status = [(json.loads(payload)["status"], retained) for topic, payload, retained in late.heard if "status" in topic]
    assert status == [("online", True)]


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
    assert health["publisher"]["outbox"] == {"hits": 1, "bytes": len(PLATE)}
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


@pytest.mark.parametrize(("kind", "kept"), [("birth", True), ("alarm", True), ("arm", False), ("stats", False)])
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
    link = Link(Broker("127.0.0.1", mosquitto.port, "unit"), subscribe=f"{TOPIC}/list")
    carrier = Carrier(outbox, link, TOPIC, "cam-1", 0.5, inbox)
    subscriber = subscribe(mosquitto.port)
    turn(carrier, lambda: subscriber.payloads("/status"))
    for number in range(20):
        subscriber.publish(f"{TOPIC}/list", b"%d" % number)
    turn(carrier, lambda: carrier.counts.not_taken_in == 4)
    assert sum("is not taken in" in line for line in caplog.messages) == 1
    assert inbox.take() == [b"%d" % number for number in range(16)]
    link.close()


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
        long = unit.unit.model_copy(update={"org": "o" * 32, "site": "s" * 32, "id": "u" * 31 + last})
        names.add(publisher.link_to(unit.model_copy(update={"unit": long}), None).client_id)
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
    until(lambda: late.heard == [(f"{TOPIC}/status", b'{"status":"lost"}', True)])


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
            for phase in ("first", "final"):
                written.append(f"{len(written) // 2} {phase}".encode())
                outbox.append(str(len(written) // 2), phase, written[-1])
            time.sleep(0.005)

    kills = 0
    while kills < 5:
        write_for(random.uniform(0.05, 0.3))
        before = len(subscriber.payloads("/hit/"))
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
