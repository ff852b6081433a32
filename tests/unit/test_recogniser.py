"""What the recogniser does when the world fails it: a full disk, a camera that goes and comes back."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_anpr import demo
from edge_anpr.camera.box import LatestFrame
from edge_anpr.config import load
from edge_anpr.datatypes import Frame, SourceLost
from edge_anpr.unit import recogniser
from edge_anpr.unit.health import Counters
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


class Flaky:
    """A camera that gives three frames and is lost; every second attempt to open it fails."""

    opened = 0

    def __init__(self) -> None:
        type(self).opened += 1
        if type(self).opened % 2 == 0:
            raise SourceLost("camera unplugged")
        self._left = 3
        self.recycled: list[Frame] = []

    def read(self) -> Frame:
        if not self._left:
            raise SourceLost("camera unplugged")
        self._left -= 1
        plane = np.zeros((4, 4), np.uint8)
        return Frame(3 - self._left, 0, plane, plane)

    def recycle(self, frame: Frame) -> None:
        self.recycled.append(frame)

    def close(self) -> None:
        pass


def test_a_camera_that_goes_is_opened_again_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = load(unit(tmp_path, tmp_path / "outbox.db", "{source: v4l2, device: /dev/video9}"))
    monkeypatch.setattr(recogniser, "_open", lambda _: Flaky())
    monkeypatch.setattr(recogniser, "LONGEST_WAIT_S", 0.01)
    box, counters, stop = LatestFrame(), Counters(), threading.Event()
    taken: list[Frame] = []
    work = threading.Thread(
        target=recogniser._capture, args=(config, None, box, recogniser._HandBack(), counters, stop)
    )
    with caplog.at_level("INFO"):
        work.start()
        until(lambda: (frame := box.take(0.01)) is not None and taken.append(frame) is None and len(taken) >= 3)
        until(lambda: counters.source_losses >= 3)
        stop.set()
        work.join(5)
    assert not work.is_alive()
    assert caplog.text.count("camera unplugged; trying again") <= counters.source_losses // 2 + 1
    assert "the camera is back" in caplog.text


def test_the_shipped_ring_of_buffers_never_hands_out_one_that_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(12):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    config = load(
        unit(tmp_path, tmp_path / "outbox.db", f"{{source: clip, path: {json.dumps(str(path))}, pace: fast}}")
    )
    box, stop, hand_back = LatestFrame(), threading.Event(), recogniser._HandBack()
    work = threading.Thread(target=recogniser._capture, args=(config, None, box, hand_back, Counters(), stop))
    work.start()
    shown = []
    while not box.closed:
        frame = box.take(5)
        if frame is None:
            break
        shown.append(round(int(frame.luma.mean()) / 20))
        assert int(frame.luma.min()) > int(frame.luma.max()) - 20  # nobody wrote into it meanwhile
        hand_back(frame)
    work.join(5)
    assert shown == list(range(12))
