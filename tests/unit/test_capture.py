import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_anpr.camera.box import LatestFrame
from edge_anpr.camera.files import Clip
from edge_anpr.datatypes import Frame
from edge_anpr.errors import SourceLost
from edge_anpr.unit import camera_alarms
from edge_anpr.unit import capture as module
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.capture import Capture
from edge_anpr.unit.health import Counters
from tests.conftest import until


class Flaky:
    """A camera that gives three frames and is lost; every second attempt to open it fails."""

    opened = 0

    def __init__(self) -> None:
        Flaky.opened += 1
        if Flaky.opened % 2 == 0:
            raise SourceLost("camera unplugged")
        self._left = 3

    def read(self) -> Frame:
        if not self._left:
            raise SourceLost("camera unplugged")
        self._left -= 1
        plane = np.full((4, 4), 9, np.uint8)
        return Frame(3 - self._left, 0, plane, plane)

    def recycle(self, frame: Frame) -> None:
        frame.luma.fill(0)

    def close(self) -> None:
        pass


@pytest.fixture
def running() -> Iterator[list[tuple[threading.Thread, threading.Event]]]:
    threads: list[tuple[threading.Thread, threading.Event]] = []
    yield threads
    for thread, stop in threads:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def start(capture: Capture, running: list[tuple[threading.Thread, threading.Event]]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=capture.run, args=(stop,))
    running.append((thread, stop))
    thread.start()


def test_a_camera_that_goes_is_opened_again_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    running: list[tuple[threading.Thread, threading.Event]],
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)
    box, counters = LatestFrame(), Counters()
    with caplog.at_level("INFO"):
        start(Capture(Flaky, None, box, counters, every_frame=True), running)  # type: ignore[arg-type]
        for _ in range(12):
            frame = box.take(5)
            assert frame is not None
    assert counters.source_losses >= 6
    assert caplog.text.count("unplugged; trying again") <= counters.source_losses // 2 + 1
    assert caplog.text.count("the camera is back") >= 3


