"""From the outbox to the records: the real carrier, a real mosquitto, the real receiver on a real database."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from sqlalchemy import select

from edge_anpr.centre import receiver, tables
from edge_anpr.centre.metrics import Figures
from edge_anpr.centre.serving import Keep, Serving
from edge_anpr.centre.store import Store, StoreDown
from edge_anpr.privacy import seal
from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.unit import delivery
from edge_anpr.unit.advice import Trouble
from edge_anpr.unit.carrier import Carrier, Told
from edge_anpr.unit.clock import Uptime
from edge_anpr.unit.mqtt import Broker, Event, Link, Received
from edge_anpr.unit.outbox import Outbox
from edge_anpr.watch import envelope, receipt
from edge_anpr.watch.envelope import RECEIPT, TICKET
from tests.centre.records import UNIT, body
from tests.conftest import Broker as RealBroker
from tests.conftest import Subscriber, until

SIGNING, SIGNED_BY = envelope.new_pair("centre, receipts")
OPENS, SEALS = seal.new_pair("centre, hits")
ROOT = f"anpr/v1/{UNIT}"


class Way:
    """A unit's publisher and a centre, turned by hand."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.outbox = Outbox(folder / "outbox.db", 10_000_000)
        self.store = Store(f"sqlite:///{folder}/centre.db")
        self.figures = Figures()
        self.keep = Keep(28.0, 28.0)
        self.carrier, self.link = self._unit()
        self.centre_link: Link | None = None
        self.centre: Serving | None = None

    def _unit(self) -> tuple[Carrier, Link]:
        link = Link(Broker("127.0.0.1", self.port, "unit", 10), subscribe=[f"{ROOT}/list", f"{ROOT}/receipt"])
        told = Told(ROOT, "cam-1", 0.5, 1e6, 10**7)
        return Carrier(self.outbox, link, told, centres={key_id(SIGNED_BY.raw): SIGNED_BY.raw}), link

    def open(self, *secrets: Key, name: str = "centre") -> Serving:
        self.centre_link = Link(
            Broker("127.0.0.1", self.port, name, 10),
            subscribe=receiver.subscriptions(SIGNING),
            unacknowledged=receiver.UNACKNOWLEDGED,
        )
        self.centre = Serving(self.centre_link, self.store, secrets or (OPENS,), SIGNING, self.keep, self.figures)
        return self.centre

    def close_centre(self) -> None:
        if self.centre_link is not None:
            self.centre_link.close()
        self.centre = None

    def turn(self, condition: Callable[[], object], timeout_s: float = 15.0) -> None:
        def turned() -> object:
            self.carrier.turn()
            if self.centre is not None:
                self.centre.turn()
            return condition()

        until(turned, timeout_s)

    def some_turns(self) -> None:
        deadline = time.monotonic() + 0.4
        self.turn(lambda: time.monotonic() > deadline)

    def append(self, number: int, phase: str = "final", *, sealed: bool = True, **changes: Any) -> bytes:
        payload = json.dumps(body(number, phase, seq=number, **changes)).encode()
        message = seal.seal(payload, SEALS) if sealed else payload
        self.outbox.append(f"{number:032x}", phase, message)
        return message

    def rows(self, table: Any) -> list[Any]:
        with self.store.database.read() as connection:
            return list(connection.execute(select(table)))

    def empty(self) -> bool:
        return self.outbox.depth().hits == 0

    def close(self) -> None:
        self.close_centre()
        self.link.close()
        self.outbox.close()
        self.store.close()


