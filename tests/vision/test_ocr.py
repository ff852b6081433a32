import numpy as np
import pytest

from edge_anpr.plates.text import ALPHABET, reveal
from edge_anpr.vision.ocr import decode


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