def test_a_slow_reader_gets_the_latest_frame_and_drops_are_counted_and_given_back(
    running: list[tuple[threading.Thread, threading.Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flaky, "opened", 0)
    box = LatestFrame()
    recycled: list[Frame] = []
    monkeypatch.setattr(Flaky, "recycle", lambda _, frame: recycled.append(frame))
    start(Capture(Flaky, None, box, Counters(), every_frame=False), running)  # type: ignore[arg-type]
    until(lambda: len(recycled) >= 2)
    assert [frame.index for frame in recycled[:2]] == [1, 2]
    frame = box.take(1)
    assert frame is not None
    assert frame.index == 3
    assert box.drops == 2


def test_a_frame_that_comes_back_after_its_camera_was_lost_is_overwritten() -> None:
    plane, small, colour = (np.full(shape, 9, np.uint8) for shape in ((4, 4), (2, 2), (4, 4, 3)))
    capture = Capture(Flaky, None, LatestFrame(), Counters(), every_frame=False)  # type: ignore[arg-type]
    capture.recycle(Frame(0, 0, plane, small, colour))
    assert not plane.any()
    assert not small.any()
    assert not colour.any()


class Stuck:
    """A camera whose picture stands still, until ``moves`` is set."""

    opened = 0
    moves = threading.Event()

    def __init__(self) -> None:
        Stuck.opened += 1
        self._index = 0

    def read(self) -> Frame:
        self._index += 1
        plane = np.full((8, 8), self._index % 200 if self.moves.is_set() else 7, np.uint8)
        return Frame(self._index, 0, plane, plane)

    def recycle(self, frame: Frame) -> None:
        frame.luma.fill(0)

    def close(self) -> None:
        pass


def test_a_frozen_camera_is_told_opened_again_and_not_looked_at_until_it_moves(
    running: list[tuple[threading.Thread, threading.Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stuck, "opened", 0)
    monkeypatch.setattr(Stuck, "moves", threading.Event())
    box, counters = LatestFrame(), Counters()
    capture = Capture(Stuck, None, box, counters, every_frame=False, frozen_s=0.02)  # type: ignore[arg-type]
    told: list[bytes] = []
    alarms = Alarms(told.append)
    start(capture, running)
    until(lambda: Stuck.opened >= 3)
    camera_alarms.look(alarms, capture)
    assert b'"camera-frozen"' in told[-1]
    assert b"the very same picture for 0.02 s" in told[-1]
    assert counters.state == "camera frozen"
    assert counters.source_frozen >= 2
    box.take(0)
    assert box.take(0.05) is None
    Stuck.moves.set()
    assert box.take(5) is not None
    until(lambda: capture.frozen is None)
    camera_alarms.look(alarms, capture)
    assert json.loads(told[-1])["active"] == []
    assert counters.state == "running"


def test_a_frozen_camera_is_opened_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stuck, "moves", threading.Event())
    now_s = 0.0
    monkeypatch.setattr("edge_anpr.unit.capture.time.monotonic_ns", lambda: round(now_s * 1e9))
    opened: list[float] = []
    stop = threading.Event()

    class Camera(Stuck):
        def __init__(self) -> None:
            super().__init__()
            opened.append(now_s)

        def read(self) -> Frame:
            nonlocal now_s
            now_s += 1
            if now_s > 3600:
                stop.set()
            return super().read()

    capture = Capture(Camera, None, LatestFrame(), Counters(), every_frame=False, frozen_s=10)  # type: ignore[arg-type]
    capture.run(stop)
    waits = np.diff(opened)
    assert list(waits[:4]) == [11, 20, 40, 80]
    assert waits.max() == module.LONGEST_FROZEN_S


def test_a_recording_may_stand_still() -> None:
    capture = Capture(Stuck, None, LatestFrame(), Counters(), every_frame=True)  # type: ignore[arg-type]
    for _ in range(20):
        assert not capture._is_frozen(Stuck().read())


def test_a_camera_that_is_lost_is_an_alarm_until_it_is_back(
    running: list[tuple[threading.Thread, threading.Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)
    gone = threading.Event()
    gone.set()

    def opens() -> Stuck:
        if gone.is_set():
            raise SourceLost("/dev/video0: no such camera; plug it in")
        return Stuck()

    told: list[bytes] = []
    alarms = Alarms(told.append)
    capture = Capture(opens, None, LatestFrame(), Counters(), every_frame=False)  # type: ignore[arg-type]
    start(capture, running)
    until(lambda: capture.lost)
    camera_alarms.look(alarms, capture)
    camera_alarms.look(alarms, capture)
    (alarm,) = json.loads(told[-1])["active"]
    assert (alarm["code"], alarm["text"]) == ("camera-lost", "/dev/video0: no such camera; plug it in")
    assert len(told) == 2
    gone.clear()
    until(lambda: capture.lost is None)
    camera_alarms.look(alarms, capture)
    assert json.loads(told[-1])["active"] == []


def test_a_driver_that_does_not_come_back_is_late(running: list[tuple[threading.Thread, threading.Event]]) -> None:
    freed = threading.Event()

    class Deaf(Stuck):
        def read(self) -> Frame:
            freed.wait(10)
            raise SourceLost("freed")

    capture = Capture(Deaf, None, LatestFrame(), Counters(), every_frame=False, patience_s=0.05)  # type: ignore[arg-type]
    assert not capture.pulse.is_late
    start(capture, running)
    until(lambda: capture.pulse.is_late)
    freed.set()
    until(lambda: not capture.pulse.is_late)


def test_no_buffer_is_handed_out_while_it_is_in_use(
    tmp_path: Path, running: list[tuple[threading.Thread, threading.Event]]
) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(12):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    box = LatestFrame()
    capture = Capture(lambda: Clip(path, live=False), None, box, Counters(), every_frame=True)
    start(capture, running)
    shown = []
    while (frame := box.take(5)) is not None:
        shown.append(round(int(frame.luma.mean()) / 20))
        assert int(frame.luma.max()) - int(frame.luma.min()) < 20  # nobody writes into it meanwhile
        capture.recycle(frame)
    assert shown == list(range(12))
    assert box.drops == 0


def test_waiting_for_a_camera_and_for_a_slow_reader_is_no_hanging_and_a_call_that_does_not_return_is(
    monkeypatch: pytest.MonkeyPatch, running: list[tuple[threading.Thread, threading.Event]]
) -> None:
    released = threading.Event()
    gone = threading.Event()

    class Stuck(Flaky):
        def read(self) -> Frame:
            if self._left:
                return super().read()
            gone.set()
            assert released.wait(10)
            raise SourceLost("camera unplugged")

    monkeypatch.setattr(Flaky, "opened", 0)
    monkeypatch.setattr(module, "FIRST_WAIT_S", 5.0)
    box = LatestFrame()
    capture = Capture(Stuck, None, box, Counters(), every_frame=True, patience_s=0.3)  # type: ignore[arg-type]
    start(capture, running)
    time.sleep(0.1)
    for _ in range(5):  # nobody takes the frame
        time.sleep(0.1)
        assert not capture.pulse.is_late
    while not gone.is_set():
        box.take(0.1)
    until(lambda: capture.pulse.is_late, 2)
    released.set()
    until(lambda: not capture.pulse.is_late, 2)
    for _ in range(6):  # it waits 2.5 to 7.5 s before it opens the camera again
        time.sleep(0.1)
        assert not capture.pulse.is_late
