"""What the layouts say about a text: which it fits; and what a doubtful one says."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.layouts import LAYOUTS, Layout
from edge_anpr.plates.prior import TABLES, any_fits, likelihoods
from edge_anpr.plates.text import ALPHABET

# A country is told when plates that say this are its own this often.
_COUNTRY_SURE = 0.9
MOST_DOUBTS = 6
# Less than this a posterior does not speak against the other of two characters that are one drawing.
LEAST_WEIGHT = 1e-3
# A text that fits no layout must be so much more visible than one that does. (How likely layouts are on the road says
# nothing more of what is not one drawing; the OCR has learnt from texts of which most fit one.)
FITS_NONE = 0.3
# Where every character is as likely as this no layout outweighs it. Elsewhere those as likely as that are weighed.
CLEAR, LEAST_POSSIBLE, MOST_WAYS = 1 / (1 + FITS_NONE), 0.02, 64
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


def as_seen(posteriors: Posteriors, classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How likely each character of a text is by the picture alone, O with 0 and I with 1."""
    places = np.arange(len(classes))
    mass = posteriors[places, classes]
    return np.asarray(mass + posteriors[places, _OTHER[classes]] * _IS_EITHER[classes], np.float32)


def fits(classes: NDArray[np.uint8]) -> bool:
    """Whether a text fits a layout, whichever."""
    return bool(any_fits(classes[None])[0])


def spellings(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The text with each of its first O, 0, I, 1 written either way: classes (spellings, characters), itself first."""
    doubtful = either(classes)[:MOST_DOUBTS]
    ways = np.tile(classes, (2 ** len(doubtful), 1))
    for bit, index in enumerate(doubtful):
        ways[np.arange(len(ways)) >> bit & 1 == 1, index] = _OTHER[classes[index]]
    return ways


def decide(posteriors: Posteriors) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The likeliest text: classes and confidences, one per character.

    O and 0 (I and 1) are one drawing in many fonts: their mass is added up for the confidence, and layouts decide
    between them. Where the picture leaves more than one character possible, they have a say.
    """
    classes = posteriors.argmax(axis=1).astype(np.uint8)
    confidences = posteriors.max(axis=1)
    doubtful = either(classes)
    if len(doubtful):
        confidences[doubtful] += posteriors[doubtful, _OTHER[classes[doubtful]]]
    if float(confidences.min(initial=1.0)) < CLEAR:
        _weigh(posteriors, classes, confidences)
        doubtful = either(classes)
    if len(doubtful):
        ways = spellings(classes)
        weights = np.maximum(posteriors[doubtful, ways[:, doubtful]], LEAST_WEIGHT).prod(axis=1) * likelihoods(ways)
        classes[:] = ways[int(weights.argmax())]
        ways.fill(0)
    return classes, np.minimum(confidences, 1.0)


def _weigh(posteriors: Posteriors, classes: NDArray[np.uint8], confidences: NDArray[np.float32]) -> None:
    """Put the likeliest text into ``classes``, and how likely each character of it is into ``confidences``."""
    mass = posteriors + posteriors[:, _OTHER] * _IS_EITHER
    possible = _possible(mass, classes)
    doubted = np.flatnonzero(possible.sum(axis=1) > 1)
    options = [possible[place].nonzero()[0] for place in doubted]
    if options:
        shape = tuple(map(len, options))
        ways = np.tile(classes, (math.prod(shape), 1))
        for place, option, picked in zip(doubted, options, np.indices(shape).reshape(len(shape), -1), strict=True):
            ways[:, place] = option[picked]
        seen = mass[np.arange(len(classes)), ways].prod(axis=1)
        weights = (seen * np.where(any_fits(ways), 1.0, FITS_NONE)).reshape(shape)
        _join_twins(weights, options)
        best = np.unravel_index(weights.argmax(), shape)
        for axis, (place, option, index) in enumerate(zip(doubted, options, best, strict=True)):
            among = np.moveaxis(weights, axis, 0).reshape(len(option), -1).sum(axis=1)
            classes[place] = option[index]
            confidences[place] = among[index] / among.sum() * mass[place, option[among > 0]].sum()
        ways.fill(0)
    for shown in (mass, possible, *options):
        shown.fill(0)


def _possible(mass: Posteriors, classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which characters may stand where, bool (characters, 36): few enough for ``MOST_WAYS`` texts, with ``classes``."""
    places = np.arange(len(classes))
    possible = np.asarray(mass >= LEAST_POSSIBLE, np.bool_)
    possible[places, classes] = possible[places, _OTHER[classes]] = True
    # Those that are least likely beside the likeliest of their place are left out first.
    shares = mass / mass.max(axis=1, keepdims=True)
    shares[places, classes] = np.inf
    rows, columns = np.nonzero(possible)
    sizes = possible.sum(axis=1)
    for index in shares[rows, columns].argsort(kind="stable"):
        if math.prod(sizes.tolist()) <= MOST_WAYS:
            break
        possible[rows[index], columns[index]] = False
        sizes[rows[index]] -= 1
    for shown in (shares, rows, columns):
        shown.fill(0)
    return possible


def _join_twins(weights: NDArray[np.float64], options: list[NDArray[np.intp]]) -> None:
    """Of ways that are one drawing leave the likeliest: each has the mass of both already. An axis for each option."""
    for axis, option in enumerate(options):
        along = np.moveaxis(weights, axis, 0)
        for index, other in enumerate(np.searchsorted(option, _OTHER[option])):
            if index < other < len(option) and option[other] == _OTHER[option[index]]:
                along[index] = np.maximum(along[index], along[other])
                along[other] = 0


def likely_layout(classes: NDArray[np.uint8]) -> Layout | None:
    """The likeliest layout of a text, if its country is the only likely one."""
    table = TABLES.get(len(classes))
    found = table.likeliest(classes) if table else None
    return found[0] if found and found[1] >= _COUNTRY_SURE else None


def grouped(text: str, layout: str | None) -> str:
    """``text`` with the dashes of a layout's pattern, for people to read; unchanged when none of that name fits."""
    for candidate in LAYOUTS:
        if f"{candidate.country} {candidate.name}" == layout and len(candidate.slots) == len(text):
            characters = iter(text)
            return "".join("-" if slot == "-" else next(characters) for slot in candidate.pattern)
    return text
