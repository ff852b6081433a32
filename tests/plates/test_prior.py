import itertools

import numpy as np
import pytest

from edge_anpr.plates.prior import TABLES, all_together, likelihoods, passing
from edge_anpr.plates.text import encode


def likelihood(text: str) -> float:
    return float(likelihoods(encode(text)[None])[0])


def test_the_likelihoods_of_all_texts_add_up_to_the_share_of_their_length() -> None:
    characters = np.arange(36, dtype=np.uint8)
    texts = np.array(list(itertools.product(characters, repeat=3)), np.uint8)
    total = float(likelihoods(texts).sum())
    assert total == pytest.approx(all_together(np.ones((3, 36))), rel=1e-9)
    everything = sum(all_together(np.ones((length, 36))) for length in TABLES)
    assert everything == pytest.approx(1, rel=1e-9)


def test_a_weighted_sum_counts_only_what_the_weights_leave() -> None:
    rng = np.random.default_rng(1)
    length, few = 6, 3
    weights = np.zeros((length, 36))
    choices = [rng.choice(36, few, replace=False) for _ in range(length)]
    for place, chosen in enumerate(choices):
        weights[place, chosen] = rng.random(few)
    # a German district among them, so that whole codes are summed
    weights[:2, [encode("H")[0]]] = 0.5
    texts = np.array(list(itertools.product(*[np.flatnonzero(row) for row in weights])), np.uint8)
    by_hand = sum(
        like * weights[np.arange(length), text].prod() for like, text in zip(likelihoods(texts), texts, strict=True)
    )
    assert all_together(weights) == pytest.approx(by_hand, rel=1e-9)


def test_what_fits_no_layout_is_unlikely_but_possible() -> None:
    assert 0 < likelihood("QQ1QQ1QQ") < likelihood("1DBD01") / 1000
    assert likelihood("QQ1QQ1QQQQ1Q") > 0  # no layout is as long


def test_a_registered_plate_is_met_more_often_than_a_text_of_which_nothing_is_known() -> None:
    assert passing("NL") > likelihood("1DBD01")
    assert passing("NL") > passing("DE") > 0  # a Dutch road
    assert passing("XX") > 0
