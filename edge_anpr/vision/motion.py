"""Whether anything moves in the picture, so that an empty road costs next to nothing.

The picture is averaged into cells 80 across, and each is compared with what it usually shows. The grid is too coarse
to read a plate in, and ``forget`` overwrites it all the same, which no background model of a library's offers.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Gray

COLUMNS, MOST_ROWS = 80, 360
# A cell has changed when it differs by this many levels of gray, or by so many times what it usually flickers: of
# normal noise that is four deviations.
LEAST_CHANGE, TIMES_FLICKER = 6.0, 6.0
# So fast a cell follows light and weather, in seconds; and after so long without a further change, what came to stand
# in it belongs to the road.
FOLLOWS_S, PARKED_S = 4.0, 5.0
# Within a second a cell's flicker is known to half a level.
FLICKER_STEP = 0.5
# Drops and flakes near the lens are small and everywhere. When small changes alone were seen in so much of the last
# half minute, only larger ones count: three cells each way, which a vehicle with a plate 20 px wide covers as well.
WEATHER_S, WEATHER_SHARE = 30.0, 0.05
_SOLID, _LARGE = np.ones((2, 2), np.uint8), np.ones((3, 3), np.uint8)
_AROUND = np.ones((5, 5), np.uint8)


class Motion:
    """Looks at one frame after another of one camera.

    What moves covers at least two by two cells, and does so in two frames in a row at nearly the same place, which
    noise does not. Cells whose flicker is no exception, such as leaves in the wind, must change by more.
    ``changed``: 1 where something is that was not there, in the last frame that was looked at, else 0; a cell each.
    """

    def __init__(self) -> None:
        self._usual: NDArray[np.float32] | None = None
        self._begin((0, 0))

    def _begin(self, shape: tuple[int, int]) -> None:
        self._usual, self._before = None, np.zeros(shape, np.float32)
        self._flicker = np.full(shape, 1.0, np.float32)
        self._still_s = np.zeros(shape, np.float32)
        self.changed = np.zeros(shape, np.uint8)
        self._last_ns, self._weather = 0, 0.0

    def look(self, lores: Gray, now_ns: int) -> bool:
        """Whether something moves in this frame; there is nothing to compare the first one with."""
        height, width = lores.shape
        shape = max(round(COLUMNS * height / width), 1), COLUMNS
        if self._before.shape != shape:
            self._begin(shape)
        cells = _cells(lores, shape)
        if self._usual is None:
            self._usual, self._before, self._last_ns = cells.copy(), cells, now_ns
            return False
        passed_s = min(max(now_ns - self._last_ns, 0) / 1e9, 1.0)
        self._last_ns = now_ns
        difference = cells - self._usual
        # Clouds and the camera's exposure change the whole picture at once.
        sample = difference[::3, ::3].ravel()
        difference -= np.partition(sample, len(sample) // 2)[len(sample) // 2]
        np.abs(difference, out=difference)
        limit = self._flicker * TIMES_FLICKER
        np.maximum(limit, LEAST_CHANGE, out=limit)
        changed = difference > limit
        # To a median, up and down by equal steps: vehicles in a cell for less than half of the time raise nothing.
        step = np.float32(FLICKER_STEP * passed_s)
        self._flicker += (difference > self._flicker) * (2 * step) - step
        np.maximum(self._flicker, 0.25, out=self._flicker)
        self._learn(cells, changed, limit, passed_s)
        return self._moves(changed.view(np.uint8), passed_s)

    def _moves(self, changed: Gray, passed_s: float) -> bool:
        solid = np.asarray(cv2.morphologyEx(changed, cv2.MORPH_OPEN, _SOLID), np.uint8)
        before, self.changed = self.changed, solid
        small = _stays(before, solid)
        large = small and _stays(*(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _LARGE) for mask in (before, solid)))
        self._weather += (float(small and not large) - self._weather) * passed_s / WEATHER_S
        return large or (small and self._weather < WEATHER_SHARE)

    def _learn(
        self, cells: NDArray[np.float32], changed: NDArray[np.bool_], limit: NDArray[np.float32], passed_s: float
    ) -> None:
        """Follow slow changes, and take for the road what has come to stand on it."""
        assert self._usual is not None
        follow = (cells - self._usual) * np.float32(min(passed_s / FOLLOWS_S, 1.0))
        if changed.any():
            self._before -= cells
            np.abs(self._before, out=self._before)
            self._still_s += np.float32(passed_s)
            self._still_s *= changed & (limit > self._before)
            follow *= ~changed
            parked = self._still_s > PARKED_S
            if parked.any():
                np.copyto(self._usual, cells, where=parked)
                follow *= ~parked
        else:  # as on an empty road for hours
            self._still_s.fill(0)
        self._usual += follow
        self._before.fill(0)
        self._before = cells

    def forget(self) -> None:
        """Overwrite what is known of the picture; how much each cell flickers stays."""
        for held in (self._usual, self._before):
            if held is not None:
                held.fill(0)
        self._usual = None


def _cells(lores: Gray, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The mean of each cell, float32 of ``shape``."""
    rows = max(len(lores) // MOST_ROWS, 1)  # of a large picture every second or third row tells as much
    small = lores[::rows]
    while small.shape[1] >= 2 * COLUMNS and small.shape[0] >= 2 * shape[0]:  # halving is by far the fastest averaging
        small = np.asarray(cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    if small.shape != shape:
        small = np.asarray(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return small.astype(np.float32)


def _stays(before: NDArray[Any], now: NDArray[Any]) -> bool:
    """Whether something is there now that was near there before; masks, 0 or 1."""
    return bool(now.any() and before.any() and (now & cv2.dilate(before, _AROUND)).any())
