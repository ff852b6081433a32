"""Corners of plates in clips, against labels of single frames and against what a clip's labels say together."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from evaluate_detector import AP_THRESHOLD, find
from figures import Figures
from splits import FloatArray, Gray

from edge_anpr.vision.detect import Detector
from edge_anpr.vision.session import Network

# The blue strip of a Dutch plate, in plate widths (44 of 520 mm): nl_clips labels leave it out, the detector does not.
STRIP = 0.085
# The flat plate, with room around it, on which frames of a clip are laid upon each other; how well they must fit.
FLAT = np.array([[50, 25], [450, 25], [450, 125], [50, 125]], np.float32)
FLAT_SIZE, LEAST_FIT = (500, 150), 0.9


@dataclass(frozen=True, slots=True)
class Labelled:
    """One frame of a clip: its picture, the label [4,2], what was found [4,2] less its strip, both in pixels."""

    gray: Gray
    label: FloatArray
    found: FloatArray

    def off(self, one: FloatArray, other: FloatArray) -> float:
        """Mean distance of four corners, in widths of the label."""
        return float(np.linalg.norm(one - other, axis=1).mean() / np.linalg.norm(self.label[1] - self.label[0]))


def corners(folder: Path, network: Network, figures: Figures) -> None:
    """Distance of the corners from the labels; from the mean of a clip's labels; and of the labels from that mean.

    People who click corners miss by a pixel or two, now here, now there: the picture itself says where a corner of one
    frame lies in another.
    """
    clips = _seen(folder, network)
    single = [it.off(it.found, it.label) for clip in clips for it in clip]
    from_mean, wander = [], []
    for clip in clips:
        ways = [way_between(clip[0], it) for it in clip]
        known = [(it, way) for it, way in zip(clip, ways, strict=True) if way is not None]
        if len(known) < len(clip) / 2:
            continue
        laid = [_moved(it.label, np.linalg.inv(way)) for it, way in known]
        mean = np.asarray(np.mean(laid, axis=0), np.float32)
        for it, way in known:
            from_mean.append(it.off(it.found, _moved(mean, way)))
            wander.append(it.off(it.label, _moved(mean, way)))
    for what, errors in (
        ("error of the corners, median", single),
        ("error of the corners from the mean of a clip's labels, median", from_mean),
        ("distance of one label from the mean of its clip's, median", wander),
    ):
        if errors:
            figures.numbers[f"nl_clips: {what}, % of plate width"] = round(100 * statistics.median(errors), 2)


def _seen(folder: Path, network: Network) -> list[list[Labelled]]:
    """The labelled frames, clip by clip."""
    detector = Detector(network, AP_THRESHOLD)
    clips: dict[str, list[Labelled]] = defaultdict(list)
    for row in map(json.loads, (folder / "labels.jsonl").read_text().splitlines()):
        gray = np.asarray(cv2.imread(str(folder / row["image"]), cv2.IMREAD_GRAYSCALE), np.uint8)
        for quad in np.asarray(row["quads"], np.float32):
            near = min(
                find(detector, gray), key=lambda it: float(np.linalg.norm((it.quad - quad).mean(0))), default=None
            )
            if near is not None:
                found = near.quad.copy()
                found[0] += STRIP * (near.quad[1] - near.quad[0])
                found[3] += STRIP * (near.quad[2] - near.quad[3])
                clips[row["clip"]].append(Labelled(gray, quad, found))
    return list(clips.values())


def way_between(first: Labelled, then: Labelled) -> FloatArray | None:
    """The homography from one frame's plate to the same plate in another, by their pictures; None when they differ."""
    from_first, from_then = (cv2.getPerspectiveTransform(it.found, FLAT) for it in (first, then))
    one = cv2.warpPerspective(first.gray, from_first, FLAT_SIZE)
    other = cv2.warpPerspective(then.gray, from_then, FLAT_SIZE)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 300, 1e-6)
    try:
        fit, between = cv2.findTransformECC(one, other, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria)
    except cv2.error:  # it does not converge
        return None
    return np.asarray(np.linalg.inv(from_then) @ between @ from_first, np.float32) if fit >= LEAST_FIT else None


def _moved(quad: FloatArray, way: FloatArray) -> FloatArray:
    return np.asarray(cv2.perspectiveTransform(quad[None], way)[0], np.float32)
