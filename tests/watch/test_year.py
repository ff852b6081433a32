"""A simulated year against the budget: in small here, in full by `make year`."""

import math

import numpy as np
import pytest
from year import Year, keys_of, simulate

from edge_anpr.datatypes import MatchClass
from edge_anpr.plates.text import encode

PASSAGES, ENTRIES = 800_000, 500_000


@pytest.fixture(scope="module")
def year() -> Year:
    return simulate(PASSAGES, ENTRIES, vehicles=2_000_000, seed=7)


@pytest.mark.parametrize("kind", list(MatchClass))
def test_the_budget_is_kept_within_a_factor_of_two(year: Year, kind: MatchClass) -> None:
    expected, seen = year.expected[kind], year.false[kind]
    assert expected > 5
    # Counted ones scatter by their root: what is held against the factor is the count and two deviations of it.
    assert seen + 2 * math.sqrt(seen) >= expected / 2
    assert seen - 2 * math.sqrt(seen) <= expected * 2


def test_exact_hits_alone_are_false_less_than_once_in_a_million_passages_with_10000_entries(year: Year) -> None:
    assert year.false[MatchClass.EXACT] / PASSAGES * 10_000 / ENTRIES < 1e-6


def test_listed_vehicles_did_pass(year: Year) -> None:
    assert year.right > PASSAGES / 20


def test_every_text_has_a_number_of_its_own() -> None:
    texts = ["0", "00", "A0", "0A", "000000", "00000", "ZZZZZZZZZZ"]
    assert len(np.unique([keys_of(encode(text)[None])[0] for text in texts])) == len(texts)
