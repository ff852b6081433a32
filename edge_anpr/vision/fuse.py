"""What the readings of one passage say together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import PlateRead, PlateReading, Posteriors
from edge_anpr.plates.syntax import decide, fits
from edge_anpr.plates.text import ALPHABET
from edge_anpr.privacy.wipe import wipe
from edge_anpr.vision.caption import Surroundings

MOST_READINGS = 48
# A reading with a character more or less than most still speaks for the others, half as loud.
HEARD_FROM_OTHERS, MOST_OTHERS = 0.5, 8
# A longer reading wins over a shorter one with more weight when its additional character is at the edge, where crops
# lose characters and seldom gain one, and when a layout fits it.
EDGE_CHARACTER, NO_LAYOUT = 1.6, 0.6
# A plate is known after so many readings, and a reading with no character below this is sure enough to deny it.
SETTLED, SURE = 2, 0.6
# More readings change nothing once so many say one thing, and every character is as likely as this in their mean.
DECIDED, CERTAIN = 5, 0.9
# O with 0, I with 1: one drawing in many fonts, so no disagreement.
_FOLD = np.arange(len(ALPHABET), dtype=np.uint8)
_FOLD[ALPHABET.index("O")], _FOLD[ALPHABET.index("I")] = ALPHABET.index("0"), ALPHABET.index("1")


@dataclass(slots=True, eq=False)
class _Voice:
    posteriors: Posteriors = field(repr=False)
    folded: NDArray[np.uint8] = field(repr=False)
    weight: float
    clarity: float


@dataclass(slots=True)
class _Choir:
    """The voices that found the same number of characters, and their weighted sum, so that fusing costs no sum."""

    total: NDArray[np.float32] = field(repr=False)
    voices: list[_Voice] = field(default_factory=list)
    weight: float = 0.0
    clarity: float = 0.0

    def take(self, voice: _Voice) -> None:
        self.voices.append(voice)
        self.total += voice.posteriors * voice.weight
        self.weight += voice.weight
        self.clarity += voice.clarity

    def drop(self, voice: _Voice) -> None:
        self.voices.remove(voice)
        self.total -= voice.posteriors * voice.weight
        self.weight -= voice.weight
        self.clarity -= voice.clarity
        wipe(voice.posteriors, voice.folded)


class Passage:
    """Collects readings of one track, at most 48, and fuses them; ``forget`` overwrites all of them.

    ``decided``: a further reading, no clearer than those there are, would change nothing. ``settled``: under which list
    what was fused last is not listed; None again as soon as a reading does not surely say the same.
    """

    def __init__(self) -> None:
        self._choirs: dict[int, _Choir] = {}
        self._count = 0
        self.surroundings = Surroundings()
        self.frames = 0
        self.decided = False
        self.settled: object = None
        self._told = np.zeros(0, np.uint8)

    def add(self, *readings: PlateReading) -> None:
        """Take one frame's reading, or several of it; their posteriors belong to the passage from now on."""
        self.frames += 1
        for reading in readings:
            self._take(reading)
        self.decided = self._is_decided()

    def _take(self, reading: PlateReading) -> None:
        length = len(reading.posteriors)
        if not length:
            return
        clarity = max(reading.clarity, 0.01)
        weight = max(reading.confidence, 0.01) * clarity
        folded = _FOLD[reading.posteriors.argmax(axis=1)]
        if reading.confidence < CERTAIN or folded.data != self._told.data:
            self.settled = None
        if length not in self._choirs:
            self._choirs[length] = _Choir(np.zeros(reading.posteriors.shape, np.float32))
        self._choirs[length].take(_Voice(reading.posteriors, folded, weight, clarity))
        self._count += 1
        if self._count > MOST_READINGS:  # a parked car is read for hours: the weakest voice makes room
            choir, weakest = min(
                ((choir, voice) for choir in self._choirs.values() for voice in choir.voices),
                key=lambda pair: pair[1].weight,
            )
            choir.drop(weakest)
            self._count -= 1

    def contradicts(self, reading: PlateReading) -> bool:
        """Whether a sure reading says quite another plate than the passage does so far, not a letter or two."""
        choir = max(self._choirs.values(), key=lambda choir: choir.weight, default=None)
        if choir is None or len(choir.voices) < SETTLED or reading.confidence < SURE:
            return False
        return not _alike(reading.posteriors, choir.total)

    def _is_decided(self) -> bool:
        if len(self._choirs) != 1:
            return False
        (choir,) = self._choirs.values()
        return len(choir.voices) >= DECIDED and float(choir.total.max(axis=1).min()) >= CERTAIN * choir.weight

    def fuse(self) -> PlateRead | None:
        """The plate so far; None while nothing was read. Its arrays are the caller's, to be wiped."""
        chosen = self._choose()
        if chosen is None:
            return None
        choir = self._choirs[chosen]
        posteriors, weight = choir.total.copy(), choir.weight
        for length in (chosen - 1, chosen + 1):
            for voice in self._loudest(length):
                aligned = align(voice.posteriors, choir.total)
                if aligned is not None:
                    posteriors += aligned * (voice.weight * HEARD_FROM_OTHERS)
                    weight += voice.weight * HEARD_FROM_OTHERS
                    wipe(aligned)
        posteriors /= weight
        classes, confidences = decide(posteriors)
        # Where layouts had a say, a frame that said what most of the mass did agrees too: it says the same as others.
        said, folded = _FOLD[posteriors.argmax(axis=1)], _FOLD[classes]
        agree = sum(voice.folded.data in (folded.data, said.data) for voice in choir.voices)  # as bytes, which is quick
        wipe(said, self._told)
        self._told = folded
        return PlateRead(
            classes=classes,
            posteriors=posteriors,
            char_confidence=confidences,
            frames=self.frames,
            agree=min(agree, self.frames),
            is_caption=self.surroundings.is_caption,
        )

    def _choose(self) -> int | None:
        """How many characters the plate has: the length with most weight, or a neighbour with better evidence."""
        choirs = {length: choir for length, choir in self._choirs.items() if choir.voices}
        if not choirs:
            return None
        heaviest = max(choirs, key=lambda length: choirs[length].weight)
        near = [length for length in (heaviest - 1, heaviest, heaviest + 1) if length in choirs]
        rivals = [length for length in near if choirs[length].weight > 0.2 * choirs[heaviest].weight]
        if len(rivals) == 1:
            return heaviest
        # Counted by how clearly each saw the plate: doubt about another character says nothing about this one.
        evidence = {length: choirs[length].clarity * _fits(choirs[length].total) for length in rivals}
        for length in list(evidence):
            shorter = length - 1
            if shorter not in evidence:
                continue
            # The one more character must be seen as clearly as the others.
            gap = _gap(choirs[length].total, choirs[shorter].total)
            surety = float(choirs[length].total[gap].max()) / choirs[length].weight
            evidence[length] *= surety * surety * (EDGE_CHARACTER if gap in (0, length - 1) else 1.0)
        return max(evidence, key=lambda length: evidence[length])

    def _loudest(self, length: int) -> list[_Voice]:
        voices = self._choirs[length].voices if length in self._choirs else []
        return sorted(voices, key=lambda voice: -voice.weight)[:MOST_OTHERS]

    def forget(self) -> None:
        """Overwrite every reading."""
        self.surroundings.forget()
        wipe(self._told)
        for choir in self._choirs.values():
            wipe(choir.total)
            for voice in choir.voices:
                wipe(voice.posteriors, voice.folded)
        self._choirs.clear()


