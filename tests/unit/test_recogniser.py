"""The recogniser as a process: a disk that is full, a list that is replaced and ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_anpr import demo
from edge_anpr.privacy import keys
from edge_anpr.unit.outbox import Outbox
from tests.conftest import until
from tests.watch.lists import PUBLIC, signed

PLATES = [passage["plate"] for passage in json.loads((demo.FOLDER / "truth.json").read_text())["passages"]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, which takes root to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def camera_of(pace: str) -> str:
    return f"{{source: clip, path: {json.dumps(str(demo.FOLDER / 'clip.mp4'))}, pace: {pace}}}"


def unit(folder: Path, outbox: Path, camera: str = "") -> Path:
    path = folder / "unit.yaml"
    camera = camera or camera_of("fast")
    path.write_text(
        "unit: {org: town, site: bridge, id: pole-07}\n"
        f"camera: {camera}\n"
        f"watchlist: {{path: {json.dumps(str(demo.FOLDER / 'watchlist.json'))}, allow_unsigned: true}}\n"
        f"delivery: {{outbox: {json.dumps(str(outbox))}}}\n"
        "health: {interval_s: 0.5}\n"
    )
    return path


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012
        while True:
            os.write(file, b"x" * 4096)
    os.close(file)
    return ballast


def test_a_disk_that_fills_up_is_said_once_and_refuses_hits_instead_of_ending_the_unit(
    small_disk: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    camera = camera_of("live")
    config = unit(tmp_path, small_disk / "outbox.db", camera)
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "edge_anpr", "recognise", "-c", str(config)], stderr=out)
    try:
        until(lambda: b"watching" in log.read_bytes(), 30)
        ballast = fill(small_disk)
        until(lambda: b"hits are being refused" in log.read_bytes(), 30)
        assert process.poll() is None
        ballast.unlink()
        until(lambda: b"takes data again" in log.read_bytes(), 10)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    said = log.read_text()
    assert said.count("is full; free some space; until then") == 1
    assert said.count("hits are being refused") == 1
    assert "Traceback" not in said
    assert [plate for plate in PLATES if plate in said] == []


def test_a_disk_that_is_full_from_the_start_is_one_clear_line(small_disk: Path, tmp_path: Path) -> None:
    fill(small_disk)
    done = subprocess.run(
        [sys.executable, "-m", "edge_anpr", "recognise", "-c", str(unit(tmp_path, small_disk / "outbox.db"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "UNSIGNED" not in line]
    assert "outbox.db cannot be used: the disk is full; free some space" in line


def test_a_damaged_outbox_is_mended_told_and_found_by_another_process_ends_this_one(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, 10**6)
    outbox.append("before", "first", b"1")
    outbox.close()
    path.write_bytes(b"torn" + path.read_bytes()[4:])
    log = tmp_path / "log"
    command = [sys.executable, "-m", "edge_anpr", "recognise", "-c", str(unit(tmp_path, path, camera_of("live")))]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stderr=out)
    try:
        until(lambda: b"watching" in log.read_bytes(), 30)
        outbox = Outbox(path, 10**6)
        until(lambda: b"outbox-damaged" in (outbox.state("alarm") or b""), 10)
        (alarm,) = json.loads(outbox.state("alarm") or b"")["active"]
        assert alarm["text"].startswith(
            "the outbox was damaged: 1 messages were carried over, 0 lost; the old file is "
        )
        assert [row.hit_id for row in outbox.waiting(0, 1)] == ["before"]
        outbox.close()
        path.with_name("outbox.db.damaged").touch()  # as the publisher does when it finds damage
        assert process.wait(10) == 1
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert said.splitlines()[-1].endswith(f"outbox {path} is damaged; it is mended when all its processes start anew")
    assert "Traceback" not in said


DAEMON = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from edge_anpr import config
from edge_anpr.privacy.tokens import Hour, PassCounter
from edge_anpr.unit import recogniser, journal
journal.begin("recogniser")
PassCounter.finished = lambda self, now: Hour(datetime(2026, 11, 24, 9, tzinfo=UTC), 40, 120)
sys.exit(recogniser.run(config.load(Path(sys.argv[1]))))
"""


