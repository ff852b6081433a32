"""Detector and passages: clips, held-back photos, a sweep over all widths, and pictures without any plate."""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from captions import Captions, Font, measured_fonts
from figures import Figures
from glyphs import drawn_faces
from pasting import apart, clutter, lay, lit, seen_quad
from plates import PlateRenderer
from splits import FloatArray, Gray, Photo, held_back_photos, training_photos

from edge_anpr.datatypes import Box, PlateDetection
from edge_anpr.tools import read as reading
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.session import Network, shipped
from edge_anpr.vision.views import parts

# Plates narrower than this in the network's sight are neither asked for nor counted as wrong.
LEAST_PX = 11.0
WIDTHS_PX = (0, 20, 32, 48, 96, 200, 10_000)
SWEEP_PX = (20, 24, 28, 32, 40, 50, 64, 80, 100, 130, 170, 220, 300, 400, 500, 600)
SWEEP_OF, NEGATIVES, CAPTIONED = 25, 5000, 1000
# Clips of plate-free pictures that drift under what is written over them.
DRIFTING, DRIFTING_FRAMES, DRIFTING_FPS = 200, 36, 12.0
# So many pictures lie on the disk at a time.
AT_ONCE = 250
# Low enough that the precision-recall curve is complete.
AP_THRESHOLD = 0.02


