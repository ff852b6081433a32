"""What the readings of one passage say together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_anpr.datatypes import PlateRead, PlateReading, Posteriors
from edge_anpr.plates.syntax import decide
from edge_anpr.privacy.wipe import wipe

MOST_READINGS = 48
# A plate narrower than this is read worse (82 % at 43 px, 99 % at 57 px), so that its voice counts less.
FULL_WEIGHT_PX = 70.0
_FOLD = np.arange(36, dtype=np.uint8)
_FOLD[24], _FOLD[18] = 0, 1  # O with 0, I with 1: one drawing in many fonts, so no disagreement


@dataclass(slots=True)
class _Voice:
    posteriors: Posteriors = field(repr=False)
    weight: float


class Passage:
    """Collects readings of one track, at most 48, and fuses them; ``forget`` overwrites all of them."""

    def __init__(self) -> None:
        self._voices: list[_Voice] = []
        self.frames = 0

    def add(self, reading: PlateReading) -> None:
        """Take one frame's reading; its posteriors belong to the passage from now on."""
        self.frames += 1
        if not len(reading.posteriors):
            return
        weight = max(reading.confidence, 0.01) * min(reading.width_px / FULL_WEIGHT_PX, 1.0) ** 2
        self._voices.append(_Voice(reading.posteriors, weight))
        if len(self._voices) > MOST_READINGS:  # a parked car is read for hours: the weakest voice makes room
            weakest = min(range(len(self._voices)), key=lambda index: self._voices[index].weight)
            wipe(self._voices.pop(weakest).posteriors)

    def fuse(self) -> PlateRead | None:
        """The plate so far; None while nothing was read. Its arrays are the caller's, to be wiped."""
        weights: dict[int, float] = {}
        for voice in self._voices:
            weights[len(voice.posteriors)] = weights.get(len(voice.posteriors), 0.0) + voice.weight
        if not weights:
            return None
        length = max(weights, key=lambda count: weights[count])
        voices = [voice for voice in self._voices if len(voice.posteriors) == length]
        posteriors = np.zeros((length, len(_FOLD)), np.float32)
        for voice in voices:
            posteriors += voice.posteriors * (voice.weight / weights[length])
        classes, confidences, layout = decide(posteriors)
        agree = sum(bool(np.array_equal(_FOLD[voice.posteriors.argmax(axis=1)], _FOLD[classes])) for voice in voices)
        return PlateRead(
            classes=classes,
            posteriors=posteriors,
            char_confidence=confidences,
            country=layout.country if layout else None,
            layout=f"{layout.country} {layout.name}" if layout else None,
            frames=self.frames,
            agree=agree,
        )

    def forget(self) -> None:
        """Overwrite every reading."""
        for voice in self._voices:
            wipe(voice.posteriors)
        self._voices.clear()


def forget_read(read: PlateRead) -> None:
    """Overwrite a fused read."""
    wipe(read.classes, read.posteriors, read.char_confidence)
