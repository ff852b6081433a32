"""The supervisor as a process of its own, with the real publisher and broker, and a recogniser that only writes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr import config
from edge_anpr.errors import Unusable
from edge_anpr.unit import supervisor
from edge_anpr.unit.outbox import Outbox
from tests.conftest import Broker as RealBroker
from tests.conftest import Process, until

RECOGNISER = """
import itertools, os, sys, time
from pathlib import Path
from edge_anpr.unit.outbox import Outbox
place = Path(sys.argv[2]).parent
outbox = Outbox(place / "outbox.db", 10**8)
outbox.put_state("birth", b'{"version":"stub"}')
begun = place / "begun"
begun.write_text(str(int(begun.read_text()) + 1 if begun.exists() else 1))
(place / "recogniser.pid").write_text(str(os.getpid()))
for number in range(int(os.environ.get("STUB_HITS", 10**6))):
    hit_id = f"{begun.read_text()}.{number}"
    outbox.append(hit_id, "first", hit_id.encode())
    with (place / "written").open("a") as file:
        file.write(hit_id + chr(10))
    time.sleep(0.01)
sys.exit(int(os.environ.get("STUB_EXIT", 0)))
"""

RUN = """
import os, sys
from pathlib import Path
from edge_anpr import config
from edge_anpr.unit import journal, mqtt, supervisor
journal.begin("supervisor")
supervisor.BACKOFF_S = (0.05, 0.2)
mqtt.BACKOFF_S = (float(os.environ.get("STUB_BACKOFF", 0.05)),) * 2
supervisor.RECOGNISE = ["stub_recogniser"]
path = Path(sys.argv[1])
heard = (path.parent / "heard").open("ab", buffering=0)
def on_message(topic, payload):
    heard.write(topic.encode() + b" " + payload + bytes([10]))
sys.exit(supervisor.run(path, config.load(path), on_message))
"""

Run = Callable[..., Process]


@pytest.fixture
def run(tmp_path: Path, unit_yaml: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    (tmp_path / "stub_recogniser.py").write_text(RECOGNISER, "utf-8")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), root)))
    made: list[Process] = []

    def start(port: int | None = None, **environment: str) -> Process:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        made.append(Process([sys.executable, "-c", RUN, str(unit_yaml(port))], tmp_path / "supervisor.log"))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.kill()


def family(parent: int) -> dict[str, int]:
    """The living children of a process: what they run, and their ids."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[1]) == parent and stat[0] != "Z":
            names = [word for word in command if word in {"stub_recogniser", "edge_anpr", "edge_anpr.unit.broker"}]
            found[names[0] if names else "?"] = int(entry.name)
    return found


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text("utf-8").rpartition(")")[2].split()[0] != "Z"


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def heard(tmp_path: Path) -> set[str]:
    return {line.rpartition(" ")[2] for line in lines(tmp_path / "heard") if "/hit/cam-1 " in line}


def waiting(tmp_path: Path) -> set[str]:
    outbox = Outbox(tmp_path / "outbox.db", 10**8)
    rows = outbox.waiting(0, 10**6)
    outbox.close()
    return {row.hit_id for row in rows}


def pid(process: Process) -> int:
    assert process.running is not None
    return process.running.pid


def test_it_runs_everything_and_ends_everything(run: Run, tmp_path: Path) -> None:
    process = run()
    until(lambda: len(heard(tmp_path)) > 5 and any("/health " in line for line in lines(tmp_path / "heard")))
    children = family(pid(process))
    assert set(children) == {"stub_recogniser", "edge_anpr", "edge_anpr.unit.broker"}
    assert all(os.getsid(child) == child for child in children.values())  # Ctrl-C reaches them through us only
    assert process.running is not None
    began = time.monotonic()
    process.running.send_signal(signal.SIGINT)
    assert process.ends() == 0
    assert time.monotonic() - began < 2.0
    assert not any(alive(child) for child in children.values())
    said = [line.rpartition(" ")[2] for line in lines(tmp_path / "heard") if "/status " in line]
    assert [word.split('"')[3] for word in said] == ["online", "offline"]
    assert any('/birth {"version":"stub"}' in line for line in lines(tmp_path / "heard"))
    assert "Traceback" not in process.said()


