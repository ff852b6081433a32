"""A simulated year: passages of a population of vehicles, read with errors, matched with a list; false hits counted.

    python models/training/year.py [--passages 10000000] [--entries 10000] [--vehicles 9000000]

Held against what `edge_anpr.watch.budget` expects of the same list, and independent of its arithmetic: reads are drawn
one by one from the measured rates, by how doubtful the passage is; those that could reach a listed plate are decided
and matched by the unit's own code, the others are compared as whole numbers.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from population import draw

from edge_anpr.datatypes import MatchClass, PlateRead
from edge_anpr.plates.confusable import SAME_DRAWING
from edge_anpr.plates.layouts import LAYOUTS
from edge_anpr.plates.syntax import decide
from edge_anpr.plates.text import ALPHABET, reveal
from edge_anpr.tools.terminal import table
from edge_anpr.watch.budget import expected_false_hits
from edge_anpr.watch.confusion import MEASURED
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.tokens import Group, TokenTable

Keys = NDArray[np.int64]
CHUNK = 250_000
FOREVER_NS = 2**62
# How unevenly vehicles pass one pole: of the logarithm, so that a tenth of them make half of the passages.
SKEW = 1.3
# Of the list so many are vehicles that do not drive here at all.
ABSENT = 0.2
_BASE = len(ALPHABET) + 1
_COUNT = len(ALPHABET)


@dataclass(frozen=True, slots=True)
class Population:
    """Vehicles by the length of their plates: texts (vehicles, characters), and the layout of each (its number)."""

    texts: dict[int, NDArray[np.uint8]]
    layouts: dict[int, NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Year:
    """What came out: false hits by class, right ones, passages, and what the budget had expected of false ones."""

    false: Counter[MatchClass]
    right: int
    passages: int
    expected: dict[MatchClass, float]


def keys_of(texts: NDArray[np.uint8]) -> Keys:
    """Texts (texts, characters) of any length as whole numbers, each its own."""
    powers = _BASE ** np.arange(texts.shape[1], dtype=np.int64)
    return np.asarray((texts.astype(np.int64) + 1) @ powers, np.int64)


def population(vehicles: int, rng: np.random.Generator) -> Population:
    """So many registered vehicles, by their layouts' share of the road."""
    shares = np.array([layout.share for layout in LAYOUTS])
    counts = rng.multinomial(vehicles, shares / shares.sum())
    texts: dict[int, list[NDArray[np.uint8]]] = {}
    layouts: dict[int, list[NDArray[np.intp]]] = {}
    for number, (layout, count) in enumerate(zip(LAYOUTS, counts, strict=True)):
        drawn = draw(layout, int(count), rng)
        drawn = drawn[np.unique(keys_of(drawn), return_index=True)[1]]
        texts.setdefault(drawn.shape[1], []).append(drawn)
        layouts.setdefault(drawn.shape[1], []).append(np.full(len(drawn), number))
    return Population(
        {length: np.concatenate(some) for length, some in texts.items()},
        {length: np.concatenate(some) for length, some in layouts.items()},
    )


def simulate(passages: int, entries: int, vehicles: int, seed: int) -> Year:
    """Drive ``passages`` of ``vehicles`` past a unit whose list holds ``entries``."""
    rng = np.random.default_rng(seed)
    living = population(vehicles, rng)
    away = population(max(int(entries * ABSENT), 1), rng)
    listed = _sample(living, entries - int(entries * ABSENT), rng) + _sample(away, int(entries * ABSENT), rng)
    groups = {layout.country: Group(layout.country, "", 0, FOREVER_NS) for layout in LAYOUTS}
    matcher = Matcher(TokenTable.of((plate, groups[country]) for plate, country in listed), MatchClass.NEAR)
    wanted = _Wanted(np.unique([_key(plate) for plate, _ in listed]))
    false: Counter[MatchClass] = Counter()
    right = 0
    total = sum(map(len, living.texts.values()))
    for texts in living.texts.values():
        often = np.cumsum(rng.lognormal(0, SKEW, len(texts)))
        left = round(passages * len(texts) / total)
        while left > 0:
            some = min(left, CHUNK)
            left -= some
            passing = texts[np.searchsorted(often, rng.random(some) * often[-1])]
            for truth, read in _doubtful(passing, wanted, rng):
                match = matcher.match(read, 0)
                if match and match.listed != reveal(truth):
                    false[match.match_class] += 1
            right += int(wanted.among(keys_of(passing)).sum())
    expected = expected_false_hits(listed, passages, MatchClass.NEAR)
    return Year(false, right, passages, dict(expected))


