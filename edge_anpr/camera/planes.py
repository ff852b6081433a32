"""Copies of a camera's luminance planes, in buffers that go round and are overwritten."""

from __future__ import annotations

from collections import deque

import numpy as np

from edge_anpr.datatypes import Frame, Gray


class Planes:
    """Makes frames of views into a camera's own memory.

    What is copied is the luminance of both streams, once, and nothing else: the camera has a handful of buffers and
    wants each back before its picture has been looked at, and a copy of our own is one that ``recycle`` can overwrite.
    """

    def __init__(self) -> None:
        self._free: deque[tuple[Gray, Gray]] = deque()
        self._index = 0

    def frame(self, captured_ns: int, luma: Gray, lores: Gray | None = None) -> Frame:
        """A frame of copies; the views may have any stride. Without ``lores`` detection looks at ``luma``."""
        full, small = self._buffers(luma.shape, luma.shape if lores is None else lores.shape, lores is not None)
        np.copyto(full, luma)
        if lores is not None:
            np.copyto(small, lores)
        self._index += 1
        return Frame(self._index - 1, captured_ns, full, small)

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame's pixels and take its buffers back for a later one."""
        frame.luma.fill(0)
        frame.lores.fill(0)
        self._free.append((frame.luma, frame.lores))

    def _buffers(self, full: tuple[int, ...], small: tuple[int, ...], two: bool) -> tuple[Gray, Gray]:
        while self._free:
            held = self._free.pop()
            if held[0].shape == full and held[1].shape == small and (held[0] is not held[1]) == two:
                return held
        luma = np.empty(full, np.uint8)
        return luma, np.empty(small, np.uint8) if two else luma
