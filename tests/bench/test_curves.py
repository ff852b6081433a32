"""Curves of growth: what they are called, and how they come into the document."""

from __future__ import annotations

import pytest

from tests.bench.curves import Curve, growth, medians
from tests.bench.growth import published


@pytest.mark.parametrize(
    ("power", "words"), [(0.0, "not"), (0.5, "slower than linear"), (1.0, "linear"), (2.0, "faster than linear")]
)
def test_growth_is_told_of_the_last_part_of_a_curve(power: float, words: str) -> None:
    flat = [(x, 7.0) for x in (1.0, 2.0, 4.0)]
    assert growth([*flat, *((x, 7.0 * (x / 8) ** power) for x in (8.0, 16.0, 32.0))]) == words
    assert growth([(1.0, 1.0), (1000.0, 1000.0**power)]) == words


def test_what_costs_nothing_has_no_growth() -> None:
    assert growth([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]) == "-"


def test_each_place_is_measured_in_each_round_and_the_median_told() -> None:
    asked: list[float] = []

    def measure(x: float) -> dict[str, float]:
        asked.append(x)
        return {"cost": x * (100 if len(asked) == 1 else 1)}

    assert medians((1, 2), measure, 3, lambda _: None) == {"cost": [(1, 1), (2, 2)]}
    assert asked == [1, 2, 1, 2, 1, 2]


def test_a_table_goes_between_its_marks_and_leaves_the_rest() -> None:
    curve = Curve("plates", "plates", {"a look, ms": [(1, 10.0), (2, 20.0)], "other": [(2, 5.0)]})
    text = published("before\n<!-- plates -->\nold\n<!-- /plates -->\nafter\n", curve)
    assert text == (
        "before\n<!-- plates -->\n| plates | 1 | 2 | grows |\n|---|---|---|---|\n"
        "| a look, ms | 10 | 20 | linear |\n| other | - | 5 | - |\n<!-- /plates -->\nafter\n"
    )
    assert published(text, curve) == text
    with pytest.raises(ValueError, match="no marks"):
        published("nothing here", curve)
