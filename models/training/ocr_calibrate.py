"""How sure the OCR may say it is: one temperature for its logits, found on rendered plates that trained nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from figures import calibration_error, fold
from ocr_io import BLANK

from edge_anpr.plates.syntax import decide
from edge_anpr.plates.text import reveal
from edge_anpr.vision.ocr import decode

TEMPERATURES = np.round(np.arange(0.6, 2.01, 0.05), 2)


def temperature(logits: npt.NDArray[np.float32], texts: list[str]) -> tuple[float, dict[str, float]]:
    """The temperature at which a plate's probability comes true best; and the errors (ECE) before and after.

    `logits` [N,32,37]. A plate's probability is the product of its characters', which is what the unit says of one
    reading; O and 0, I and 1 count as one.
    """
    errors = {float(by): _error(logits / np.float32(by), texts) for by in (1.0, *TEMPERATURES)}
    best = min(errors, key=lambda by: errors[by])
    return best, {"plate_ece_before": round(errors[1.0], 4), "plate_ece_after": round(errors[best], 4)}


def _error(logits: npt.NDArray[np.float32], texts: list[str]) -> float:
    sure, right = [], []
    for output, text in zip(logits, texts, strict=True):
        classes, confidence = decide(decode(output, BLANK))
        if len(classes) and text:
            sure.append(float(confidence.prod()))
            right.append(fold(reveal(classes)) == fold(text))
    return calibration_error(np.array(sure), np.array(right))[0]
