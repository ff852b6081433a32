"""Text that cameras and recorders write over their pictures: times, names, speeds. None of it is a plate.

It lies straight in the picture, free of the lens's blur and the sensor's noise, and mostly at the border.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from faces import font_files
from pasting import FloatArray, Gray, apart

#: Set in so many pixels, and made smaller from there: to these, or this share of a picture's height.
_SET_PX, _LEAST_PX, _MOST_SHARE = 48, 5.0, 0.11
_NONE = np.zeros((0, 4), np.float32)
Font = Path | int
#: With which many a recorder writes, and which need neither a file nor Pillow.
OPENCV_FONTS: list[Font] = [
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
]


def learnt_fonts() -> list[Font]:
    """Every second one of the cache (`fonts.sh`), and OpenCV's."""
    return [*font_files()[::2], *OPENCV_FONTS]


def measured_fonts() -> list[Font]:
    """The others."""
    return [*font_files()[1::2]]


class Captions:
    """Writes captions over pictures; all chance comes from `rng`."""

    def __init__(self, rng: np.random.Generator, fonts: list[Font]) -> None:
        self._rng, self._fonts = rng, fonts

    def write(self, picture: Gray, plates: FloatArray = _NONE) -> None:
        """Write one over a picture, mostly at its upper or lower border; not over plates, boxes [n,4] x1 y1 x2 y2."""
        rng = self._rng
        gray, cover = self.draw()
        height, width = picture.shape
        tall = float(np.exp(rng.uniform(np.log(_LEAST_PX), np.log(max(_MOST_SHARE * height, 2 * _LEAST_PX)))))
        size = round(gray.shape[1] * tall / gray.shape[0] * float(rng.uniform(0.85, 1.2))), round(tall)
        free = width - size[0], height - size[1]
        if min(*size, *free) < 4:
            return
        aside, edge = int(rng.integers(min(free[0], 16))), int(rng.integers(max(free[1] // 8, 1)))
        left = int(rng.choice([aside, free[0] - aside, free[0] // 2, int(rng.integers(free[0]))]))
        top = int(rng.choice([edge, free[1] - edge, int(rng.integers(free[1]))], p=[0.43, 0.43, 0.14]))
        if not apart(np.array([left, top, left + size[0], top + size[1]], np.float32), plates):
            return
        spot = picture[top : top + size[1], left : left + size[0]]
        grays, share = (
            cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32) for part in (gray, cover)
        )
        spot[:] = np.clip(spot + (grays - spot) * (share / 255) + 0.5, 0, 255).astype(np.uint8)

    def draw(self) -> tuple[Gray, Gray]:
        """One line: its grays and how far it covers the picture, both uint8 [h,w], in no size to be kept."""
        rng = self._rng
        boxed = rng.random() < 0.22
        ink = self._set(text(rng, boxed=boxed))
        ground, letter = (0, 255) if rng.random() < 0.75 else (255, 0)
        if boxed:
            across, down = (max(2, round(_SET_PX * float(rng.uniform(0.05, 0.4)))) for _ in range(2))
            ink = np.asarray(cv2.copyMakeBorder(ink, down, down, across, across, cv2.BORDER_CONSTANT), np.uint8)
            solid = 255 if rng.random() < 0.6 else int(rng.uniform(80, 220))
            cover = np.maximum(ink, np.uint8(solid))
        elif rng.random() < 0.6:  # with an outline, so that it can be read on any ground
            wide = int(rng.integers(2, 6))
            ink = np.asarray(cv2.copyMakeBorder(ink, wide, wide, wide, wide, cv2.BORDER_CONSTANT), np.uint8)
            cover = np.asarray(cv2.dilate(ink, np.ones((2 * wide + 1, 2 * wide + 1), np.uint8)), np.uint8)
        else:
            return np.full_like(ink, letter), ink
        share = ink.astype(np.float32) / 255
        return (ground + (letter - ground) * share).astype(np.uint8), cover

    def _set(self, line: str) -> Gray:
        """The ink of a line, 0..255, cut close."""
        font = self._fonts[int(self._rng.integers(len(self._fonts)))]
        if isinstance(font, int):
            scale = _SET_PX / 30
            (width, height), below = cv2.getTextSize(line, font, scale, 3)
            ink = np.zeros((height + 2 * below + 6, width + 6), np.uint8)
            place = (3, height + below)
            cv2.putText(ink, line, place, font, scale, 255, int(self._rng.integers(2, 6)), cv2.LINE_AA)
        else:
            from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - OpenCV's fonts must work without Pillow

            face = ImageFont.truetype(str(font), _SET_PX)
            left, top, right, bottom = (round(side) for side in face.getbbox(line))
            image = Image.new("L", (max(right - left, 4) + 4, max(bottom - top, 4) + 4))
            ImageDraw.Draw(image).text((2 - left, 2 - top), line, font=face, fill=255)
            ink = np.asarray(image, np.uint8)
        rows, columns = np.flatnonzero(ink.max(1)), np.flatnonzero(ink.max(0))
        return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else ink


def text(rng: np.random.Generator, *, boxed: bool) -> str:
    """What is written over pictures. On a box of its own a camera's name is not made of a plate's characters."""

    def some(of: str, least: int, most: int) -> str:
        return "".join(rng.choice(list(of), int(rng.integers(least, most, endpoint=True))))

    def number(below: int, digits: int = 2) -> str:
        return f"{int(rng.integers(below)):0{digits}}"

    capitals, digits = string.ascii_uppercase, string.digits
    day = number(28), number(12), f"20{number(30)}"
    date = str(rng.choice(["-", "/", "."])).join(day if rng.random() < 0.5 else day[::-1])
    clock = f"{number(24)}:{number(60)}:{number(60)}"
    kinds: list[Callable[[], str]] = [
        lambda: f"{date} {clock}",
        lambda: date,
        lambda: clock,
        lambda: clock[:5],
        lambda: f"{rng.choice(['REC', 'LIVE', 'PLAY', 'AM', 'PM'])} {clock[: int(rng.choice([5, 8]))]}",
        lambda: f"{rng.choice(['CAM', 'CH', 'CAM ', 'CH ', 'Camera ', 'CAMERA ', 'Channel ', 'Ch'])}{number(17, 1)}",
        lambda: f"{rng.choice(['CAM', 'CH', 'D', 'A', 'V'])}{number(17)}",
        lambda: f"{number(150, 1)} {rng.choice(['KM/H', 'km/h', 'kmh', 'MPH', 'mph'])}",
        lambda: f"N{rng.uniform(0, 90):.{rng.integers(3, 7)}f} E{rng.uniform(0, 180):.{rng.integers(3, 7)}f}",
        lambda: f"{rng.uniform(0, 90):.4f} {rng.uniform(0, 180):.4f} {number(150, 1)}km/h",
        lambda: f"{number(60, 1)}fps {number(9000, 1)}kbps",
        lambda: " ".join(some(capitals, 2, 8).title() for _ in range(int(rng.integers(1, 4)))),
        lambda: " ".join(some(capitals, 2, 8) for _ in range(int(rng.integers(1, 4)))),
    ]
    if not boxed:
        kinds += [
            lambda: some(capitals + digits, 3, 8),
            lambda: f"{some(capitals, 2, 4)}-{some(digits, 2, 4)}",
            lambda: f"{some(capitals, 3, 3)}-{some(capitals, 2, 2)}{some(digits, 4, 4)}",
        ]
    return kinds[int(rng.integers(len(kinds)))]()
