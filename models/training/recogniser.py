"""RapidOCR's recogniser (PP-OCR, Apache-2.0): labels real rows, and is measured beside ours; the file that names it."""

from __future__ import annotations

from typing import Any

import cv2
from splits import Gray

from edge_anpr.plates.text import ALPHABET


class Recogniser:
    """RapidOCR's recogniser for one line of text."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR  # noqa: PLC0415 - only who labels or compares needs it

        self._engine: Any = RapidOCR(
            params={"Global.use_det": False, "Global.use_cls": False, "Global.log_level": "error",
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1}
        )  # fmt: skip

    def read(self, gray: Gray) -> tuple[str, float]:
        """What stands there, A–Z0–9, and how sure it is."""
        found = self._engine(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), use_det=False, use_cls=False, use_rec=True)
        if not found.txts:
            return "", 0.0
        return "".join(c for c in found.txts[0].upper() if c in ALPHABET), float(found.scores[0])
