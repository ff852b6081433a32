"""How many false hits a list will make: arithmetic on the layouts' prior and the measured confusion of characters.

A false hit is a vehicle T that passes and is taken for a listed plate L. Summed over all L and all texts T that differ
by one character (``more`` stands for those that differ by more), a day brings

    passages · sum of likelihood(T) · rate(T is taken for L)

where the rate is, for ``exact``, that of reading a as b; for ``confusable`` and ``near``, that the picture of a speaks
for b so much that L is told (``LEAST_PROBABILITY``, see ``probability``). The sum over T is exact and needs no list of
them: a layout's texts are products of sets, so that it is a sum over places. O for 0 and I for 1 are decided by
layouts, and are counted spelling by spelling. Texts of another length are left out: in simulation they added a
sixth to `exact`.

Up to 1,000 entries are looked at, drawn by chance, and stand for all; that is good to 5 %, and takes 0.25 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import MatchClass
from edge_anpr.plates.confusable import NAMED
from edge_anpr.plates.prior import ELSE, TABLES, Table, likelihoods, passing
from edge_anpr.plates.syntax import has_layouts, spellings
from edge_anpr.plates.text import encode
from edge_anpr.watch.confusion import MEASURED, Confusion
from edge_anpr.watch.probability import DRIVES, LEAST_PROBABILITY

MOST_SAMPLED = 1000
# So many entries are reckoned at once: half the memory of a thousand, and one and a half times their time.
AT_ONCE = 500
Floats = NDArray[np.float64]
_ODDS = LEAST_PROBABILITY / (1 - LEAST_PROBABILITY)


def expected_false_hits(
    plates: Sequence[tuple[str, str]],
    passages_per_day: float,
    most: MatchClass = MatchClass.CONFUSABLE,
    measured: Confusion = MEASURED,
) -> Mapping[MatchClass, float]:
    """False hits a day of a list of canonical plates with their countries, at so many passages a day.

    By class, up to the class that is matched: as many as there are at all is their sum.
    """
    chosen = list(plates)
    if len(plates) > MOST_SAMPLED:
        drawn = np.random.default_rng(0).choice(len(plates), MOST_SAMPLED, replace=False)
        chosen = [plates[index] for index in drawn]
    total = np.zeros(len(MatchClass))
    for length in {len(plate) for plate, _ in chosen}:
        alike = [(plate, country) for plate, country in chosen if len(plate) == length]
        for some in (alike[start : start + AT_ONCE] for start in range(0, len(alike), AT_ONCE)):
            total += _false_hits(np.stack([encode(plate) for plate, _ in some]), [c for _, c in some], measured)
    total *= passages_per_day * len(plates) / max(len(chosen), 1)
    told = tuple(MatchClass)[: tuple(MatchClass).index(most) + 1]
    return dict(zip(told, total.tolist(), strict=False))


def _false_hits(texts: NDArray[np.uint8], countries: list[str], measured: Confusion) -> Floats:
    """Exact, confusable and near ones per passage, for listed texts (entries, characters) and their countries."""
    table = TABLES.get(texts.shape[1])
    met = np.array([passing(country) * DRIVES for country in countries])
    exact, confusable = _twins(texts, met, measured)
    near = np.zeros(len(texts))
    known = np.array([not has_layouts(country) for country in countries])
    if table:
        owners = np.array([layout.country for layout in table.layouts])
        known |= (table.fits(texts) & (owners == np.array(countries)[:, None])).any(axis=1)
        # What T's likelihood is near: that of the listed text, or of the layout that T has and the listed text has not.
        like = np.maximum(likelihoods(texts)[:, None], (1 - ELSE) * table.each)
        level = _level(like / met[:, None], measured)
        named = np.where(NAMED, measured.evident, 0.0)
        exact += measured.more * _taken(table, texts, measured.read[None], np.zeros_like(level))
        confusable += _taken(table, texts, named, level)
        near += _taken(table, texts, measured.evident - named, level)
    return np.array([exact.sum(), (confusable * known).sum(), near.sum()])


def _level(odds: Floats, measured: Confusion) -> Floats:
    """The row of ``evident``, with its fraction, from which a text is told that is met ``odds`` times less often."""
    ratio = np.log(_ODDS * odds) / measured.sharpness
    known = np.log(np.append(measured.ratios, 1.0))
    return np.asarray(np.interp(ratio, known, np.arange(float(len(known)))), np.float64)


def _taken(table: Table, texts: NDArray[np.uint8], rates: Floats, level: Floats) -> Floats:
    """Sum over texts T one character away of likelihood(T) times the rate of that character, for each text (entries,).

    ``rates``: float (levels, 36, 36), true characters in rows; ``level``: which of them, float (entries, layouts).
    """
    rates = np.concatenate([rates, np.zeros_like(rates[:1])])  # beyond the last level nothing is taken for another
    low = np.minimum(level.astype(np.intp), len(rates) - 2)
    part = level - low
    layouts = np.arange(len(table.layouts))
    inside = np.ones((texts.shape[1], *level.shape), np.bool_)
    reach = np.zeros(inside.shape)
    for place, characters in enumerate(texts.T):
        # of each layout, over the characters that may stand there: (layouts, levels, 36)
        sums = np.tensordot(table.masks[place].astype(np.float64), rates, ([0], [1]))
        inside[place] = table.masks[place, characters]
        at = characters[:, None]
        reach[place] = (1 - part) * sums[layouts, low, at] + part * sums[layouts, low + 1, at]
    for own, start, codes in table.coded:  # a code is one place: what it is taken for must be a code
        length = codes.valid.ndim
        code = tuple(texts[:, start + place] for place in range(length))
        inside[start : start + length, :, own] = True
        inside[start, :, own] = codes.valid[code][:, None]
        valid = codes.valid.astype(np.float64)
        turned = sum(np.moveaxis(np.tensordot(rates, valid, ([1], [at])), 1, at + 1) for at in range(length))
        sums = np.moveaxis(np.asarray(turned), 0, -1)[code].T
        entries = np.arange(len(texts))[:, None]
        reach[start : start + length, :, own] = 0.0
        reach[start, :, own] = (1 - part[:, own]) * sums[low[:, own], entries] + part[:, own] * sums[
            low[:, own] + 1, entries
        ]
    outside = len(inside) - inside.sum(axis=0)
    ways = np.where(outside == 0, reach.sum(axis=0), np.where(outside == 1, (reach * ~inside).sum(axis=0), 0.0))
    return np.asarray((1 - ELSE) * (ways @ table.each), np.float64)


def _twins(texts: NDArray[np.uint8], met: Floats, measured: Confusion) -> tuple[Floats, Floats]:
    """Exact and confusable hits by vehicles whose plates differ by O and 0, I and 1 only, for each text (entries,).

    ``met``: how often each listed vehicle passes.
    """
    each = [spellings(text) for text in texts]
    ways = np.concatenate(each)
    entry = np.repeat(np.arange(len(texts)), [len(spelling) for spelling in each])
    like = np.log(likelihoods(ways))
    own = np.log(likelihoods(texts))[entry]
    # All twins of one plate are drawn by one hand: where one looks like the other, all do.
    odds = np.zeros((len(ways), len(next(iter(measured.twins.values())))))
    for character, quantiles in measured.twins.items():
        differing = ((ways == character) & (texts[entry] != character)).sum(axis=1)
        odds += differing[:, None] * quantiles
    other = (ways != texts[entry]).any(axis=1)
    misread = odds < (own - like)[:, None]
    told = (math.log(_ODDS) + like - np.log(met)[entry])[:, None]
    speaks = -measured.sharpness * odds >= told
    rates = np.stack([misread.mean(axis=1), (speaks & ~misread).mean(axis=1)]) * np.exp(like) * other
    exact, confusable = (np.bincount(entry, rate, len(texts)).astype(np.float64) for rate in rates)
    return exact, confusable
