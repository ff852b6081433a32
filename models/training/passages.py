"""Passages of rendered plates, read and fused by the unit's own code: what hits and their errors are counted on.

A plate is drawn once, as it hangs on a car, and seen in three to six frames, a little larger in each, with corners
that err as the detector's do. In every second passage all frames have the same light, dirt and smear, because that is
how pictures of one car are: what misleads one frame misleads the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import layouts as looks
import numpy as np
import numpy.typing as npt
from degrade import degrade
from glyphs import Gray
from plates import PlateRenderer
from population import draw

from edge_anpr.datatypes import Box, PlateDetection, PlateRead, Track
from edge_anpr.plates.layouts import LAYOUTS, Layout
from edge_anpr.plates.text import reveal
from edge_anpr.unit.pipeline import LEAST_HIT_CONFIDENCE, is_plate
from edge_anpr.vision.fuse import Passage
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.rectify import MARGINS

DETECTOR_SCORE = 0.9
# Far and near on the road, as a unit takes them: the first frame of a passage, log-uniform.
WIDTHS_PX = (45.0, 150.0)
GROWTH = 1.05
TWO_ROWS = 0.1
_BANDS = {"DE": "D", "BE": "B", "LU": "L", "FR": "F", "IT": "I", "ES": "E", "AT": "A", "HU": "H", "SE": "S", "NO": "N"}
_STYLES = {"NL": ("NL",), "BE": ("red-on-white",), "LU": ("yellow",), "GB": ("white", "yellow"), "DK": ("white-eu",)}


@dataclass(frozen=True, slots=True)
class Seen:
    """One passage: what stood on the plate, its layout, and what was read, None where the unit would match nothing."""

    text: str
    layout: Layout
    read: PlateRead | None


def passages(seed: int, reader: Reader, faces: Literal["drawn"] | None = None) -> Iterator[Seen]:
    """Passages without end of a traffic whose plates are drawn by their share of the road; ``faces``: see `plates`."""
    rng = np.random.default_rng(seed)
    renderer = PlateRenderer(rng, faces)
    shares = np.array([layout.share for layout in LAYOUTS])
    while True:
        layout = LAYOUTS[int(rng.choice(len(LAYOUTS), p=shares / shares.sum()))]
        text = reveal(draw(layout, 1, rng)[0])
        yield Seen(text, layout, gated(drive(_rows(text, layout, rng), layout, renderer, reader, rng)))


def drive(
    rows: list[str], layout: Layout, renderer: PlateRenderer, reader: Reader, rng: np.random.Generator
) -> PlateRead | None:
    """The fused read of one vehicle's passage; its plate carries ``rows``, with marks."""
    styles = _STYLES.get(layout.country, ("white-eu", "white-eu", "white"))
    width = float(np.exp(rng.uniform(*np.log(WIDTHS_PX))))
    plate = renderer.worn(
        rows, styles[int(rng.integers(len(styles)))], _BANDS.get(layout.country, layout.country), width
    )
    lean, around = rng.normal(0, 0.05, 2), float(rng.uniform(0, 230))
    weather = int(rng.integers(2**32)) if rng.random() < 0.5 else None
    passage = Passage()
    for number in range(int(rng.integers(3, 7))):
        turned = lean + rng.normal(0, 0.01, 2)
        luma, quad = _see(plate, width * GROWTH**number, turned, around)
        cap_px = 0.7 * float(quad[3, 1] - quad[0, 1]) / len(rows)
        luma = degrade(luma, np.random.default_rng(weather) if weather is not None else rng, max(cap_px, 4.0))
        size = quad[1, 0] - quad[0, 0], quad[3, 1] - quad[0, 1]
        quad += rng.normal(0, 1, (4, 2)) * (0.012 * size[0], 0.035 * size[1])
        box = Box(float(quad[0, 0]), float(quad[0, 1]), float(size[0]), float(size[1]))
        detection = PlateDetection(box, quad.astype(np.float32), DETECTOR_SCORE)
        passage.add(*reader.read(luma, [detection], MARGINS[number % len(MARGINS)]))
    return passage.fuse()


def gated(read: PlateRead | None) -> PlateRead | None:
    """The read, if the unit would match it."""
    track = Track(1, 0, 0, 0, 1, PlateDetection(Box(0, 0, 1, 1), np.zeros((4, 2), np.float32), 0.9), DETECTOR_SCORE)
    return read if read and is_plate(read, track) and read.confidence >= LEAST_HIT_CONFIDENCE else None


def _rows(text: str, layout: Layout, rng: np.random.Generator) -> list[str]:
    """The text with marks between its groups as the country sets them, in one row or two."""
    marks = {"NL": "-", "BE": "-", "SE": " ", "FR": "-", "DE": "*"}.get(layout.country, " -* "[int(rng.integers(4))])
    characters = iter(text)
    marked = "".join(marks if slot == "-" else next(characters) for slot in layout.pattern)
    if rng.random() >= TWO_ROWS:
        return [marked]
    return [row for row in looks.two_rows(marked, rng) if row]


def _see(
    plate: Gray, width: float, turned: npt.NDArray[np.float64], around: float
) -> tuple[Gray, npt.NDArray[np.float64]]:
    """The plate ``width`` px wide on its car, leaning and rolled by ``turned``: the picture, and its corners there."""
    high, wide = plate.shape
    height = width * high / wide
    if width < 0.8 * wide:
        plate = np.asarray(cv2.GaussianBlur(plate, (0, 0), 0.38 * wide / width), np.uint8)
    room_x, room_y = 0.2 * width, 0.5 * height
    quad = np.array([[0, 0], [width, 0], [width, height], [0, height]]) + np.array((room_x, room_y))
    quad[:2, 0] += turned[0] * height / 2
    quad[2:, 0] -= turned[0] * height / 2
    quad[[1, 2], 1] += turned[1] * width / 4
    flat = np.array([[0, 0], [wide, 0], [wide, high], [0, high]])
    way = cv2.getPerspectiveTransform((flat - 0.5).astype(np.float32), (quad - 0.5).astype(np.float32))
    size = (round(width + 2 * room_x), round(height + 2 * room_y))
    seen = cv2.warpPerspective(
        plate, way, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=around
    )
    return np.asarray(seen, np.uint8), quad
