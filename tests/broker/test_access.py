"""Who may write and read what, at the broker as it is shipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.broker.client import NO_SUBSCRIBER, NOT_AUTHORIZED, SUCCESS, Client, heard_within, settle
from tests.broker.hardened import Hardened
from tests.conftest import until

POLE, MILL, GROUP = "town/bridge/pole-07", "town/mill/pole-07", "$share/secret/anpr/v1/+/+/+/hit/+"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hardened]:
    made = Hardened(tmp_path_factory.mktemp("broker"))
    for name in (POLE, MILL):
        made.unit(name)
    for name in ("centre", "centre-2"):
        made.centre(name)
    made.start()
    yield made
    made.kill()


def topic(name: str, end: str) -> str:
    return f"anpr/v1/{name}/{end}"


@pytest.mark.parametrize("end", ["hit/cam-1", "status", "birth", "health", "alarm", "stats", "arm", "ack"])
def test_a_unit_writes_what_a_unit_says(broker: Hardened, end: str) -> None:
    with Client(broker.port, broker.centre()) as centre, Client(broker.port, broker.unit(POLE)) as unit:
        assert centre.subscribe("anpr/v1/#") == 1
        assert unit.publish(topic(POLE, end), b"said") == SUCCESS
        assert heard_within(centre, 1) == [(topic(POLE, end), b"said")]


@pytest.mark.parametrize(
    "other",
    [
        topic(MILL, "hit/cam-1"),  # of the same name at another site
        topic(MILL, "status"),
        topic("town/bridge/pole-08", "hit/cam-1"),
        topic(POLE, "hit/cam-2"),  # no camera of this unit
        topic(POLE, "hit/cam-1/x"),
        topic(POLE, "hit"),
        topic(POLE, "anything"),
        topic(POLE, "list"),
        topic(POLE, "receipt"),
        topic(POLE, "cmd/reboot"),
        topic(POLE + "/x", "status"),
        "anpr/v1/town/bridge",
        "anything",
        "$SYS/broker/version",
        "$CONTROL/broker/v1",
    ],
)
def test_a_unit_writes_nothing_else(broker: Hardened, other: str) -> None:
    with Client(broker.port, broker.centre()) as centre, Client(broker.port, broker.unit(POLE)) as unit:
        centre.subscribe("anpr/v1/#")
        for retain in (False, True):
            assert unit.publish(other, retain=retain) == NOT_AUTHORIZED
        settle(centre)
        assert centre.heard == []
        assert unit.publish(topic(POLE, "hit/cam-1")) == SUCCESS  # refused, and not thrown out


def test_a_unit_reads_what_is_for_it_and_nothing_else(broker: Hardened) -> None:
    mine = [topic(POLE, end) for end in ("list", "receipt", "cmd/reboot")]
    with (
        Client(broker.port, broker.centre()) as centre,
        Client(broker.port, broker.unit(POLE)) as unit,
        Client(broker.port, broker.unit(MILL)) as other,
    ):
        # mosquitto takes every subscription and judges each message; what counts is what arrives.
        for everything in ("#", "anpr/#", "$SYS/#", "anpr/v1/+/+/+/hit/+", *mine):
            unit.subscribe(everything)
        for end in ("list", "receipt", "cmd/reboot"):
            centre.publish(topic(MILL, end))
            assert centre.publish(topic(POLE, end), b"for you") == SUCCESS
        for end in ("hit/cam-1", "health", "status"):
            other.publish(topic(MILL, end), retain=end == "status")
            unit.publish(topic(POLE, end))
        settle(unit)
        assert {where for where, _ in unit.heard} == set(mine)
        unit.subscribe(topic(MILL, "status"))  # retained
        settle(unit)
        assert {where for where, _ in unit.heard} == set(mine)
        other.publish(topic(MILL, "status"), b"", retain=True)


def test_the_centre_reads_all_and_writes_only_towards_units(broker: Hardened) -> None:
    with Client(broker.port, broker.centre()) as centre:
        for end in ("list", "receipt", "cmd/reboot"):
            assert centre.publish(topic(POLE, end)) in {SUCCESS, NO_SUBSCRIBER}
        for other in (topic(POLE, "hit/cam-1"), topic(POLE, "status"), "anpr/v1/list", "anything"):
            assert centre.publish(other) == NOT_AUTHORIZED
        assert centre.subscribe("$SYS/broker/version") == 1
        assert heard_within(centre, 1)[0][1].startswith(b"mosquitto version 2")


def test_two_centres_share_the_hits(broker: Hardened) -> None:
    with (
        Client(broker.port, broker.centre()) as one,
        Client(broker.port, broker.centre("centre-2")) as two,
        Client(broker.port, broker.unit(POLE)) as unit,
    ):
        for centre in (one, two):
            assert centre.subscribe(GROUP) == 1
        for number in range(20):
            assert unit.publish(topic(POLE, "hit/cam-1"), str(number).encode()) == SUCCESS
        until(lambda: len(one.heard) + len(two.heard) == 20)
        assert sorted(int(payload) for _, payload in one.heard + two.heard) == list(range(20))
        assert one.heard
        assert two.heard


def test_a_unit_in_the_centres_own_group_hides_hits_so_the_groups_name_is_a_secret(broker: Hardened) -> None:
    with (
        Client(broker.port, broker.centre()) as centre,
        Client(broker.port, broker.unit(MILL)) as thief,
        Client(broker.port, broker.unit(POLE)) as unit,
    ):
        centre.subscribe(GROUP)
        for guess in ("edge-anpr-centre", "centre", "Secret"):
            thief.subscribe(GROUP.replace("secret", guess))
        for _ in range(10):
            assert unit.publish(topic(POLE, "hit/cam-1")) == SUCCESS
        assert len(heard_within(centre, 10)) == 10
        # mosquitto's fault: a member that may not read still has its turn, and the unit is told that all is well.
        thief.subscribe(GROUP)
        for _ in range(10):
            assert unit.publish(topic(POLE, "hit/cam-1")) == SUCCESS
        settle(centre, thief)
        assert len(centre.heard) == 15
        assert thief.heard == []


def test_nobody_takes_the_session_of_another(broker: Hardened) -> None:
    with Client(broker.port, broker.unit(POLE), "my-id") as unit:
        for client_id in ("my-id", POLE, "edge-anpr-town-bridge-pole-07"):
            with Client(broker.port, broker.unit(MILL), client_id) as other:
                assert other.code == SUCCESS
                assert other.publish(topic(MILL, "health")) in {SUCCESS, NO_SUBSCRIBER}
        assert unit.publish(topic(POLE, "health")) in {SUCCESS, NO_SUBSCRIBER}
        assert not unit.ended


def test_one_identity_has_one_session(broker: Hardened) -> None:
    with (
        Client(broker.port, broker.unit(POLE), "one") as first,
        Client(broker.port, broker.unit(POLE), "two") as second,
    ):
        until(lambda: first.ended)
        assert second.publish(topic(POLE, "health")) in {SUCCESS, NO_SUBSCRIBER}


def test_a_will_is_judged_like_any_message(broker: Hardened) -> None:
    with Client(broker.port, broker.centre()) as centre:
        centre.subscribe("anpr/v1/#")
        for where in (topic(MILL, "status"), topic(POLE, "status")):
            Client(broker.port, broker.unit(POLE), will=(where, b"lost")).vanish()
        until(lambda: (topic(POLE, "status"), b"lost") in centre.heard)
        assert [where for where, payload in centre.heard if payload == b"lost"] == [topic(POLE, "status")]


def test_a_name_with_a_certificate_and_no_place_in_the_acl_may_do_nothing(broker: Hardened) -> None:
    stranger = broker.unit("town/bridge/stranger")
    acl = broker.etc / "edge-anpr" / "acl"
    acl.write_text(acl.read_text("utf-8").replace("town/bridge/stranger", "town/bridge/another"), "utf-8")
    broker.hangup()
    with Client(broker.port, stranger) as client:
        assert client.publish(topic("town/bridge/stranger", "health")) == NOT_AUTHORIZED


def test_the_broker_says_its_limits_on_connect(broker: Hardened) -> None:
    with Client(broker.port, broker.unit(POLE), keepalive_s=3600) as unit:
        limits = ("MaximumPacketSize", "ReceiveMaximum", "ServerKeepAlive")
        assert [getattr(unit.connack, name) for name in limits] == [4_000_000, 400, 300]
