"""Renders a clip of drawn cars with drawn plates that were never issued: what the proof of forgetting shows to a unit.

It needs no photos and no fonts. Every frame has its own noise, so that each row of pixels occurs once in the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from plates import PlateRenderer

Picture = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FPS = 640, 480, 25
FRAMES, GAP = 10, 2  # a vehicle is in view for the one and out of it for the other
LANES = (108.0, 320.0, 532.0)
PLATE_PX = (90, 140)  # where it comes into view, and where it leaves it
# Dutch series since 1978 have no vowels and no C or Q. I and O are left out: they are read as 1 and 0.
LETTERS = "ACEQU"
LAYOUTS = ("XX-999-X", "99-XXX-9", "X-999-XX", "9-XXX-99", "99-XX-XX", "XX-99-XX", "XX-XX-99")


@dataclass(frozen=True, slots=True)
class Passage:
    """A vehicle: its plate as a reader writes it, the first and last frame that show it, and its lane (px)."""

    plate: str
    first: int
    last: int
    lane: float


def never_issued(count: int, seed: int) -> list[str]:
    """So many different plates with dashes; two seeds of one proof share none when they differ in parity."""
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        layout = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
        text = "".join(
            LETTERS[int(rng.integers(len(LETTERS)))] if slot == "X" else str(rng.integers(10)) if slot == "9" else slot
            for slot in layout
        )
        plain = text.replace("-", "")
        if sum(int(character) for character in plain if character.isdigit()) % 2 == seed % 2:
            found.setdefault(plain, text)
    return list(found.values())


class Road:
    """Writes a clip to ``path``, lossy as a camera's: ``codec`` MJPG or mp4v."""

    def __init__(self, path: Path, seed: int, codec: str = "MJPG") -> None:
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, (WIDTH, HEIGHT))
        if not self._writer.isOpened():
            raise SystemExit(f"OpenCV {cv2.__version__} cannot write {codec} clips to {path}")
        self._rng = np.random.default_rng(seed)
        self._renderer = PlateRenderer(self._rng, faces="drawn")
        ground = self._rng.normal(105, 9, (HEIGHT, WIDTH, 1)) + self._rng.normal(0, 3, (HEIGHT, WIDTH, 3))
        self._ground = np.clip(cv2.GaussianBlur(ground, (0, 0), 1.2), 0, 255).astype(np.uint8)
        self._noise = [self._rng.normal(0, 4, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.int8) for _ in range(4)]
        self.frames = 0

    def empty(self, frames: int) -> None:
        """Show the road and nothing on it."""
        for _ in range(frames):
            self._write(self._ground)

    def traffic(self, plates: Sequence[str], abreast: int = 1, stop: bool = False) -> list[Passage]:
        """Let vehicles with these plates pass, at most three ``abreast``, one after the other in different lanes.

        ``stop``: the clip ends while the last are in view.
        """
        passages = []
        for begin in range(0, len(plates), abreast):
            lanes = [LANES[(begin + index) % 3] + float(self._rng.uniform(-8, 8)) for index in range(abreast)]
            flats = [self._renderer.flat(plate, "NL") for plate in plates[begin : begin + abreast]]
            paints = [self._rng.integers(20, 90, 3).tolist() for _ in flats]
            first = self.frames
            last = stop and begin + abreast >= len(plates)
            for step in range(FRAMES // 2 if last else FRAMES):
                canvas = self._ground.copy()
                for flat, paint, lane in zip(flats, paints, lanes, strict=False):
                    _draw(canvas, flat.bgr, paint, lane, (step + 1) / (FRAMES + 1))
                self._write(canvas)
            passages += [
                Passage(flat.text, first, self.frames - 1, lane) for flat, lane in zip(flats, lanes, strict=False)
            ]
            self.empty(0 if last else GAP)
        return passages

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()

    def _write(self, picture: Picture) -> None:
        noise = self._noise[int(self._rng.integers(len(self._noise)))]
        top, left = (int(value) for value in self._rng.integers(0, 64, 2))
        noisy = cv2.add(picture, noise[top : top + HEIGHT, left : left + WIDTH], dtype=cv2.CV_8U)
        self._writer.write(np.asarray(noisy, np.uint8))
        self.frames += 1


def _draw(canvas: Picture, plate: Picture, paint: Sequence[float], x: float, way: float) -> None:
    """Put a vehicle into the picture, ``way`` (0 to 1) down the road."""
    wide = PLATE_PX[0] + (PLATE_PX[1] - PLATE_PX[0]) * way
    high, y = wide * plate.shape[0] / plate.shape[1], 60 + (HEIGHT - 120) * way
    body = [round(value) for value in (x - 0.72 * wide, y - 1.1 * wide, x + 0.72 * wide, y + 0.3 * wide)]
    cv2.rectangle(canvas, (body[0], body[1]), (body[2], body[3]), paint, -1)
    lean = 0.02 * wide * float(np.sin(3 * way + x))
    left, right, top, bottom = x - wide / 2, x + wide / 2, y - high / 2, y + high / 2
    corners = np.array(
        [(left, top + lean), (right, top - lean), (right, bottom - lean), (left, bottom + lean)], np.float32
    )
    tall, broad = plate.shape[:2]
    flat = np.array([(0, 0), (broad, 0), (broad, tall), (0, tall)], np.float32)
    cv2.warpPerspective(
        cv2.GaussianBlur(plate, (0, 0), 0.4 * broad / wide),
        cv2.getPerspectiveTransform(flat - 0.5, corners - 0.5),
        (WIDTH, HEIGHT),
        dst=canvas,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
