"""Drawn plates turned away below the camera: how far off their corners are found, and how many are read."""

from __future__ import annotations

import statistics
from pathlib import Path

import cv2
import numpy as np
from evaluate_detector import lay_in_light, plate_free
from figures import Figures, fold
from pasting import seen_quad
from plates import PlateRenderer
from splits import FloatArray

from edge_anpr.datatypes import Frame
from edge_anpr.plates.text import reveal
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network

TURNED, WIDTHS_PX, TURN, TILT = 600, (70.0, 220.0), 60.0, 8.0
#: Degrees by which a plate's corners are not right angles any more, where each part of the table begins.
SHEARED = (0, 10, 20, 30)


def turned(data: Path | None, network: Network, reader: Reader, figures: Figures) -> None:
    """One plate in each picture of 640 × 480, seen from aside and above; read as `edge-anpr read` reads a still."""
    rng = np.random.default_rng(990_009)
    renderer = PlateRenderer(rng)
    grounds = plate_free(data, rng) if data else None
    detector = Detector(network, DETECTION_THRESHOLD)
    read: dict[int, list[bool]] = {begin: [] for begin in SHEARED}
    away: dict[int, list[float]] = {begin: [] for begin in SHEARED}
    with progress(TURNED, "turned") as step:
        for _ in range(TURNED):
            ground = next(grounds) if grounds else np.full((480, 640), int(rng.integers(40, 200)), np.uint8)
            picture = np.asarray(cv2.resize(ground, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
            plate = renderer.flat()
            aspect = plate.gray.shape[1] / plate.gray.shape[0]
            width = float(np.exp(rng.uniform(*np.log(WIDTHS_PX))))
            quad = seen_quad(rng, (0.0, 0.0), width, aspect, TILT, TURN)
            low, high = quad.min(0), quad.max(0)
            quad += np.asarray(rng.uniform(4, np.maximum(np.array([636, 476]) - (high - low), 5)) - low, np.float32)
            box = lay_in_light(picture, plate.gray, quad, rng)
            begin = max(begin for begin in SHEARED if begin <= sheared(quad))
            pipeline = Pipeline(detector, reader, Material.STILL)
            seen = [it.detection for it in pipeline.see(Frame(0, 0, picture, picture)).sightings]
            near = max(seen, key=lambda it: it.box.overlap(box), default=None)
            if near is not None and near.box.overlap(box) > 0.4:
                error = np.linalg.norm(near.quad - quad, axis=1).mean() / np.linalg.norm(quad[1] - quad[0])
                away[begin].append(float(error))
            found = [pipeline.fuse(track) for track in pipeline.tracker.finish()]
            read[begin].append(any(it is not None and fold(reveal(it.classes)) == fold(plate.text) for it in found))
            step(1)
    for begin in SHEARED:
        span = f"sheared by {begin}° and more" if begin == SHEARED[-1] else f"sheared by {begin}° to {begin + 10}°"
        figures.counts.append((f"drawn plates {span}: read", sum(read[begin]), len(read[begin])))
        figures.numbers[f"drawn plates {span}: error of the corners, median, % of plate width"] = round(
            100 * statistics.median(away[begin]), 2
        )


def sheared(quad: FloatArray) -> float:
    """How far the corner between top and left side is from a right angle, in degrees."""
    along, down = quad[1] - quad[0], quad[3] - quad[0]
    return float(np.degrees(np.arcsin(abs(along @ down) / (np.linalg.norm(along) * np.linalg.norm(down)))))
