"""Hits: of those given as p, are p right? Shown on passages of rendered plates that trained and fitted nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from figures import Figures, calibration_error
from numpy.typing import NDArray
from passages import Seen, passages

from edge_anpr.datatypes import MatchClass, Posteriors
from edge_anpr.plates.confusable import look_alikes
from edge_anpr.plates.prior import TABLES, likelihoods, passing
from edge_anpr.plates.syntax import fitting
from edge_anpr.plates.text import encode, reveal
from edge_anpr.vision.ocr import Reader
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.probability import DRIVES
from edge_anpr.watch.tokens import Group, TokenTable

SEED, PASSAGES = 990_011, 6000
FOREVER_NS = 2**62


@dataclass(frozen=True, slots=True)
class Outcome:
    """One plate that would be met by a passage, were it listed: whether it was there, and how often it is listed."""

    posteriors: Posteriors
    listed: NDArray[np.uint8]
    country: str
    right: bool
    weight: float


def outcomes(seen: Sequence[Seen]) -> list[Outcome]:
    """All plates whose listing would make a hit of one of these passages, each as often as lists would hold it.

    A registered vehicle is listed as often as any other; the one that is passing drives, as not all listed ones do, and
    another text is registered with the occupancy of its layout. That is what parts right hits from wrong ones.
    """
    found = []
    for one in seen:
        if one.read is None:
            continue
        truth = encode(one.text)
        spellings = [one.read.classes, *(other.copy() for other in look_alikes(one.read.classes, one.read.posteriors))]
        for number, listed in enumerate(spellings):
            right = np.array_equal(listed, truth)
            country = one.layout.country if right else _country(listed)
            if number and not fitting(listed, country):
                continue
            occupancy = min(1.0, float(likelihoods(listed[None])[0]) / passing(country))
            found.append(Outcome(one.read.posteriors, listed, country, right, DRIVES if right else occupancy))
    return found


def _country(classes: NDArray[np.uint8]) -> str:
    table = TABLES.get(len(classes))
    best = table.likeliest(classes) if table else None
    return best[0].country if best else "XX"


def hits(reader: Reader, figures: Figures, count: int = PASSAGES) -> None:
    """Drive passages past a list that holds some of their plates and look-alikes of others; the matcher's own hits."""
    told(list(itertools.islice(passages(SEED, reader), count)), figures)


def told(seen: Sequence[Seen], figures: Figures) -> None:
    """Match passages and fill the figures: hits right by class, and reliability of their probability."""
    rng = np.random.default_rng(SEED)
    said: list[float] = []
    right: list[bool] = []
    classes: list[MatchClass] = []
    for one in seen:
        for plate, country in _listed(one, rng):
            matcher = Matcher(TokenTable.of([(plate, Group(country, "", 0, FOREVER_NS))]))
            match = matcher.match(one.read, 0) if one.read else None
            if match:
                said.append(match.probability)
                right.append(match.listed == one.text)
                classes.append(match.match_class)
    sure, good = np.array(said), np.array(right)
    error, points = calibration_error(sure, good)
    figures.numbers["hits: calibration error of probability (ECE)"] = round(error, 4)
    figures.curves["hits: share right by probability"] = points
    for kind in (MatchClass.EXACT, MatchClass.CONFUSABLE):
        chosen = np.array([found is kind for found in classes])
        figures.counts.append(
            (f"hits: {kind.value}, the listed plate was there", int(good[chosen].sum()), int(chosen.sum()))
        )
        error, points = calibration_error(sure[chosen], good[chosen])
        figures.numbers[f"hits: {kind.value}, calibration error of probability (ECE)"] = round(error, 4)
        figures.curves[f"hits: {kind.value}, share right by probability"] = points


def _listed(one: Seen, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Plates that a list holds for this passage, by chance."""
    return [(reveal(found.listed), found.country) for found in outcomes([one]) if rng.random() < found.weight]
