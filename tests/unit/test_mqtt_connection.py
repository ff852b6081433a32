"""A link's connections: how they begin, how their end is noticed, and when the next one is tried."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from edge_anpr.unit import backoff, mqtt
from edge_anpr.unit.mqtt import Down, Message, Outcome
from tests.conftest import Broker as RealBroker
from tests.conftest import Subscriber, free_port, until
from tests.torture.proxy import Proxy
from tests.unit.linking import HIT, Script, Watch

pytestmark = pytest.mark.usefixtures("quick_link")


def test_it_comes_back_after_the_broker_does(mosquitto: RealBroker, watch: Watch) -> None:
    unit = watch(mosquitto.port)
    unit.connected()
    mosquitto.kill()
    unit.until(lambda: unit.last(Down))
    down = unit.last(Down)
    assert isinstance(down, Down)
    assert down.was_connected
    unit.events.clear()
    mosquitto.start()
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER


def test_the_will_speaks_for_the_dead(
    mosquitto: RealBroker, watch: Watch, subscribe: Callable[[int], Subscriber]
) -> None:
    subscriber = subscribe(mosquitto.port)
    unit = watch(mosquitto.port, will=Message("anpr/status", b"lost", retain=True))
    unit.connected()
    unit.link.close()
    again = watch(mosquitto.port, will=Message("anpr/status", b"lost", retain=True))
    again.connected()
    assert subscriber.payloads("status") == []  # a clean goodbye leaves no will
    assert again.link._wire is not None
    again.link._wire.end(polite=False)
    until(lambda: subscriber.payloads("status") == [b"lost"])


def test_a_farewell_arrives_before_the_end(
    mosquitto: RealBroker, watch: Watch, subscribe: Callable[[int], Subscriber]
) -> None:
    subscriber, unit = subscribe(mosquitto.port), watch(mosquitto.port)
    unit.connected()
    unit.link.close(Message("anpr/status", b"offline", retain=True))
    until(lambda: subscriber.payloads("status") == [b"offline"])


def test_silence_ends_the_connection_though_tcp_stands(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SILENT_KEEPALIVES", 0.2)
    broker = scripted()
    unit = watch(broker.port, keepalive_s=2)
    unit.connected()
    broker.deaf = True
    unit.until(lambda: unit.last(Down))
    assert "silent for" in str(unit.last(Down))
    assert unit.link.room == 0
    broker.deaf = False
    unit.until(lambda: broker.connections == 2)


def test_a_puback_that_stays_away_ends_the_connection(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SILENT_KEEPALIVES", 0.5)
    broker = scripted()
    broker.puback = None
    unit = watch(broker.port, keepalive_s=2)
    unit.connected()
    assert unit.link.publish(HIT) is not None
    began = time.monotonic()
    while unit.last(Down) is None:
        unit.link.publish(Message("anpr/health", b"answered"))  # so it is not silent
        unit.turn()
        assert time.monotonic() - began < 10
    assert "silent for" in str(unit.last(Down))


def test_a_broker_that_never_answers_is_left(scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.3)
    broker = scripted()
    broker.deaf = True
    unit = watch(broker.port)
    unit.until(lambda: unit.last(Down))
    assert "no answer" in str(unit.last(Down))


def test_the_backoff_grows_and_is_bounded(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.01, 0.08))
    unit = watch(free_port())
    unit.until(lambda: len(unit.events) >= 8)
    waits = [event.retry_s for event in unit.events if isinstance(event, Down)]
    assert 0.005 <= waits[0] <= 0.01
    assert all(0.04 <= wait <= 0.08 for wait in waits[3:])
    assert len(set(waits)) > 4  # jitter


def test_a_connection_that_stands_and_carries_nothing_is_left(
    mosquitto: RealBroker, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SILENT_KEEPALIVES", 0.6)
    with Proxy(mosquitto.port) as way:
        unit = watch(way.port, keepalive_s=2)
        unit.connected()
        assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER
        way.freeze()
        assert "silent for 1 s" in unit.down().reason
        unit.back()


def test_something_urgent_is_not_late_when_only_this_connection_broke(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (4.0, 30.0))
    monkeypatch.setattr(backoff, "STEADY_S", 0.0)
    monkeypatch.setattr(backoff, "HURRY_S", (0.01, 0.02))
    broker = scripted()
    unit = watch(broker.port)
    unit.connected()
    broker.drop()
    assert unit.down().retry_s > 1
    began = time.monotonic()
    unit.link.hurry()
    unit.back()
    assert time.monotonic() - began < 2
    broker.puback = None
    unit.until(lambda: (unit.link.connected_s or 0) > 0.05)
    assert unit.link.publish(Message("anpr/hit/cam-1", b"x")) is not None  # in flight, so it hurries by itself
    unit.events.clear()
    broker.drop()
    assert unit.down().retry_s <= 1


def test_an_attempt_that_was_given_up_does_not_throw_out_the_next_one(
    mosquitto: RealBroker, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name's resolution hangs for longer than we wait; when it ends, another client of our name is connected."""
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.2)
    resolve, answered, calls = socket.getaddrinfo, threading.Event(), list[threading.Thread]()

    def slow(*arguments: object, **options: object) -> object:
        calls.append(threading.current_thread())
        if len(calls) == 1:
            answered.wait(10)
        return resolve(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    unit = watch(mosquitto.port)
    assert "no answer" in unit.down().reason
    monkeypatch.setattr(mqtt, "CONNECT_S", 15.0)
    unit.back()
    answered.set()
    calls[0].join(10)
    assert not calls[0].is_alive()
    assert mosquitto.said().count("New client connected") == 1
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER


def test_a_renewal_waits_for_what_is_in_flight_but_not_for_ever(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SETTLE_S", 0.3)
    broker = scripted()
    broker.puback = None
    unit = watch(broker.port)
    unit.connected()
    assert unit.link.publish(Message("anpr/hit/cam-1", b"x")) is not None
    began = time.monotonic()
    unit.link.renew()
    assert unit.link.room == 0
    assert unit.link.publish(HIT) is None
    down = unit.down()
    assert time.monotonic() - began >= 0.3
    assert (down.retry_s, down.alarm) == (0.0, None)
    unit.back()
    assert unit.link.room > 0
