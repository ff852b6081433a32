import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.camera.v4l2 import V4l2Camera, check_capabilities, check_format, told
from edge_anpr.errors import SourceLost

DEVICE = Path("/dev/video0")


def fourcc(code: str) -> int:
    return int.from_bytes(code.encode(), "little")


def capability(device: int, everything: int = 0x80000000) -> bytes:
    return struct.pack("16s32s32sIII12x", b"uvcvideo", b"Camera", b"usb-1", 0x060100, everything | device, device)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Not root: root may open everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_device_for_others_is_told_with_the_group(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    device = tmp_path / "video0"
    device.touch(mode=0)
    request.getfixturevalue("nobody")
    with pytest.raises(SourceLost, match="permission denied; add this user to the group 'video'"):
        V4l2Camera(device, 640, 480, 15)


def test_what_is_no_camera_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="/dev/null: is no camera"):
        V4l2Camera(Path("/dev/null"), 640, 480, 15)
    (tmp_path / "file").touch()
    with pytest.raises(SourceUnusable, match="is no camera"):
        V4l2Camera(tmp_path / "file", 640, 480, 15)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOENT, "plug it in"),
        (errno.ENODEV, "plug it in"),  # pulled out while it is open
        (errno.ENXIO, "plug it in"),
        (errno.EACCES, "group 'video'"),
        (errno.EPERM, "group 'video'"),
        (errno.EBUSY, "is busy; stop what uses it"),
        (errno.EIO, "cannot be opened"),
    ],
)
def test_each_reason_not_to_open_has_its_words(number: int, says: str) -> None:
    assert says in str(told(DEVICE, OSError(number, os.strerror(number))))


@pytest.mark.parametrize("able", [0x1 | 0x04000000, 0x1000 | 0x04000000])
def test_a_device_that_captures_is_taken(able: int) -> None:
    check_capabilities(DEVICE, capability(able))
    check_capabilities(DEVICE, struct.pack("16s32s32sIII12x", b"", b"", b"", 0, able, 0))  # a driver without node caps


@pytest.mark.parametrize(
    ("able", "says"),
    [
        (0x00800000 | 0x04000000, "tells only about them"),  # the metadata node of a USB camera
        (0x2, "tells only about them"),  # an output
        (0x1 | 0x20000000, "source: picamera2"),  # a sensor behind a media controller
    ],
)
def test_a_device_that_gives_no_pictures_is_refused(able: int, says: str) -> None:
    with pytest.raises(SourceUnusable, match=says):
        check_capabilities(DEVICE, capability(able, 0x80000001))


def test_what_is_delivered_has_to_be_what_was_asked() -> None:
    check_format(DEVICE, (1280, 720, "mjpeg"), (1280, 720, fourcc("MJPG")))
    check_format(DEVICE, (1280, 720, "any"), (1280, 720, -1))
    with pytest.raises(SourceUnusable, match=r"gives 640x480 YUYV instead of 1280x720; set camera\.width"):
        check_format(DEVICE, (1280, 720, "any"), (640, 480, fourcc("YUYV")))
    with pytest.raises(SourceUnusable, match="gives 1280x720 YUYV instead of 1280x720 MJPG"):
        check_format(DEVICE, (1280, 720, "mjpeg"), (1280, 720, fourcc("YUYV")))
