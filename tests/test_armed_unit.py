"""A whole unit that the centre arms, over mosquitto: the centre alone can read its hits, and it stops when told."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr import demo
from edge_anpr.privacy import keys, seal
from tests.conftest import Broker, Process, Subscriber, until

EDGE_ANPR = [sys.executable, "-m", "edge_anpr"]
PLATES = [passage["plate"] for passage in json.loads((demo.FOLDER / "truth.json").read_text())["passages"]]
LISTED = "74CAE3"


def desk(*words: object) -> None:
    subprocess.run([*EDGE_ANPR, *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(*words: object) -> Process:
        made.append(Process([*EDGE_ANPR, *map(str, words)], tmp_path / f"{words[0]}-{len(made)}.log"))
        made[-1].start()
        return made[-1]

    yield start
    for process in made:
        process.kill()


def test_armed_at_boot_sealed_hits_and_a_withdrawal_within_ten_seconds(
    tmp_path: Path,
    mosquitto: Broker,
    subscribe: Callable[[int], Subscriber],
    running: Callable[..., Process],
) -> None:
    desk("centre", "keygen", tmp_path / "keys")
    desk("watchlist", "keygen", tmp_path / "authority")
    (tmp_path / "list.csv").write_text(f"plate,country,reason,not_after,priority\n{LISTED},NL,stolen,2099-12-31,1\n")
    order = ["--list-id", "t", "--version", 3, "--unit", "pole-07", "--valid-until", "2099-12-31", "--regime", "r",
             "--reference", "T-1", "--authority", "a", "--mandate-until", "2099-12-31"]  # fmt: skip
    desk("watchlist", "make", tmp_path / "list.csv", "--out", tmp_path / "list.json", *order)
    desk("watchlist", "sign", tmp_path / "list.json", "--key", tmp_path / "authority.key", "--out", tmp_path / "list")
    unit = tmp_path / "unit.yaml"
    unit.write_text(
        "unit: {org: town, site: bridge, id: pole-07}\n"
        f"camera: {{source: clip, path: {json.dumps(str(demo.FOLDER / 'clip.mp4'))}, pace: live}}\n"
        "watchlist: {source: arm, keys: [authority.pub], centre_keys: [keys/ticket.pub], inbox: inbox}\n"
        "delivery: {outbox: state/outbox.db, seal_to: keys/hits.pub}\n"
        f"mqtt: {{host: 127.0.0.1, port: {mosquitto.port}}}\n"
        "health: {interval_s: 0.5}\n"
    )
    ear = subscribe(mosquitto.port)
    centre = ["--broker", f"127.0.0.1:{mosquitto.port}", "--key", tmp_path / "keys/ticket.key",
              "--revocations", tmp_path / "revocations"]  # fmt: skip
    armer = running(
        "centre", "arm", *centre, "--list", tmp_path / "list", "--authority", tmp_path / "authority.pub", "--auto"
    )
    until(lambda: "connected" in armer.said(), 30)
    running("publish", "-c", unit)
    running("recognise", "-c", unit)
    until(lambda: ear.payloads("/hit/"), 60)
    assert any(b"disarmed" in status for status in ear.payloads("/status"))  # before the list came
    sealed = ear.payloads("/hit/")[0]
    secret = keys.read(tmp_path / "keys/hits.key", "x25519", secret=True)
    hit = json.loads(seal.open_sealed(sealed, secret))
    assert (hit["read"], hit["match"]["list_version"], hit["match"]["basis"]) == (LISTED, 3, "T-1")

    begin = time.monotonic()
    desk("centre", "revoke", *centre, "--list-id", "t", "--up-to-version", 3)
    until(lambda: b"disarmed" in ear.payloads("/status")[-1], 10)
    assert time.monotonic() - begin < 10
    until(lambda: json.loads(ear.payloads("/health")[-1])["recogniser"]["state"] == "disarmed", 10)
    looked = json.loads(ear.payloads("/health")[-1])["recogniser"]["frames"]
    seen = len(ear.payloads("/health"))
    until(lambda: len(ear.payloads("/health")) > seen + 1, 10)
    assert json.loads(ear.payloads("/health")[-1])["recogniser"]["frames"] == looked  # no frame is looked at

    everything = b"".join(payload for _, payload, _ in ear.heard)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    for plate in PLATES:
        assert plate.encode() not in everything
        assert plate.encode() not in kept
        assert plate not in logs