def labels(folder: Path, name: str = "labels.jsonl") -> list[dict[str, Any]]:
    """The label file of a set."""
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def clips(folder: Path, figures: Figures) -> None:
    """Each clip's plate as its surest passage; strings beside it; milliseconds a frame on one thread."""
    right = others = 0
    milliseconds: dict[str, list[float]] = defaultdict(list)
    frames_right = frames_read = 0
    rows = labels(folder, "clips.jsonl")
    jobs = reading.plan(tuple(str(folder / row["clip"]) for row in rows))
    lines: list[dict[str, Any]] = []
    with progress(sum(job.frames for job in jobs), "clips") as step:
        reading.read(jobs, lines.append, every=1, with_frames=True, threads=1, step=step)
    for row, job in zip(rows, jobs, strict=True):
        mine = [line for line in lines if line["source"] == str(job.path)]
        passages = sorted(
            (line for line in mine if line["type"] == "passage"),
            key=lambda line: -line["confidence"] * line["frames"],
        )
        right += bool(passages) and passages[0]["read"] in row["texts"]
        others += sum(passage["read"] not in row["texts"] for passage in passages)
        for line in mine:
            if line["type"] == "frame":
                for key, value in line["ms"].items():
                    milliseconds[key].append(value)
                frames_read += bool(line["reads"])
                frames_right += any(read["text"] in row["texts"] for read in line["reads"])
    figures.counts += [
        ("nl_clips: plate of the clip is the top passage, exact", right, len(rows)),
        ("nl_clips: frames with a read, one of them exact", frames_right, frames_read),
    ]
    figures.numbers["nl_clips: other strings as passages"] = others
    for key, values in milliseconds.items():
        figures.numbers[f"nl_clips: {key} ms a frame, median, 1 thread"] = round(statistics.median(values), 2)
    figures.numbers["peak RSS so far, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def find(detector: Detector, gray: Gray) -> list[PlateDetection]:
    """All views, as `edge-anpr read` looks at a still picture."""
    height, width = gray.shape
    return detector.find(gray, gray, parts(detector.whole_view(width, height), deep=True))


def held_back(data: Path, network: Network, figures: Figures) -> None:
    """AP50 on photos that trained nothing, by set; recall by width in the picture, as a unit finds them."""
    recall: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for name, photos in held_back_photos(data).items():
        detection(name, photos, Detector(network, AP_THRESHOLD), figures)
        _recall(photos, Detector(network, DETECTION_THRESHOLD), recall)
    for bound, (found, of) in sorted(recall.items()):
        span = (
            f"{WIDTHS_PX[bound - 1]} to {WIDTHS_PX[bound]} px"
            if bound < len(WIDTHS_PX) - 1
            else f"from {WIDTHS_PX[bound - 1]} px"
        )
        figures.counts.append((f"held-back photos: plates {span} wide found at score .3", found, of))


def detection(name: str, photos: Sequence[Photo], detector: Detector, figures: Figures) -> None:
    """Average precision at IoU 0.5: the area under the interpolated precision-recall curve."""
    found: list[tuple[float, bool]] = []
    plates = 0
    for photo in photos:
        truths, free = asked(photo)
        plates += len(free)
        for plate, truth in _paired(find(detector, photo.gray), truths, free):
            if truth is not None or not any(
                plate.box.overlap(small) > 0.1 for index, small in enumerate(truths) if index not in free
            ):
                found.append((plate.score, truth is not None))
    found.sort(reverse=True)
    hits = np.cumsum([good for _, good in found])
    precision = hits / np.arange(1, len(found) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(hits / max(plates, 1), prepend=0.0)
    figures.numbers[f"{name}: AP50 of {plates} plates held back"] = round(float(np.sum(steps * precision)), 4)


def _recall(photos: Sequence[Photo], detector: Detector, recall: dict[int, list[int]]) -> None:
    """Add what is found and what there is, by the index of the width in WIDTHS_PX."""
    for photo in photos:
        truths, free = asked(photo)
        seen = {truth for _, truth in _paired(find(detector, photo.gray), truths, free)}
        for index in free:
            of_width = recall[int(np.digitize(truths[index].width, WIDTHS_PX))]
            of_width[0] += index in seen
            of_width[1] += 1


def asked(photo: Photo) -> tuple[list[Box], set[int]]:
    """The labelled boxes, and which of them are wide enough to be asked for."""
    truths = [Box(float(x), float(y), float(right - x), float(low - y)) for x, y, right, low in photo.boxes]
    return truths, {index for index, box in enumerate(truths) if box.width >= LEAST_PX}


def _paired(
    found: Sequence[PlateDetection], truths: Sequence[Box], free: set[int]
) -> Iterator[tuple[PlateDetection, int | None]]:
    """Each plate, best first, with the label that it overlaps by half and that none before it has taken."""
    seen: set[int] = set()
    for plate in found:
        overlaps = {index: plate.box.overlap(truths[index]) for index in free - seen}
        best = max(overlaps, key=lambda index: overlaps[index], default=None)
        if best is not None and overlaps[best] < 0.5:
            best = None
        if best is not None:
            seen.add(best)
        yield plate, best


def sweep(data: Path | None, figures: Figures) -> None:
    """Rendered plates 20 to 600 px wide, one in a picture 640 px wide: found once, and whole."""
    rng = np.random.default_rng(990_005)
    renderer = PlateRenderer(rng)
    detector = Detector(Network(shipped("detector"), "detector", "quad13-s8"), DETECTION_THRESHOLD)
    grounds = plate_free(data, rng) if data else None
    curve = []
    whole = of = 0
    for width in SWEEP_PX:
        good = 0
        for _ in range(SWEEP_OF):
            ground = next(grounds) if grounds else np.full((480, 640), int(rng.integers(40, 200)), np.uint8)
            picture = np.asarray(cv2.resize(ground, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
            truth = put_plate(picture, renderer, rng, width)
            found = [plate for plate in find(detector, picture) if plate.box.overlap(truth) > 0.1]
            good += len(found) == 1 and found[0].box.overlap(truth) >= 0.5
        curve.append((float(width), good / SWEEP_OF, SWEEP_OF))
        if width >= 32:
            whole, of = whole + good, of + SWEEP_OF
    figures.counts.append(("rendered sweep, 32 to 600 px in a 640 px picture: found once and whole", whole, of))
    figures.curves["rendered plates found once and whole, by width in px"] = curve


def put_plate(picture: Gray, renderer: PlateRenderer, rng: np.random.Generator, width: int) -> Box:
    """Lay a rendered plate so wide into a picture of 640 × 480, in its light, in place; the box around it."""
    flat = renderer.flat().gray
    aspect = flat.shape[1] / flat.shape[0]
    high = width / aspect
    spot = (float(rng.uniform(width / 2 + 2, 638 - width / 2)), float(rng.uniform(high / 2 + 12, 468 - high / 2)))
    quad = seen_quad(rng, spot, width, aspect, tilt=6, turn=15)
    return lay_in_light(picture, flat, quad, rng)


def lay_in_light(picture: Gray, flat: Gray, quad: FloatArray, rng: np.random.Generator) -> Box:
    """Lay a flat plate on its corners in a picture, as bright as it is there, in place; the box around it."""
    low, top = quad.min(0)
    right, down = quad.max(0)
    around = picture[max(int(top), 0) : int(down) + 1, max(int(low), 0) : int(right) + 1]
    bright = float(np.clip(around.mean() * 1.4 + 40, 90, 250))
    lay(picture, lit(rng, flat, float(rng.uniform(0.05, 0.25)) * bright, bright), quad, blur=0.3)
    return Box(float(low), float(top), float(right - low), float(down - top))


def plate_free(data: Path, rng: np.random.Generator) -> Iterator[Gray]:
    """Parts of the photos in which no plate is labelled, 4 to 3, without end.

    The dashcam set is left out: one plate in three of it has no label.
    """
    everything = [*training_photos(data), *(photo for part in held_back_photos(data).values() for photo in part)]
    photos = [photo for photo in everything if photo.source != "ro_dashcam"]
    while True:
        photo = photos[int(rng.integers(len(photos)))]
        high, wide = photo.gray.shape
        for _ in range(6):
            height = int(rng.uniform(0.3, 1.0) * min(high, wide * 3 / 4))
            width = height * 4 // 3
            left, top = int(rng.integers(wide - width + 1)), int(rng.integers(high - height + 1))
            if apart(np.array([left, top, left + width, top + height], np.float32), photo.boxes):
                yield photo.gray[top : top + height, left : left + width]
                break


def negatives(data: Path, figures: Figures) -> None:
    """Passages in pictures without a plate: parts of photos, half of them with drawn lettering, signs and numbers.

    And in such with text written over them, as cameras and recorders do, where there are fonts (`fonts.sh`).
    """
    rng = np.random.default_rng(990_006)
    masks = [face.masks[40] for face in drawn_faces()]
    told = _told(_lettered(plate_free(data, rng), masks, rng), NEGATIVES, "negatives")
    figures.counts.append(("plate-free pictures in which a passage is reported", told, NEGATIVES))
    if fonts := measured_fonts():
        rng = np.random.default_rng(990_007)
        told = _told(_captioned(plate_free(data, rng), Captions(rng, fonts), rng), CAPTIONED, "captioned")
        figures.counts.append(("plate-free pictures with times and names written over them: passages", told, CAPTIONED))
        rng = np.random.default_rng(990_008)
        told = _told(_drifting(plate_free(data, rng), fonts, rng), DRIFTING, "drifting", DRIFTING_FRAMES)
        figures.counts.append(("clips of such pictures, drifting under what is written over them", told, DRIFTING))


def _told(items: Iterator[list[Gray]], of: int, what: str, frames: int = 1) -> int:
    """In how many of the next ones ``edge-anpr read`` tells of a passage: pictures, or clips of so many frames."""
    told, most = 0, max(AT_ONCE // frames, 1)
    with tempfile.TemporaryDirectory() as folder, progress(of * frames, what) as step:
        for start in range(0, of, most):
            files = [_written(Path(folder) / str(index), next(items)) for index in range(min(most, of - start))]
            lines: list[dict[str, Any]] = []
            reading.read(reading.plan(tuple(files)), lines.append, every=1, with_frames=False, threads=1, step=step)
            told += len({line["source"] for line in lines})
    return told


def _written(stem: Path, frames: list[Gray]) -> str:
    if len(frames) == 1:
        name = str(stem.with_suffix(".png"))
        cv2.imwrite(name, frames[0])
        return name
    name = str(stem.with_suffix(".avi"))
    high, wide = frames[0].shape
    writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"MJPG"), DRIFTING_FPS, (wide, high), isColor=False)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return name


def _lettered(grounds: Iterator[Gray], masks: list[dict[str, Gray]], rng: np.random.Generator) -> Iterator[list[Gray]]:
    for index, ground in enumerate(grounds):
        picture = np.asarray(cv2.resize(ground, (800, 600), interpolation=cv2.INTER_LINEAR), np.uint8)
        if index % 2:
            for _ in range(int(rng.integers(1, 4))):
                _put_clutter(picture, masks, rng)
        yield [picture]


def _captioned(grounds: Iterator[Gray], captions: Captions, rng: np.random.Generator) -> Iterator[list[Gray]]:
    """By day and by night."""
    for ground in grounds:
        picture = np.asarray(cv2.resize(ground, (800, 600), interpolation=cv2.INTER_LINEAR), np.uint8)
        if rng.random() < 0.5:
            picture = (picture * rng.uniform(0.1, 0.6)).astype(np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            captions.write(picture)
        yield [picture]


def _drifting(grounds: Iterator[Gray], fonts: list[Font], rng: np.random.Generator) -> Iterator[list[Gray]]:
    """The same for a while: the picture moves by up to 8 px a frame, what is written over it stays."""
    for ground in grounds:
        larger = cv2.resize(ground, (1200, 900), interpolation=cv2.INTER_LINEAR) * rng.choice([1.0, 0.3])
        begin, end = rng.uniform((0, 0), (400, 300), (2, 2))
        seed, captions, noise = int(rng.integers(2**31)), int(rng.integers(1, 4)), float(rng.uniform(0, 4))
        frames = []
        for way in np.linspace(0, 1, DRIFTING_FRAMES):
            x, y = (begin + (end - begin) * way).round().astype(int)
            part = larger[y : y + 600, x : x + 800]
            picture = np.clip(part + rng.normal(0, noise, part.shape), 0, 255).astype(np.uint8)
            written = Captions(np.random.default_rng(seed), fonts)  # the same ones in each frame
            for _ in range(captions):
                written.write(picture)
            frames.append(picture)
        yield frames


def _put_clutter(picture: Gray, masks: list[dict[str, Gray]], rng: np.random.Generator) -> None:
    gray, alpha = clutter(rng, masks)
    wide = float(np.exp(rng.uniform(np.log(40), np.log(500))))
    spot = (float(rng.uniform(0, 800)), float(rng.uniform(0, 600)))
    quad: FloatArray = seen_quad(rng, spot, wide, gray.shape[1] / gray.shape[0], tilt=15, turn=40)
    lay(picture, gray, quad, alpha)
