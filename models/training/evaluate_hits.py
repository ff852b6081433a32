"""Hits: of those given as p, are p right? Shown on passages of rendered plates that trained and fitted nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from figures import Figures, calibration_error
from numpy.typing import NDArray
from passages import Seen, passages
from year import simulate

from edge_anpr.datatypes import MatchClass, Posteriors
from edge_anpr.plates.confusable import look_alikes
from edge_anpr.plates.prior import TABLES, likelihoods, passing
from edge_anpr.plates.syntax import fitting
from edge_anpr.plates.text import encode, reveal
from edge_anpr.vision.ocr import Reader
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.probability import DRIVES, LEAST_PROBABILITY, listed_probability
from edge_anpr.watch.tokens import Group, TokenTable

SEED, PASSAGES = 990_011, 6000
# Passages, entries of the list, vehicles: a list as a police force has, and one so long that false hits can be counted.
YEARS = ((10_000_000, 10_000, 9_000_000), (4_000_000, 200_000, 4_000_000))
FOREVER_NS = 2**62


@dataclass(frozen=True, slots=True)
class Outcome:
    """One plate that would be met by a passage, were it listed: whether it was there, and how often it is listed."""

    posteriors: Posteriors
    listed: NDArray[np.uint8]
    country: str
    right: bool
    exact: bool
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
            found.append(
                Outcome(one.read.posteriors, listed, country, right, not number, DRIVES if right else occupancy)
            )
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
    met: list[tuple[MatchClass, float, bool]] = []
    for one in seen:
        for plate, country in _listed(one, rng):
            matcher = Matcher(TokenTable.of([(plate, Group(country, "", 0, FOREVER_NS))]))
            match = matcher.match(one.read, 0) if one.read else None
            if match:
                met.append((match.match_class, match.probability, match.listed == one.text))
    read = [one for one in seen if one.read]
    exact = sum(one.read is not None and reveal(one.read.classes) == one.text for one in read)
    figures.counts.append(("passages: pass the gates of a hit", len(read), len(seen)))
    figures.counts.append(("passages that pass: exact", exact, len(read)))
    for kind, name in ((None, "hits"), (MatchClass.EXACT, "hits, exact"), (MatchClass.CONFUSABLE, "hits, confusable")):
        chosen = [(sure, right) for found, sure, right in met if kind in (None, found)]
        sure, right = np.array([s for s, _ in chosen]), np.array([r for _, r in chosen], np.bool_)
        error, points = calibration_error(sure, right)
        figures.counts.append((f"{name}: the listed plate was there", int(right.sum()), len(right)))
        figures.numbers[f"{name}: calibration error of probability (ECE)"] = round(error, 4)
        figures.curves[f"{name}: share right by probability"] = points
    _thresholds(read, figures)


def _thresholds(read: Sequence[Seen], figures: Figures) -> None:
    """Look-alikes for each 1000 right exact hits, from which probability on they are told: right ones, wrong ones."""
    events = outcomes(read)
    said = np.array([listed_probability(event.posteriors, event.listed, event.country) for event in events])
    weight = np.array([event.weight for event in events])
    right = np.array([event.right for event in events])
    exact = np.array([event.exact for event in events])
    thousand = float(weight[exact & right].sum()) / 1000
    for least in (0.0, 0.02, 0.05, LEAST_PROBABILITY, 0.2, 0.5):
        chosen = ~exact & (said >= least)
        for name, kind in (("right", right), ("wrong", ~right)):
            number = round(float(weight[chosen & kind].sum()) / thousand, 1)
            figures.numbers[f"look-alikes for 1000 right exact hits, told from probability {least:g}: {name}"] = number


def budget(figures: Figures) -> None:
    """False hits that a year on a road brought, in simulation, beside those expected of its list."""
    for passages_, entries, vehicles in YEARS:
        year = simulate(passages_, entries, vehicles, seed=SEED)
        for kind in MatchClass:
            name = f"false hits, {kind.value}, {passages_ / 1e6:g} M passages, {entries:,} entries"
            figures.numbers[f"{name}: simulated"] = year.false[kind]
            figures.numbers[f"{name}: expected"] = round(year.expected[kind], 1)


def _listed(one: Seen, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Plates that a list holds for this passage, by chance."""
    return [(reveal(found.listed), found.country) for found in outcomes([one]) if rng.random() < found.weight]
