"""Measure how passages are misread, and how sure a hit may be, on rendered ones; writes edge_anpr/watch/confusion.json.

    python models/training/confusion.py [--passages 12000] [--out edge_anpr/watch/confusion.json]

To be run again whenever the OCR changes; 12,000 passages take four minutes on a core. The seed is none of training's,
and none of those that `evaluate.py` measures with.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from evaluate_hits import outcomes
from numpy.typing import NDArray
from passages import Seen, passages

from edge_anpr.plates.confusable import LEAST_EVIDENCE, SAME_DRAWING
from edge_anpr.plates.syntax import LEAST_WEIGHT
from edge_anpr.plates.text import ALPHABET, encode
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped
from edge_anpr.watch.probability import chance

SEED, PASSAGES = 990_012, 12_000
RATIOS = (LEAST_EVIDENCE, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
QUANTILES = 41
SHARPNESS, DOUBT = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5), (3e-4, 1e-3, 3e-3)
# As many outcomes decide them to one step; all of them take five minutes.
MOST_OUTCOMES = 4000
OUT = Path(__file__).parents[2] / "edge_anpr/watch/confusion.json"
_DOUBTFUL = (0.8, 0.95)


def measure(seen: Sequence[Seen]) -> dict[str, Any]:
    """The table of `edge_anpr.watch.confusion` from passages of which the truth is known."""
    read = [one for one in seen if one.read]
    same = [one for one in read if one.read and len(one.read.classes) == len(one.text)]
    count = len(ALPHABET)
    of = np.zeros(count)
    misread, mass = np.zeros((count, count)), np.zeros((count, count))
    evident = np.zeros((len(RATIOS), count, count))
    twins: dict[int, list[float]] = {ALPHABET.index(character): [] for character in "O0I1"}
    wrong: Counter[int] = Counter()
    levels = np.zeros((len(_DOUBTFUL) + 1, 3))
    for one in same:
        assert one.read
        truth, posteriors = encode(one.text), one.read.posteriors.astype(np.float64)
        # The twin's mass is told of by itself, in the odds.
        errors = [a != b and not SAME_DRAWING[a, b] for a, b in zip(truth, one.read.classes, strict=True)]
        wrong[sum(errors)] += 1
        level = levels[int(np.searchsorted(_DOUBTFUL, one.read.confidence))]
        level += (1, sum(errors), 0)
        for place, (a, error) in enumerate(zip(truth, errors, strict=True)):
            of[a] += 1
            row = posteriors[place] * ~SAME_DRAWING[a]
            if a in twins:
                other = int(SAME_DRAWING[a].argmax())
                pair = np.maximum(posteriors[place, [a, other]], LEAST_WEIGHT)
                twins[int(a)].append(math.log(pair[0] / pair[1]))
                row[a] += posteriors[place, other]
            if error:
                misread[a, one.read.classes[place]] += 1
            mass[a] += row / max(row.sum(), 1e-9)
            mass[a, a] = 0.0
            row[a], own = 0.0, row[a]
            if not error:
                reached = row[None] >= np.array(RATIOS)[:, None] * own
                evident[:, a] += reached
                level[2] += reached[0].sum()
    # Some hundred misread characters over 1260 pairs: half of their number stands where it was counted, half where the
    # reads gave mass to a wrong character.
    table = (misread + mass * (misread.sum() / mass.sum())) / 2 / np.maximum(of, 1)[:, None]
    shares, rates = levels[:, 0] / len(same), levels[:, 1:] / np.maximum(levels[:, :1], 1)
    mean = levels[:, 1:].sum(axis=0) / len(same)
    return {
        "ratios": list(RATIOS),
        "passages": {"driven": len(seen), "gated": len(read), "misread": len(read) - wrong[0]},
        "read": _pairs(table),
        "evident": _pairs(evident / np.maximum(of, 1)[None, :, None]),
        "twins": {
            ALPHABET[a]: [
                round(float(v), 2) for v in np.quantile(odds or [0.0], (np.arange(QUANTILES) + 0.5) / QUANTILES)
            ]
            for a, odds in twins.items()
        },
        "more": round((len(same) - wrong[0]) / max(wrong[1], 1), 3),
        "lengths": round(1 - len(same) / len(read), 5),
        "levels": [
            [round(float(share), 4), *(round(float(v), 3) for v in rate / np.maximum(mean, 1e-9))]
            for share, rate in zip(shares, rates, strict=True)
        ],
        **fitted(read),
    }


def fitted(read: Sequence[Seen]) -> dict[str, float]:
    """Sharpness and doubt at which the probability of hits comes true best (least log loss); slips as counted."""
    events = outcomes(read)[:MOST_OUTCOMES]
    slips = 1 - sum(len(one.read.classes) == len(one.text) for one in read if one.read) / len(read)
    weights = np.array([event.weight for event in events])
    right = np.array([event.right for event in events])

    def loss(sharpness: float, doubt: float) -> float:
        said = np.array([
            chance(event.posteriors, event.listed, event.country, sharpness=sharpness, doubt=doubt, slips=slips)
            for event in events
        ])  # fmt: skip
        said = np.clip(said, 1e-6, 1 - 1e-6)
        return float(-(weights * np.where(right, np.log(said), np.log(1 - said))).sum())

    sharpness, doubt = min(itertools.product(SHARPNESS, DOUBT), key=lambda pair: loss(*pair))
    return {"sharpness": sharpness, "doubt": doubt, "slips": round(slips, 5)}


def _pairs(table: NDArray[np.float64]) -> dict[str, Any]:
    """Rates by pair of characters, true and other, where there are any."""
    found: dict[str, Any] = {}
    for a, b in itertools.product(range(len(ALPHABET)), repeat=2):
        rates = np.atleast_1d(table[..., a, b])
        if a != b and rates[0] > 5e-6:
            kept = [float(f"{rate:.2g}") for rate in rates if rate > 0]
            found[ALPHABET[a] + ALPHABET[b]] = kept if table.ndim > 2 else kept[0]
    return found


def main() -> None:
    """Measure and write; no plate is printed, and all of them are made up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=PASSAGES)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    reader = Reader(Network(shipped("ocr"), "ocr", "ctc"))
    seen = list(itertools.islice(passages(SEED, reader), arguments.passages))
    write(seen, arguments.out)


def write(seen: Sequence[Seen], path: Path) -> None:
    """Measure, and put it into a file with how it was made."""
    how = {
        "made_by": "models/training/confusion.py", "seed": SEED,
        "ocr_sha256": hashlib.sha256(shipped("ocr").read_bytes()).hexdigest(),
    }  # fmt: skip
    body = how | measure(seen)
    lines = ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in body.items())
    path.write_text(f"{{\n{lines}\n}}\n")
    print({key: value for key, value in body.items() if key not in {"read", "evident", "twins"}})


if __name__ == "__main__":
    main()
