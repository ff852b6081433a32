"""The ``camera`` section: one model for each source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_anpr.config.fields import FilePath, Name, Strict

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


class Region(Strict):
    """The part of the picture that is looked at, in shares of it from the left and the top."""

    left: float = Field(default=0.0, ge=0, le=0.95)
    top: float = Field(default=0.0, ge=0, le=0.95)
    width: float = Field(default=1.0, ge=0.05, le=1)
    height: float = Field(default=1.0, ge=0.05, le=1)

    @model_validator(mode="after")
    def _inside(self) -> Region:
        if self.left + self.width > 1 + 1e-9 or self.top + self.height > 1 + 1e-9:
            raise ValueError("reaches beyond the picture: left + width, and top + height, are 1 at most")
        return self


class _Camera(Strict):
    id: Name = "cam-1"
    direction: Literal["in", "out", "both", "unknown"] = "unknown"
    region: Region | None = None


class ClipCamera(_Camera):
    """A recorded clip, paced like a live camera or as fast as it can be read."""

    source: Literal["clip"]
    path: FilePath
    pace: Literal["live", "fast"] = "live"


class FolderCamera(_Camera):
    """A folder of pictures, read as unrelated stills."""

    source: Literal["folder"]
    path: FilePath


class LiveCamera(_Camera):
    """What every live camera has: after so long without a frame, or with the very same one, it is opened again.

    ``frozen_s`` 0 turns the latter off. A stream that was encoded repeats a still night until its next whole picture.
    """

    stall_s: float = Field(default=10.0, ge=1, le=300)
    frozen_s: float = Field(default=10.0, ge=0, le=3600)


class RtspCamera(LiveCamera):
    """A network camera. The URL may hold a password, so it is never shown."""

    source: Literal["rtsp"]
    url: Annotated[str, AfterValidator(_rtsp)] = Field(repr=False)
    frozen_s: float = Field(default=60.0, ge=0, le=3600)


class V4l2Camera(LiveCamera):
    """A USB or CSI camera behind the kernel's video interface. Gain and focus are in the driver's own units."""

    source: Literal["v4l2"]
    device: FilePath = Path("/dev/video0")
    width: int = Field(default=1280, ge=160, le=7680)
    height: int = Field(default=720, ge=120, le=4320)
    fps: int = Field(default=15, ge=1, le=240)
    pixels: Literal["any", "mjpeg", "yuyv"] = "any"
    exposure_us: int | None = Field(default=None, ge=100, le=1_000_000)
    gain: float | None = Field(default=None, ge=0, le=65535)
    focus: float | None = Field(default=None, ge=0, le=65535)


class PiCamera(LiveCamera):
    """A Raspberry Pi's CSI camera, with limits of exposure by day and by night, and where the one becomes the other.

    ``zoom`` takes a part of the sensor around ``aim_x``, ``aim_y``, which are 0 to 1 from the left and the top.
    """

    source: Literal["picamera2"]
    number: int = Field(default=0, ge=0, le=7)
    width: int = Field(default=1920, ge=320, le=4608, multiple_of=2)
    height: int = Field(default=1080, ge=240, le=3456, multiple_of=2)
    fps: int = Field(default=15, ge=1, le=120)
    light: Literal["auto", "day", "night"] = "auto"
    day_shutter_us: int = Field(default=1000, ge=30, le=33_000)
    day_gain: float = Field(default=8.0, ge=1, le=64)
    night_shutter_us: int = Field(default=1000, ge=30, le=33_000)
    night_gain: float = Field(default=16.0, ge=1, le=64)
    night_below_lux: float = Field(default=50.0, ge=0, le=100_000)
    day_above_lux: float = Field(default=200.0, ge=0, le=100_000)
    lens_position: float | None = Field(default=None, ge=0, le=32)
    zoom: float = Field(default=1.0, ge=1, le=8)
    aim_x: float = Field(default=0.5, ge=0, le=1)
    aim_y: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> PiCamera:
        if self.day_above_lux <= self.night_below_lux:
            raise ValueError("needs day_above_lux higher than night_below_lux, or day and night take turns for ever")
        if 1e6 / self.fps < max(self.day_shutter_us, self.night_shutter_us):
            raise ValueError(f"a shutter cannot be longer than a frame: {1e6 / self.fps:.0f} µs at fps {self.fps}")
        return self


class GstreamerCamera(LiveCamera):
    """A pipeline of the system's GStreamer that ends in an appsink; without one, a Jetson's CSI camera.

    The pipeline may hold a password, so it is never shown.
    """

    source: Literal["gstreamer"]
    pipeline: Annotated[str, AfterValidator(_pipeline)] | None = Field(default=None, repr=False)
    number: int = Field(default=0, ge=0, le=7)
    width: int = Field(default=1920, ge=160, le=7680)
    height: int = Field(default=1080, ge=120, le=4320)
    fps: int = Field(default=30, ge=1, le=240)
    shutter_us: int = Field(default=1000, ge=30, le=33_000)
    gain: float = Field(default=16.0, ge=1, le=64)
    frozen_s: float = Field(default=60.0, ge=0, le=3600)

    @model_validator(mode="after")
    def _whole(self) -> GstreamerCamera:
        idle = {"number", "width", "height", "fps", "shutter_us", "gain"} & self.model_fields_set
        if self.pipeline is not None and idle:
            raise ValueError(
                f"the pipeline says it all: write {', '.join(sorted(idle))} into it, or leave pipeline out"
            )
        return self


Camera = ClipCamera | FolderCamera | RtspCamera | V4l2Camera | PiCamera | GstreamerCamera