def test_its_own_death_leaves_nothing(run: Run, tmp_path: Path) -> None:
    process = run()
    until(lambda: heard(tmp_path))
    children = family(pid(process))
    assert len(children) == 3
    process.kill()
    until(lambda: not any(alive(child) for child in children.values()), 5)


def test_a_child_that_dies_is_started_again(run: Run, tmp_path: Path) -> None:
    process = run()
    for victim, name in (("stub_recogniser", "recogniser"), ("edge_anpr", "publisher")):
        count = len(heard(tmp_path))
        until(lambda count=count: len(heard(tmp_path)) > count + 3)  # type: ignore[misc]
        os.kill(family(pid(process))[victim], signal.SIGKILL)
        words = f"supervisor: the {name} ended with signal 9; starting it again in"
        until(lambda words=words: words in process.said())  # type: ignore[misc]
    until(lambda: any(name.startswith("2.") for name in heard(tmp_path)))
    assert process.running is not None
    process.running.terminate()
    assert process.ends() == 0
    # what the publisher had not delivered when everything ended still waits
    assert set(lines(tmp_path / "written")) <= heard(tmp_path) | waiting(tmp_path)


def test_a_broker_that_dies_loses_nothing(run: Run, tmp_path: Path) -> None:
    """Hits that it had taken are sent again, those written while it is away wait for it and for our subscriber.

    The subscriber is made slow to come back, so that a publisher that does not wait for it loses what it sends.
    """
    process = run(STUB_BACKOFF="2")
    until(lambda: len(heard(tmp_path)) > 3)
    os.kill(family(pid(process))["edge_anpr.unit.broker"], signal.SIGKILL)
    dead_at = len(lines(tmp_path / "written"))
    until(lambda: len(lines(tmp_path / "written")) > dead_at + 5)
    later = set(lines(tmp_path / "written")[dead_at + 2 :])
    until(lambda: later <= heard(tmp_path))
    assert process.running is not None
    process.running.terminate()
    assert process.ends() == 0
    lost = set(lines(tmp_path / "written")) - heard(tmp_path) - waiting(tmp_path)
    assert lost == set()


def test_a_recogniser_that_a_person_must_mend_ends_everything(run: Run, tmp_path: Path) -> None:
    process = run(STUB_HITS="0", STUB_EXIT="2")
    assert process.ends(20) == 2
    assert lines(tmp_path / "begun") == ["1"]
    assert "starting it again" not in process.said()


def test_a_clip_that_is_over_ends_everything_after_its_hits(run: Run, tmp_path: Path) -> None:
    process = run(STUB_HITS="30", STUB_EXIT="0")
    assert process.ends(20) == 0
    assert heard(tmp_path) == set(lines(tmp_path / "written"))
    assert len(heard(tmp_path)) == 30


def test_a_recogniser_that_crashes_is_tried_again_and_again(run: Run, tmp_path: Path) -> None:
    process = run(STUB_HITS="1", STUB_EXIT="1")
    until(lambda: "the recogniser ended with exit code 1" in process.said())
    until(lambda: lines(tmp_path / "begun") and int(lines(tmp_path / "begun")[0]) >= 3)
    until(lambda: {"1.0", "2.0", "3.0"} <= heard(tmp_path))


def test_a_broker_of_ones_own_may_be_away(run: Run, tmp_path: Path, mosquitto: RealBroker) -> None:
    mosquitto.kill()
    process = run(mosquitto.port)
    until(lambda: process.said().count("nothing listens there") == 2)  # once each: publisher and view
    until(lambda: len(lines(tmp_path / "written")) > 5)
    mosquitto.start()
    until(lambda: set(lines(tmp_path / "written")[:5]) <= heard(tmp_path), 30)
    assert process.said().count("nothing listens there") == 2
    assert set(family(pid(process))) == {"stub_recogniser", "edge_anpr"}


def test_without_a_broker_to_embed_it_says_what_to_do(
    unit_yaml: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    path = unit_yaml(None)
    with pytest.raises(Unusable, match="edge-anpr"):
        supervisor.run(path, config.load(path), lambda *_: None)
