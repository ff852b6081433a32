import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_anpr import demo
from edge_anpr.camera.box import LatestFrame
from edge_anpr.camera.files import Clip, Folder, frames
from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.camera.rtsp import RtspCamera
from edge_anpr.camera.v4l2 import V4l2Camera
from edge_anpr.datatypes import Frame
from edge_anpr.errors import SourceLost

FPS = 20


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames, each brighter than the last, none of them black."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    for index in range(10):
        writer.write(np.full((48, 64, 3), 20 * index + 20, np.uint8))
    writer.release()
    return path


def frame(index: int) -> Frame:
    plane = np.full((4, 4), index + 1, np.uint8)
    return Frame(index, index, plane, plane)


def test_a_clip_gives_every_frame_in_its_own_time(clip: Path) -> None:
    source = Clip(clip, live=False)
    seen = [(item.index, item.captured_ns, int(item.luma.mean())) for item in frames(source)]
    assert [index for index, _, _ in seen] == list(range(10))
    assert seen[4][1] == 4 * 1_000_000_000 // FPS
    assert [round(mean / 20) - 1 for _, _, mean in seen] == list(range(10))
    assert source.shortfall() is None


def test_each_third_frame_keeps_its_number(clip: Path) -> None:
    seen = [
        (item.index, round(int(item.luma.mean()) / 20) - 1, item.captured_ns)
        for item in frames(Clip(clip, live=False), 3)
    ]
    assert [(index, shown) for index, shown, _ in seen] == [(0, 0), (3, 3), (6, 6), (9, 9)]
    assert seen[1][2] == 3 * 1_000_000_000 // FPS


def test_a_live_clip_takes_as_long_as_it_was_filmed(clip: Path) -> None:
    source = Clip(clip, live=True)
    stamps = [item.captured_ns for item in frames(source)]
    assert (stamps[-1] - stamps[0]) / 1e9 == pytest.approx(9 / FPS)


def test_one_thread_decodes_so_that_no_frame_waits_for_the_next() -> None:
    assert cv2.VideoCapture(str(demo.FOLDER / "clip.mp4")).get(cv2.CAP_PROP_N_THREADS) == 1


def test_buffers_go_round_and_are_overwritten(clip: Path) -> None:
    source = Clip(clip, live=False)
    first = source.read()
    assert first is not None
    assert first.luma.any()
    source.recycle(first)
    assert not first.luma.any()
    assert first.colour is not None
    assert not first.colour.any()
    second = source.read()
    assert second is not None
    assert second.luma is first.luma
    assert second.colour is first.colour


def test_a_clip_that_is_cut_off_says_so(clip: Path) -> None:
    raw = clip.read_bytes()
    clip.write_bytes(raw[: len(raw) * 3 // 4])
    source = Clip(clip, live=False)
    count = sum(1 for _ in frames(source))
    assert 0 < count < 10
    assert "clip.avi: ends after" in (source.shortfall() or "")


@pytest.mark.parametrize("content", [b"", b"no video at all", b"RIFF\0\0\0\0AVI LIST"])
def test_what_is_no_clip_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.avi"
    path.write_bytes(content)
    with pytest.raises(SourceUnusable, match=r"broken\.avi.*(convert|damaged)"):
        Clip(path, live=False).read()


def test_a_folder_gives_unrelated_pictures_and_names_what_it_could_not_read(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8), 200 if name[0] == "a" else 90, np.uint8))
    (tmp_path / "aa.jpg").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("no picture")
    source = Folder(tmp_path)
    seen = [(int(item.luma.mean()), item.captured_ns // 1_000_000_000) for item in frames(source)]
    assert seen == [(200, 0), (90, 120)]
    assert source.shortfall() == "1 of 3 pictures could not be read: aa.jpg"


def test_a_folder_without_one_good_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    with pytest.raises(SourceUnusable, match="no picture that can be read"):
        Folder(tmp_path).read()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="holds no pictures"):
        Folder(tmp_path)


def test_only_the_latest_frame_waits_and_the_others_are_counted() -> None:
    box = LatestFrame()
    first, second, third = frame(0), frame(1), frame(2)
    assert box.put(first) is None
    assert box.put(second) is first
    assert box.put(third) is second
    assert box.take(0) is third
    assert box.take(0) is None
    assert box.drops == 2


def test_a_frame_that_waits_when_the_source_ends_is_still_seen() -> None:
    box = LatestFrame()
    box.put(frame(0))
    box.close()
    assert not box.closed
    assert box.take(0) is not None
    assert box.closed
    assert box.take(10) is None


def test_taking_wakes_up_when_a_frame_comes() -> None:
    box = LatestFrame()
    got: list[Frame | None] = []
    thread = threading.Thread(target=lambda: got.append(box.take(10)))
    thread.start()
    box.put(frame(0))
    thread.join(5)
    assert got
    assert got[0] is not None


def test_a_camera_that_is_not_there_is_lost_not_fatal(tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match="v4l2-ctl --list-devices"):
        V4l2Camera(tmp_path / "video9", 640, 480, 15)
    with pytest.raises(SourceLost, match=r"camera\.url"):
        RtspCamera("rtsp://127.0.0.1:9/none", 1.0)
