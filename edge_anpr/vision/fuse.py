"""What the readings of one passage say together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import PlateRead, PlateReading, Posteriors
from edge_anpr.plates.syntax import decide
from edge_anpr.plates.text import ALPHABET
from edge_anpr.privacy.wipe import wipe

MOST_READINGS = 48
# A plate narrower than this is read worse (82 % at 43 px, 99 % at 57 px), so that its voice counts less.
FULL_WEIGHT_PX = 70.0
# O with 0, I with 1: one drawing in many fonts, so no disagreement.
_FOLD = np.arange(len(ALPHABET), dtype=np.uint8)
_FOLD[ALPHABET.index("O")], _FOLD[ALPHABET.index("I")] = ALPHABET.index("0"), ALPHABET.index("1")


@dataclass(slots=True, eq=False)
class _Voice:
    posteriors: Posteriors = field(repr=False)
    folded: NDArray[np.uint8] = field(repr=False)
    weight: float


@dataclass(slots=True)
class _Choir:
    """The voices that found the same number of characters, and their weighted sum, so that fusing costs no sum."""

    total: NDArray[np.float32] = field(repr=False)
    voices: list[_Voice] = field(default_factory=list)
    weight: float = 0.0

    def take(self, voice: _Voice) -> None:
        self.voices.append(voice)
        self.total += voice.posteriors * voice.weight
        self.weight += voice.weight

    def drop(self, voice: _Voice) -> None:
        self.voices.remove(voice)
        self.total -= voice.posteriors * voice.weight
        self.weight -= voice.weight
        wipe(voice.posteriors, voice.folded)


class Passage:
    """Collects readings of one track, at most 48, and fuses them; ``forget`` overwrites all of them."""

    def __init__(self) -> None:
        self._choirs: dict[int, _Choir] = {}
        self._count = 0
        self.frames = 0

    def add(self, reading: PlateReading) -> None:
        """Take one frame's reading; its posteriors belong to the passage from now on."""
        self.frames += 1
        length = len(reading.posteriors)
        if not length:
            return
        weight = max(reading.confidence, 0.01) * min(reading.width_px / FULL_WEIGHT_PX, 1.0) ** 2
        folded = _FOLD[reading.posteriors.argmax(axis=1)]
        if length not in self._choirs:
            self._choirs[length] = _Choir(np.zeros(reading.posteriors.shape, np.float32))
        self._choirs[length].take(_Voice(reading.posteriors, folded, weight))
        self._count += 1
        if self._count > MOST_READINGS:  # a parked car is read for hours: the weakest voice makes room
            choir, weakest = min(
                ((choir, voice) for choir in self._choirs.values() for voice in choir.voices),
                key=lambda pair: pair[1].weight,
            )
            choir.drop(weakest)
            self._count -= 1

    def fuse(self) -> PlateRead | None:
        """The plate so far; None while nothing was read. Its arrays are the caller's, to be wiped."""
        choir = max(self._choirs.values(), key=lambda choir: choir.weight, default=None)
        if choir is None or not choir.voices:
            return None
        posteriors = choir.total / choir.weight
        classes, confidences, layout = decide(posteriors)
        folded = _FOLD[classes]
        return PlateRead(
            classes=classes,
            posteriors=posteriors,
            char_confidence=confidences,
            country=layout.country if layout else None,
            layout=f"{layout.country} {layout.name}" if layout else None,
            frames=self.frames,
            agree=sum(bool((voice.folded == folded).all()) for voice in choir.voices),
        )

    def forget(self) -> None:
        """Overwrite every reading."""
        for choir in self._choirs.values():
            wipe(choir.total)
            for voice in choir.voices:
                wipe(voice.posteriors, voice.folded)
        self._choirs.clear()


def forget_read(read: PlateRead) -> None:
    """Overwrite a fused read."""
    wipe(read.classes, read.posteriors, read.char_confidence)
