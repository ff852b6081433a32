"""Measure a detector on labelled photos: AP50 and AP70, recall by plate width, error of the corners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import cv2
import numpy as np
import torch
from captions import OPENCV_FONTS
from detector_model import PAD, Decoded, Detector, FloatArray, decode
from glyphs import drawn_faces
from plates import PlateRenderer
from scenes import EXACT, SceneMaker
from splits import Gray, Photo

HEIGHT, WIDTH = 384, 640
WIDTH_BINS = (0, 16, 24, 32, 48, 64, 96, 160, 300, 450, 10_000)
#: Plates narrower than this in the network's picture are neither asked for nor counted as wrong.
LEAST_PX = 11.0

Infer = Callable[[Gray], tuple[FloatArray, FloatArray, FloatArray]]


class Figures(TypedDict):
    """What is measured: `recall` at score .4 by width in the network's picture, `corner` in plate widths."""

    ap50: float
    ap70: float
    plates: int
    recall: dict[str, str]
    false_per_photo: float
    corner: float | None


def fit(gray: Gray, height: int = HEIGHT, width: int = WIDTH) -> tuple[Gray, float]:
    """Shrink or enlarge a photo into the network's picture, padded at the right and below; and the scale."""
    scale = min(width / gray.shape[1], height / gray.shape[0])
    size = (min(width, round(gray.shape[1] * scale)), min(height, round(gray.shape[0] * scale)))
    picture = np.full((height, width), PAD, np.uint8)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture[: size[1], : size[0]] = cv2.resize(gray, size, interpolation=way)
    return picture, scale


def torch_infer(net: torch.nn.Module) -> Infer:
    """Wrap a network so that it maps one gray picture to score, box, quad arrays."""

    def infer(picture: Gray) -> tuple[FloatArray, FloatArray, FloatArray]:
        with torch.inference_mode():
            score, box, quad = net(torch.from_numpy(picture)[None, None])
        return score.sigmoid()[0].numpy(), box[0].numpy(), quad[0].numpy()

    return infer


def detect(
    net: Detector | Infer, gray: Gray, threshold: float = 0.05, height: int = HEIGHT, width: int = WIDTH
) -> Decoded:
    """Find plates in a photo; boxes and quads in the photo's own pixels."""
    infer = torch_infer(net) if isinstance(net, Detector) else net
    picture, scale = fit(gray, height, width)
    found = decode(*infer(picture), threshold=threshold)
    return Decoded(found.boxes / scale, found.quads / scale, found.scores)


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """IoU of boxes a [n,4] with boxes b [m,4]: [n,m]."""
    inter = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None)
    both = inter.prod(-1)
    areas = np.prod(a[:, 2:] - a[:, :2], -1)[:, None] + np.prod(b[:, 2:] - b[:, :2], -1)[None]
    return np.asarray(both / np.maximum(areas - both, 1e-6), np.float32)


def unlabelled(found: FloatArray, labels: FloatArray) -> FloatArray:
    """Those of the found boxes that lie on no label."""
    if not len(labels) or not len(found):
        return found
    middle = (found[:, :2] + found[:, 2:]) / 2
    after, before = middle[:, None] >= labels[None, :, :2], middle[:, None] <= labels[None, :, 2:]
    inside = np.all(np.logical_and(after, before), axis=-1)
    alone = (iou(found, labels).max(1) < 0.1) & ~np.any(inside, axis=1)
    return np.asarray(found[alone], np.float32)


def average_precision(hits: Sequence[tuple[float, bool]], plates: int) -> float:
    """Area under precision over recall, every point used, in percent."""
    ranked = sorted(hits, key=lambda hit: -hit[0])
    good = np.cumsum([hit for _, hit in ranked]) if ranked else np.zeros(0)
    precision = good / np.arange(1, len(ranked) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], good / max(1, plates)]))
    return round(100 * float((steps * precision).sum()), 1)


def pasted(photos: list[Photo], count: int, seed: int = 1) -> list[Photo]:
    """Wide views of photos with rendered plates in them: the only pictures whose corners are known to the pixel."""
    rng = np.random.default_rng(seed)
    faces = [f.masks[40] for f in drawn_faces(8)]
    maker = SceneMaker(photos, PlateRenderer(rng, faces="drawn"), faces, OPENCV_FONTS, rng)
    found: list[Photo] = []
    while len(found) < count:
        scene = maker.tile(HEIGHT, WIDTH, 620.0)
        if (scene.use & (scene.corner == EXACT)).any():
            quads = np.where((scene.corner == EXACT)[:, None, None], scene.quads, np.float32(np.nan))
            name = f"pasted-{len(found)}"
            use = scene.use
            photo = Photo("pasted", name, name, [scene.image], scene.boxes[use], quads[use], scene.boxes[~use])
            found.append(photo)
    return found


def measure(
    net: Detector | Infer, photos: list[Photo], height: int = HEIGHT, width: int = WIDTH, seen_at: float = 0.4
) -> Figures:
    """Measure on labelled photos at one input size."""
    hits: dict[float, list[tuple[float, bool]]] = {0.5: [], 0.7: []}
    wide: list[float] = []
    got: list[bool] = []
    false = 0
    corner: list[float] = []
    for photo in photos:
        scale = min(width / photo.gray.shape[1], height / photo.gray.shape[0])
        found = detect(net, photo.gray, 0.02, height, width)
        small = (photo.boxes[:, 2] - photo.boxes[:, 0]) * scale < LEAST_PX
        overlap = iou(found.boxes, photo.boxes)
        spared = iou(found.boxes, photo.ignore)
        for limit, list_ in hits.items():
            free = np.ones(len(photo.boxes), bool)
            for index, score in enumerate(found.scores.tolist()):
                best = int(np.argmax(overlap[index] * (0.01 + free))) if len(photo.boxes) else -1
                hit = best >= 0 and overlap[index, best] >= limit and bool(free[best])
                if hit:
                    free[best] = False
                    if limit == 0.5 and photo.quads is not None and np.isfinite(photo.quads[best]).all():
                        miss = np.linalg.norm(found.quads[index] - photo.quads[best], axis=1).mean()
                        corner.append(float(miss / (photo.boxes[best, 2] - photo.boxes[best, 0])))
                    if not small[best]:
                        list_.append((float(score), True))
                elif not ((overlap[index] > 0.1) & small).any() and not (spared[index] > 0.1).any():
                    list_.append((float(score), False))
                    false += limit == 0.5 and score >= seen_at
        sure = overlap[found.scores >= seen_at]
        for index in np.flatnonzero(~small).tolist():
            wide.append(float(photo.boxes[index, 2] - photo.boxes[index, 0]) * scale)
            got.append(bool(len(sure)) and bool(sure[:, index].max() >= 0.5))
    bins = np.digitize(wide, WIDTH_BINS)
    hit_of = np.asarray(got)
    recall = {
        f"{WIDTH_BINS[b - 1]}-{WIDTH_BINS[b]}": f"{int(hit_of[bins == b].sum())}/{int((bins == b).sum())}"
        for b in sorted(set(bins.tolist()))
    }
    return Figures(
        ap50=average_precision(hits[0.5], len(wide)),
        ap70=average_precision(hits[0.7], len(wide)),
        plates=len(wide),
        recall=recall,
        false_per_photo=round(false / max(1, len(photos)), 3),
        corner=round(float(np.mean(corner)), 4) if corner else None,
    )
