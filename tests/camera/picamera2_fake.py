"""picamera2's objects as far as the camera's adapter uses them, with the manners that matter.

Rows are padded, buffers are longer than their picture, a request that is not released is missing from the queue and
its buffer is written over once it is, settings show three frames late, and only settings that the camera offers are
taken. Described in the Picamera2 manual and seen in its source; the scene, its light and the sensor are invented.
"""

from __future__ import annotations

import threading
import time
import types
from collections import deque
from concurrent.futures import Future
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

PADDING, NEXT, LATE = 0xEE, 0x01, 3
OFFERED: dict[str, tuple[Any, Any, Any]] = {
    "ExposureTime": (14, 5_000_000, 20_000),
    "AnalogueGain": (1.0, 16.0, 1.0),
    "FrameDurationLimits": (8_000, 5_000_000, 33_333),
    "AwbEnable": (False, True, True),
    "ColourGains": (0.0, 32.0, None),
    "Saturation": (0.0, 32.0, 1.0),
    "ScalerCrop": ((0, 0, 64, 64), (0, 0, 4608, 2592), (0, 0, 4608, 2592)),
    "AeEnable": (False, True, True),
    "AfMode": (0, 2, 0),
    "LensPosition": (0.0, 32.0, 1.0),
    "HdrMode": (0, 4, 0),
}


class Job:
    def __init__(self) -> None:
        self.future: Future[Request] = Future()

    def get_result(self, timeout: float | None = None) -> Request:
        return self.future.result(timeout)


class Request:
    """A completed request: its buffers belong to the camera again once it is released."""

    def __init__(self, camera: Picamera2) -> None:
        self._camera = camera
        self.config: dict[str, Any] | None = {name: dict(camera.streams[name]) for name in ("main", "lores")}
        self.buffers = {
            name: np.full(stream["stride"] * stream["size"][1] * 3 // 2 + 4096, PADDING, np.uint8)
            for name, stream in camera.streams.items()
        }
        self._metadata: dict[str, Any] = {}

    def expose(self, luma: int, metadata: dict[str, Any]) -> Request:
        for name, stream in self._camera.streams.items():
            width, height = stream["size"]
            plane = self.buffers[name][: stream["stride"] * height].reshape(height, stream["stride"])
            plane[:, :width] = luma
            plane[0, 0] = self._camera.taken % 251  # the noise of a sensor
        self._metadata = metadata
        return self

    def get_metadata(self) -> dict[str, Any]:
        return self._metadata

    def release(self) -> None:
        assert self.config is not None, "released twice"
        self.config = None
        for buffer in self.buffers.values():
            buffer.fill(NEXT)
        self._camera.queued.append(self)
        self._camera.serve()

    def again(self) -> Request:
        self.config = {name: dict(stream) for name, stream in self._camera.streams.items()}
        return self


class MappedArray:
    def __init__(self, request: Request, stream: str, reshape: bool = True, write: bool = True) -> None:
        assert request.config is not None, "mapped after it was released"
        self._buffer, self._reshape = request.buffers[stream], reshape
        self._stream = request.config[stream]
        self.array: NDArray[np.uint8] | None = None
        assert not write, "nothing is written into the camera's buffers"

    def __enter__(self) -> MappedArray:
        self.array = self._buffer
        if self._reshape:
            self.array = self.array.reshape(self._stream["size"][1] * 3 // 2, self._stream["stride"])
        return self

    def __exit__(self, *_: object) -> None:
        self.array = None


class Picamera2:
    """One camera; what a test changes about it stands on the class, as a camera outlives the object."""

    cameras = 1
    busy = False
    offered = OFFERED
    gives: ClassVar[dict[str, tuple[int, int]]] = {}
    light = 3000.0  # lux
    says_lux = True
    last: Picamera2

    def __init__(self, number: int) -> None:
        type(self).last = self
        if self.busy:
            hidden = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from hidden
        self.number, self.closed, self.started = number, False, False
        self.streams: dict[str, dict[str, Any]] = {}
        self.queued: deque[Request] = deque()
        self._jobs: deque[Job] = deque()
        self.settings: list[dict[str, Any]] = []
        self._in_force: deque[dict[str, Any]] = deque([{}] * LATE, maxlen=LATE)
        self.taken, self.stalled, self.failed = 0, False, False
        self._lock = threading.RLock()

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return [{"Num": number, "Model": "imx708"} for number in range(cls.cameras)]

    @property
    def camera_controls(self) -> dict[str, Any]:
        return dict(self.offered)

    def create_preview_configuration(
        self, main: dict[str, Any], lores: dict[str, Any], buffer_count: int
    ) -> dict[str, Any]:
        return {"main": main, "lores": lores, "buffer_count": buffer_count}

    def configure(self, wanted: dict[str, Any]) -> None:
        for name in ("main", "lores"):
            width, height = self.gives.get(name, wanted[name]["size"])
            stride = (width + 63) // 64 * 64 + 64
            self.streams[name] = {"size": (width, height), "stride": stride, "format": wanted[name]["format"]}
        self.queued.extend(Request(self) for _ in range(wanted["buffer_count"]))

    def camera_configuration(self) -> dict[str, Any]:
        return self.streams

    def set_controls(self, controls: dict[str, Any]) -> None:
        for name in controls:
            if name not in self.offered:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        self.settings.append(controls)

    @property
    def asked(self) -> dict[str, Any]:
        return {name: value for controls in self.settings for name, value in controls.items()}

    def start(self) -> None:
        self.started = True

    def capture_request(self, wait: bool | float | None = None) -> Job:
        assert self.started
        assert wait is False, "whoever waits here waits for ever"
        job = Job()
        self._jobs.append(job)
        self.serve()
        return job

    def serve(self) -> None:
        with self._lock:
            while self._jobs and (self.failed or (self.queued and not self.stalled)):
                job = self._jobs.popleft()
                if self.failed:
                    job.future.set_exception(RuntimeError("Camera frontend has timed out!"))
                else:
                    job.future.set_result(self._take(self.queued.popleft()))

    def _take(self, request: Request) -> Request:
        now = self._in_force[0]
        self._in_force.append(self.asked)
        self.taken += 1
        shutter, gain = float(now.get("ExposureTime", 20_000)), float(now.get("AnalogueGain", 1.0))
        linear = min(self.light / 1000 * shutter * gain / 27_700 * 0.19, 1.0)
        metadata = {
            "SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 40_000_000,
            "ExposureTime": shutter, "AnalogueGain": gain,
        }  # fmt: skip
        if self.says_lux:
            metadata["Lux"] = self.light
        return request.again().expose(round(255 * linear ** (1 / 2.2)), metadata)

    def stop(self) -> None:
        if self.failed:
            raise RuntimeError("Camera in Error state")
        self.started = False

    def close(self) -> None:
        self.closed = True


def module() -> types.ModuleType:
    """A module to stand in ``sys.modules``, with a camera of its own."""
    made = types.ModuleType("picamera2")
    made.Picamera2 = type("Picamera2", (Picamera2,), {})  # type: ignore[attr-defined]
    made.MappedArray = MappedArray  # type: ignore[attr-defined]
    return made
