import numpy as np
import pytest

from edge_anpr.plates import syntax
from edge_anpr.plates.prior import any_fits
from edge_anpr.plates.syntax import decide, fitting, grouped, likely_layout
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
    classes, confidences = decide(seen("2OKBF1", O=0.6))
    assert reveal(classes) == "20KBF1"
    assert confidences[1] == pytest.approx(0.99, abs=0.01)


def test_a_clear_picture_of_an_unusual_plate_stands() -> None:
    classes, _ = decide(seen("O0O0O0O0O", O=0.5) * 0 + seen("QQOQQOQQQ"))
    assert reveal(classes) == "QQOQQOQQQ"
    assert likely_layout(classes) is None


def doubted(text: str, *doubts: tuple[int, str, float]) -> np.ndarray:
    """A clear reading of ``text``, but for places where another character has so much of its mass."""
    posteriors = seen(text)
    for place, character, mass in doubts:
        posteriors[place, ALPHABET.index(text[place])] -= mass
        posteriors[place, ALPHABET.index(character)] = mass
    return posteriors


def test_layouts_have_a_say_where_the_picture_leaves_two_characters_possible() -> None:
    classes, confidences = decide(doubted("DB37D8", (5, "B", 0.4)))
    assert reveal(classes) == "DB37DB"
    odds = 0.4 / 0.59 / 0.3
    assert confidences[5] == pytest.approx(0.99 * odds / (1 + odds), abs=0.01)
    assert confidences[:5] == pytest.approx(0.99, abs=0.01)
    assert reveal(decide(doubted("DB37D8", (5, "B", 0.1)))[0]) == "DB37D8"  # and the picture has the last word


def test_two_doubts_are_weighed_together() -> None:
    """Either of them alone fits no layout."""
    classes, _ = decide(doubted("5B37D8", (0, "S", 0.4), (5, "B", 0.4)))
    assert reveal(classes) == "SB37DB"


def test_what_layouts_say_makes_a_reading_that_fits_surer_and_another_less_sure() -> None:
    assert decide(doubted("DB37DB", (5, "5", 0.3)))[1][5] > 0.85
    assert decide(doubted("DB37D5", (5, "B", 0.13), (5, "K", 0.12)))[1][5] < 0.5
    assert decide(doubted("DB37D5", (5, "B", 0.2)))[1][5] == pytest.approx(0.79)  # no layout outweighs that


def test_two_ways_to_write_one_drawing_do_not_count_twice() -> None:
    """Belgium writes a D there, or an O; that it may also be a 0 makes neither of them likelier."""
    for text, place in (("1ADB123", 2), ("2DBD34", 1)):  # and the Netherlands here, or a 0
        _, confidences = decide(doubted(text, (place, "O", 0.3), (place, "0", 0.14)))
        assert confidences[place] == pytest.approx(0.55, abs=0.01)
    # Nor do they count for less where there are too many ways to weigh all of them.
    many = seen("0" * 12, O=0.4) * np.float32(0.9)
    assert decide(many)[1] == pytest.approx(0.9 * 0.99, abs=0.01)


def test_a_doubtful_character_beside_which_nothing_is_possible_stands() -> None:
    posteriors = np.full((4, 36), 0.3 / 35, np.float32)
    posteriors[np.arange(4), encode("HELP")] = 0.7
    classes, confidences = decide(posteriors)
    assert reveal(classes) == "HELP"
    assert confidences == pytest.approx(0.7)


@pytest.mark.parametrize("length", [1, 6, 12, 20])
def test_however_doubtful_a_text_is_few_ways_to_read_it_are_weighed(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weighed: list[int] = []

    def counted(texts: np.ndarray) -> np.ndarray:
        weighed.append(len(texts))
        return any_fits(texts)

    monkeypatch.setattr(syntax, "any_fits", counted)
    for likely in ("O", "K"):
        posteriors = np.full((length, 36), 0.026, np.float32)
        posteriors[:, ALPHABET.index(likely)] = 0.09
        classes, confidences = decide(posteriors)
        assert len(classes) == length
        assert ((confidences > 0) & (confidences <= 1)).all()
    assert max(weighed) <= 64


def test_the_country_is_told_only_where_no_other_fits() -> None:
    assert likely_layout(encode("1DBD01")).country == "NL"  # type: ignore[union-attr]
    assert likely_layout(encode("DDDB12")) is None  # Dutch sidecode 5, and Dresden with two letters
    assert likely_layout(encode("DBDB12")).country == "NL"  # type: ignore[union-attr] # no German district is DB


def test_grouping_follows_the_layout() -> None:
    assert grouped("1DBD01", "NL sidecode 8") == "1-DBD-01"
    assert grouped("1DBD01", None) == "1DBD01"
