from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_anpr.centre import revoker
from edge_anpr.centre.revocations import Revocations
from edge_anpr.errors import Unusable
from edge_anpr.privacy.seal import is_sealed
from edge_anpr.unit.mqtt import Broker, Link
from edge_anpr.watch import arming, envelope
from edge_anpr.watch.arming import Holds
from tests.centre.conftest import CENTRE, NOW, TICKETS, Centre, FakeUnit, signed
from tests.conftest import Subscriber, free_port

Subscribe = Callable[[int], Subscriber]


def withdrawn(version: int = 1, units: tuple[str, ...] = ("*",)) -> bytes:
    return arming.revoke("stolen", version, units, TICKETS, NOW)


def obeys(unit: FakeUnit) -> bool:
    revocations = [arming.read_revocation(raw, CENTRE) for raw in unit.heard if not is_sealed(raw)]
    return any(revocation.withdraws(unit.name, "stolen", 1) for revocation in revocations)


def test_what_is_withdrawn_is_given_to_nobody_and_told_to_who_holds_it(
    centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    centre.armer()
    unit = centre.unit()
    unit.ask()
    centre.until(lambda: unit.heard)
    unit.heard.clear()
    unit.ask(holds=Holds("stolen", 1))
    centre.some_turns()
    assert unit.heard == []
    Revocations(centre.revocations, CENTRE).add(withdrawn())  # another process does this
    centre.until(lambda: obeys(unit))
    centre.some_turns()
    assert len(unit.heard) == 1
    unit.heard.clear()
    unit.ask()
    centre.until(lambda: "version 1 is withdrawn; sign a newer" in caplog.text)
    centre.some_turns()
    assert unit.heard == []
    centre.list_path.write_bytes(signed(2))
    centre.until(lambda: any(is_sealed(message) for message in unit.heard))


def test_a_withdrawal_for_one_unit_leaves_the_others(centre: Centre) -> None:
    centre.list_path.write_bytes(signed(units=("*",)))
    centre.armer()
    units = [centre.unit("pole-07"), centre.unit("pole-08")]
    for unit in units:
        unit.ask(holds=Holds("stolen", 1))
    Revocations(centre.revocations, CENTRE).add(withdrawn(units=("pole-07",)))
    centre.until(lambda: obeys(units[0]))
    centre.some_turns()
    assert units[1].heard == []


def test_every_unit_is_told_also_one_that_is_away(centre: Centre, subscribe: Subscribe) -> None:
    unit, gone = centre.unit("pole-07"), centre.unit("pole-08")
    centre.some_turns()
    gone.carrier._link.close()
    centre.units.remove(gone)
    link = Link(Broker("127.0.0.1", centre.port, "revoker"), subscribe=[revoker.SUBSCRIPTION])
    began = time.monotonic()
    told = revoker.tell(link, withdrawn(), ("*",))
    link.close()
    centre.until(lambda: obeys(unit))
    assert time.monotonic() - began < 10
    assert [(one.topic.rsplit("/", 1)[-1], one.listening) for one in told] == [("pole-07", True), ("pole-08", False)]
    back = centre.unit("pole-08")
    centre.until(lambda: obeys(back))


def test_only_the_named_units_are_told(centre: Centre) -> None:
    unit, other = centre.unit("pole-07"), centre.unit("pole-08")
    centre.some_turns()
    link = Link(Broker("127.0.0.1", centre.port, "revoker"), subscribe=[revoker.SUBSCRIPTION])
    told = revoker.tell(link, withdrawn(units=("pole-07", "pole-99")), ("pole-07", "pole-99"))
    link.close()
    assert [one.topic for one in told] == ["anpr/v1/town/bridge/pole-07"]
    centre.until(lambda: obeys(unit))
    centre.some_turns()
    assert other.heard == []


def test_without_a_broker_it_says_so() -> None:
    link = Link(Broker("127.0.0.1", free_port(), "revoker"), subscribe=[revoker.SUBSCRIPTION])
    with pytest.raises(Unusable, match="no broker: nothing listens there; check --broker, and"):
        revoker.tell(link, withdrawn(), ("*",))


def test_what_is_kept_is_read_again_and_must_be_signed(tmp_path: Path) -> None:
    kept = Revocations(tmp_path / "r", CENTRE)
    assert kept.against("pole-07", "stolen", 1) is None
    kept.add(withdrawn(3))
    again = Revocations(tmp_path / "r", CENTRE)
    assert again.against("pole-07", "stolen", 3) == withdrawn(3)
    assert again.against("pole-07", "stolen", 4) is None
    (tmp_path / "r" / "x.revocation").write_bytes(arming.revoke("a", 1, ("*",), envelope.new_pair("")[0], NOW))
    with pytest.raises(Unusable, match="signed by no key that is trusted here; it belongs to another --key"):
        again.look()
