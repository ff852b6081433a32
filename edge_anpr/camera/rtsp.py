"""A network camera over RTSP, by the FFmpeg that comes with OpenCV; over TCP, because lost packets break plates."""

from __future__ import annotations

import os

import cv2

from edge_anpr.camera.opencv import LiveVideo
from edge_anpr.errors import SourceLost


class RtspCamera(LiveVideo):
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
        super().__init__(opened, f"the RTSP camera sent no frame for {stall_s:g} s; check its power and network")
