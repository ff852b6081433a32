"""Pairs of characters that cameras confuse, by name; a read's look-alikes are made when it is matched, never listed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.text import ALPHABET

PAIRS = ("O0", "I1", "B8", "S5", "Z2", "G6", "D0", "Q0", "OD", "OQ", "VY", "MN")
# The picture must speak for the other character too: without this every B of a passing car would be tried as an 8.
LEAST_EVIDENCE = 0.02

_PARTNERS: dict[int, list[int]] = {}
for _first, _second in map(tuple, PAIRS):
    _PARTNERS.setdefault(ALPHABET.index(_first), []).append(ALPHABET.index(_second))
    _PARTNERS.setdefault(ALPHABET.index(_second), []).append(ALPHABET.index(_first))
_SAME_DRAWING = {frozenset(ALPHABET.index(character) for character in pair) for pair in ("O0", "I1")}


def look_alikes(classes: NDArray[np.uint8], posteriors: Posteriors) -> Iterator[NDArray[np.uint8]]:
    """Other spellings that the picture allows: at most two named swaps; the caller wipes each array it was given."""
    swaps = [
        (index, other)
        for index, value in enumerate(classes)
        for other in _PARTNERS.get(int(value), ())
        if posteriors[index, other] >= LEAST_EVIDENCE or frozenset((int(value), other)) in _SAME_DRAWING
    ]
    for position, (index, other) in enumerate(swaps):
        single = classes.copy()
        single[index] = other
        yield single
        for second_index, second_other in swaps[position + 1 :]:
            if second_index != index:
                double = classes.copy()
                double[index], double[second_index] = other, second_other
                yield double
