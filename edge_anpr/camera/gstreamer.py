"""Any GStreamer pipeline that ends in an appsink, by the system's GStreamer: a Jetson's CSI camera above all.

OpenCV's wheel comes without GStreamer, and a Jetson's camera is reached by nothing else. The luminance plane of GRAY8,
I420 and NV12 is used as it is; other formats are refused rather than converted here.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.camera.planes import Planes
from edge_anpr.datatypes import Frame, Gray
from edge_anpr.errors import SourceLost

FORMATS = ("GRAY8", "I420", "NV12")
# What is older than this by the pipeline's clock is told by another clock.
STALE_NS = 10_000_000_000
INSTALL = (
    "GStreamer cannot be used from this Python ({}): apt install python3-gi python3-gst-1.0 gir1.2-gstreamer-1.0 "
    "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good, and run edge-anpr by the system's"
    " Python, or in a venv made with --system-site-packages"
)


def jetson(sensor: int, width: int, height: int, frames_per_second: int, shutter_us: int, gain: float) -> str:
    """The pipeline of a Jetson's CSI camera: NV12 in the camera's own memory, copied into the system's once."""
    return (
        f'nvarguscamerasrc sensor-id={sensor} exposuretimerange="13000 {shutter_us * 1000}" gainrange="1 {gain:g}" ! '
        f"video/x-raw(memory:NVMM),format=NV12,width={width},height={height},framerate={frames_per_second}/1 ! "
        "nvvidconv ! video/x-raw,format=NV12 ! appsink"
    )


class GstreamerCamera:
    """A pipeline in GStreamer's own notation (``gst-launch-1.0``). It may hold a password, so it is never told.

    Raises SourceUnusable for what a person must mend, SourceLost when it ends, fails or gives no frame for ``stall_s``.
    """

    def __init__(self, pipeline: str, stall_s: float) -> None:
        self._gst, self._video = _library()
        self._stall_s = stall_s
        self._planes = Planes()
        self._pipeline, self._sink = self._parsed(pipeline)
        self._sink.set_property("caps", self._gst.Caps.from_string("video/x-raw,format={%s}" % ",".join(FORMATS)))  # noqa: UP031
        # A sink that keeps no picture: only the latest waits, and none is held for whoever might ask for the last one.
        for name, value in (("max-buffers", 1), ("drop", True), ("sync", False), ("enable-last-sample", False)):
            self._sink.set_property(name, value)
        if self._pipeline.set_state(self._gst.State.PLAYING) == self._gst.StateChangeReturn.FAILURE:
            try:
                raise self._trouble() or SourceLost("the GStreamer pipeline does not start; try it with gst-launch-1.0")
            finally:
                self.close()

    def read(self) -> Frame:
        """The next frame. Raises SourceLost when none comes."""
        sample = self._sink.emit("try-pull-sample", round(self._stall_s * 1e9))
        if sample is None:
            if (trouble := self._trouble()) is not None:
                raise trouble
            if self._sink.get_property("eos"):
                raise SourceLost("the GStreamer pipeline has ended; check the camera and its power")
            raise SourceLost(f"the GStreamer pipeline gave no frame for {self._stall_s:g} s; check the camera")
        buffer = sample.get_buffer()
        captured_ns = self._stamp(sample, buffer)
        mapped = buffer.map(self._gst.MapFlags.READ)
        try:
            frame = self._planes.frame(captured_ns, self._luminance(sample, buffer, mapped.data))
        finally:
            buffer.unmap(mapped)
        return frame

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back."""
        self._planes.recycle(frame)

    def close(self) -> None:
        """Let the camera go."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _parsed(self, pipeline: str) -> tuple[Any, Any]:
        try:
            made = self._gst.parse_launch(pipeline)
        except RuntimeError as error:  # GLib.Error is one
            raise self._refused(error) from None  # its own text may quote the pipeline
        sinks = [
            element
            for element in (made.iterate_elements() if isinstance(made, self._gst.Bin) else [made])
            if element.get_factory() is not None and element.get_factory().get_name() == "appsink"
        ]
        if len(sinks) != 1 or sinks[0] is made:
            raise SourceUnusable(f"camera.pipeline has {len(sinks)} appsinks with a source; end it in: ! appsink")
        return made, sinks[0]

    def _refused(self, error: Any) -> SourceUnusable:
        if error.code == int(self._gst.ParseError.NO_SUCH_ELEMENT):
            return SourceUnusable(
                f"camera.pipeline: {_safe(error.message)} here; gst-inspect-1.0 lists what is installed "
                "(nvarguscamerasrc and nvvidconv come with JetPack, others with gstreamer1.0-plugins-good, -bad, -ugly)"
            )
        return SourceUnusable(f"camera.pipeline: {_safe(error.message)}; try it with gst-launch-1.0")

    def _trouble(self) -> SourceLost | SourceUnusable | None:
        """What the pipeline has said of itself, if it was an error."""
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return None
        error, debug = message.parse_error()
        if "not-negotiated" in (debug or ""):
            return SourceUnusable(
                f"camera.pipeline gives no {', '.join(FORMATS)}: put ! videoconvert (nvvidconv on a Jetson) before "
                "! appsink"
            )
        if error.matches(self._gst.CoreError.quark(), self._gst.CoreError.MISSING_PLUGIN):
            return SourceUnusable(f"camera.pipeline: {_safe(error.message)}; install the plugin that it misses")
        return SourceLost(f"the GStreamer pipeline failed: {_safe(error.message)}")

    def _luminance(self, sample: Any, buffer: Any, data: memoryview) -> Gray:
        info = self._video.VideoInfo.new_from_caps(sample.get_caps())
        meta = self._video.buffer_get_video_meta(buffer)
        stride, offset = (meta or info).stride[0], (meta or info).offset[0]
        # The last row may end with its last pixel.
        flat = np.frombuffer(data, np.uint8, stride * (info.height - 1) + info.width, offset)
        return np.lib.stride_tricks.as_strided(flat, (info.height, info.width), (stride, 1), writeable=False)

    def _stamp(self, sample: Any, buffer: Any) -> int:
        now_ns = time.monotonic_ns()
        clock, running = self._pipeline.get_clock(), self._gst.CLOCK_TIME_NONE
        if clock is not None and buffer.pts != self._gst.CLOCK_TIME_NONE:
            running = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        if running == self._gst.CLOCK_TIME_NONE:
            return now_ns
        age_ns = clock.get_time() - self._pipeline.get_base_time() - running
        return now_ns - age_ns if 0 <= age_ns < STALE_NS else now_ns


def _library() -> tuple[Any, Any]:
    try:
        import gi  # noqa: PLC0415  the system's Python has it, where this source is used

        gi.require_version("Gst", "1.0")
        gi.require_version("GstVideo", "1.0")
        from gi.repository import Gst, GstVideo  # noqa: PLC0415
    except (ImportError, ValueError) as error:
        raise SourceUnusable(INSTALL.format(error)) from error
    Gst.init(None)
    if "overrides" not in str(getattr(Gst.Buffer.map, "__module__", "")):
        # Without python3-gst-1.0 a picture comes as immutable bytes, which nobody can overwrite.
        raise SourceUnusable(INSTALL.format("python3-gst-1.0 is missing"))
    return Gst, GstVideo


def _safe(message: str) -> str:
    """GStreamer's words, unless they quote an address, which may hold a password."""
    words = " ".join(message.split())[:200]
    return "an error that quotes an address" if "://" in words or "@" in words else words.rstrip(".")
