from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_anpr.unit import backoff, mqtt
from edge_anpr.unit.mqtt import WINDOW, Broker, Down, Link, Message, Outcome, Received
from tests.conftest import Broker as RealBroker
from tests.conftest import ScriptedBroker, Subscriber, free_port, until
from tests.unit.linking import Watched, restart

HIT = Message("anpr/hit/cam-1", b"payload")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def watched(port: int, keepalive_s: int = 10, name: str = "unit", **options: object) -> Watched:
        made.append(Watched(Link(Broker("127.0.0.1", port, name, keepalive_s), **options)))  # type: ignore[arg-type]
        return made[-1]

    yield watched
    for one in made:
        one.link.close()


Watch = Callable[..., Watched]
Script = Callable[..., ScriptedBroker]


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


@pytest.mark.parametrize(
    ("code", "words"), [(0x86, "mqtt.password_file"), (0x87, "authorise"), (0x84, "MQTT 5"), (0x88, "unavailable")]
)
def test_being_refused_says_what_to_do(scripted: Script, watch: Watch, code: int, words: str) -> None:
    unit = watch(scripted(connack=code).port)
    unit.until(lambda: unit.last(Down))
    assert words in str(unit.last(Down))


def test_nothing_there_says_what_to_do(watch: Watch) -> None:
    unit = watch(free_port())
    unit.until(lambda: unit.last(Down))
    assert "nothing listens there; check mqtt.host and mqtt.port" in str(unit.last(Down))


def test_the_backoff_grows_and_is_bounded(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.01, 0.08))
    unit = watch(free_port())
    unit.until(lambda: len(unit.events) >= 8)
    waits = [event.retry_s for event in unit.events if isinstance(event, Down)]
    assert 0.005 <= waits[0] <= 0.01
    assert all(0.04 <= wait <= 0.08 for wait in waits[3:])
    assert len(set(waits)) > 4  # jitter


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


def _proxy(port: int, frozen: threading.Event, ended: threading.Event) -> tuple[int, threading.Thread]:
    """Forwards to ``port`` until it is frozen: then both connections stand, and nothing passes."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def serve() -> None:
        pairs: dict[socket.socket, socket.socket] = {}
        with listener:
            while not ended.is_set():
                with suppress(TimeoutError):
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", port))
                    pairs |= {near: far, far: near}
                readable = [] if frozen.is_set() else select.select(list(pairs), [], [], 0.01)[0]
                for one in readable:
                    data = one.recv(65536)
                    if data:
                        pairs[one].sendall(data)
                    else:
                        other = pairs.pop(one)
                        del pairs[other]
                        one.close()
                        other.close()
        for one in pairs:
            one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return int(listener.getsockname()[1]), thread


def test_a_connection_that_stands_and_carries_nothing_is_left(
    mosquitto: RealBroker, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SILENT_KEEPALIVES", 0.6)
    frozen, ended = threading.Event(), threading.Event()
    port, thread = _proxy(mosquitto.port, frozen, ended)
    try:
        unit = watch(port, keepalive_s=2)
        unit.connected()
        assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER
        frozen.set()
        assert "silent for 1 s" in unit.down().reason
        frozen.clear()
        unit.back()
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("code", "alarm", "slow"),
    [
        (0x85, "not-authorised", True),
        (0x86, "not-authorised", True),
        (0x87, "not-authorised", True),
        (0x88, None, False),
        (0x89, None, False),
        (0x8A, "not-authorised", True),
        (0x97, None, False),
        (0x9D, "broker-moved", True),
        (0x9F, None, False),
    ],
)
def test_a_refusal_is_an_alarm_and_a_long_wait_and_a_busy_broker_is_neither(
    scripted: Script, watch: Watch, code: int, alarm: str | None, slow: bool
) -> None:
    broker = scripted(connack=code)
    unit = watch(broker.port)
    down = unit.down()
    assert down.alarm == alarm
    assert unit.link.alarm == (alarm and (alarm, down.reason))
    assert (60 <= down.retry_s <= 90) if slow else (down.retry_s <= 0.1)
    if slow:
        for _ in range(10):
            unit.turn()
        assert broker.connections == 1


def test_a_subscription_that_is_not_allowed(
    mosquitto: RealBroker, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))  # an acl_file lets all subscribe
    rules = tmp_path / "rules.json"
    rules.write_text(
        '{"defaultACLAccess": {"subscribe": false}, "anonymousGroup": "all", "groups": [{"groupname": "all"}]}'
    )
    restart(mosquitto, "allow_anonymous true", f"plugin {plugin}", f"plugin_opt_config_file {rules}")
    unit = watch(mosquitto.port, subscribe=["anpr/#"])
    down = unit.down()
    assert down.alarm == "not-authorised"
    assert "refuses the subscription: not authorized" in down.reason
    assert down.retry_s >= 60
    monkeypatch.setattr(backoff, "REFUSED_S", (0.02, 0.1))
    unit.link.renew()  # as if the hour had passed
    restart(mosquitto, "allow_anonymous true")
    unit.back()
    assert unit.link.alarm is None


@pytest.mark.parametrize(
    ("code", "alarm"), [(0x8E, "name-taken"), (0x87, "not-authorised"), (0x8B, None), (0x98, None)]
)
def test_what_the_broker_says_when_it_ends_the_connection(
    scripted: Script, watch: Watch, code: int, alarm: str | None
) -> None:
    broker = scripted()
    unit = watch(broker.port)
    unit.connected()
    broker._open[0].sendall(bytes([0xE0, 1, code]))
    down = unit.down()
    assert down.alarm == alarm
    assert down.was_connected
    assert (down.retry_s >= 60) is (alarm is not None)


def test_two_units_of_one_name_do_not_throw_each_other_out_for_ever(
    mosquitto: RealBroker, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the broker does not say why (mosquitto 2.0.11 does not, 2.0.21 does).

    A minute is 0.4 s here; without slowing down they would meet a hundred times.
    """
    monkeypatch.setattr(backoff, "REFUSED_S", (0.4, 2.6))
    monkeypatch.setattr(backoff, "SPREAD_S", 0.4)
    monkeypatch.setattr(backoff, "STEADY_S", 0.5)
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.1, 1.5))
    monkeypatch.setattr(mqtt, "UNSTEADY", (3, 2.5))
    units = one, two = watch(mosquitto.port), watch(mosquitto.port)

    def both_know() -> bool:
        two.turn()
        return all(unit.link.alarm and unit.link.alarm[0] in {"name-taken", "unsteady"} for unit in units)

    one.until(both_know)
    alarm = one.link.alarm
    assert alarm is not None
    assert "give every unit its own unit.id" in alarm[1]
    before = mosquitto.said().count("New client connected")
    assert before <= 25
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        for unit in units:
            unit.turn()
    assert 1 <= mosquitto.said().count("New client connected") - before <= 15
    two.link.close()
    one.until(lambda: one.link.connected_s is not None and one.link.alarm is None)


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


def test_a_name_that_was_taken_is_told_for_a_while_after_it_is_ours_again(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm can be told only to whom we are connected; and so can its end."""
    monkeypatch.setattr(backoff, "REFUSED_S", (0.05, 0.1))
    monkeypatch.setattr(mqtt, "UNSTEADY", (5, 0.4))
    broker = scripted()
    unit = watch(broker.port)
    unit.connected()
    broker._open[0].sendall(b"\xe0\x01\x8e")
    unit.down()
    unit.back()
    assert (unit.link.alarm or ("",))[0] == "name-taken"
    unit.until(lambda: unit.link.alarm is None)
    assert (unit.link.connected_s or 0) >= 0.4
