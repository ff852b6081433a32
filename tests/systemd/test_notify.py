"""What systemd hears of the two services: the real processes, Debian's systemd-python, and a socket in its place."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr import demo
from tests.conftest import free_port, until
from tests.systemd.conftest import NotifySocket

PLATES = [passage["plate"] for passage in json.loads((demo.FOLDER / "truth.json").read_text())["passages"]]
WATCHDOG_S = 1.0
CLIP = f"{{source: clip, path: {json.dumps(str(demo.FOLDER / 'clip.mp4'))}, pace: live}}"
LIST = json.dumps(str(demo.FOLDER / "watchlist.json"))

# One thread cannot be stopped from outside; so a step of each waits as long as a file is there.
HANGING = """
import sys, time
from pathlib import Path
from edge_anpr import config
from edge_anpr.camera.files import Clip
from edge_anpr.unit import journal, recogniser, vision
from edge_anpr.unit.pipeline import Pipeline
journal.begin("recogniser")
vision.HANGS_S = recogniser.PATIENCE_S = 0.5
def hang(owner, name, flag):
    step = getattr(owner, name)
    def hanging(*given):
        while flag.exists():
            time.sleep(0.05)
        return step(*given)
    setattr(owner, name, hanging)
hang(Pipeline, "see", Path(sys.argv[2], "vision"))
hang(Clip, "read", Path(sys.argv[2], "capture"))
recogniser.run(config.load(Path(sys.argv[1])))
"""

Start = Callable[..., tuple["subprocess.Popen[bytes]", Path]]


@pytest.fixture
def start(tmp_path: Path, notify_socket: NotifySocket, systemd_python: Path) -> Iterator[Start]:
    made: list[subprocess.Popen[bytes]] = []

    def process(*command: object) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / "log"
        with log.open("wb") as out:
            made.append(
                subprocess.Popen(
                    [sys.executable, *map(str, command)],
                    stderr=out,
                    env=notify_socket.environment(systemd_python, WATCHDOG_S),
                )
            )
        return made[-1], log

    yield process
    for one in made:
        one.kill()
        one.wait()


def unit(folder: Path, camera: str = CLIP, plates: str = LIST, more: str = "") -> Path:
    path = folder / "unit.yaml"
    path.write_text(
        f"unit: {{org: town, site: bridge, id: pole-07}}\ncamera: {camera}\n"
        f"watchlist: {{path: {plates}, allow_unsigned: true}}\ndelivery: {{outbox: outbox.db}}\n"
        f"health: {{interval_s: 0.5}}\n{more}"
    )
    return path


def says(log: Path, words: str) -> None:
    until(lambda: words in log.read_text(), 5)


def test_a_recogniser_is_ready_alive_says_how_it_is_and_that_it_ends(
    tmp_path: Path, notify_socket: NotifySocket, start: Start
) -> None:
    process, log = start("-m", "edge_anpr", "recognise", "-c", unit(tmp_path))
    until(lambda: notify_socket.heard("READY=1"), 30)
    assert "armed with list" in log.read_text()  # and the outbox is open before anything is armed
    until(lambda: len(notify_socket.heard("WATCHDOG=1")) >= 2, 10)
    process.terminate()
    assert process.wait(5) == 0
    said = [words for _, words in notify_socket.heard()]
    assert said.count("READY=1") == said.count("STOPPING=1") == 1
    assert said[-1] == "STOPPING=1"
    assert "; armed: list demo version 1, " in notify_socket.heard("STATUS=")[0][1]
    assert [plate for plate in PLATES if any(plate in words for words in said)] == []


def test_a_camera_that_is_away_and_no_list_are_no_reason_to_start_anew(
    tmp_path: Path, notify_socket: NotifySocket, start: Start
) -> None:
    process, _ = start(
        "-m", "edge_anpr", "recognise", "-c", unit(tmp_path, "{source: v4l2, device: /dev/none}", "none.json")
    )
    until(lambda: notify_socket.heard("READY=1"), 30)
    until(lambda: len(notify_socket.heard("WATCHDOG=1")) >= 4, 10)
    (status,) = (words for _, words in notify_socket.heard("STATUS="))
    assert status.startswith("STATUS=")
    assert "DISARMED" in status
    assert "ALARM: list-refused, disarmed" in status
    assert process.poll() is None


def test_a_worker_that_hangs_starves_the_watchdog(tmp_path: Path, notify_socket: NotifySocket, start: Start) -> None:
    process, log = start("-c", HANGING, unit(tmp_path), tmp_path)
    until(lambda: notify_socket.heard("READY=1") and notify_socket.heard("WATCHDOG=1"), 30)
    for worker in ("capture", "vision"):
        (tmp_path / worker).touch()
        says(log, f"{worker}: does not go on")
        before = len(notify_socket.heard("WATCHDOG=1"))
        end = time.monotonic() + 1.2 * WATCHDOG_S  # systemd would end it now
        while time.monotonic() < end:
            time.sleep(0.1)
        assert len(notify_socket.heard("WATCHDOG=1")) == before
        (tmp_path / worker).unlink()
        says(log, f"{worker}: goes on again")
        notify_socket.next("WATCHDOG=1")
    assert process.poll() is None


def test_a_publisher_without_a_broker_is_ready_and_alive(
    tmp_path: Path, notify_socket: NotifySocket, start: Start
) -> None:
    process, _ = start(
        "-m", "edge_anpr", "publish", "-c", unit(tmp_path, more=f"mqtt: {{host: 127.0.0.1, port: {free_port()}}}\n")
    )
    until(lambda: notify_socket.heard("READY=1") and len(notify_socket.heard("WATCHDOG=1")) > 3, 30)
    assert "0 messages wait; no broker: " in notify_socket.heard("STATUS=")[0][1]
    process.terminate()
    assert process.wait(5) == 0
    assert notify_socket.heard()[-1][1] == "STOPPING=1"
