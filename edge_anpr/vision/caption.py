"""Text that a camera or a recorder writes over its picture: it stands still while what is around it moves.

A parked vehicle's plate stands still with the vehicle around it, and one that drives ahead at the same speed, too.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Box, Gray
from edge_anpr.privacy.wipe import wipe

# How much is looked at, in widths and heights of the plate's box; all between its own and the surroundings is left out,
# for a box is not so exact.
WINDOW, SURROUNDINGS, ITSELF = (1.5, 2.2), (1.12, 1.3), (0.92, 0.84)
# Made so small, noise is averaged out, and nothing can be read.
PATCH = 32, 16
# Where it is so many of its heights away it has left.
LEAVES = 1.0
# What is around it has moved when it differs so much more than it does itself and is no longer alike, as it is itself:
# a vehicle that creeps or sways moves its body by as much. Counted on training photos, with plates that stood still
# under noise, flicker and another JPEG each time (446) or moved slowly with the whole photo (262): none is a caption.
MORE, GRAYS, ALIKE, SMOOTH = 1.3, 0.5, 0.9, 0.4
# Passers-by change the surroundings of a parked car at times, a moving picture those of a caption mostly.
LEAST_LOOKS, MOSTLY = 4, 0.5
# Shadows wander in minutes: compared is what lies at most so many looks apart, 20 s of a decided passage.
RENEWED = 25
LEAST_PIXELS = 24


class Surroundings:
    """Of one passage: whether what was around its plate moved while it did not."""

    def __init__(self) -> None:
        self._before: Gray | None = None
        self._box = Box(0.0, 0.0, 0.0, 0.0)
        self._window = slice(0), slice(0)
        self._itself = self._around = np.zeros((0, 0), np.uint8)
        self._pixels = 0, 0
        self._looks = self._changes = 0
        self._has_left = False

    @property
    def is_caption(self) -> bool:
        """Whether it is written over the picture."""
        return not self._has_left and self._looks >= LEAST_LOOKS and self._changes >= MOSTLY * self._looks

    def look(self, luma: Gray, box: Box) -> None:
        """Take one frame, in which the plate is there. Once it has left its place nothing is compared any more."""
        if self._has_left:
            return
        if self._before is None:
            self._remember(luma, box)
            return
        if math.dist(box.centre, self._box.centre) > LEAVES * self._box.height:
            self._has_left = True
            self.forget()
            return
        self._looks += 1
        self._changes += self._has_changed(luma)
        if self._looks % RENEWED == 0:
            self._remember(luma, box)

    def forget(self) -> None:
        """Overwrite what was seen."""
        wipe(self._before)
        self._before = None

    def _remember(self, luma: Gray, box: Box) -> None:
        self.forget()
        self._box = box
        (left, width), (top, height) = (
            _span(middle, size * grown, side, pixels)
            for middle, size, grown, side, pixels in zip(
                box.centre, (box.width, box.height), WINDOW, luma.shape[::-1], PATCH, strict=True
            )
        )
        self._window = slice(top, top + height), slice(left, left + width)
        x = left + (np.arange(PATCH[0]) + 0.5) * (width / PATCH[0])
        y = top + (np.arange(PATCH[1]) + 0.5) * (height / PATCH[1])
        self._itself = _within(x, y, box, ITSELF)
        self._around = 1 - _within(x, y, box, SURROUNDINGS)
        self._pixels = cv2.countNonZero(self._itself), cv2.countNonZero(self._around)
        self._before = self._patch(luma)

    def _patch(self, luma: Gray) -> Gray:
        return np.asarray(cv2.resize(luma[self._window], PATCH, interpolation=cv2.INTER_AREA), np.uint8)

    def _has_changed(self, luma: Gray) -> bool:
        before, now = self._before, self._patch(luma)
        assert before is not None
        itself, around = (
            cv2.norm(before, now, cv2.NORM_L1, mask) / max(pixels, 1)
            for mask, pixels in ((self._itself, self._pixels[0]), (self._around, self._pixels[1]))
        )
        changed = (
            min(self._pixels) >= LEAST_PIXELS
            and around > MORE * itself + GRAYS
            and _likeness(before, now, self._around) < ALIKE < _likeness(before, now, self._itself)
            and _smoothness(before, now, self._around) > SMOOTH
        )
        wipe(now)
        return changed


def _span(middle: float, size: float, side: int, pixels: int) -> tuple[int, int]:
    """Begin and length of about ``size`` pixels of a picture's side, a multiple of the patch's, which averages fast."""
    length = min(math.ceil(size / pixels) * pixels, max(side // pixels, 1) * pixels)
    return max(min(round(middle - length / 2), side - length), 0), length


def _within(x: NDArray[np.floating], y: NDArray[np.floating], box: Box, grown: tuple[float, float]) -> Gray:
    """Which places of the grid lie in a box made larger: uint8 (rows, columns), 1 or 0."""
    (across, down), (wide, high) = box.centre, (box.width * grown[0], box.height * grown[1])
    inside: Gray = np.outer(abs(y - down) < high / 2, abs(x - across) < wide / 2).astype(np.uint8)
    return inside


def _likeness(one: Gray, other: Gray, mask: Gray) -> float:
    """Correlation of what two patches show there."""
    return _correlation(*(patch[mask > 0].astype(np.float32) for patch in (one, other)))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """−1 to 1, and 1 where either is flat; both are used up."""
    one -= one.mean()
    other -= other.mean()
    power = float((one @ one) * (other @ other))
    alike = float(one @ other) / math.sqrt(power) if power > 0 else 1.0
    wipe(one, other)
    return alike


def _smoothness(before: Gray, now: Gray, mask: Gray) -> float:
    """Correlation of what has changed at a place with what has right of it: noise has none, and things have."""
    both = mask[:, 1:] & mask[:, :-1]
    if not both.any():  # of a plate as large as the picture single columns are left
        return 0.0
    change = now.astype(np.float32) - before
    smooth = _correlation(change[:, 1:][both > 0], change[:, :-1][both > 0])
    wipe(change)
    return smooth
