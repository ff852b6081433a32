"""No plate on the broker's disk or in its log, whatever a hit says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_anpr.privacy import seal
from tests.broker.client import NO_SUBSCRIBER, SUCCESS, Client, heard_within
from tests.broker.hardened import Hardened

POLE = "town/bridge/pole-07"
MARKER = b"XX99YYZ"


def test_what_passes_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where mosquitto keeps what it keeps, unless it is told another place
    broker = Hardened(tmp_path)
    broker.unit(POLE)
    broker.centre()
    broker.start()
    hit, sealed = b'{"read":"%s"}' % MARKER, seal.seal(b'{"read":"%s"}' % MARKER, seal.new_pair("centre")[1])
    with (
        Client(broker.port, broker.unit(POLE), will=(f"anpr/v1/{POLE}/status", hit)) as unit,
        Client(broker.port, broker.centre(), manual_ack=True) as centre,  # both hits stay in the broker's memory
    ):
        centre.subscribe("anpr/v1/+/+/+/hit/+")
        for payload in (hit, sealed):
            assert unit.publish(f"anpr/v1/{POLE}/hit/cam-1", payload) == SUCCESS
        assert unit.publish(f"anpr/v1/{POLE}/birth", hit, retain=True) == NO_SUBSCRIBER
        assert [payload for _, payload in heard_within(centre, 2)] == [hit, sealed]
        for end in ("hit/" + MARKER.decode(), MARKER.decode()):  # refused, and not told
            unit.publish(f"anpr/v1/{POLE}/{end}", hit)
        unit.subscribe(f"anpr/v1/{POLE}/cmd/{MARKER.decode()}")
    assert broker.running is not None
    broker.running.terminate()  # in an orderly end mosquitto would write what it keeps
    assert broker.ends() == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "broker.log" in files
    assert {path.name for path in files} & {"mosquitto.db"} == set()
    assert [path.name for path in files if MARKER in path.read_bytes() or b'"read"' in path.read_bytes()] == []
