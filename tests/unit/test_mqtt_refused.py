"""A broker that does not want us: what is said, which alarm, and that nobody storms it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_anpr.unit import backoff, mqtt
from edge_anpr.unit.mqtt import Down
from tests.conftest import Broker as RealBroker
from tests.conftest import free_port
from tests.unit.linking import Script, Watch, restart

pytestmark = pytest.mark.usefixtures("quick_link")


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

    def connections() -> int:
        two.turn()
        return mosquitto.said().count("New client connected")

    before = connections()
    assert before <= 25
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        for unit in units:
            unit.turn()
    assert connections() - before <= 15
    one.until(lambda: connections() > before)  # each may wait for 3.9 s by now, but neither gives up
    two.link.close()
    one.until(lambda: one.link.connected_s is not None and one.link.alarm is None)


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
