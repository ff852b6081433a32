"""What several tests of vision watch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest


@pytest.fixture
def resized(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The pictures that cv2.resize makes from now on, in their order."""
    made: list[np.ndarray] = []
    resize = cv2.resize

    def kept(*given: object, **more: object) -> np.ndarray:
        made.append(resize(*given, **more))  # type: ignore[call-overload]
        return made[-1]

    monkeypatch.setattr(cv2, "resize", kept)
    return made
