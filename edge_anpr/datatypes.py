"""The vocabulary between the stages: frozen values, arrays inside them, units in their names.

Arrays that show a plate (pixels, posteriors, text) are buffers that somebody owns and overwrites; a value here
only points at them, and its ``repr`` tells shapes, never content.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
"""One plane of luminance, uint8, shape (height, width)."""
Colour = NDArray[np.uint8]
"""Blue, green, red, uint8, shape (height, width, 3)."""
Corners = NDArray[np.float32]
"""Corners in pixels, float32, shape (4, 2): top left, top right, bottom right, bottom left of the plate as read."""
Posteriors = NDArray[np.float32]
"""Probabilities over an alphabet, float32, shape (positions, classes)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the camera.

    ``luma`` is the full picture (plates are cut from it), ``lores`` what detection looks at: a smaller plane from
    the camera's own scaler, or the same array. ``colour`` is there when the source gives it, for the evidence.
    ``captured_ns`` is monotonic; UTC is put on at the edge of the unit only.
    """

    index: int
    captured_ns: int
    luma: Gray = field(repr=False)
    lores: Gray = field(repr=False)
    colour: Colour | None = field(default=None, repr=False)

    def part(self, left: float, top: float, width: float, height: float) -> Frame:
        """A rectangle of it, in shares of its sides; the planes are views of these, not copies."""

        def cut(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
            rows, columns = plane.shape[:2]
            x, y = round(left * columns), round(top * rows)
            return plane[y : max(round((top + height) * rows), y + 1), x : max(round((left + width) * columns), x + 1)]

        colour = None if self.colour is None else cut(self.colour)
        return Frame(self.index, self.captured_ns, cut(self.luma), cut(self.lores), colour)


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        """The middle, (x, y) in pixels."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> float:
        """In square pixels."""
        return self.width * self.height

    def margin(self, width: float, height: float) -> float:
        """How far it keeps from the border of a picture of this size, in pixels; below 0 where it reaches out."""
        return min(self.left, self.top, width - self.left - self.width, height - self.top - self.height)

    def shared(self, other: Box) -> float:
        """The area that both have in common."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        if width <= 0:
            return 0.0
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return width * height if height > 0 else 0.0

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        shared = self.shared(other)
        return shared / (self.area + other.area - shared) if shared else 0.0


@dataclass(frozen=True, slots=True)
class PlateDetection:
    """A plate found in one frame, in pixels of ``Frame.luma``. ``score`` is 0 to 1; ``is_cut`` by the border."""

    box: Box
    quad: Corners
    score: float
    is_cut: bool = False

    @property
    def width_px(self) -> float:
        """Mean length of the upper and the lower edge."""
        corners = self.quad.tolist()  # plain numbers: numpy takes ten times as long for two of them
        return (math.dist(corners[0], corners[1]) + math.dist(corners[3], corners[2])) / 2

    @property
    def height_px(self) -> float:
        """Mean length of the left and the right edge."""
        corners = self.quad.tolist()
        return (math.dist(corners[0], corners[3]) + math.dist(corners[1], corners[2])) / 2


@dataclass(frozen=True, slots=True)
class Track:
    """One vehicle's plate followed over frames; ``number`` counts up from 1 and is never used again.

    ``best_score`` is the surest detection so far, 0 to 1.
    """

    number: int
    first_frame: int
    last_frame: int
    last_ns: int
    frames: int
    detection: PlateDetection
    best_score: float
    velocity_px_s: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PlateReading:
    """What the OCR made of one plate: one row of ``posteriors`` (character classes, no blank) per character found.

    ``rows``: rows of characters on the plate. ``clarity``: 0 to 1, how well the picture shows it. ``confidence``: the
    least certain character's probability; 0 for an empty reading.
    """

    posteriors: Posteriors = field(repr=False)
    rows: int
    clarity: float
    confidence: float = field(init=False)

    def __post_init__(self) -> None:
        """Find the confidence once: it is asked for three or four times."""
        least = float(self.posteriors.max(axis=1).min()) if len(self.posteriors) else 0.0
        object.__setattr__(self, "confidence", least)


@dataclass(frozen=True, slots=True)
class PlateRead:
    """What a passage's readings say together.

    ``classes`` (uint8, one class per character) is the wipeable form of the text: see ``plates.text``; ``posteriors``
    (characters, 36) is what they were decided from. ``frames`` readings took part, ``agree`` of them say this by
    themselves. ``is_caption``: it is written over the picture.
    """

    classes: NDArray[np.uint8] = field(repr=False)
    posteriors: Posteriors = field(repr=False)
    char_confidence: NDArray[np.float32] = field(repr=False)
    frames: int
    agree: int
    is_caption: bool = False

    @property
    def confidence(self) -> float:
        """The least certain character's probability, so that one doubtful character is enough to doubt the plate."""
        return float(self.char_confidence.min()) if len(self.char_confidence) else 0.0

    @property
    def probability(self) -> float:
        """That every character is right, as far as the characters' errors come one by one."""
        return float(self.char_confidence.prod()) if len(self.char_confidence) else 0.0


class MatchClass(StrEnum):
    """How a read met a listed plate, the surest first.

    The same characters; look-alikes of them (named pairs, valid layout); another text that the picture speaks for.
    """

    EXACT = "exact"
    CONFUSABLE = "confusable"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class Match:
    """A read that meets an entry of the list. ``listed`` is the plate of the list, in clear: a hit is its purpose.

    ``probability``: that the listed plate was really there. ``expires_ns``: the entry's end, by the monotonic clock.
    """

    match_class: MatchClass
    listed: str = field(repr=False)
    entry: int
    reason: str
    probability: float
    expires_ns: int


class Phase(StrEnum):
    """A hit is sent when two frames agree (``first``), completed (``final``) or taken back when the passage ends."""

    FIRST = "first"
    FINAL = "final"
    WITHDRAWN = "withdrawn"
