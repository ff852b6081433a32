"""A Raspberry Pi's CSI camera: libcamera by picamera2, which comes with Raspberry Pi OS.

The camera's processor makes two streams of each picture, ``main`` for the crops and a small ``lores`` for detection,
both YUV420: their first plane is the luminance that the networks take, so nothing is converted or resized here. Frames
are pulled; picamera2 calls callbacks under its lock, and one that raises ends its thread.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Literal

import numpy as np

from edge_anpr.camera.exposure import SHORTEST_US, Dusk, Exposure, Profile, exposed, lux
from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.camera.planes import Planes
from edge_anpr.datatypes import Frame, Gray
from edge_anpr.errors import SourceLost

FORMAT = "YUV420"
# One is being filled, one is being copied, and two wait their turn at the processor.
BUFFERS = 4
# Exposure is looked at in every so many frames: a change takes three to show.
LOOK_EVERY = 4
HOLD_S = 20.0
# A stamp this far from now is none.
STALE_NS = 10_000_000_000
INSTALL = (
    "picamera2 cannot be imported: apt install python3-picamera2 on Raspberry Pi OS, and run edge-anpr by the system's "
    "Python or in a venv made with --system-site-packages"
)

Light = Literal["auto", "day", "night"]


class PiCamera:
    """A CSI camera by its ``number``. ``size`` and ``lores`` are width and height of the two streams, in pixels.

    Raises SourceUnusable for what a person must mend, SourceLost when there is no camera, it is busy or gives no frame
    for ``stall_s``.
    """

    def __init__(
        self,
        number: int,
        size: tuple[int, int],
        lores: tuple[int, int],
        frames_per_second: int,
        stall_s: float,
        day: Profile,
        night: Profile,
        dusk: Dusk,
        *,
        light: Light = "auto",
        lens_position: float | None = None,
        zoom: float = 1.0,
        aim: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        try:
            import picamera2  # noqa: PLC0415  only a Raspberry Pi has it
        except ImportError as error:
            raise SourceUnusable(INSTALL) from error
        self._mapped = picamera2.MappedArray
        self._number, self._stall_s, self._light = number, stall_s, light
        self._day, self._night, self._dusk = day, night, dusk
        self._planes, self._looked = Planes(), 0
        self._is_night = dusk.is_night if light == "auto" else light == "night"
        self._streams = {"main": size, "lores": lores}
        self._camera = _opened(picamera2.Picamera2, number)
        try:
            self._configure(frames_per_second, lens_position, zoom, aim)
            self._camera.start()
        except SourceUnusable:
            self.close()
            raise
        except (RuntimeError, OSError) as error:
            self.close()
            raise SourceLost(f"camera {number} does not start ({_words(error)}); check its cable") from error

    def read(self) -> Frame:
        """The next frame. Raises SourceLost when none comes."""
        try:
            request = self._camera.capture_request(wait=False).get_result(timeout=self._stall_s)
        except TimeoutError:
            raise SourceLost(f"camera {self._number} gave no frame for {self._stall_s:g} s; check its cable") from None
        except (RuntimeError, OSError) as error:
            raise SourceLost(f"camera {self._number} failed ({_words(error)}); check its cable") from error
        try:
            said = request.get_metadata()
            frame = self._copied(request, stamp(said.get("SensorTimestamp")))
        finally:
            request.release()
        if frame.index % LOOK_EVERY == 0:
            self._expose(frame, said)
        return frame

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back."""
        self._planes.recycle(frame)

    def close(self) -> None:
        """Let the camera go."""
        # A camera that has failed may refuse to stop, and must be closed all the same.
        with contextlib.suppress(RuntimeError, OSError):
            self._camera.stop()
        with contextlib.suppress(RuntimeError, OSError):
            self._camera.close()

    def _configure(
        self, frames_per_second: int, lens_position: float | None, zoom: float, aim: tuple[float, float]
    ) -> None:
        # Of picamera2's presets the preview's has the full range of luminance, 0 to 255; the video's has 16 to 235.
        wanted = {name: {"size": size, "format": FORMAT} for name, size in self._streams.items()}
        self._camera.configure(self._camera.create_preview_configuration(**wanted, buffer_count=BUFFERS))
        given = self._camera.camera_configuration()
        for name, size in self._streams.items():
            stream = given[name]
            if (tuple(stream["size"]), stream["format"]) != (size, FORMAT):
                width, height = stream["size"]
                raise SourceUnusable(
                    f"camera {self._number} gives {name} as {width}x{height} {stream['format']} instead of "
                    f"{size[0]}x{size[1]} {FORMAT}; set camera.width and camera.height to what it can do"
                )
        offered = self._camera.camera_controls
        if lens_position is not None and "LensPosition" not in offered:
            raise SourceUnusable(
                f"camera {self._number} has no motor for its lens: leave camera.lens_position out and turn its ring"
            )
        duration_us = round(1e6 / frames_per_second)
        controls: dict[str, Any] = {"FrameDurationLimits": (duration_us, duration_us), "HdrMode": 0}
        if lens_position is not None:
            controls |= {"AfMode": 0, "LensPosition": lens_position}
        if zoom > 1 and "ScalerCrop" in offered:
            controls["ScalerCrop"] = crop(offered["ScalerCrop"][2], zoom, aim)
        profile = self._profile
        self._set(controls | self._colours() | _manual(Exposure(profile.shutter_us, min(2.0, profile.gain))))

    def _copied(self, request: Any, captured_ns: int) -> Frame:
        with contextlib.ExitStack() as mapped:
            main, lores = (
                luminance(mapped.enter_context(self._mapped(request, name, reshape=False, write=False)).array, given)
                for name, given in ((name, request.config[name]) for name in self._streams)
            )
            frame = self._planes.frame(captured_ns, main, lores)
            del main, lores  # no view outlives the mapping
        return frame

    @property
    def _profile(self) -> Profile:
        return self._night if self._is_night else self._day

    def _expose(self, frame: Frame, said: dict[str, Any]) -> None:
        taken = Exposure(float(said.get("ExposureTime", 0)), float(said.get("AnalogueGain", 1.0)))
        if taken.shutter_us <= 0:
            return
        luma = float(frame.lores[::4, ::4].mean())
        if self._light == "auto":
            is_night = self._dusk.look(float(said.get("Lux") or lux(luma, taken)), frame.captured_ns / 1e9)
            if is_night != self._is_night:
                self._is_night = is_night
                self._set(self._colours())
        wanted = exposed(taken, luma, self._profile)
        if wanted != taken:
            self._set(_manual(wanted))

    def _colours(self) -> dict[str, Any]:
        # Infrared passes all three colour filters alike, and a white balance that hunts changes the luminance too.
        if self._is_night:
            return {"Saturation": 0.0, "AwbEnable": False, "ColourGains": (1.0, 1.0)}
        return {"Saturation": 1.0, "AwbEnable": True}

    def _set(self, controls: dict[str, Any]) -> None:
        offered = self._camera.camera_controls
        try:
            self._camera.set_controls({name: value for name, value in controls.items() if name in offered})
        except RuntimeError as error:
            raise SourceLost(f"camera {self._number} refuses its settings ({_words(error)})") from error


