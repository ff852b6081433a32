"""The whole unit on the demo clip, over both brokers, with an ear on every byte that passes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_anpr import demo
from tests.conftest import Broker, Process, Subscriber, until

TRUTH = json.loads((demo.FOLDER / "truth.json").read_text())
LISTED = sorted(passage["plate"] for passage in TRUTH["passages"] if passage["listed"])
OTHERS = sorted({passage["plate"] for passage in TRUTH["passages"] if not passage["listed"]})
EDGE_ANPR = [sys.executable, "-m", "edge_anpr"]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(*arguments: str) -> Process:
        process = Process([*EDGE_ANPR, *arguments], tmp_path / f"{arguments[0]}.log")
        made.append(process)
        process.start()
        return process

    yield start
    for process in made:
        process.kill()


def unit_on(port: int, folder: Path) -> Path:
    """The demo's config, read as fast as it goes, towards a broker on ``port``."""
    text = (demo.FOLDER / "config.yaml").read_text()
    text = re.sub(r"(?<=path: |    - )(?!/)\S+", lambda name: json.dumps(str(demo.FOLDER / name[0])), text)
    text = re.sub(r"pace: live", "pace: fast", text)
    text = re.sub(r"(?m)^mqtt:.*\n(?:[ #].*\n)*", f"mqtt:\n  host: 127.0.0.1\n  port: {port}\n", text)
    path = folder / "unit.yaml"
    path.write_text(text)
    return path


def hits(ear: Subscriber, phase: str) -> list[dict[str, Any]]:
    return [body for body in map(json.loads, ear.payloads("/hit/")) if body["phase"] == phase]


def settled(ear: Subscriber) -> bool:
    """Whether the clip is over and everything that it gave has been delivered."""
    for payload in ear.payloads("/health"):
        body = json.loads(payload)
        if (body["recogniser"] or {}).get("state") == "ended" and body["publisher"]["outbox"]["hits"] == 0:
            return True
    return False


@pytest.mark.parametrize("kind", ["mosquitto", "embedded_broker"])
def test_one_final_hit_for_each_listed_plate_and_no_other_plate_in_any_byte(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    subscribe: Callable[[int], Subscriber],
    processes: Callable[..., Process],
) -> None:
    broker: Broker = request.getfixturevalue(kind)
    ear = subscribe(broker.port)
    config = unit_on(broker.port, tmp_path)
    running = [processes("publish", "-c", str(config)), processes("recognise", "-c", str(config))]
    until(
        lambda: settled(ear) or any(process.running.poll() is not None for process in running if process.running), 120
    )
    assert settled(ear), "".join(process.said() for process in running)

    finals = hits(ear, "final")
    assert sorted(body["read"] for body in finals) == LISTED
    assert sorted(body["match"]["listed"] for body in finals) == LISTED
    assert len({body["hit_id"] for body in finals}) == 2
    assert {body["hit_id"] for body in hits(ear, "first")} <= {body["hit_id"] for body in finals}
    assert hits(ear, "withdrawn") == []
    passed = b"\n".join(topic.encode() + payload for topic, payload, _ in ear.heard)
    said = "".join(process.said() for process in running)
    assert [plate for plate in OTHERS if plate.encode() in passed or plate in said] == []
    assert [plate for plate in LISTED if plate in said or any(plate in topic for topic, _, _ in ear.heard)] == []
    assert not any(retained for topic, _, retained in ear.heard if "/hit/" in topic)
    health = json.loads(ear.payloads("/health")[-1])["recogniser"]
    assert health["passages"] == len(TRUTH["passages"])
    assert health["hits"] == 2
    for process in running:
        assert process.running is not None
        process.running.send_signal(signal.SIGTERM)
        assert process.ends(5) == 0


def children(pid: int) -> set[int]:
    """All processes below ``pid``."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            child = int(path.parent.name)
            found |= {child} | children(child)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_ending_the_demo_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "demo.log"
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        unit = subprocess.Popen([*EDGE_ANPR, "run", "--demo"], stdout=out, stderr=out, env=environment)
    try:
        until(lambda: b"running" in log.read_bytes(), 60)
        below = children(unit.pid)
        assert len(below) >= 3
        begin = time.monotonic()
        unit.send_signal(number)
        code = unit.wait(10)
        took = time.monotonic() - begin
        until(lambda: not any(alive(pid) for pid in below), 5)
    finally:
        unit.kill()
        unit.wait()
    if number != signal.SIGKILL:
        assert code == 0
        assert took < 2
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert [plate for plate in OTHERS if plate.encode() in log.read_bytes()] == []
