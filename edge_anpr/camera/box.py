"""The one-slot box between a live camera and the vision thread: only the latest frame waits, older ones are dropped."""

from __future__ import annotations

import threading

from edge_anpr.datatypes import Frame


class LatestFrame:
    """Holds at most one frame; ``drops`` counts those that were overwritten before anybody looked."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self.drops = 0

    def put(self, frame: Frame) -> Frame | None:
        """Leave a frame; gives back the one it displaced, whose buffers are the source's again."""
        with self._condition:
            displaced, self._frame = self._frame, frame
            self.drops += displaced is not None
            self._condition.notify()
            return displaced

    def take(self, timeout_s: float) -> Frame | None:
        """The latest frame, or None when none came in time or the box is closed and empty."""
        with self._condition:
            if self._frame is None and not self._closed:
                self._condition.wait(timeout_s)
            frame, self._frame = self._frame, None
            self._condition.notify_all()
            return frame

    def empty(self, timeout_s: float) -> bool:
        """Whether the slot is free, waiting for that at most so long."""
        with self._condition:
            return self._condition.wait_for(lambda: self._frame is None, timeout_s)

    def close(self) -> None:
        """No frame comes after this one; a frame that waits can still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the source has ended and its last frame was taken."""
        with self._condition:
            return self._closed and self._frame is None
