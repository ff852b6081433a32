"""A USB or CSI camera behind Video4Linux."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from edge_anpr.camera.opencv import LiveVideo
from edge_anpr.errors import SourceLost


class V4l2Camera(LiveVideo):
    """A local camera; ``read`` raises SourceLost when it gives no frame (OpenCV waits 10 s for one)."""

    def __init__(self, device: Path, width: int, height: int, frames_per_second: int) -> None:
        if not device.exists():
            raise SourceLost(f"{device}: no such camera; plug it in, or set camera.device (v4l2-ctl --list-devices)")
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceLost(f"{device}: permission denied; add this user to the group 'video'")
        opened = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not opened.isOpened():
            raise SourceLost(f"{device}: is busy or no camera; stop what uses it (fuser -v {device})")
        opened.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        opened.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        opened.set(cv2.CAP_PROP_FPS, frames_per_second)
        opened.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        super().__init__(opened, f"{device}: gave no frame; check the cable")
