from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from edge_anpr.centre import armer
from edge_anpr.privacy.seal import is_sealed
from edge_anpr.watch import arming, envelope, watchlist
from edge_anpr.watch.arming import ArmingRefused, Holds
from tests.centre.conftest import AUTHORITIES, CENTRE, DAY, NOW, PLATE, TICKETS, Centre, FakeUnit, signed
from tests.conftest import Broker as RealBroker
from tests.conftest import Subscriber, until

Subscribe = Callable[[int], Subscriber]


def armed(unit: FakeUnit) -> arming.Armed:
    """The list that has come, opened as the recogniser does."""
    assert unit.session is not None
    message = next(message for message in unit.heard if is_sealed(message))
    return unit.session.open(message, CENTRE, time.monotonic_ns())


def version(unit: FakeUnit) -> int:
    opened = envelope.verify(armed(unit).envelope, envelope.LIST, AUTHORITIES)
    assert PLATE in {plate for plate, _ in watchlist.parse(opened.payload).plates()}
    return watchlist.parse(opened.payload).header.version


def test_a_unit_asks_the_operator_says_yes_and_the_unit_opens_its_list(
    centre: Centre, subscribe: Subscribe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    listener = subscribe(centre.port)
    says: list[bool | None] = [None]
    asked: list[str] = []

    def decide(question: str) -> bool | None:
        asked.append(question)
        return says[0]

    centre.armer(decide)
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: asked)
    centre.some_turns()
    assert unit.heard == []  # not before the yes
    assert len(set(asked)) == 1
    for shown in (
        "town/bridge/pole-07",
        "has no list",
        "stolen version 1",
        "2 entries",
        "mandate 2026-17",
        "NOT signed",
    ):
        assert shown in asked[0]
    says[0] = True
    centre.until(lambda: unit.heard)
    assert version(unit) == 1
    answer = next(message for message in unit.heard if is_sealed(message))
    everything = asked[0].encode() + caplog.text.encode() + b"".join(payload for _, payload, _ in listener.heard)
    assert answer in everything  # the listener did hear the answer
    assert PLATE.encode() not in everything
    assert TICKETS.raw.hex().encode() not in everything
    assert "sent list stolen version 1" in caplog.text


def test_a_no_is_a_no_until_the_unit_starts_anew_or_the_list_changes(centre: Centre) -> None:
    asked: list[str] = []

    def decide(question: str) -> bool | None:
        asked.append(question)
        return False

    centre.armer(decide)
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: len(asked) == 1)
    unit.ask()  # a new key, the same start
    centre.some_turns()
    assert len(asked) == 1
    unit.ask(boot_id="cd34")
    centre.until(lambda: len(asked) == 2)
    centre.list_path.write_bytes(signed(2))
    centre.until(lambda: len(asked) == 3)
    assert unit.heard == []


def test_a_newer_version_goes_to_those_who_hold_an_older_one(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    centre.armer()
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: unit.heard)
    assert version(unit) == 1
    unit.heard.clear()
    unit.ask(holds=Holds("stolen", 1))
    centre.some_turns()
    assert unit.heard == []  # it has what there is
    centre.list_path.write_bytes(signed(2, key=TICKETS))  # not signed by who answers for lists
    centre.some_turns()
    centre.list_path.write_bytes(b"half a li")
    centre.some_turns()
    assert unit.heard == []
    centre.list_path.write_bytes(signed(2))
    centre.until(lambda: unit.heard)
    assert version(unit) == 2
    unit.heard.clear()
    centre.list_path.write_bytes(signed(1))
    unit.ask()
    centre.until(lambda: unit.heard)
    assert version(unit) == 2
    unit.heard.clear()
    unit.ask(holds=Holds("stolen", 7))
    centre.until(lambda: "holds version 7 already" in caplog.text)
    assert unit.heard == []
    assert sum("signed by no key" in line for line in caplog.messages) == 1
    assert sum("version 2 is used on, because" in line for line in caplog.messages) == 1


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (signed(units=("pole-08",)), "is not for unit pole-07"),
        (signed(valid=(-2 * DAY, -DAY)), "was valid until"),
        (signed(valid=(DAY, 2 * DAY)), "is valid from"),
        (signed(mandate=-timedelta(seconds=1)), "a mandate that ended"),
    ],
)
def test_who_may_not_have_a_list_gets_none(
    centre: Centre, caplog: pytest.LogCaptureFixture, listed: bytes, why: str
) -> None:
    centre.list_path.write_bytes(listed)
    centre.armer()
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: why in caplog.text)
    unit.ask()
    centre.some_turns()
    assert unit.heard == []
    assert sum(why in line for line in caplog.messages) == 1


def test_a_list_whose_time_runs_out_is_given_to_nobody_any_more(centre: Centre) -> None:
    clock = [NOW]
    centre.armer(now=lambda: clock[0])
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: unit.heard)
    unit.heard.clear()
    clock[0] = NOW + DAY + timedelta(seconds=1)
    unit.ask()
    centre.some_turns()
    assert unit.heard == []