def forget_read(read: PlateRead) -> None:
    """Overwrite a fused read."""
    wipe(read.classes, read.posteriors, read.char_confidence)


def align(posteriors: Posteriors, to: Posteriors) -> Posteriors | None:
    """A reading with one character more or less than ``to``, brought to its length; None when they say other things.

    The additional character is left out; in the place of a missing one stands a row of zeros.
    """
    longer = len(posteriors) > len(to)
    gap = _gap(posteriors, to) if longer else _gap(to, posteriors)
    if longer:
        aligned: Posteriors = np.delete(posteriors, gap, axis=0)
    else:
        aligned = np.insert(posteriors, gap, 0.0, axis=0)
    same = int((aligned.argmax(axis=1) == to.argmax(axis=1)).sum()) - (0 if longer else int(to[gap].argmax() == 0))
    if same * 2 <= len(to):
        wipe(aligned)
        return None
    return aligned


def _alike(one: Posteriors, other: Posteriors) -> bool:
    """Whether more than half of the characters are the same, one character more or less allowed for."""
    if len(one) == len(other):
        same = int((_FOLD[one.argmax(axis=1)] == _FOLD[other.argmax(axis=1)]).sum())
        return same * 2 > len(one)
    if abs(len(one) - len(other)) > 1:
        return False
    aligned = align(one, other)
    wipe(aligned)
    return aligned is not None


def _gap(long: Posteriors, short: Posteriors) -> int:
    """The character of ``long`` without which it is likest to ``short``, which has one less."""
    before = np.concatenate([[0.0], np.cumsum((long[:-1] * short).sum(axis=1))])
    after = np.concatenate([np.cumsum((long[1:] * short).sum(axis=1)[::-1])[::-1], [0.0]])
    return int((before + after).argmax())


def _fits(total: Posteriors) -> float:
    classes = total.argmax(axis=1).astype(np.uint8)
    likely = 1.0 if fits(classes) else NO_LAYOUT
    wipe(classes)
    return likely
