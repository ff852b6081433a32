"""Plates that might be registered: texts of a layout, drawn evenly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_anpr.plates.layouts import Layout
from edge_anpr.plates.text import encode


def draw(layout: Layout, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Texts of a layout as classes, uint8 (count, characters)."""
    slots = [encode(slot) for slot in layout.slots]
    texts = np.stack([slot[rng.integers(len(slot), size=count)] for slot in slots], axis=1)
    if layout.codes:
        codes = np.stack([encode(code) for code in layout.codes])
        texts[:, layout.code_at : layout.code_at + codes.shape[1]] = codes[rng.integers(len(codes), size=count)]
    return texts
