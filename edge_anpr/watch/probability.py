"""How likely the listed plate of a match was really there: what `match.probability` of a hit says.

Bayes, over every text that may have stood on the plate. The passage's posteriors are, up to a factor, how likely the
pictures are given each character; raised to ``sharpness`` because frames were averaged, which keeps them from adding
up, and after ``doubt`` was added because no character is ever excluded. So the pictures' evidence for a text x is

    e(x) = product over its characters of (posterior + doubt) ** sharpness

What each text is worth beforehand is how often it passes:

* x, of which nothing is known, passes as often as the layouts say: likelihood(x). Whether it is registered at all is
  unknown, and averaged over in there.
* L, the listed one, is surely registered. It passes as often as any vehicle of its country, passing(country), a
  country's share of the traffic over its number of vehicles; times ``DRIVES``, because some of those listed are abroad,
  in a garage or scrapped. How long the list is does not matter to L: the other entries are texts like all others.

    p = (1 - slips) · passing·DRIVES·e(L) / (passing·DRIVES·e(L) + sum over all x but L of likelihood(x)·e(x))

The sum over all texts of the same length is exact and takes 0.1 ms: a layout's texts are products of sets, so that it
is a product of sums (``plates.prior.all_together``). ``slips`` stands for texts of another length and for what else no
posterior tells: a hit is never surer than that. O with 0 and I with 1 need no rule of their own: the pictures say
nothing between them, and the layouts decide.

``sharpness``, ``doubt`` and ``slips`` are fitted on rendered passages (`models/training/confusion.py`) and shown to
hold on others (`make evaluate ARGS="--only hits"`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Posteriors
from edge_anpr.plates.prior import all_together, likelihoods, passing
from edge_anpr.watch.confusion import MEASURED

# Nobody has measured it. Of a list of vehicles that drive as others do it says too little, of one of wrecks too much.
DRIVES = 0.3
# A look-alike less likely than this is no hit: of a hundred such nine in ten are somebody else (docs/matching.md).
LEAST_PROBABILITY = 0.1


def listed_probability(posteriors: Posteriors, listed: NDArray[np.uint8], country: str) -> float:
    """That ``listed`` (classes, uint8) of this country was there, given the fused posteriors of the passage."""
    return chance(posteriors, listed, country, sharpness=MEASURED.sharpness, doubt=MEASURED.doubt, slips=MEASURED.slips)


def chance(
    posteriors: Posteriors, listed: NDArray[np.uint8], country: str, *, sharpness: float, doubt: float, slips: float
) -> float:
    """As ``listed_probability``, with what was fitted given."""
    evidence = (posteriors.astype(np.float64) + doubt) ** sharpness
    own = float(evidence[np.arange(len(listed)), listed].prod())
    others = max(all_together(evidence) - own * float(likelihoods(listed[None])[0]), 0.0)
    evidence.fill(0)
    met = passing(country) * DRIVES * own
    return (1 - slips) * met / (met + others)
