"""The ``camera`` section: one model for each source."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from edge_anpr.config.fields import FilePath, Name

HIDDEN = "***"


def _rtsp(value: str) -> str:
    if not re.match(r"rtsps?://[^\s/]+", value):
        raise ValueError("write rtsp://host/stream or rtsps://host/stream")
    if value.endswith("//" + HIDDEN):
        raise ValueError("write the real URL; this one comes from `edge-anpr check`, which hides it")
    return value


def _pipeline(value: str) -> str:
    if value == HIDDEN:
        raise ValueError("write the real pipeline; this one comes from `edge-anpr check`, which hides it")
    if not re.search(r"!\s*appsink\b[^!]*$", value):
        raise ValueError("end it in: ! appsink")
    return value


class Region(Struct, frozen=True, kw_only=True):
    """The part of the picture that is looked at, in shares of it from the left and the top."""

    left: Annotated[float, Meta(ge=0, le=0.95)] = 0.0
    top: Annotated[float, Meta(ge=0, le=0.95)] = 0.0
    width: Annotated[float, Meta(ge=0.05, le=1)] = 1.0
    height: Annotated[float, Meta(ge=0.05, le=1)] = 1.0

    def __post_init__(self) -> None:
        if self.left + self.width > 1 + 1e-9 or self.top + self.height > 1 + 1e-9:
            raise ValueError("reaches beyond the picture: left + width, and top + height, are 1 at most")


class _Camera(Struct, frozen=True, kw_only=True):
    id: Name = "cam-1"
    direction: Literal["in", "out", "both", "unknown"] = "unknown"
    region: Region | None = None


class ClipCamera(_Camera, frozen=True, kw_only=True):
    """A recorded clip, paced like a live camera or as fast as it can be read."""

    source: Literal["clip"]
    path: FilePath
    pace: Literal["live", "fast"] = "live"


class FolderCamera(_Camera, frozen=True, kw_only=True):
    """A folder of pictures, read as unrelated stills."""

    source: Literal["folder"]
    path: FilePath


class LiveCamera(_Camera, frozen=True, kw_only=True):
    """What every live camera has: after so long without a frame, or with the very same one, it is opened again.

    ``frozen_s`` 0 turns the latter off. A stream that was encoded repeats a still night until its next whole picture.
    """

    stall_s: Annotated[float, Meta(ge=1, le=300)] = 10.0
    frozen_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0


class _Stream(LiveCamera, frozen=True, kw_only=True):
    frozen_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0

    # What leads to a stream may hold a password.
    def __repr__(self) -> str:
        return f"{type(self).__name__}({HIDDEN})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class RtspCamera(_Stream, frozen=True, kw_only=True):
    """A network camera. The URL may hold a password, so it is never shown."""

    source: Literal["rtsp"]
    url: Annotated[str, _rtsp]


class V4l2Camera(LiveCamera, frozen=True, kw_only=True):
    """A USB or CSI camera behind the kernel's video interface. Gain and focus are in the driver's own units."""

    source: Literal["v4l2"]
    device: FilePath = Path("/dev/video0")
    width: Annotated[int, Meta(ge=160, le=7680)] = 1280
    height: Annotated[int, Meta(ge=120, le=4320)] = 720
    fps: Annotated[int, Meta(ge=1, le=240)] = 15
    pixels: Literal["any", "mjpeg", "yuyv"] = "any"
    exposure_us: Annotated[int, Meta(ge=100, le=1_000_000)] | None = None
    gain: Annotated[float, Meta(ge=0, le=65535)] | None = None
    focus: Annotated[float, Meta(ge=0, le=65535)] | None = None


class PiCamera(LiveCamera, frozen=True, kw_only=True):
    """A Raspberry Pi's CSI camera, with limits of exposure by day and by night, and where the one becomes the other.

    ``zoom`` takes a part of the sensor around ``aim_x``, ``aim_y``, which are 0 to 1 from the left and the top.
    """

    source: Literal["picamera2"]
    number: Annotated[int, Meta(ge=0, le=7)] = 0
    width: Annotated[int, Meta(ge=320, le=4608, multiple_of=2)] = 1920
    height: Annotated[int, Meta(ge=240, le=3456, multiple_of=2)] = 1080
    fps: Annotated[int, Meta(ge=1, le=120)] = 15
    light: Literal["auto", "day", "night"] = "auto"
    day_shutter_us: Annotated[int, Meta(ge=30, le=33_000)] = 1000
    day_gain: Annotated[float, Meta(ge=1, le=64)] = 8.0
    night_shutter_us: Annotated[int, Meta(ge=30, le=33_000)] = 1000
    night_gain: Annotated[float, Meta(ge=1, le=64)] = 16.0
    night_below_lux: Annotated[float, Meta(ge=0, le=100_000)] = 50.0
    day_above_lux: Annotated[float, Meta(ge=0, le=100_000)] = 200.0
    lens_position: Annotated[float, Meta(ge=0, le=32)] | None = None
    zoom: Annotated[float, Meta(ge=1, le=8)] = 1.0
    aim_x: Annotated[float, Meta(ge=0, le=1)] = 0.5
    aim_y: Annotated[float, Meta(ge=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        if self.day_above_lux <= self.night_below_lux:
            raise ValueError("needs day_above_lux higher than night_below_lux, or day and night take turns for ever")
        if 1e6 / self.fps < max(self.day_shutter_us, self.night_shutter_us):
            raise ValueError(f"a shutter cannot be longer than a frame: {1e6 / self.fps:.0f} µs at fps {self.fps}")


class GstreamerCamera(_Stream, frozen=True, kw_only=True):
    """A pipeline of the system's GStreamer that ends in an appsink; without one, a Jetson's CSI camera.

    The pipeline may hold a password, so it is never shown.
    """

    source: Literal["gstreamer"]
    pipeline: Annotated[str, _pipeline] | None = None
    number: Annotated[int, Meta(ge=0, le=7)] = 0
    width: Annotated[int, Meta(ge=160, le=7680)] = 1920
    height: Annotated[int, Meta(ge=120, le=4320)] = 1080
    fps: Annotated[int, Meta(ge=1, le=240)] = 30
    shutter_us: Annotated[int, Meta(ge=30, le=33_000)] = 1000
    gain: Annotated[float, Meta(ge=1, le=64)] = 16.0


Camera = ClipCamera | FolderCamera | RtspCamera | V4l2Camera | PiCamera | GstreamerCamera
CAMERAS = {typing.get_args(typing.get_type_hints(kind)["source"])[0]: kind for kind in typing.get_args(Camera)}
# What a GstreamerCamera takes instead of a pipeline.
JETSON = frozenset({"number", "width", "height", "fps", "shutter_us", "gain"})