def test_with_unit_keys_only_the_unit_itself_can_ask(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    own, own_public = envelope.new_pair("pole-07")
    other, other_public = envelope.new_pair("pole-08")
    asked: list[str] = []

    def decide(question: str) -> bool:
        asked.append(question)
        return True

    centre.armer(decide, {"pole-07": own_public.raw, "pole-08": other_public.raw})
    unit = centre.unit()
    for identity, why in ((None, "no signed envelope"), (other, "no key that is trusted")):
        unit.ask(identity=identity)
        centre.until(lambda why=why: why in caplog.text)  # type: ignore[misc]
    stranger = centre.unit("pole-99")
    stranger.ask(identity=own)
    centre.until(lambda: "pole-99: the request is refused: is signed by no key" in caplog.text)
    centre.some_turns()
    assert unit.heard == stranger.heard == []
    assert asked == []
    unit.ask(identity=own)
    centre.until(lambda: unit.heard)
    assert version(unit) == 1
    assert "signed by its key" in asked[0]


def test_a_unit_asks_in_its_own_name_only(centre: Centre, caplog: pytest.LogCaptureFixture) -> None:
    centre.list_path.write_bytes(signed(units=("*",)))
    centre.armer()
    unit = centre.unit("pole-08")
    unit.name = "pole-07"
    unit.ask()
    centre.until(lambda: "it names unit pole-07" in caplog.text)
    centre.some_turns()
    assert unit.heard == []


def test_a_thief_of_the_broker_opens_no_answer(centre: Centre, subscribe: Subscribe) -> None:
    listener = subscribe(centre.port)
    centre.armer()
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: listener.payloads("/list"))
    thief = arming.Session("pole-07", "ab12", time.monotonic_ns(), version="0.1.0")
    with pytest.raises(ArmingRefused):
        thief.open(listener.payloads("/list")[0], CENTRE, time.monotonic_ns())
    centre.until(lambda: unit.heard)
    assert version(unit) == 1  # the control: it does open for who asked


def test_garbage_on_the_topic_stops_nothing(centre: Centre, subscribe: Subscribe) -> None:
    sender = subscribe(centre.port)
    centre.armer()
    for topic in ("town/bridge/pole-07", "town/bridge/POLE", "a b/ü/d", "town/bridge/pole-09"):
        for raw in (b"", b"{}", b"\xff" * 5000, b"[" * 3000):
            sender.publish(f"anpr/v1/{topic}/arm", raw)
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: unit.heard)
    assert version(unit) == 1


def test_many_requests_of_one_unit_are_answered_now_and_then(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(armer, "PAUSE_S", 30.0)
    centre.armer()
    unit = centre.unit()
    for _ in range(4):
        unit.ask()
        centre.some_turns()
    assert len(unit.heard) == 1


def test_a_unit_that_does_not_take_its_list_is_sent_it_ever_more_rarely(
    centre: Centre, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(armer, "PAUSE_S", 0.1)
    centre.armer()
    unit = centre.unit()
    came: list[float] = []
    while len(came) < 4:
        unit.ask()
        centre.until(lambda: unit.heard)
        unit.heard.clear()
        came.append(time.monotonic())
    assert came[-1] - came[0] > 0.6  # 0.1, 0.2 and 0.4 s; three times 0.1 without the doubling
    assert sum("again; it asked anew" in line for line in caplog.messages) == 3
    unit.ask(boot_id="cd34")  # it has started anew
    began = time.monotonic()
    centre.until(lambda: unit.heard)
    assert time.monotonic() - began < 0.8


def test_an_old_request_is_not_answered(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(armer, "GOOD_S", 0.2)
    says: list[bool | None] = [None]
    made = centre.armer(lambda _: says[0])
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: made._asking)
    centre.until(lambda: not made._asking)
    says[0] = True
    centre.some_turns()
    assert unit.heard == []


def test_an_armer_outlives_its_broker(centre: Centre, mosquitto: RealBroker) -> None:
    made = centre.armer()
    unit = centre.unit()
    mosquitto.kill()
    centre.until(lambda: not made._connected and not unit.carrier._connected)
    mosquitto.start()
    centre.until(lambda: made._connected and unit.carrier._connected)
    unit.ask()
    centre.until(lambda: unit.heard)
    assert version(unit) == 1


def test_the_centre_sends_to_the_units_own_topic_only(centre: Centre, subscribe: Subscribe) -> None:
    listener = subscribe(centre.port)
    centre.list_path.write_bytes(signed(units=("*",)))
    centre.armer()
    unit, other = centre.unit(), centre.unit("pole-08")
    unit.ask()
    centre.until(lambda: unit.heard)
    centre.some_turns()
    assert other.heard == []
    assert {topic for topic, _, _ in listener.heard if topic.endswith("/list")} == {"anpr/v1/town/bridge/pole-07/list"}
    late = subscribe(centre.port)
    until(lambda: late.payloads("/status"))
    assert late.payloads("/list") == late.payloads("/arm") == []  # neither request nor list stays with the broker
