"""A USB or CSI camera behind Video4Linux."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Literal

import cv2

from edge_anpr.camera.opencv import LiveVideo, SourceUnusable
from edge_anpr.errors import SourceLost

FORMATS = {"mjpeg": "MJPG", "yuyv": "YUYV"}
# V4L2's menu of V4L2_CID_EXPOSURE_AUTO; OpenCV hands the number on.
_MANUAL = 1
# struct v4l2_capability, as VIDIOC_QUERYCAP fills it: names, versions, then what the driver and this node can do.
_QUERYCAP, _CAPABILITY = 0x80685600, struct.Struct("16s32s32sIII12x")
_VIDEO_CAPTURE, _VIDEO_CAPTURE_MPLANE, _IO_MC, _DEVICE_CAPS = 0x1, 0x1000, 0x20000000, 0x80000000

Format = Literal["mjpeg", "yuyv", "any"]


class V4l2Camera(LiveVideo):
    """A local camera; ``read`` raises SourceLost when it gave no frame for ``stall_s`` seconds.

    ``exposure_us``, ``gain`` and ``focus`` are fixed where they are given; gain and focus in the driver's own units.
    Raises SourceLost for a camera that is not there, busy or not for this user, SourceUnusable for one that does not
    give what was asked of it.
    """

    def __init__(
        self,
        device: Path,
        width: int,
        height: int,
        frames_per_second: int,
        stall_s: float = 10.0,
        pixels: Format = "any",
        *,
        exposure_us: int | None = None,
        gain: float | None = None,
        focus: float | None = None,
    ) -> None:
        _look_at(device)
        # Whole seconds, read once in a process, by the first camera that waits; it has but one.
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(max(round(stall_s), 1))
        opened = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not opened.isOpened():
            raise SourceLost(f"{device}: is busy or gives no picture; stop what uses it (fuser -v {device})")
        try:
            if pixels != "any":
                opened.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*FORMATS[pixels]))
            opened.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            opened.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
            opened.set(cv2.CAP_PROP_FPS, frames_per_second)
            opened.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            check_format(
                device,
                (width, height, pixels),
                (
                    round(opened.get(cv2.CAP_PROP_FRAME_WIDTH)),
                    round(opened.get(cv2.CAP_PROP_FRAME_HEIGHT)),
                    round(opened.get(cv2.CAP_PROP_FOURCC)),
                ),
            )
            if exposure_us is not None:
                _set(opened, device, "exposure_us", (cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL))
                _set(opened, device, "exposure_us", (cv2.CAP_PROP_EXPOSURE, max(round(exposure_us / 100), 1)))
            if gain is not None:
                _set(opened, device, "gain", (cv2.CAP_PROP_GAIN, gain))
            if focus is not None:
                # A lens that has a motor but no automatic has nothing to turn off.
                opened.set(cv2.CAP_PROP_AUTOFOCUS, 0)
                _set(opened, device, "focus", (cv2.CAP_PROP_FOCUS, focus))
        except SourceUnusable:
            opened.release()
            raise
        super().__init__(opened, f"{device}: gave no frame for {stall_s:g} s; check the cable")


def check_format(device: Path, asked: tuple[int, int, Format], given: tuple[int, int, int]) -> None:
    """Raise SourceUnusable when size or pixels (as a fourcc number) are not what was asked.

    A driver takes the nearest it can do instead, and a smaller picture is a plate that cannot be read.
    """
    width, height, pixels = asked
    fourcc = given[2].to_bytes(4, "little", signed=given[2] < 0).decode("ascii", "replace")
    wrong_pixels = pixels != "any" and fourcc != FORMATS[pixels]
    if given[:2] != (width, height) or wrong_pixels:
        raise SourceUnusable(
            f"{device}: gives {given[0]}x{given[1]} {fourcc} instead of {width}x{height}"
            f"{'' if pixels == 'any' else ' ' + FORMATS[pixels]}; set camera.width, camera.height and camera.pixels to "
            f"what it can do (v4l2-ctl -d {device} --list-formats-ext)"
        )


def told(device: Path, error: OSError) -> SourceLost:
    """What it means that a camera's device cannot be opened, and what to do."""
    match error.errno:
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return SourceLost(f"{device}: no such camera; plug it in, or set camera.device (v4l2-ctl --list-devices)")
        case errno.EACCES | errno.EPERM:
            return SourceLost(f"{device}: permission denied; add this user to the group 'video'")
        case errno.EBUSY:
            return SourceLost(f"{device}: is busy; stop what uses it (fuser -v {device})")
        case _:
            return SourceLost(f"{device}: cannot be opened ({error.strerror}); check the cable")


def check_capabilities(device: Path, answer: bytes) -> None:
    """Raise SourceUnusable when the device is none that gives pictures: ``answer`` is its struct v4l2_capability."""
    *_, everything, node = _CAPABILITY.unpack(answer)
    able = node if everything & _DEVICE_CAPS else everything
    if not able & (_VIDEO_CAPTURE | _VIDEO_CAPTURE_MPLANE):
        raise SourceUnusable(
            f"{device}: gives no pictures (a camera's second device tells only about them); set camera.device to "
            "another (v4l2-ctl --list-devices)"
        )
    if able & _IO_MC:
        raise SourceUnusable(
            f"{device}: is a bare sensor, which needs libcamera; write source: picamera2 (on a Jetson: gstreamer)"
        )


def _look_at(device: Path) -> None:
    try:
        file = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise told(device, error) from error
    try:
        answer = fcntl.ioctl(file, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL}:
            raise SourceUnusable(f"{device}: is no camera; set camera.device (v4l2-ctl --list-devices)") from error
        raise told(device, error) from error
    finally:
        os.close(file)
    check_capabilities(device, answer)


def _set(opened: cv2.VideoCapture, device: Path, key: str, setting: tuple[int, float]) -> None:
    if not opened.set(*setting):
        raise SourceUnusable(
            f"{device}: does not take camera.{key}; leave it out, or see what it takes: v4l2-ctl -d {device} -L"
        )