@pytest.fixture
def way(tmp_path: Path, mosquitto: RealBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    monkeypatch.setattr(delivery, "NO_SUBSCRIBER_S", (0.1, 0.1))
    monkeypatch.setattr(delivery, "RESEND_S", 0.3)
    monkeypatch.setattr(receiver, "STORE_AGAIN_S", 0.05)
    made = Way(tmp_path, mosquitto.port)
    yield made
    made.close()


def test_hits_are_stored_once_receipted_and_then_deleted(way: Way) -> None:
    way.open()
    number_of_hits = receiver.UNACKNOWLEDGED + 40  # so that it stands still unless they are acknowledged
    for number in range(1, number_of_hits + 1):
        way.append(number, sealed=number % 2 == 0)
    way.turn(way.empty, 30)
    hits = way.rows(tables.hit)
    assert sorted(hit.hit_id for hit in hits) == [f"{number:032x}" for number in range(1, number_of_hits + 1)]
    assert {hit.unit for hit in hits} == {UNIT}
    assert {(hit.late, hit.age_s) for hit in hits} <= {(False, age) for age in range(40)}
    assert [report.seq for report in way.rows(tables.report)] == list(range(1, number_of_hits + 1))
    assert way.carrier.counts.receipted == number_of_hits
    told = generate_latest(way.figures.registry).decode()
    assert f'edge_anpr_hit_messages_total{{outcome="stored",unit="{UNIT}"}} {number_of_hits}.0' in told
    assert f"edge_anpr_receipts_total {number_of_hits}.0" in told


def test_what_waited_too_long_or_since_before_a_reboot_is_late(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_anpr.unit.carrier.LATE_S", 0.5)
    before = Outbox(way.folder / "outbox.db", 10_000_000, now=lambda: Uptime("another boot", 5.0))
    before.append(f"{1:032x}", "final", seal.seal(json.dumps(body(1)).encode(), SEALS))
    before.close()
    way.append(2)
    way.some_turns()
    way.some_turns()  # nobody takes them yet
    way.append(3)
    way.open()
    way.turn(way.empty)
    hits = {hit.hit_id[-1]: (hit.late, hit.age_s) for hit in way.rows(tables.hit)}
    assert hits["1"] == (True, None)
    assert hits["2"][0] is True
    assert hits["3"][0] is False


def test_without_a_centre_nothing_is_deleted_and_with_one_everything_comes(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(1, 51):
        way.append(number)
    way.turn(lambda: "nobody-listens" in caplog.text)
    assert way.outbox.depth().hits == 50
    way.open()
    way.turn(way.empty)
    assert [report.seq for report in way.rows(tables.report)] == list(range(1, 51))
    assert "nobody-listens is over" in caplog.text


def test_what_the_database_does_not_take_is_not_acknowledged_and_not_lost(
    way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    centre, take = way.open(), way.store.take

    def down(_batch: object) -> None:
        raise StoreDown("the database does not answer")

    monkeypatch.setattr(way.store, "take", down)
    for number in range(1, 31):
        way.append(number)
    way.turn(lambda: "does not answer" in caplog.text)
    way.some_turns()
    assert way.outbox.depth().hits == 30
    assert way.carrier.counts.receipted == 0
    assert caplog.text.count("does not answer") == 1
    monkeypatch.setattr(way.store, "take", take)
    way.turn(way.empty)
    assert len(way.rows(tables.hit)) == 30
    assert "takes records again" in caplog.text
    assert centre is way.centre


def test_while_the_database_is_down_nobody_falls_silent_and_little_is_held(
    way: Way, subscribe: Callable[[int], Subscriber], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_anpr.centre.serving.JUDGE_S", 0.05)
    monkeypatch.setattr("edge_anpr.centre.fleet.INTERVALS", (0.1, 3600.0))
    somebody, centre = subscribe(way.port), way.open()
    way.turn(lambda: way.rows(tables.unit) and way.rows(tables.unit)[0].interval_s == 0.5)

    def down(_batch: object) -> None:
        raise StoreDown("the database does not answer")

    for call in ("take", "states"):
        monkeypatch.setattr(way.store, call, down)
    message = json.dumps(body(1)).encode()
    for _ in range(3 * receiver.UNACKNOWLEDGED):
        somebody.publish(f"{ROOT}/hit/cam-1", message, qos=0)
    ends = time.monotonic() + 2.5  # five intervals
    way.turn(lambda: time.monotonic() > ends)
    assert len(centre.receiver._said) <= len(receiver.STATES)
    assert len(centre.receiver._waiting) == receiver.UNACKNOWLEDGED
    told = generate_latest(way.figures.registry).decode()
    assert f'edge_anpr_unit_up{{unit="{UNIT}"}} 1.0' in told


def test_states_that_the_database_refuses_hold_up_no_hit(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_batch: object) -> None:
        raise StoreDown("the database fails with DataError")

    monkeypatch.setattr(way.store, "states", refused)
    way.open()
    way.append(1)
    way.turn(way.empty)


def test_what_came_just_before_the_connection_broke_is_stored_and_receipted_on_the_next(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit with `until: puback` would not send it again."""
    message = way.append(1)
    centre, link = way.open(), way.centre_link
    assert link is not None
    advance, broken = link.advance, list[Event]()

    def cut() -> list[Event]:
        events = advance()
        if any(isinstance(event, Received) and "/hit/" in event.topic for event in events):
            broken.append(link._down(Trouble("the connection broke"), time.monotonic()))
            events += broken
        return events

    with monkeypatch.context() as patch:
        patch.setattr(link, "advance", cut)
        way.turn(lambda: broken)
    assert [row.hit_id for row in way.rows(tables.hit)] == [f"{1:032x}"]
    assert list(centre.receiver._owed[UNIT]) == [receipt.digest(message)]
    way.turn(way.empty)


def test_a_receipt_that_was_lost_is_given_again(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    centre = way.open()
    monkeypatch.setattr(centre.receiver, "_send_receipts", centre.receiver._owed.clear)
    way.append(1)
    way.turn(lambda: len(way.rows(tables.hit)) == 1)
    way.some_turns()
    assert way.outbox.depth().hits == 1
    monkeypatch.undo()
    way.turn(way.empty)
    assert len(way.rows(tables.report)) == 1


def test_what_is_no_hit_is_kept_aside_and_stays_on_the_unit(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    other, sealed_to = seal.new_pair("another centre")
    strange = [
        seal.seal(json.dumps(body(1)).encode(), sealed_to),
        json.dumps(body(2, unit="town/bridge/pole-08")).encode(),
        json.dumps(body(3, camera="cam-2")).encode(),
        json.dumps({**body(4), "more": 1}).encode(),
        json.dumps(body(5)).encode().replace(b'"model"', b'"\\ud800"'),
        json.dumps(body(6, seq=2**70)).encode(),
        b"\xff" * 2000,
        b"[" * 100_000,
        b"x" * 1_000_000,
    ]
    way.open()
    for number, message in enumerate(strange):
        way.outbox.append(str(number), "final", message)
    way.append(9)
    way.turn(lambda: len(way.rows(tables.poison)) == len(strange), 40)
    way.turn(lambda: way.outbox.depth().hits == len(strange))
    assert [hit.hit_id for hit in way.rows(tables.hit)] == [f"{9:032x}"]
    assert {row.reason for row in way.rows(tables.poison)} == {
        "it is not sealed to a key of this centre, or was altered",
        "it came under the topic of another unit or camera",
        "it is no anpr.hit/1",
        "it is too large for a hit",
        "no record can be made of it: a value is missing or out of range",
    }
    assert caplog.text.count("a message is kept aside") == 5
    assert "12ABC3" not in caplog.text
    # A centre that has the key takes what this one could not.
    way.close_centre()
    way.open(OPENS, other, name="another centre")
    way.turn(lambda: way.outbox.depth().hits == len(strange) - 1, 30)
    assert {hit.hit_id for hit in way.rows(tables.hit)} == {f"{1:032x}", f"{9:032x}"}


def test_receipts_that_are_forged_replayed_or_kept_at_the_broker_delete_nothing(
    way: Way, subscribe: Callable[[int], Subscriber], mosquitto: RealBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who may publish to the unit, and has heard all that was said before."""
    somebody = subscribe(mosquitto.port)
    forger, _ = envelope.new_pair("somebody")
    message = way.append(1)
    name = receipt.digest(message)
    way.turn(lambda: somebody.payloads("/hit/"))
    forged = [
        receipt.make(UNIT, [name], forger),
        receipt.make("town/bridge/pole-08", [name], SIGNING),
        envelope.sign(envelope.unverified(receipt.make(UNIT, [name], SIGNING), RECEIPT), TICKET, SIGNING),
        b"", b"{}", b"[" * 50_000, b"x" * 1_000_000,
    ]  # fmt: skip
    for number, raw in enumerate(forged, 1):
        somebody.publish(f"{ROOT}/receipt", raw)
        way.turn(lambda number=number: way.carrier.counts.receipts_refused == number)  # type: ignore[misc]
    somebody.publish(f"{ROOT}/receipt", receipt.make(UNIT, [name], SIGNING), retain=True)
    assert way.outbox.depth().hits == 1
    assert caplog.text.count("receipt-refused") >= 1
    way.open()
    way.turn(way.empty)
    replayed = somebody.payloads("/receipt")[-1]
    way.append(2)
    way.close_centre()
    before = way.carrier.counts.receipted
    somebody.publish(f"{ROOT}/receipt", replayed)
    way.some_turns()
    assert way.carrier.counts.receipted == before
    assert way.outbox.depth().hits == 1
    assert "12ABC3" not in caplog.text


def test_rubbish_that_the_broker_keeps_harms_no_unit(
    way: Way, subscribe: Callable[[int], Subscriber], mosquitto: RealBroker, caplog: pytest.LogCaptureFixture
) -> None:
    somebody = subscribe(mosquitto.port)
    for topic in ("list", "cmd/reboot", "receipt"):
        somebody.publish(f"{ROOT}/{topic}", b"\xff" * 5000, retain=True)
    way.open()
    way.append(1)
    way.turn(way.empty)
    told = [json.loads(payload)["active"] for payload in somebody.payloads("/alarm")]
    assert [alarm["code"] for alarm in told[-1]] == ["retained-receipt"]
    assert caplog.text.count("retained-receipt") == 1


def test_two_centres_share_the_work(way: Way, tmp_path: Path) -> None:
    first = way.open()
    link = Link(
        Broker("127.0.0.1", way.port, "second", 10),
        subscribe=receiver.subscriptions(SIGNING),
        unacknowledged=receiver.UNACKNOWLEDGED,
    )
    figures = Figures()
    store = Store(f"sqlite:///{tmp_path}/centre.db")
    second = Serving(link, store, [OPENS], SIGNING, Keep(28.0, 28.0), figures)
    for number in range(1, 101):
        way.append(number)

    def done() -> bool:
        second.turn()
        return way.empty()

    way.turn(done)
    assert len(way.rows(tables.hit)) == 100
    assert first is not second
    for one in (figures, way.figures):
        assert b'outcome="stored"' in generate_latest(one.registry)
    link.close()
    store.close()


def test_the_name_of_the_share_is_the_same_for_the_same_key_alone() -> None:
    other, _ = envelope.new_pair("another centre")
    names = [receiver.subscriptions(key)[0].split("/")[1] for key in (SIGNING, SIGNING, other)]
    assert names[0] == names[1] != names[2]
    assert SIGNED_BY.raw.hex()[:16] not in names[0]


def test_what_has_had_its_time_is_forgotten(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_anpr.centre.serving.FORGET_S", 0.1)
    way.keep = Keep(1e-6, 1e-6)  # a tenth of a second
    way.open()
    way.append(1)
    way.turn(way.empty)
    way.turn(lambda: not way.rows(tables.hit) and not way.rows(tables.evidence))
    assert {row.kind for row in way.rows(tables.deletion)} == {"hits", "evidence"}


def test_a_clock_that_was_set_deletes_nothing(
    way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_anpr.centre.serving.FORGET_S", 0.05)
    way.open()
    way.append(1)
    way.turn(way.empty)
    right = way.store._now
    way.store._now = lambda: right() + timedelta(days=3650)
    shown = time.time
    monkeypatch.setattr(time, "time", lambda: shown() + 3650 * 86400)
    way.some_turns()
    assert len(way.rows(tables.hit)) == 1
    assert caplog.text.count("clock was set while it ran") == 1


def test_while_the_centre_hears_nothing_nobody_falls_silent(
    way: Way, mosquitto: RealBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_anpr.centre.serving.JUDGE_S", 0.05)
    monkeypatch.setattr("edge_anpr.centre.fleet.INTERVALS", (0.1, 3600.0))
    centre = way.open()
    way.turn(lambda: way.rows(tables.unit) and way.rows(tables.unit)[0].interval_s == 0.5)
    mosquitto.kill()
    ends = time.monotonic() + 2.5  # five intervals

    def over() -> bool:
        centre.turn()
        return time.monotonic() > ends

    until(over)
    assert "silent" not in {alarm.code for alarm in way.rows(tables.alarm)}


def test_a_unit_that_falls_silent_is_an_alarm_and_its_last_words_are_no_proof_of_life(
    way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("edge_anpr.centre.serving.JUDGE_S", 0.1)
    monkeypatch.setattr("edge_anpr.centre.fleet.INTERVALS", (0.1, 3600.0))
    way.open()
    way.turn(lambda: way.rows(tables.unit) and way.rows(tables.unit)[0].interval_s == 0.5)
    way.link.close()  # politely: no Last Will, and the broker keeps "online"

    def silent() -> bool:
        return any(alarm.code == "silent" and alarm.ended is None for alarm in way.rows(tables.alarm))

    def judged() -> bool:
        assert way.centre is not None
        way.centre.turn()
        return silent()

    until(judged)
    assert f"{UNIT} is silent" in caplog.text
    way.carrier, way.link = way._unit()
    way.turn(lambda: f"{UNIT} is heard again" in caplog.text)
    way.turn(lambda: not silent())
