import numpy as np
import pytest

from edge_anpr.datatypes import Box, PlateDetection, PlateRead, Track
from edge_anpr.plates.text import encode
from edge_anpr.unit.pipeline import is_plate


def passage(
    text: str, score: float = 0.9, sure: float = 0.97, *, least: float | None = None, frames: int = 10, agree: int = 8
) -> tuple[PlateRead, Track]:
    """A fused read whose characters are all ``sure``, but for one that is ``least``."""
    confidence = np.full(len(text), sure, np.float32)
    if least is not None:
        confidence[0] = least
    read = PlateRead(encode(text), np.zeros((len(text), 36), np.float32), confidence, None, None, frames, agree)
    detection = PlateDetection(Box(0, 0, 100, 20), np.zeros((4, 2), np.float32), score)
    return read, Track(1, 0, frames, frames, frames, detection, score)


@pytest.mark.parametrize(
    ("text", "score", "expected"),
    [
        ("DB01DB", 0.5, True),  # a Dutch sidecode needs little more than a look
        ("DB01DB", 0.4, False),
        ("K4X4J4", 0.5, False),  # letters and digits in no country's order: a personal plate, or lettering
        ("K4X4J4", 0.7, True),
        ("TAXIBUS", 0.7, False),  # a word, and a telephone number
        ("0201234567", 0.7, False),
        ("TAXIBUS", 0.9, True),
    ],
)
def test_what_is_not_written_like_a_plate_must_be_surer(text: str, score: float, expected: bool) -> None:
    assert is_plate(*passage(text, score)) is expected


def test_one_guessed_character_is_enough_to_doubt_the_plate() -> None:
    assert is_plate(*passage("DB01DB", least=0.35))
    assert not is_plate(*passage("DB01DB", least=0.25))


def test_a_lamp_that_says_something_else_in_each_frame_is_no_plate() -> None:
    assert is_plate(*passage("DB01DB", frames=20, agree=4))
    assert not is_plate(*passage("DB01DB", frames=40, agree=4))
    assert not is_plate(*passage("DB01DB", frames=2, agree=1))
    assert is_plate(*passage("DB01DB", frames=1, agree=1), still=True)


def test_a_parked_car_stays_a_plate_however_long_it_is_seen() -> None:
    assert is_plate(*passage("DB01DB", frames=100_000, agree=40))


def test_two_or_three_characters_are_no_plate() -> None:
    assert not is_plate(*passage("DB1", score=1.0, sure=1.0))
