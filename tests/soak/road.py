"""The clip of the soak: a small picture, mostly empty road, drawn cars with plates that were never issued."""

from __future__ import annotations

from pathlib import Path

import cv2
from proof_clip import Road, never_issued

WIDTH, HEIGHT, FPS = 320, 192, 12
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
    small = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    while (read := film.read())[0]:
        half = cv2.resize(read[1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        top = (half.shape[0] - HEIGHT) // 2
        small.write(half[top : top + HEIGHT])
    film.release()
    small.release()
    large.unlink()
    return plates
