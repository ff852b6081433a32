"""How passages that pass all gates are misread, as measured: `confusion.json`, by `models/training/confusion.py`.

It belongs to the shipped OCR; another model wants another one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_anpr.plates.text import ALPHABET

_COUNT = len(ALPHABET)


@dataclass(frozen=True, slots=True)
class Confusion:
    """``read``: how often true character a is read as b, float (36, 36), a in rows; O and 0, I and 1 count as one.

    ``evident``: how often, with a there and read, the picture gives b at least ``ratios`` times the mass of a, float
    (ratios, 36, 36). ``twins``: of O, 0, I, 1, the log odds of the true one against its twin, evenly spaced quantiles,
    by class. ``more``: passages with any number of misread characters over those with one. ``slips``, ``sharpness``,
    ``doubt``: see ``probability``. ``levels``: passages by how doubtful they are: share, and how many times the mean
    rate of misread and of evident characters.
    """

    read: NDArray[np.float64]
    evident: NDArray[np.float64]
    ratios: NDArray[np.float64]
    twins: dict[int, NDArray[np.float64]]
    more: float
    slips: float
    sharpness: float
    doubt: float
    levels: tuple[tuple[float, float, float], ...]


def parse(body: dict[str, Any]) -> Confusion:
    """The table in a JSON object."""
    ratios = np.array(body["ratios"])
    read, evident = np.zeros((_COUNT, _COUNT)), np.zeros((len(ratios), _COUNT, _COUNT))
    for pair, rate in body["read"].items():
        read[ALPHABET.index(pair[0]), ALPHABET.index(pair[1])] = rate
    for pair, rates in body["evident"].items():
        evident[: len(rates), ALPHABET.index(pair[0]), ALPHABET.index(pair[1])] = rates
    twins = {ALPHABET.index(character): np.array(odds) for character, odds in body["twins"].items()}
    levels = tuple((float(share), float(misread), float(evident)) for share, misread, evident in body["levels"])
    return Confusion(
        read, evident, ratios, twins, body["more"], body["slips"], body["sharpness"], body["doubt"], levels
    )


MEASURED = parse(json.loads(Path(__file__).with_name("confusion.json").read_text()))