def _key(plate: str) -> int:
    return int(sum((ALPHABET.index(character) + 1) * _BASE**place for place, character in enumerate(plate)))


def _sample(people: Population, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    sizes = {length: len(texts) for length, texts in people.texts.items()}
    shares = np.array(list(sizes.values())) / sum(sizes.values())
    found = []
    for length, some in zip(sizes, rng.multinomial(count, shares), strict=True):
        for index in rng.choice(sizes[length], min(int(some), sizes[length]), replace=False):
            found.append((reveal(people.texts[length][index]), LAYOUTS[people.layouts[length][index]].country))
    return found


class _Wanted:
    """The list's plates as numbers; most others are told apart by one look into a table of 16 million bits."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._maybe = np.zeros(2**24, np.bool_)
        self._maybe[_hashed(keys)] = True

    def among(self, keys: Keys) -> NDArray[np.bool_]:
        found = self._maybe[_hashed(keys)]
        at = np.flatnonzero(found)
        place = np.minimum(np.searchsorted(self._keys, keys[at]), len(self._keys) - 1)
        found[at] = self._keys[place] == keys[at]
        return found


def _hashed(keys: Keys) -> NDArray[np.uint64]:
    return (keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)


@dataclass(frozen=True, slots=True)
class _Doubts:
    """Other characters that pictures speak for: passage, place, character, and mass over that of the true one."""

    row: NDArray[np.intp]
    place: NDArray[np.intp]
    other: NDArray[np.intp]
    ratio: NDArray[np.float64]


def _doubtful(
    texts: NDArray[np.uint8], wanted: _Wanted, rng: np.random.Generator
) -> list[tuple[NDArray[np.uint8], PlateRead]]:
    """The passages whose pictures speak for a listed text that is not there, with what the unit reads of them."""
    levels = np.array(MEASURED.levels)
    level = levels[rng.choice(len(levels), len(texts), p=levels[:, 0] / levels[:, 0].sum())]
    parts = [_twins(texts, rng), _evident(texts, level[:, 2], rng), _misread(texts, level[:, 1], rng)]
    row, place, other = (np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "place", "other"))
    ratio = np.concatenate([part.ratio for part in parts])
    order = np.argsort(row, kind="stable")
    doubts = _Doubts(row[order], place[order], other[order], ratio[order])
    keys = keys_of(texts)
    delta = (doubts.other - texts[doubts.row, doubts.place]) * _BASE**doubts.place
    reached = [doubts.row[wanted.among(keys[doubts.row] + delta)]]
    for step in (1, 2, 3, 4):  # two doubts of one passage together
        alike = doubts.row[step:] == doubts.row[:-step]
        at = np.flatnonzero(alike & (doubts.place[step:] != doubts.place[:-step]))
        reached.append(doubts.row[at][wanted.among(keys[doubts.row[at]] + delta[at] + delta[at + step])])
    found = []
    for passage in np.unique(np.concatenate(reached)):
        own = slice(*np.searchsorted(doubts.row, (passage, passage + 1)))
        posteriors = np.full((texts.shape[1], _COUNT), 2e-4, np.float32)
        masses = np.zeros(posteriors.shape)
        masses[np.arange(texts.shape[1]), texts[passage]] = 1.0
        masses[doubts.place[own], doubts.other[own]] = doubts.ratio[own]
        posteriors += (0.99 * masses / masses.sum(axis=1, keepdims=True)).astype(np.float32)
        found.append((texts[passage], _read(posteriors)))
    return found + _shorter(texts, wanted, rng)


def _read(posteriors: NDArray[np.float32]) -> PlateRead:
    classes, confidence = decide(posteriors)
    return PlateRead(classes, posteriors, confidence, 5, 5)


def _twins(texts: NDArray[np.uint8], rng: np.random.Generator) -> _Doubts:
    """O for 0, I for 1 and back, by the measured odds; all of one plate are drawn by one hand."""
    row, place = np.nonzero(np.asarray(SAME_DRAWING.any(axis=1), np.bool_)[texts])
    true = texts[row, place]
    hand = rng.integers(len(MEASURED.twins[int(true[0])]) if len(true) else 1, size=len(texts))
    odds = np.zeros(len(row))
    for character, quantiles in MEASURED.twins.items():
        odds[true == character] = quantiles[hand[row[true == character]]]
    return _Doubts(row, place, SAME_DRAWING[true].argmax(axis=1), np.exp(-odds))


def _evident(texts: NDArray[np.uint8], often: NDArray[np.float64], rng: np.random.Generator) -> _Doubts:
    """Characters that the picture speaks for beside the one that is there and read."""
    rates = MEASURED.evident
    chance = rates[0].sum(axis=1)[texts] * often[:, None]
    row, place = np.nonzero(rng.random(texts.shape) < chance)
    true = texts[row, place]
    other = _choice(rates[0], true, rng)
    # How strong: between the steps at which it was counted, evenly in the logarithm.
    weaker = rates[:, true, other] / rates[0, true, other]
    step = (weaker >= rng.random(len(true))).sum(axis=0) - 1
    edges = np.log(np.append(MEASURED.ratios, 1.0))
    ratio = np.exp(edges[step] + (edges[step + 1] - edges[step]) * rng.random(len(true)))
    return _Doubts(row, place, other, ratio)


def _misread(texts: NDArray[np.uint8], often: NDArray[np.float64], rng: np.random.Generator) -> _Doubts:
    """Characters that are read in place of those that are there."""
    chance = MEASURED.read.sum(axis=1)[texts] * often[:, None]
    row, place = np.nonzero(rng.random(texts.shape) < chance)
    true = texts[row, place]
    return _Doubts(row, place, _choice(MEASURED.read, true, rng), rng.uniform(1.2, 10, len(true)))


def _choice(rates: NDArray[np.float64], true: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.intp]:
    running = np.cumsum(rates, axis=1)
    running /= np.maximum(running[:, -1:], 1e-12)
    return np.asarray((running[true] < rng.random(len(true))[:, None]).sum(axis=1), np.intp)


def _shorter(
    texts: NDArray[np.uint8], wanted: _Wanted, rng: np.random.Generator
) -> list[tuple[NDArray[np.uint8], PlateRead]]:
    """Passages that lose a character anywhere, and are read as a listed plate so."""
    rows = np.flatnonzero(rng.random(len(texts)) < MEASURED.slips)
    if texts.shape[1] < 2 or not len(rows):
        return []
    kept = np.ones((len(rows), texts.shape[1]), np.bool_)
    kept[np.arange(len(rows)), rng.integers(texts.shape[1], size=len(rows))] = False
    left = texts[rows][kept].reshape(len(rows), -1)
    found = []
    for index in np.flatnonzero(wanted.among(keys_of(left))):
        posteriors = np.full((left.shape[1], _COUNT), 2e-4, np.float32)
        posteriors[np.arange(left.shape[1]), left[index]] = 0.97
        found.append((texts[rows[index]], _read(posteriors)))
    return found


def main() -> None:
    """Print what a year brought and what was expected; every plate is made up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=10_000_000)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--vehicles", type=int, default=9_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    begin = time.monotonic()
    year = simulate(arguments.passages, arguments.entries, arguments.vehicles, arguments.seed)
    rows = [(kind.value, year.false[kind], f"{year.expected[kind]:.1f}") for kind in MatchClass]
    title = f"False hits of {year.passages:,} passages; {year.right:,} listed vehicles passed"
    table(title, ("class", "simulated", "expected"), rows)
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
