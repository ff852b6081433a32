import itertools

import numpy as np
import pytest

from edge_anpr.plates.prior import likelihoods, passing
from edge_anpr.plates.text import ALPHABET, encode
from edge_anpr.watch.confusion import MEASURED
from edge_anpr.watch.probability import DRIVES, chance, listed_probability


def seen(text: str, sure: float = 0.97, **other: float) -> np.ndarray:
    posteriors = np.full((len(text), 36), 2e-4, np.float32)
    posteriors[np.arange(len(text)), encode(text)] = sure
    for name, mass in other.items():
        posteriors[int(name[-1]), ALPHABET.index(name.strip("_")[0])] = mass
    return posteriors


def test_it_is_bayes_over_every_text_there_is() -> None:
    rng = np.random.default_rng(5)
    posteriors = rng.dirichlet(np.full(36, 0.05), 3).astype(np.float32)
    listed = posteriors.argmax(axis=1).astype(np.uint8)
    texts = np.array(list(itertools.product(range(36), repeat=3)), np.uint8)
    evidence = ((posteriors[np.arange(3), texts].astype(np.float64) + 1e-3) ** 2).prod(axis=1)
    prior = likelihoods(texts)
    own = int(np.flatnonzero((texts == listed).all(axis=1))[0])
    met = passing("NL") * DRIVES * evidence[own]
    others = (prior * evidence).sum() - prior[own] * evidence[own]
    got = chance(posteriors, listed, "NL", sharpness=2.0, doubt=1e-3, slips=0.01)
    assert got == pytest.approx(0.99 * met / (met + others), rel=1e-6)


def test_a_clear_read_is_as_sure_as_slips_allow_and_no_surer() -> None:
    sure = listed_probability(seen("DB001D"), encode("DB001D"), "NL")
    assert 1 - MEASURED.slips - 0.01 < sure < 1 - MEASURED.slips


def test_the_less_the_picture_speaks_for_it_the_less_it_is_likely() -> None:
    chances = [listed_probability(seen("DB001D", M0=mass), encode("MB001D"), "NL") for mass in (0.9, 0.5, 0.1, 0.01)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.3
    assert chances[-1] < 0.01


def test_of_two_texts_that_look_alike_the_one_that_is_likelier_to_pass_is_likelier() -> None:
    either = seen("DB001D", 0.5, O2=0.5)
    assert listed_probability(either, encode("DB001D"), "NL") > 0.9  # no other plate in Europe looks like it
    elsewhere = listed_probability(either, encode("DBO01D"), "XX")
    assert elsewhere < 0.1


def test_a_country_of_many_vehicles_that_are_seldom_here_makes_a_listed_one_less_likely() -> None:
    doubtful = seen("BAB1234", 0.6, R1=0.3)
    assert listed_probability(doubtful, encode("BAB1234"), "DE") < listed_probability(doubtful, encode("BAB1234"), "NL")
