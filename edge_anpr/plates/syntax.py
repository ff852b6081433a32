"""What the layouts say about a text: which it fits, how likely it is to be one, and O or 0, I or 1."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.layouts import LAYOUTS, Layout
from edge_anpr.plates.text import ALPHABET

# The share of plates that fit no layout (personal, diplomatic, military, from elsewhere): small enough that a layout
# decides where O and 0 are one drawing, large enough that a clear picture of an unusual plate stands.
_ELSE = 0.03
# A country is told when plates that say this are its own this often.
_COUNTRY_SURE = 0.9
MOST_DOUBTS = 6
_OTHER = {ALPHABET.index(a): ALPHABET.index(b) for a, b in map(tuple, ("O0", "0O", "I1", "1I"))}


class _Table:
    """The layouts of one length: what may stand where, bool (layouts, characters, 36), and each text's likelihood."""

    def __init__(self, layouts: list[Layout]) -> None:
        self.layouts = layouts
        self.masks = np.array([[[c in slot for c in ALPHABET] for slot in layout.slots] for layout in layouts])
        total = sum(layout.share for layout in LAYOUTS)
        ways = self.masks.sum(axis=2).astype(np.float64).prod(axis=1)
        self.likelihood = np.array([layout.share for layout in layouts]) / total / ways

    def fits(self, classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray(self.masks[:, np.arange(len(classes)), classes].all(axis=1), np.bool_)


_TABLES: dict[int, _Table] = {
    length: _Table([layout for layout in LAYOUTS if len(layout.slots) == length])
    for length in {len(layout.slots) for layout in LAYOUTS}
}
_COUNTRIES = {layout.country for layout in LAYOUTS}


def fitting(classes: NDArray[np.uint8], country: str | None = None) -> list[Layout]:
    """The layouts that a text of these classes fits, of one country or of all."""
    table = _TABLES.get(len(classes))
    if table is None:
        return []
    found = (table.layouts[index] for index in np.flatnonzero(table.fits(classes)))
    return [layout for layout in found if country is None or layout.country == country]


def has_layouts(country: str | None) -> bool:
    """Whether the table knows how this country writes plates."""
    return country in _COUNTRIES


def likelihood(classes: NDArray[np.uint8]) -> float:
    """How likely a plate met on the road says just this, as far as layouts tell."""
    anything: float = _ELSE / float(len(ALPHABET)) ** len(classes)
    table = _TABLES.get(len(classes))
    return anything + (1 - _ELSE) * float(table.likelihood[table.fits(classes)].sum()) if table else anything


def decide(posteriors: Posteriors) -> tuple[NDArray[np.uint8], NDArray[np.float32], Layout | None]:
    """The best spelling: classes and confidences (one per character), and the layout where one country's is likely.

    O and 0 (I and 1) are one drawing in many fonts: their mass is added up for the confidence, and layouts decide
    between them.
    """
    classes = posteriors.argmax(axis=1).astype(np.uint8)
    confidences = posteriors.max(axis=1)
    doubtful = [index for index, value in enumerate(classes) if int(value) in _OTHER]
    for index in doubtful:
        confidences[index] += posteriors[index, _OTHER[int(classes[index])]]
    best, best_weight = classes, -1.0
    for choice in itertools.product((False, True), repeat=min(len(doubtful), MOST_DOUBTS)):
        spelling = classes.copy()
        for index, swap in zip(doubtful, choice, strict=False):
            if swap:
                spelling[index] = _OTHER[int(spelling[index])]
        weight = float(np.prod([max(float(posteriors[index, spelling[index]]), 1e-3) for index in doubtful]))
        weight *= likelihood(spelling)
        if weight > best_weight:
            best, best_weight = spelling, weight
    return best, np.minimum(confidences, 1.0), _layout(best)


def _layout(classes: NDArray[np.uint8]) -> Layout | None:
    """The likeliest layout of a text, if its country is the only likely one."""
    table = _TABLES.get(len(classes))
    if table is None:
        return None
    shares = table.likelihood * table.fits(classes)
    if not shares.any():
        return None
    best = table.layouts[int(shares.argmax())]
    own = sum(
        float(share) for share, layout in zip(shares, table.layouts, strict=True) if layout.country == best.country
    )
    return best if (1 - _ELSE) * own >= _COUNTRY_SURE * likelihood(classes) else None


def grouped(text: str, layout: str | None) -> str:
    """``text`` with the dashes of a layout's pattern, for people to read; unchanged when none of that name fits."""
    for candidate in LAYOUTS:
        if f"{candidate.country} {candidate.name}" == layout and len(candidate.slots) == len(text):
            characters = iter(text)
            return "".join("-" if slot == "-" else next(characters) for slot in candidate.pattern)
    return text
