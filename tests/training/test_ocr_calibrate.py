import numpy as np
import pytest
from ocr_calibrate import temperature
from ocr_io import ALPHABET


def outputs(count: int, margin: float, share_right: float) -> tuple[np.ndarray, list[str]]:
    """Logits that say one character with a margin over another, and are right in a share of the cases."""
    rng = np.random.default_rng(2)
    logits = np.full((count, 3, 37), -12.0, np.float32)
    logits[:, ::2, 0] = 12.0
    logits[:, 1, ALPHABET.index("K") + 1] = margin
    logits[:, 1, ALPHABET.index("X") + 1] = 0.0
    texts = ["K" if right else "X" for right in rng.random(count) < share_right]
    return logits, texts


@pytest.mark.parametrize(("margin", "share", "low", "high"), [(4.0, 0.9, 1.6, 2.0), (1.4, 0.88, 0.6, 0.85)])
def test_too_sure_a_network_is_cooled_and_too_modest_a_one_is_warmed(
    margin: float, share: float, low: float, high: float
) -> None:
    by, errors = temperature(*outputs(1500, margin, share))
    assert low <= by <= high
    assert errors["plate_ece_after"] < 0.025 < errors["plate_ece_before"]
