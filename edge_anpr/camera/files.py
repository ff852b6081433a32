"""Recorded material: a clip, paced like a live camera or as fast as it goes, and a folder of unrelated pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_anpr.camera.opencv import SourceUnusable, Video
from edge_anpr.datatypes import Frame

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
# A clip that does not say how fast it was filmed.
USUAL_FPS = 12.0


class Clip:
    """A recorded clip. ``live``: each frame comes when it would have come from the camera.

    Times are the clip's own (nanoseconds from its first frame) plus the moment of opening when it is paced.
    Raises SourceUnusable when it cannot be opened or holds no frame.
    """

    def __init__(self, path: Path, *, live: bool) -> None:
        if not path.is_file():
            raise SourceUnusable(f"{path}: no such clip; name a video file")
        opened = cv2.VideoCapture(str(path))
        if not opened.isOpened():
            raise SourceUnusable(
                f"{path}: OpenCV {cv2.__version__} cannot open it as a video; convert it or name another"
            )
        self._path, self._live = path, live
        self._video = Video(opened)
        self.frames_per_second = self._video.frames_per_second or USUAL_FPS
        self.frame_count = self._video.frame_count
        self._start_ns = time.monotonic_ns() if live else 0
        self._next = 0

    def read(self) -> Frame | None:
        """The next frame, None at the end of the clip."""
        stamp = self._start_ns + round(self._next / self.frames_per_second * 1e9)
        if self._live and (wait := (stamp - time.monotonic_ns()) / 1e9) > 0:
            time.sleep(wait)
        frame = self._video.read(stamp)
        if frame is None and self._next == 0:
            raise SourceUnusable(f"{self._path}: holds no frame that can be decoded; it may be cut off or damaged")
        self._next += 1
        return frame

    def skip(self) -> bool:
        """Pass over one frame; False at the end of the clip."""
        self._next += 1
        return self._video.skip()

    def shortfall(self) -> str | None:
        """After the end: what could not be read, in words; None when that is nothing.

        Some containers promise a frame or two more than they hold, or estimate the number from the duration.
        """
        if self._next - 1 >= 0.9 * self.frame_count:
            return None
        return f"{self._path}: ends after {self._next - 1} of {self.frame_count} frames; it is cut off or damaged"

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back."""
        self._video.recycle(frame)

    def close(self) -> None:
        """Let the file go."""
        self._video.close()


class Folder:
    """The pictures of a folder in the order of their names, each a frame that has nothing to do with the last.

    Times lie a minute apart, so that no track goes on from one picture to the next.
    Raises SourceUnusable when there is none that can be read.
    """

    def __init__(self, path: Path) -> None:
        self._paths = pictures(path)
        self._next = 0
        self._unreadable: list[Path] = []

    def read(self) -> Frame | None:
        """The next picture that can be read, None after the last."""
        while self._next < len(self._paths):
            path = self._paths[self._next]
            self._next += 1
            frame = still(path, self._next - 1)
            if frame is not None:
                return frame
            self._unreadable.append(path)
        if len(self._unreadable) == len(self._paths):
            raise SourceUnusable(f"{self._unreadable[0].parent}: holds no picture that can be read")
        return None

    def shortfall(self) -> str | None:
        """After the end: what could not be read, in words; None when that is nothing."""
        if not self._unreadable:
            return None
        names = ", ".join(path.name for path in self._unreadable[:3])
        return f"{len(self._unreadable)} of {len(self._paths)} pictures could not be read: {names}"

    def recycle(self, frame: Frame) -> None:
        """Overwrite a picture's pixels."""
        frame.luma.fill(0)
        if frame.colour is not None:
            frame.colour.fill(0)

    def close(self) -> None:
        """Nothing stays open between pictures."""


def pictures(path: Path) -> list[Path]:
    """The picture files directly in a folder, by name. Raises SourceUnusable when there is none."""
    if not path.is_dir():
        raise SourceUnusable(f"{path}: no such folder; name one with pictures")
    found = sorted(item for item in path.iterdir() if item.suffix.lower() in PICTURES and item.is_file())
    if not found:
        raise SourceUnusable(f"{path}: holds no pictures ({', '.join(sorted(PICTURES))}); clips are named one by one")
    return found


def still(path: Path, index: int) -> Frame | None:
    """One picture as a frame; None when it cannot be decoded."""
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError:
        return None
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if picture is None:
        return None
    colour = np.asarray(picture, np.uint8)
    luma = np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8)
    return Frame(index, index * 60_000_000_000, luma, luma, colour)


def frames(source: Clip | Folder, every: int = 1) -> Iterator[Frame]:
    """Each ``every``-th frame of a source to its end; the frame is recycled when the next one is asked for."""
    while (frame := source.read()) is not None:
        yield frame
        source.recycle(frame)
        if isinstance(source, Clip):
            for _ in range(every - 1):
                if not source.skip():
                    return