def second_stream(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the small stream: all of the picture, fitted into what the detector takes, and even."""
    scale = min(most[0] / size[0], most[1] / size[1], 1.0)
    return tuple(max(round(side * scale / 2) * 2, 2) for side in size)  # type: ignore[return-value]


def crop(whole: tuple[int, int, int, int], zoom: float, aim: tuple[float, float]) -> tuple[int, int, int, int]:
    """The part of the sensor (left, top, width, height) that is ``zoom`` times larger in the picture.

    ``aim``: its middle, 0 to 1 from the left and from the top. It keeps its shape and stays inside ``whole``.
    """
    left, top, width, height = whole
    wide, high = round(width / zoom / 2) * 2, round(height / zoom / 2) * 2
    x = min(max(round(aim[0] * width - wide / 2), 0), width - wide)
    y = min(max(round(aim[1] * height - high / 2), 0), height - high)
    return left + x, top + y, wide, high


def luminance(buffer: Any, stream: dict[str, Any]) -> Gray:
    """The first plane in a YUV420 buffer, without the padding at the end of each row: a view, uint8."""
    width, height = stream["size"]
    stride = stream["stride"]
    flat: Gray = np.asarray(buffer, np.uint8).reshape(-1)
    return flat[: stride * height].reshape(height, stride)[:, :width]


def stamp(sensor_ns: int | None) -> int:
    """When a picture was taken, by the monotonic clock; the sensor's stamp counts the time asleep as well."""
    now_ns = time.monotonic_ns()
    if sensor_ns is None:
        return now_ns
    age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - sensor_ns
    return now_ns - age_ns if 0 <= age_ns < STALE_NS else now_ns


def _manual(exposure: Exposure) -> dict[str, Any]:
    # Both together turn the automatic off, in every libcamera so far. AeEnable is left alone: it takes over whatever
    # is in force at that moment, in an order that nobody promises (picamera2 issue 933).
    return {"ExposureTime": max(round(exposure.shutter_us), SHORTEST_US), "AnalogueGain": round(exposure.gain, 2)}


def _opened(kind: Any, number: int) -> Any:
    try:
        found = kind.global_camera_info()
        if number < len(found):
            return kind(number)
    except (RuntimeError, OSError, IndexError) as error:
        if "busy" in _words(error).lower() or "acquire" in _words(error).lower():
            raise SourceLost(f"camera {number} is busy; stop what uses it (another unit, rpicam-hello)") from error
        raise SourceLost(f"camera {number} cannot be opened ({_words(error)}); check its cable") from error
    raise SourceLost(
        f"there is no camera {number}, libcamera sees {len(found)}; check its cable, and rpicam-hello --list-cameras"
    )


def _words(error: BaseException) -> str:
    """What picamera2 said, and what it was told: its own exception hides the reason behind a sentence."""
    told = [str(error)]
    inner = error.__cause__ or error.__context__
    while inner is not None and len(told) < 4:
        told.append(str(inner))
        inner = inner.__cause__ or inner.__context__
    return " ".join(told[-1].split())[:200]
