"""What clip, RTSP and V4L2 share: OpenCV's VideoCapture, read into buffers that go round and are overwritten."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_anpr.datatypes import Colour, Frame, Gray
from edge_anpr.errors import SourceLost, Unusable

# OpenCV and its FFmpeg print what they choke on, and a camera's URL with its password, to stderr. Errors are told by
# this package, in one line each.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# FFmpeg would take a thread a core, give out each frame that many frames late less one (120 ms with four at 25 frames a
# second), and keep as many pictures more.
os.environ.setdefault("OPENCV_FFMPEG_THREADS", "1")
# Debian's OpenCV 4.10 has it in cv2 itself, OpenCV 5 in cv2.utils.logging only. 0: silent.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


class SourceUnusable(Unusable):
    """A source that no waiting will mend."""


@dataclass(slots=True)
class _Buffers:
    colour: Colour = field(repr=False)
    luma: Gray = field(repr=False)


class Video:
    """Frames of an opened VideoCapture. ``frames_per_second`` is what the source says, 0 when it says nothing."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._free: deque[_Buffers] = deque()
        self._index = 0
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        self.frames_per_second = rate if 0 < rate <= 1000 else 0.0
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = max(count, 0)

    def skip(self) -> bool:
        """Pass over one frame without decoding it into a picture; False at the end."""
        self._index += 1
        return bool(self._capture.grab())

    def read(self, captured_ns: int | None = None) -> Frame | None:
        """The next frame, or None when there is none. Without a time given, it is stamped as it arrives (monotonic)."""
        if not self._capture.grab():
            return None
        stamp = time.monotonic_ns() if captured_ns is None else captured_ns
        buffers = self._free.pop() if self._free else None
        ok, picture = self._capture.retrieve(buffers.colour) if buffers else self._capture.retrieve()
        if not ok:
            return None
        colour = np.asarray(picture, np.uint8)
        if buffers is None or colour is not buffers.colour:  # none was free, or the source changed its size
            buffers = _Buffers(colour, np.empty(colour.shape[:2], np.uint8))
        cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY, dst=buffers.luma)
        frame = Frame(self._index, stamp, buffers.luma, buffers.luma, colour)
        self._index += 1
        return frame

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back for a later one."""
        frame.luma.fill(0)
        if frame.colour is not None:
            frame.colour.fill(0)
            self._free.append(_Buffers(frame.colour, frame.luma))

    def close(self) -> None:
        """Let the source go."""
        self._capture.release()
        self._free.clear()


class LiveVideo:
    """A camera that OpenCV has opened; ``lost`` says what it means, and what to do, when it gives no frame."""

    def __init__(self, opened: cv2.VideoCapture, lost: str) -> None:
        self._video, self._lost = Video(opened), lost

    def read(self) -> Frame:
        """The next frame. Raises SourceLost when none comes."""
        frame = self._video.read()
        if frame is None:
            raise SourceLost(self._lost)
        return frame

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back."""
        self._video.recycle(frame)

    def close(self) -> None:
        """Let the camera go."""
        self._video.close()
