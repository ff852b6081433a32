"""What the layouts say about a text: which it fits, and O or 0, I or 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.layouts import LAYOUTS, Layout
from edge_anpr.plates.prior import TABLES, likelihoods
from edge_anpr.plates.text import ALPHABET

# A country is told when plates that say this are its own this often.
_COUNTRY_SURE = 0.9
MOST_DOUBTS = 6
# Less than this a posterior does not speak against the other of two characters that are one drawing.
LEAST_WEIGHT = 1e-3
_OTHER = np.arange(len(ALPHABET), dtype=np.uint8)
for _a, _b in ("O0", "0O", "I1", "1I"):
    _OTHER[ALPHABET.index(_a)] = ALPHABET.index(_b)
_IS_EITHER = np.arange(len(ALPHABET)) != _OTHER
_COUNTRIES = {layout.country for layout in LAYOUTS}


def fitting(classes: NDArray[np.uint8], country: str | None = None) -> list[Layout]:
    """The layouts that a text of these classes fits, of one country or of all."""
    table = TABLES.get(len(classes))
    if table is None:
        return []
    found = (table.layouts[index] for index in np.flatnonzero(table.fits(classes[None])[0]))
    return [layout for layout in found if country is None or layout.country == country]


def has_layouts(country: str | None) -> bool:
    """Whether the table knows how this country writes plates."""
    return country in _COUNTRIES


def either(classes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The places of O, 0, I and 1, each of which is one drawing with another."""
    return np.flatnonzero(_IS_EITHER[classes])


def spellings(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The text with each of its first O, 0, I, 1 written either way: classes (spellings, characters), itself first."""
    doubtful = either(classes)[:MOST_DOUBTS]
    ways = np.tile(classes, (2 ** len(doubtful), 1))
    for bit, index in enumerate(doubtful):
        ways[np.arange(len(ways)) >> bit & 1 == 1, index] = _OTHER[classes[index]]
    return ways


def decide(posteriors: Posteriors) -> tuple[NDArray[np.uint8], NDArray[np.float32], Layout | None]:
    """The best spelling: classes and confidences (one per character), and the layout where one country's is likely.

    O and 0 (I and 1) are one drawing in many fonts: their mass is added up for the confidence, and layouts decide
    between them.
    """
    classes = posteriors.argmax(axis=1).astype(np.uint8)
    confidences = posteriors.max(axis=1)
    doubtful = either(classes)
    if len(doubtful):
        confidences[doubtful] += posteriors[doubtful, _OTHER[classes[doubtful]]]
        ways = spellings(classes)
        weights = np.maximum(posteriors[doubtful, ways[:, doubtful]], LEAST_WEIGHT).prod(axis=1) * likelihoods(ways)
        classes[:] = ways[int(weights.argmax())]
        ways.fill(0)
    return classes, np.minimum(confidences, 1.0), _layout(classes)


def _layout(classes: NDArray[np.uint8]) -> Layout | None:
    """The likeliest layout of a text, if its country is the only likely one."""
    table = TABLES.get(len(classes))
    found = table.likeliest(classes) if table else None
    return found[0] if found and found[1] >= _COUNTRY_SURE * float(likelihoods(classes[None])[0]) else None


def grouped(text: str, layout: str | None) -> str:
    """``text`` with the dashes of a layout's pattern, for people to read; unchanged when none of that name fits."""
    for candidate in LAYOUTS:
        if f"{candidate.country} {candidate.name}" == layout and len(candidate.slots) == len(text):
            characters = iter(text)
            return "".join("-" if slot == "-" else next(characters) for slot in candidate.pattern)
    return text
