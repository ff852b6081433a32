"""What the recogniser does when its disk is full."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_anpr import demo
from tests.conftest import until

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


def unit(folder: Path, outbox: Path, camera: str = "") -> Path:
    path = folder / "unit.yaml"
    camera = camera or f"{{source: clip, path: {json.dumps(str(demo.FOLDER / 'clip.mp4'))}, pace: fast}}"
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
    camera = f"{{source: clip, path: {json.dumps(str(demo.FOLDER / 'clip.mp4'))}, pace: live}}"
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
