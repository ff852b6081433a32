import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from population import draw

from edge_anpr.datatypes import MatchClass
from edge_anpr.plates.confusable import NAMED
from edge_anpr.plates.layouts import LAYOUTS
from edge_anpr.plates.prior import ELSE, TABLES
from edge_anpr.plates.text import ALPHABET, encode, reveal
from edge_anpr.watch.budget import expected_false_hits as budget
from edge_anpr.watch.confusion import MEASURED, Confusion

EXACT, CONFUSABLE, NEAR = MatchClass
# What twins, O and 0 for instance, never are: mistaken for each other.
APART = {character: np.full(3, 50.0) for character in MEASURED.twins}


def expected_false_hits(
    plates: list[tuple[str, str]], passages: float, measured: Confusion = MEASURED
) -> Mapping[MatchClass, float]:
    return budget(plates, passages, NEAR, measured)


def a_list(count: int, seed: int = 1) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    shares = np.array([layout.share for layout in LAYOUTS])
    counts = rng.multinomial(count, shares / shares.sum())
    plates = [
        (reveal(text), layout.country)
        for layout, some in zip(LAYOUTS, counts, strict=True)
        for text in draw(layout, int(some), rng)
    ]
    return [plates[index] for index in rng.permutation(len(plates))]


def confusion(read: np.ndarray | None = None, evident: np.ndarray | None = None) -> Confusion:
    nothing = np.zeros((36, 36))
    return replace(
        MEASURED,
        read=nothing if read is None else read,
        evident=np.stack([nothing if evident is None else evident] * len(MEASURED.ratios)),
        twins=APART,
        more=1.0,
    )


def by_hand(plate: str, rates: np.ndarray) -> float:
    """Over every text one character away: the layouts' likelihood of it, times the rate of that character."""
    text, table = encode(plate), TABLES[len(plate)]
    total = 0.0
    for place, own in enumerate(text):
        for true in np.flatnonzero(rates[:, own]):
            other = text.copy()
            other[place] = true
            total += float((table.fits(other[None]) @ table.each)[0]) * (1 - ELSE) * rates[true, own]
    return total


@pytest.mark.parametrize(
    ("plate", "country"),
    [("1DBD01", "NL"), ("DB001D", "NL"), ("HROAB123", "DE"), ("BAB1234", "DE"), ("AB123CD", "FR"), ("CJ12AAA", "RO"),
     ("1234AB75", "FR"), ("QQ1QQ1QQ", "XX"), ("1ABC234", "BE"), ("34AB123", "TR"), ("AB02CDE", "GB"), ("DBDBDB", "NL")],
)  # fmt: skip
def test_the_sum_over_all_neighbours_is_the_one_counted_by_hand(plate: str, country: str) -> None:
    rng = np.random.default_rng(2)
    rates = rng.random((36, 36)) * (rng.random((36, 36)) < 0.5)
    np.fill_diagonal(rates, 0.0)
    got = expected_false_hits([(plate, country)], 1e3, confusion(read=rates))
    assert got[EXACT] == pytest.approx(1e3 * by_hand(plate, rates), rel=1e-9)
    assert got[CONFUSABLE] == got[NEAR] == 0


def test_what_the_picture_speaks_for_is_confusable_by_named_pairs_and_near_otherwise() -> None:
    everything = 1.0 - np.eye(36)
    got = expected_false_hits([("DB001D", "NL")], 1.0, confusion(evident=everything))
    named = by_hand("DB001D", np.where(NAMED, everything, 0.0))
    assert got[CONFUSABLE] == pytest.approx(named, rel=1e-9)
    assert got[NEAR] == pytest.approx(by_hand("DB001D", everything) - named, rel=1e-9)
    assert got[EXACT] == 0


def test_a_text_outside_its_countrys_layouts_is_never_confusable() -> None:
    evident = confusion(evident=1.0 - np.eye(36))
    assert expected_false_hits([("DB001D", "BE")], 1.0, evident)[CONFUSABLE] == 0
    assert expected_false_hits([("DB001D", "BE")], 1.0, evident)[NEAR] > 0
    assert expected_false_hits([("DB001D", "NL")], 1.0, evident)[CONFUSABLE] > 0


def test_a_plate_whose_twin_is_commoner_is_never_met_exactly_by_it_and_a_rarer_one_always() -> None:
    # Where pictures say nothing between O and 0, the layouts decide alone.
    alike = replace(confusion(), twins={character: np.zeros(3) for character in MEASURED.twins})
    common, rare = "DB001D", "DBOO1D"  # sidecode 9, and a text of no Dutch layout
    assert expected_false_hits([(rare, "NL")], 1.0, alike)[EXACT] == 0
    assert expected_false_hits([(common, "NL")], 1.0, alike)[EXACT] > 0
    assert expected_false_hits([(common, "NL")], 1.0, confusion())[EXACT] == 0


def test_an_empty_list_makes_no_false_hits() -> None:
    assert dict(expected_false_hits([], 1e4)) == {EXACT: 0, CONFUSABLE: 0, NEAR: 0}


def test_false_hits_grow_with_the_list_and_with_the_traffic() -> None:
    plates = a_list(600)
    once, twice = expected_false_hits(plates[:300], 1e4), expected_false_hits(plates[:300] * 2, 2e4)
    for kind in MatchClass:
        assert once[kind] > 0
        assert twice[kind] == pytest.approx(4 * once[kind])


def test_a_sample_stands_for_a_long_list() -> None:
    # A sample of 1,000 is off by 8 %, one deviation: the sums over four lists are compared.
    whole, parts = dict.fromkeys(MatchClass, 0.0), dict.fromkeys(MatchClass, 0.0)
    for seed in range(1, 5):
        plates = a_list(9000, seed)
        got = expected_false_hits(plates, 1e6)
        assert got == expected_false_hits(plates, 1e6)
        thirds = [expected_false_hits(plates[third::3], 1e6) for third in range(3)]
        for kind in MatchClass:
            whole[kind] += got[kind]
            parts[kind] += sum(third[kind] for third in thirds)
    for kind in MatchClass:
        assert whole[kind] == pytest.approx(parts[kind], rel=0.15)


def test_a_list_of_200000_is_weighed_in_half_a_second() -> None:
    plates = a_list(200_000)
    expected_false_hits(plates[:10], 1e4)
    begin = time.process_time()
    expected_false_hits(plates, 1e4)
    assert time.process_time() - begin < 1.0  # 0.25 s on an idle core


def test_the_measured_table_is_one_of_rates() -> None:
    assert 0 < MEASURED.read.sum(axis=1).max() < 0.1
    assert not np.diag(MEASURED.read).any()
    assert (np.diff(MEASURED.evident, axis=0) <= 1e-9).all()  # the more is asked, the rarer
    assert sum(share for share, _, _ in MEASURED.levels) == pytest.approx(1, abs=0.01)
    eight, letter_b = ALPHABET.index("8"), ALPHABET.index("B")
    assert MEASURED.evident[0, letter_b, eight] > 10 * MEASURED.evident[0, letter_b, ALPHABET.index("4")]


def test_what_is_not_matched_is_not_expected() -> None:
    plates = a_list(50)
    assert list(budget(plates, 1e4)) == [EXACT, CONFUSABLE]
    assert list(budget(plates, 1e4, EXACT)) == [EXACT]
    assert budget(plates, 1e4)[CONFUSABLE] == expected_false_hits(plates, 1e4)[CONFUSABLE]
