from types import SimpleNamespace

import numpy as np
import pytest

from edge_anpr.datatypes import Box, PlateDetection
from edge_anpr.plates.text import ALPHABET, reveal
from edge_anpr.vision.ocr import Reader, decode
from edge_anpr.vision.session import Card


def logits(path: str, sure: float = 12.0) -> np.ndarray:
    """CTC output whose best path is ``path``, one character a step, _ the blank (class 0)."""
    output = np.zeros((len(path), 37), np.float32)
    for step, character in enumerate(path):
        output[step, 0 if character == "_" else ALPHABET.index(character) + 1] = sure
    return output


@pytest.mark.parametrize(
    ("path", "text"), [("__Q_A_", "QA"), ("QQQ_AA", "QA"), ("1_1_11", "111"), ("____", ""), ("AB", "AB")]
)
def test_repeats_fold_unless_a_blank_parts_them(path: str, text: str) -> None:
    assert reveal(decode(logits(path), 0).argmax(axis=1).astype(np.uint8)) == text


def test_a_characters_row_is_that_of_its_surest_step() -> None:
    output = logits("QQQ")
    output[1, 1:] *= 0.2
    output[2, ALPHABET.index("O") + 1] = 11.0
    rows = decode(output, 0)
    assert rows.shape == (1, 36)
    assert rows[0, ALPHABET.index("Q")] == pytest.approx(1, abs=1e-3)
    assert rows[0, ALPHABET.index("O")] < 1e-4


def test_doubt_whether_there_is_a_character_lowers_its_row() -> None:
    output = logits("_Q_")
    output[1, 0] = 12.0 - 0.01
    assert decode(output, 0)[0].sum() == pytest.approx(0.5, abs=0.02)


class Scripted:
    """A network that says, of each crop in turn, what it is told; it keeps what it was shown."""

    def __init__(self, *texts: str) -> None:
        standard = {"target_std": 52, "min_std": 6, "mean": 128}
        self.card = Card("ocr", "ctc", 32, 128, "", {"input": {"standardise": standard}, "blank": 0})
        self._texts = list(texts)
        self.shown: list[np.ndarray] = []

    def bind(self, crops: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(run=lambda: self.run(crops))

    def run(self, crops: np.ndarray) -> list[np.ndarray]:
        self.shown += [crop[0].copy() for crop in crops]
        said = [self._texts.pop(0) for _ in crops]
        return [np.stack([logits("_".join(text).ljust(16, "_")) for text in said])]


def striped(width: int, height: int) -> np.ndarray:
    """A picture with upright stripes in its upper and a plain light in its lower half."""
    picture = np.full((height, width), 90, np.uint8)
    picture[: height // 2, ::4], picture[: height // 2, 1::4] = 240, 240
    picture[height // 2 :] = np.linspace(60, 200, width).astype(np.uint8)
    return picture


def plate(left: float, top: float, width: float, height: float, lean: float = 0.0) -> PlateDetection:
    quad = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], np.float32)
    quad[:2, 0] += lean
    return PlateDetection(Box(left, top, width, height), quad, 0.9)


def read(texts: list[str], *plates: PlateDetection, picture: np.ndarray | None = None) -> list[tuple[str, int, float]]:
    reader = Reader(Scripted(*texts))  # type: ignore[arg-type]
    shown = striped(400, 300) if picture is None else picture
    return [
        (reveal(reading.posteriors.argmax(axis=1).astype(np.uint8)), reading.rows, reading.clarity)
        for reading in reader.read(shown, list(plates))
    ]


def test_the_rows_of_a_square_plate_are_read_one_by_one_and_joined() -> None:
    ((text, rows, _),) = read(["", "QD", "53C"], plate(100, 100, 100, 70))
    assert (text, rows) == ("QD53C", 2)


def test_two_rows_of_which_one_says_nothing_are_no_reading() -> None:
    assert read(["", "QD53C", ""], plate(100, 100, 100, 70))[0][0] == ""


def test_where_both_shapes_are_possible_the_surer_stands() -> None:
    assert read(["QD53C", "QD", ""], plate(100, 100, 100, 48))[0][:2] == ("QD53C", 1)
    assert read(["", "QD", "53C"], plate(100, 100, 100, 48))[0][:2] == ("QD53C", 2)


def test_one_row_that_is_turned_far_away_is_as_narrow_as_two() -> None:
    assert read(["QD53C", "", ""], plate(100, 100, 100, 70))[0][:2] == ("QD53C", 1)


def test_more_rows_than_fit_a_batch_are_read_in_several() -> None:
    plates = [plate(10 + 30 * index, 20, 60, 40) for index in range(6)]
    texts = [part for index in range(6) for part in ("", "QD", f"5{index}C")]
    assert [text for text, _, _ in read(texts, *plates)] == [f"QD5{index}C" for index in range(6)]


def test_clarity_falls_with_size_blur_and_lean() -> None:
    clear = read(["QD"], plate(40, 10, 120, 26))[0][2]
    assert clear == pytest.approx(1.0, abs=0.05)
    assert read(["QD"], plate(40, 10, 40, 9))[0][2] < 0.35 * clear
    assert read(["QD"], plate(40, 180, 120, 26))[0][2] < 0.35 * clear  # a smooth ramp has no strokes
    assert read(["QD"], plate(40, 10, 120, 26, lean=26))[0][2] < 0.85 * clear
