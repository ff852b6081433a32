"""A network camera over RTSP, by the FFmpeg that comes with OpenCV; over TCP, because lost packets break plates."""

from __future__ import annotations

import os

import cv2

from edge_anpr.camera.opencv import Capture
from edge_anpr.datatypes import Frame, SourceLost


class RtspCamera:
    """A network camera; ``read`` raises SourceLost when no frame came for ``stall_s`` seconds."""

    def __init__(self, url: str, stall_s: float) -> None:
        # FFmpeg takes this from the environment only.
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
        limit_ms = round(stall_s * 1000)
        opened = cv2.VideoCapture(
            url,
            cv2.CAP_FFMPEG,
            [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms],
        )
        if not opened.isOpened():
            raise SourceLost(
                "the RTSP camera does not answer; check camera.url, its user and password, and the network"
            )
        self._capture, self._stall_s = Capture(opened), stall_s

    def read(self) -> Frame:
        """The next frame."""
        frame = self._capture.read()
        if frame is None:
            raise SourceLost(f"the RTSP camera sent no frame for {self._stall_s:g} s; check its power and network")
        return frame

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back."""
        self._capture.recycle(frame)

    def close(self) -> None:
        """Hang up."""
        self._capture.close()
