"""Drawn roads of any size, as a unit's camera gives them: a full picture, and a second stream to detect on.

No picture and no plate of anybody: bodies are rectangles, plates were never issued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pasting import lay
from plates import PlateRenderer
from proof_clip import never_issued

from edge_anpr.datatypes import Corners, Frame, Gray

LORES_PX = 640  # a Pi's second stream is as wide as the detector's input
RUSTLES = 7


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A plate ``width`` px wide around (x, y), all in shares of the picture's width and height; and what it says."""

    x: float
    y: float
    width: float
    flat: Gray
    text: str


class Road:
    """A road ``width`` × ``height`` px large, filmed ``fps`` times a second."""

    def __init__(self, width: int, height: int, fps: float, seed: int = 1) -> None:
        self.width, self.height, self._fps = width, height, fps
        self._rng = np.random.default_rng(seed)
        self._renderer = PlateRenderer(self._rng, faces="drawn")
        coarse = self._rng.integers(70, 140, (9, 16)).astype(np.uint8)
        ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        self._ground = self._rustled(np.asarray(ground, np.uint8), 6.0)
        self._noise = [self._rng.normal(0, 3, self._second().shape).astype(np.int8) for _ in range(RUSTLES)]

    def plates(self, count: int, seed: int = 2) -> list[tuple[Gray, str]]:
        """So many Dutch plates, drawn flat, and their texts."""
        flats = [self._renderer.flat(plate, "NL") for plate in never_issued(count, seed)]
        return [(flat.gray, flat.text) for flat in flats]

    def frame(self, index: int, vehicles: Sequence[Vehicle]) -> Frame:
        """The road with these on it. Empty frames share one full picture; each second stream rustles."""
        luma = self._ground
        if vehicles:
            luma = luma.copy()
            for vehicle in vehicles:
                self._draw(luma, vehicle)
        lores = luma
        if self.width > LORES_PX:
            size = LORES_PX, round(self.height * LORES_PX / self.width)
            lores = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
        lores = np.asarray(cv2.add(lores, self._noise[index % RUSTLES], dtype=cv2.CV_8U), np.uint8)
        return Frame(index, round(index * 1e9 / self._fps), lores if luma.shape == lores.shape else luma, lores)

    def quad(self, vehicle: Vehicle) -> Corners:
        """Its plate's corners in the full picture."""
        wide = vehicle.width * self.width
        high = wide * vehicle.flat.shape[0] / vehicle.flat.shape[1]
        half = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)], np.float32) / 2
        lean = np.array([(0, 1), (0, -1), (0, -1), (0, 1)], np.float32) * np.float32(0.02 * wide)
        centre = np.array((vehicle.x * self.width, vehicle.y * self.height), np.float32)
        return np.asarray(half + lean + centre, np.float32)

    def _draw(self, luma: Gray, vehicle: Vehicle) -> None:
        quad = self.quad(vehicle)
        wide, (x, y) = vehicle.width * self.width, quad.mean(axis=0)
        body = [round(float(value)) for value in (x - 0.75 * wide, y - 0.9 * wide, x + 0.75 * wide, y + 0.3 * wide)]
        cv2.rectangle(luma, (body[0], body[1]), (body[2], body[3]), 45, -1)
        lay(luma, vehicle.flat, quad, blur=0.3)

    def _second(self) -> Gray:
        width = min(self.width, LORES_PX)
        return np.zeros((round(self.height * width / self.width), width), np.uint8)

    def _rustled(self, picture: Gray, by: float) -> Gray:
        noise = self._rng.normal(0, by, picture.shape).astype(np.int8)
        return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)
