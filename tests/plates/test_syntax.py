import numpy as np
import pytest

from edge_anpr.plates.syntax import decide, fitting, grouped
from edge_anpr.plates.text import ALPHABET, encode, reveal

# One plate per Dutch sidecode, with letters that its series use.
DUTCH = [
    "DB0101", "0102DB", "01DB02", "DB01DB", "DBDB01", "01DBDB", "01DBD1",
    "1DBD01", "DB001D", "D001DB", "DBD01D", "D01DBD", "1DB001", "001DB1",
]  # fmt: skip


def seen(text: str, **doubts: float) -> np.ndarray:
    """Posteriors of a clear reading of ``text``; O=.4 gives every O or 0 of it that much mass on O."""
    posteriors = np.full((len(text), 36), 0.0001, np.float32)
    for position, character in enumerate(text):
        posteriors[position, ALPHABET.index(character)] = 0.99
    for letter, mass in doubts.items():
        digit = {"O": "0", "I": "1"}[letter]
        for position, character in enumerate(text):
            if character in (letter, digit):
                posteriors[position, ALPHABET.index(letter)] = mass
                posteriors[position, ALPHABET.index(digit)] = 0.99 - mass
    return posteriors


@pytest.mark.parametrize("number", range(1, 15))
def test_each_dutch_sidecode_fits_its_own_plate(number: int) -> None:
    names = [layout.name for layout in fitting(encode(DUTCH[number - 1]), "NL")]
    assert f"sidecode {number}" in names


@pytest.mark.parametrize("text", ["DBDBDB", "010203", "QA12CE", "1D2B3D", "DB01"])
def test_what_the_netherlands_never_wrote_fits_no_sidecode(text: str) -> None:
    assert not [layout for layout in fitting(encode(text), "NL") if int(layout.name.split()[1]) > 3]


def test_a_layout_decides_between_o_and_0_where_the_picture_cannot() -> None:
    classes, confidences, _ = decide(seen("2OKBF1", O=0.6))
    assert reveal(classes) == "20KBF1"
    assert confidences[1] == pytest.approx(0.99, abs=0.01)


def test_a_clear_picture_of_an_unusual_plate_stands() -> None:
    classes, _, layout = decide(seen("O0O0O0O0O", O=0.5) * 0 + seen("QQOQQOQQQ"))
    assert reveal(classes) == "QQOQQOQQQ"
    assert layout is None


def test_the_country_is_told_only_where_no_other_fits() -> None:
    assert decide(seen("1DBD01"))[2].country == "NL"  # type: ignore[union-attr]
    assert decide(seen("DDDB12"))[2] is None  # Dutch sidecode 5, and Dresden with two letters
    assert decide(seen("DBDB12"))[2].country == "NL"  # type: ignore[union-attr] # no German district is DB


def test_grouping_follows_the_layout() -> None:
    assert grouped("1DBD01", "NL sidecode 8") == "1-DBD-01"
    assert grouped("1DBD01", None) == "1DBD01"
