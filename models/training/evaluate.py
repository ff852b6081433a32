"""Measure the shipped models on labelled material; prints counts and 95 % intervals, writes them as JSON.

    python models/training/evaluate.py DATA [--json FILE] [--readme FILE]

DATA holds the folders that exist of: nl_clips, eu_crops (measure only), ro_dashcam, openimages_plates (held-back part).
Exact is letter by letter; folded takes O for 0 and I for 1, which are one drawing in many national fonts.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from splits import TRAIN_SETS, Photo, held_back_photos

from edge_anpr.datatypes import Box
from edge_anpr.plates.syntax import decide
from edge_anpr.plates.text import reveal
from edge_anpr.tools import read as reading
from edge_anpr.tools.terminal import progress, table
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped

# Low enough that the precision-recall curve is complete.
AP_THRESHOLD = 0.02


@dataclass(slots=True)
class Figures:
    """Rows of (what, right, of) and single numbers, as they are measured."""

    counts: list[tuple[str, int, int]] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)


def wilson(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson score)."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def fold(text: str) -> str:
    """O as 0 and I as 1."""
    return text.replace("O", "0").replace("I", "1")


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


def crops(folder: Path, reader: Reader, figures: Figures) -> None:
    """The OCR alone on labelled crops, squeezed to its input; two rows are split in half and joined."""
    tally: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in labels(folder):
        picture = cv2.imread(str(folder / row["image"]), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        if row["lines"] == 2:
            half = picture.shape[0] // 2
            picture = np.hstack(
                [cv2.resize(part, (64, 32), interpolation=cv2.INTER_AREA) for part in (picture[:half], picture[-half:])]
            )
        crop = cv2.resize(picture, (128, 32), interpolation=cv2.INTER_AREA).astype(np.uint8)
        text = reveal(decide(reader.read_crop(crop).posteriors)[0])
        for name, good in (
            ("exact", text == row["texts"][0]),
            ("folded", fold(text) == fold(row["texts"][0])),
        ):
            tally[row["lines"], name][0] += good
            tally[row["lines"], name][1] += 1
    for (rows, name), (good, of) in sorted(tally.items()):
        figures.counts.append((f"eu_crops: OCR alone, {('one row', 'two rows')[rows - 1]}, {name}", good, of))


def detection(name: str, photos: list[Photo], detector: Detector, figures: Figures) -> None:
    """Average precision at IoU 0.5: the area under the interpolated precision-recall curve."""
    found: list[tuple[float, bool]] = []
    plates = 0
    for photo in photos:
        truths = [Box(float(x), float(y), float(right - x), float(low - y)) for x, y, right, low in photo.boxes]
        plates += len(truths)
        free = set(range(len(truths)))
        for plate in detector.find(photo.gray, photo.gray.shape[1]):
            overlaps = {index: plate.box.overlap(truths[index]) for index in free}
            best = max(overlaps, key=lambda index: overlaps[index], default=None)
            good = best is not None and overlaps[best] >= 0.5
            if good and best is not None:
                free.discard(best)
            found.append((plate.score, good))
    found.sort(reverse=True)
    hits = np.cumsum([good for _, good in found])
    precision = hits / np.arange(1, len(found) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(hits / max(plates, 1), prepend=0.0)
    figures.numbers[f"{name}: AP50 of {plates} plates held back"] = round(float(np.sum(steps * precision)), 4)


def publish(readme: Path, figures: Figures) -> None:
    """Write the figures as Markdown between the marks ``<!-- figures -->`` and ``<!-- /figures -->`` of a file."""
    rows = ["| measured | right of all | share, 95 % interval |", "|---|---|---|"]
    for what, right, of in figures.counts:
        low, high = wilson(right, of)
        rows.append(f"| {what} | {right} of {of} | {right / max(of, 1):.1%}, {low:.1%} to {high:.1%} |")
    rows += ["", "| measured | value |", "|---|---|"]
    rows += [f"| {what} | {value:g} |" for what, value in figures.numbers.items()]
    before, _, rest = readme.read_text().partition("<!-- figures -->")
    _, mark, after = rest.partition("<!-- /figures -->")
    if not mark:
        sys.exit(f"{readme}: has no marks <!-- figures --> and <!-- /figures -->")
    table_text = "\n".join(rows)
    readme.write_text(f"{before}<!-- figures -->\n{table_text}\n{mark}{after}")


def main() -> None:
    """Measure what there is below DATA."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--readme", type=Path, help="write the tables into this file, between its two marks")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data}: no such folder; give the one that holds nl_clips, eu_crops and the others")
    figures = Figures()
    if (folder := arguments.data / "nl_clips").is_dir():
        clips(folder, figures)
        figures.numbers["peak RSS so far, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if (folder := arguments.data / "eu_crops").is_dir():
        crops(folder, Reader(Network(shipped("ocr"), "ocr", "ctc")), figures)
    detector = Detector(Network(shipped("detector"), "detector", "quad-s8"), AP_THRESHOLD)
    if all((arguments.data / name).is_dir() for name in TRAIN_SETS):
        for name, photos in held_back_photos(arguments.data).items():
            detection(name, photos, detector, figures)
    if not figures.counts and not figures.numbers:
        sys.exit(f"{arguments.data}: holds none of nl_clips, eu_crops, ro_dashcam, openimages_plates")
    shares = [(what, right, of, *wilson(right, of)) for what, right, of in figures.counts]
    table(
        "Right of all, with 95 % interval",
        ("what", "right", "of", "share", "interval"),
        [
            (what, right, of, f"{right / max(of, 1):.1%}", f"{low:.1%} to {high:.1%}")
            for what, right, of, low, high in shares
        ],
    )
    table("Other figures", ("what", "value"), list(figures.numbers.items()))
    if arguments.readme:
        publish(arguments.readme, figures)
    if arguments.json:
        arguments.json.write_text(json.dumps({"counts": shares, "numbers": figures.numbers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
