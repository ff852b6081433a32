"""The clip of the soak: a small road, mostly empty, with drawn cars whose plates were never issued.

It is the upper left quarter of the picture, and the unit looks at that alone: so a million frames take an hour.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from proof_clip import Road, never_issued

WIDTH, HEIGHT, FPS = 320, 192, 12
REGION = "{width: 0.5, height: 0.5}"
VEHICLES, BETWEEN, EMPTY = 24, 20, 1632
SEED = 24


def draw(path: Path) -> list[str]:
    """Write it to ``path``; the plates in it."""
    plates = [plate.replace("-", "") for plate in never_issued(VEHICLES, SEED)]
    large = path.with_stem("large")
    road = Road(large, SEED)
    for plate in never_issued(VEHICLES, SEED):
        road.traffic([plate])
        road.empty(BETWEEN)
    road.empty(EMPTY)
    road.close()
    film = cv2.VideoCapture(str(large))
    small = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (2 * WIDTH, 2 * HEIGHT))
    whole = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    while (read := film.read())[0]:
        half = cv2.resize(read[1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        top = (half.shape[0] - HEIGHT) // 2
        whole[:HEIGHT, :WIDTH] = half[top : top + HEIGHT]
        small.write(whole)
    film.release()
    small.release()
    large.unlink()
    return plates
