"""Other texts that a read may be: its top paths through the posteriors, made when it is matched, never listed.

Not edit distance: what the picture says nothing for is not tried, however little it differs.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.text import ALPHABET

PAIRS = ("O0", "I1", "B8", "S5", "Z2", "G6", "D0", "Q0", "OD", "OQ", "VY", "MN")
# The picture must speak for the other character too: without this every B of a passing car would be tried as an 8.
LEAST_EVIDENCE = 0.02
# At most 8 doubts are tried, alone and by twos: 36 spellings, whatever was read.
MOST_DOUBTS = 8

_COUNT = len(ALPHABET)
NAMED = np.zeros((_COUNT, _COUNT), np.bool_)
"""Whether two characters are a named pair, bool (36, 36)."""
SAME_DRAWING = NAMED.copy()
"""Whether two characters are one drawing in many fonts, so that no evidence is asked for."""
for _pair in PAIRS:
    _a, _b = map(ALPHABET.index, _pair)
    NAMED[_a, _b] = NAMED[_b, _a] = True
    SAME_DRAWING[_a, _b] = SAME_DRAWING[_b, _a] = _pair in {"O0", "I1"}
# Of so few numbers, bytes and a float of the array's own type answer in half of numpy's time.
_HAS_TWIN = SAME_DRAWING.any(axis=1).tobytes().__getitem__
_LEAST = np.float32(LEAST_EVIDENCE)
_ANY = ~np.eye(_COUNT, dtype=np.bool_)


def is_clear(classes: NDArray[np.uint8], posteriors: Posteriors) -> bool:
    """Whether a read has no other path: each character has its own evidence, no other, and no twin. It takes 2 µs."""
    others = int(np.count_nonzero(posteriors >= _LEAST)) - len(classes)
    return others <= 0 and not any(map(_HAS_TWIN, classes.data))


def look_alikes(classes: NDArray[np.uint8], posteriors: Posteriors) -> Generator[NDArray[np.uint8], None, None]:
    """Other spellings that differ by named pairs and that the picture allows, likeliest first: at most two swaps.

    It is one array, changed between two of them and overwritten at the end; who keeps one copies it.
    """
    return _paths(classes, posteriors, NAMED)


def top_paths(classes: NDArray[np.uint8], posteriors: Posteriors) -> Generator[NDArray[np.uint8], None, None]:
    """As ``look_alikes``, whatever characters the picture speaks for."""
    return _paths(classes, posteriors, _ANY)


def _paths(
    classes: NDArray[np.uint8], posteriors: Posteriors, allowed: NDArray[np.bool_]
) -> Generator[NDArray[np.uint8], None, None]:
    evident = np.asarray(posteriors >= LEAST_EVIDENCE, np.bool_)
    places, others = np.nonzero(np.asarray(evident & allowed[classes] | SAME_DRAWING[classes], np.bool_))
    strength = np.maximum(posteriors[places, others], LEAST_EVIDENCE) / np.maximum(
        posteriors[places, classes[places]], LEAST_EVIDENCE
    )
    doubts = [
        (float(strength[doubt]), int(places[doubt]), int(others[doubt]))
        for doubt in np.argsort(-strength, kind="stable")[:MOST_DOUBTS]
    ]
    swaps: list[tuple[tuple[float, int, int], ...]] = [(doubt,) for doubt in doubts]
    swaps += [pair for pair in itertools.combinations(doubts, 2) if pair[0][1] != pair[1][1]]
    swaps.sort(key=lambda swap: -float(np.prod([doubt[0] for doubt in swap])))
    spelling = classes.copy()
    try:
        for swap in swaps:
            for _, place, other in swap:
                spelling[place] = other
            yield spelling
            spelling[:] = classes
    finally:
        for shown in (spelling, evident, others):
            shown.fill(0)
