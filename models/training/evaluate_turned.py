"""Drawn plates turned away below the camera, and rolled: how far off their corners are found, and how many are read."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from evaluate_detector import lay_in_light, plate_free
from figures import Figures, fold
from pasting import seen_quad
from plates import PlateRenderer
from splits import FloatArray, Gray

from edge_anpr.datatypes import Frame
from edge_anpr.plates.text import reveal
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network

TURNED, WIDTHS_PX = 600, (70.0, 220.0)
#: Degrees where each part of the table begins.
PARTS = (0, 10, 20, 30)


def turned(data: Path | None, network: Network, reader: Reader, figures: Figures) -> None:
    """Fill the figures: by how far a plate's corners are from right angles, and by how far it does not lie level."""
    detector = Detector(network, DETECTION_THRESHOLD)
    _family("sheared", 990_009, (60.0, 8.0), sheared, data, detector, reader, figures)
    _family("rolled", 990_010, (15.0, 36.0), rolled, data, detector, reader, figures)


def _family(
    what: str,
    seed: int,
    most: tuple[float, float],
    angle: Callable[[FloatArray], float],
    data: Path | None,
    detector: Detector,
    reader: Reader,
    figures: Figures,
) -> None:
    """One plate in each picture, turned and rolled by so much at ``most``; read as `edge-anpr read` reads a still."""
    rng = np.random.default_rng(seed)
    read: dict[int, list[bool]] = {begin: [] for begin in PARTS}
    away: dict[int, list[float]] = {begin: [] for begin in PARTS}
    with progress(TURNED, what) as step:
        for picture, quad, text in _pictures(rng, most, data):
            begin = max(begin for begin in PARTS if begin <= angle(quad))
            pipeline = Pipeline(detector, reader, Material.STILL)
            seen = [it.detection for it in pipeline.see(Frame(0, 0, picture, picture)).sightings]
            middle, width = quad.mean(0), float(np.linalg.norm(quad[1] - quad[0]))
            near = min(seen, key=lambda it: float(np.linalg.norm(it.quad.mean(0) - middle)), default=None)
            if near is not None and np.linalg.norm(near.quad.mean(0) - middle) < width / 4:
                away[begin].append(float(np.linalg.norm(near.quad - quad, axis=1).mean()) / width)
            found = [pipeline.fuse(track) for track in pipeline.tracker.finish()]
            read[begin].append(any(it is not None and fold(reveal(it.classes)) == fold(text) for it in found))
            step(1)
    for begin in PARTS:
        span = f"{what} by {begin}° and more" if begin == PARTS[-1] else f"{what} by {begin}° to {begin + 10}°"
        figures.counts.append((f"drawn plates {span}: read", sum(read[begin]), len(read[begin])))
        figures.numbers[f"drawn plates {span}: error of the corners, median, % of plate width"] = round(
            100 * statistics.median(away[begin]), 2
        )


def _pictures(
    rng: np.random.Generator, most: tuple[float, float], data: Path | None
) -> Iterator[tuple[Gray, FloatArray, str]]:
    """Pictures of 640 × 480, the corners [4,2] of the plate in each, and its text."""
    renderer = PlateRenderer(rng)
    grounds = plate_free(data, rng) if data else None
    for _ in range(TURNED):
        ground = next(grounds) if grounds else np.full((480, 640), int(rng.integers(40, 200)), np.uint8)
        picture = np.asarray(cv2.resize(ground, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
        plate = renderer.flat()
        aspect = plate.gray.shape[1] / plate.gray.shape[0]
        width = float(np.exp(rng.uniform(*np.log(WIDTHS_PX))))
        quad = seen_quad(rng, (0.0, 0.0), width, aspect, most[1], most[0])
        low, high = quad.min(0), quad.max(0)
        quad += np.asarray(rng.uniform(4, np.maximum(np.array([636, 476]) - (high - low), 5)) - low, np.float32)
        lay_in_light(picture, plate.gray, quad, rng)
        yield picture, quad, plate.text


def sheared(quad: FloatArray) -> float:
    """How far the corner between top and left side is from a right angle, in degrees."""
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    return float(np.degrees(np.arcsin(abs(along @ down) / (np.linalg.norm(along) * np.linalg.norm(down)))))


def rolled(quad: FloatArray) -> float:
    """How far a plate seen nearly straight on does not lie level, in degrees."""
    along = quad[1] + quad[2] - quad[0] - quad[3]
    return float(np.degrees(np.arctan2(abs(along[1]), along[0])))
