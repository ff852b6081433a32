"""Messages over a link: what counts as acknowledged, how many are on their way, what is told of those that come."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_anpr.unit.mqtt import WINDOW, Message, Outcome, Received
from tests.conftest import Broker as RealBroker
from tests.conftest import Subscriber, until
from tests.unit.linking import HIT, Script, Watch

pytestmark = pytest.mark.usefixtures("quick_link")


def test_a_message_is_taken_when_somebody_listens(
    mosquitto: RealBroker, watch: Watch, subscribe: Callable[[int], Subscriber]
) -> None:
    unit, subscriber = watch(mosquitto.port), subscribe(mosquitto.port)
    assert unit.link.publish(HIT) is None
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.TAKEN
    until(lambda: subscriber.payloads("hit") == [b"payload"])


def test_nobody_listening_is_no_acknowledgement(mosquitto: RealBroker, watch: Watch) -> None:
    unit = watch(mosquitto.port)
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97])
def test_a_refusal_is_no_acknowledgement(scripted: Script, watch: Watch, code: int) -> None:
    broker = scripted()
    broker.puback = code
    unit = watch(broker.port)
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.REFUSED


def test_a_link_may_listen(mosquitto: RealBroker, watch: Watch) -> None:
    centre = watch(mosquitto.port, subscribe=["anpr/#"])
    centre.connected()
    assert centre.link.publish(HIT) is not None
    centre.until(lambda: centre.last(Received))
    assert centre.last(Received) == Received("anpr/hit/cam-1", b"payload")


def test_the_window_is_bounded(scripted: Script, watch: Watch) -> None:
    broker = scripted()
    broker.puback = None
    unit = watch(broker.port)
    unit.connected()
    tickets = [unit.link.publish(HIT) for _ in range(WINDOW + 5)]
    assert None not in tickets[:WINDOW]
    assert tickets[WINDOW:] == [None] * 5


def test_the_broker_may_want_less(scripted: Script, watch: Watch) -> None:
    broker = scripted(properties=b"\x21\x00\x03" + b"\x27\x00\x00\x01\x00")  # receive maximum 3, packets of 256 bytes
    broker.puback = None
    unit = watch(broker.port)
    unit.connected()
    assert unit.link.room == 3
    with pytest.raises(ValueError, match="takes 256"):
        unit.link.publish(Message("anpr/hit/cam-1", b"x" * 300))


def test_user_properties_and_what_the_broker_had_kept_are_told(mosquitto: RealBroker, watch: Watch) -> None:
    unit = watch(mosquitto.port)
    unit.connected()
    kept = Message("anpr/status", b"online", retain=True, properties=(("late", "true"), ("age_s", "7")))
    unit.answer(unit.link.publish(kept))
    centre = watch(mosquitto.port, subscribe=["anpr/+"], name="centre")
    centre.until(lambda: centre.last(Received))
    assert centre.last(Received) == Received("anpr/status", b"online", True, kept.properties)
    unit.answer(unit.link.publish(kept))
    centre.until(lambda: centre.last(Received) == Received("anpr/status", b"online", False, kept.properties))


def test_nothing_more_comes_before_something_was_acknowledged(mosquitto: RealBroker, watch: Watch) -> None:
    centre = watch(mosquitto.port, subscribe=["$share/centres/anpr/hit/+"], unacknowledged=5, name="centre")
    centre.connected()
    unit = watch(mosquitto.port)
    unit.connected()
    for _ in range(12):
        assert unit.link.publish(HIT) is not None

    def received() -> list[Received]:
        return [event for event in centre.events if isinstance(event, Received)]

    centre.until(lambda: len(received()) == 5)
    for _ in range(10):
        centre.turn()
    assert len(received()) == 5
    done = 0

    def acknowledged_all() -> bool:
        nonlocal done
        for message in received()[done:]:
            centre.link.acknowledge(message)
        done = len(received())
        return done == 12

    centre.until(acknowledged_all)
