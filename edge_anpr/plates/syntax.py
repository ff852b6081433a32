"""National layouts as data, and what they say about O and 0, I and 1.

``X`` is a letter, ``9`` a digit, a dash a gap. Sources: RDW (Dutch sidecodes 1 to 14: since series 4 neither vowels
nor C and Q), KBA and FZV (Germany), DIV (Belgium), SIV (France, Italy), DVLA (Great Britain), DGT (Spain). Only
layouts that help to decide a doubtful character stand here; a plate that fits none is read as it is seen.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.text import ALPHABET

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DUTCH = "BDFGHJKLMNPRSTVWXZ"
_SIV = "ABCDEFGHJKLMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of writing plates: ``pattern`` of X, 9 and dashes, and the letters it uses."""

    country: str
    name: str
    pattern: str
    letters: str = LETTERS

    @property
    def masks(self) -> NDArray[np.bool_]:
        """What may stand where, bool, shape (characters, 36)."""
        letters = np.array([character in self.letters for character in ALPHABET])
        digits = np.array([character.isdigit() for character in ALPHABET])
        return np.stack([letters if slot == "X" else digits for slot in self.pattern.replace("-", "")])


_SIDECODES = (
    "XX-99-99", "99-99-XX", "99-XX-99", "XX-99-XX", "XX-XX-99", "99-XX-XX", "99-XXX-9",
    "9-XXX-99", "XX-999-X", "X-999-XX", "XXX-99-X", "X-99-XXX", "9-XX-999", "999-XX-9",
)  # fmt: skip

LAYOUTS: tuple[Layout, ...] = (
    *(
        Layout("NL", f"sidecode {number}", pattern, _DUTCH if number > 3 else LETTERS)
        for number, pattern in enumerate(_SIDECODES, 1)
    ),
    *(
        Layout("DE", "district", "-".join(("X" * district, "X" * letters + "9" * digits)))
        for district, letters, digits in itertools.product((1, 2, 3), (1, 2), (1, 2, 3, 4))
        if district + letters + digits <= 8
    ),
    Layout("BE", "2010", "9-XXX-999"),
    Layout("BE", "2008", "999-XXX"),
    Layout("BE", "1973", "XXX-999"),
    Layout("FR", "SIV", "XX-999-XX", _SIV),
    Layout("IT", "1994", "XX-999-XX", _SIV),
    Layout("GB", "2001", "XX99-XXX"),
    Layout("ES", "2000", "9999-XXX", "BCDFGHJKLMNPRSTVWXYZ"),
)

_BY_LENGTH: dict[int, list[tuple[Layout, NDArray[np.bool_]]]] = {}
for _layout in LAYOUTS:
    _BY_LENGTH.setdefault(len(_layout.masks), []).append((_layout, _layout.masks))
_OTHER = {ALPHABET.index(a): ALPHABET.index(b) for a, b in map(tuple, ("O0", "0O", "I1", "1I"))}
# How much less likely a spelling is that fits no layout. Small enough that a layout overrules a font in which O and 0
# are one drawing, large enough that a clear picture of an unusual plate stands.
_NO_LAYOUT = 0.02
MOST_DOUBTS = 6


def fitting(classes: NDArray[np.uint8], country: str | None = None) -> list[Layout]:
    """The layouts that a text of these classes fits, of one country or of all."""
    values = classes.tolist()
    return [
        layout
        for layout, mask in _BY_LENGTH.get(len(values), ())
        if (country is None or layout.country == country)
        and all(mask[position, value] for position, value in enumerate(values))
    ]


def has_layouts(country: str | None) -> bool:
    """Whether the table knows how this country writes plates."""
    return any(layout.country == country for layout in LAYOUTS)


def decide(posteriors: Posteriors) -> tuple[NDArray[np.uint8], NDArray[np.float32], Layout | None]:
    """The best spelling: classes and confidences (one per character), and the layout where only one fits.

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
        weight *= 1.0 if fitting(spelling) else _NO_LAYOUT
        if weight > best_weight:
            best, best_weight = spelling, weight
    layouts = fitting(best)
    return (
        best,
        np.minimum(confidences, 1.0),
        layouts[0] if len({item.country for item in layouts}) == 1 else None,
    )


def grouped(text: str, layout: str | None) -> str:
    """``text`` with the dashes of a layout's pattern, for people to read; unchanged when none of that name fits."""
    for candidate in LAYOUTS:
        slots = candidate.pattern.replace("-", "")
        if f"{candidate.country} {candidate.name}" == layout and len(slots) == len(text):
            characters = iter(text)
            return "".join("-" if slot == "-" else next(characters) for slot in candidate.pattern)
    return text