def test_a_running_unit_takes_a_newer_list_ends_with_it_and_tells_its_hours(tmp_path: Path) -> None:
    def lay(version: int, ends: datetime) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_bytes(signed("QA12CE", version=version, valid_until=ends, mandate_ends=ends))
        fresh.replace(tmp_path / "list.signed")

    keys.write(tmp_path / "authority.pub", PUBLIC)
    later = datetime.now(UTC) + timedelta(hours=1)
    lay(1, later)
    config = unit(tmp_path, tmp_path / "outbox.db", camera_of("live"))
    config.write_text(
        re.sub(r"watchlist: .*", "watchlist: {path: list.signed, keys: [authority.pub]}", config.read_text())
    )
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", DAEMON, str(config)], stderr=out)
    try:
        until(lambda: "armed with list test version 1" in log.read_text(), 30)
        until(lambda: "watching" in log.read_text(), 30)
        lay(2, datetime.now(UTC) + timedelta(seconds=6))
        until(lambda: "armed with list test version 2" in log.read_text(), 10)
        until(lambda: "disarmed: list test version 2 or its mandate has ended" in log.read_text(), 15)
        outbox = Outbox(tmp_path / "outbox.db", 10**6)
        until(lambda: json.loads(outbox.state("health") or b"{}").get("state") == "disarmed", 10)
        assert json.loads(outbox.state("status") or b"")["status"] == "disarmed"
        assert [alarm["code"] for alarm in json.loads(outbox.state("alarm") or b"")["active"]] == ["disarmed"]
        assert json.loads(outbox.state("stats") or b"") == {
            "schema": "anpr.stats/1", "hour": "2026-11-24T09:00:00Z", "distinct_about": 40, "passages_about": 120,
        }  # fmt: skip
        outbox.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert "QA12CE" not in log.read_text()


def test_a_signal_that_another_thread_is_given_is_heard_as_well() -> None:
    """OpenBLAS, say, starts a thread when numpy is imported, before any signal is blocked."""
    script = (
        "import signal, threading\n"
        "older = threading.Thread(target=threading.Event().wait, daemon=True)\n"
        "older.start()\n"
        "from edge_anpr.unit import recogniser\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, recogniser.ENDS)\n"
        # Once: a second one might find an interpreter that ends and has no handler any more.
        "once = iter([signal.SIGTERM])\n"
        "tick = lambda: [signal.pthread_kill(older.ident, number) for number in once]\n"
        "recogniser._until_told_to_end(tick, lambda: 0.01)\n"
        "print('ended in order')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ended in order\n")


HEATED = DAEMON.replace(
    "from edge_anpr.unit import recogniser, journal",
    "from edge_anpr.unit import governor, journal, recogniser\n"
    "from functools import partial\n"
    "recogniser.Governor = partial(governor.Governor, sysfs=Path(sys.argv[2]))",
)


def test_a_hot_board_is_told_and_looks_at_fewer_frames(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    for name, text in (("type", "cpu-thermal"), ("temp", "91000")):
        (zone / name).write_text(text)
    config = unit(tmp_path, tmp_path / "outbox.db", camera_of("live"))
    process = subprocess.Popen([sys.executable, "-c", HEATED, config, tmp_path / "sys"], stderr=subprocess.DEVNULL)
    try:
        until((tmp_path / "outbox.db").exists, 30)
        outbox = Outbox(tmp_path / "outbox.db", 10**6)
        until(lambda: json.loads(outbox.state("health") or b"{}").get("frames_moving", 0) > 36, 40)
        health = json.loads(outbox.state("health") or b"{}")
        alarms = [alarm["code"] for alarm in json.loads(outbox.state("alarm") or b"{}")["active"]]
        outbox.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert (health["temperature_c"], health["rate"]) == (91.0, 0.25)
    assert "hot" in alarms
    assert health["looks"] < 0.5 * health["frames_moving"]


@pytest.mark.parametrize(("region", "passages"), [("{left: 0.2, width: 0.6}", 10), ("{left: 0.9, width: 0.1}", 0)])
def test_outside_of_the_region_nobody_passes(tmp_path: Path, region: str, passages: int) -> None:
    camera = camera_of("fast").replace("}", f", region: {region}}}")
    config = unit(tmp_path, tmp_path / "outbox.db", camera)
    process = subprocess.Popen([sys.executable, "-c", DAEMON, config], stderr=subprocess.DEVNULL)
    try:
        until((tmp_path / "outbox.db").exists, 30)
        outbox = Outbox(tmp_path / "outbox.db", 10**6)
        until(lambda: json.loads(outbox.state("health") or b"{}").get("state") == "ended", 60)
        health = json.loads(outbox.state("health") or b"{}")
        outbox.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert (health["frames"], health["passages"]) == (500, passages)
