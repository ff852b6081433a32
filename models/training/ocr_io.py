"""What goes into the OCR and what comes out of it, without torch: the crop's geometry, contrast, and greedy CTC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = 0
CROP_H, CROP_W = 32, 128
TARGET_STD, MIN_STD, MEAN = 52.0, 6.0, 128.0


def standardise(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bring crops, uint8 [N,32,128], to one mean and contrast; the same in training and on the unit."""
    x = crops.astype(np.float32)
    mean = x.mean((1, 2), keepdims=True)
    std = x.std((1, 2), keepdims=True)
    out = np.rint((x - mean) * (TARGET_STD / np.maximum(MIN_STD, std)) + MEAN)
    return np.asarray(np.clip(out, 0, 255), np.uint8)


def decode(logits: npt.NDArray[np.float32]) -> list[str]:
    """Greedy CTC: best class a step, repeats merged, blanks dropped; logits [N,T,37]."""
    texts = []
    for best in logits.argmax(-1):
        keep = best[np.flatnonzero(np.diff(best, prepend=-1) != 0)]
        texts.append("".join(ALPHABET[k - 1] for k in keep if k != BLANK))
    return texts


def fold(text: str) -> str:
    """Merge what no plate face tells apart: O with 0, I with 1."""
    return text.replace("O", "0").replace("I", "1")
