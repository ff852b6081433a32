from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import broker
from edge_anpr.unit.mqtt import Answered, Broker, Connected, Link, Message, Outcome
from tests.conftest import Broker as RealBroker
from tests.conftest import Subscriber, listening, until


def test_it_speaks_mqtt_5_with_everything_a_unit_uses(
    embedded_broker: RealBroker, subscribe: Callable[[int], Subscriber]
) -> None:
    link = Link(Broker("127.0.0.1", embedded_broker.port, "unit"), will=Message("anpr/status", b"lost", retain=True))
    until(lambda: any(isinstance(event, Connected) for event in link.advance()))
    evidence = b"x" * 200_000
    assert link.publish(Message("anpr/birth", b"born", retain=True)) is not None
    ticket = link.publish(Message("anpr/hit/cam-1", evidence, expiry_s=60))
    until(lambda: Answered(ticket or 0, Outcome.TAKEN, "Success") in link.advance())
    subscriber = subscribe(embedded_broker.port)
    until(lambda: ("anpr/birth", b"born", True) in subscriber.heard)
    link.publish(Message("anpr/hit/cam-1", evidence, expiry_s=60))
    until(lambda: evidence in subscriber.payloads("/hit/"))
    assert link._wire is not None
    link._wire.end(polite=False)
    until(lambda: subscriber.payloads("/status") == [b"lost"])
    link.close()
    assert "12ABC3" not in embedded_broker.said()


def test_it_is_heard_on_this_machine_only(embedded_broker: RealBroker) -> None:
    sockets = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True, check=False)
    port = f":{embedded_broker.port:04X}"
    listeners = [line.split()[1] for line in sockets.stdout.splitlines() if port in line.split()[1]]
    assert listeners
    assert all(address.startswith("0100007F") for address in listeners)


def test_a_port_in_use_is_told_in_one_line(embedded_broker: RealBroker) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "edge_anpr.unit.broker", str(embedded_broker.port)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.startswith("broker: ")
    assert second.stderr.count("\n") == 1


def test_a_free_port_is_free() -> None:
    assert not listening(broker.free_port())


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(Unusable, match=r"pip install 'edge-anpr\[demo\]', or name one under mqtt\.host"):
        broker.require()
