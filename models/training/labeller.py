"""Texts for real plates of the training photos, where two ways of looking agree; nothing of it leaves `runs/`.

    python labeller.py --data DATA            # writes runs/labels.jsonl: photo, quad, rows, text

The shipped detector gives four corners for each labelled box, and RapidOCR's recogniser (PP-OCR, Apache-2.0) reads the
plate cut with a narrow and with a wide margin. Both must say the same, surely, and it must be written as plates are: by
a national layout, or as five to eight letters and digits with both among them. What disagrees is thrown away. These are
real people's plates: the file stays beside the runs, which git does not keep.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from recogniser import Recogniser
from splits import FloatArray, Gray, Photo, recall_search, training_photos

from edge_anpr.datatypes import Box
from edge_anpr.plates.syntax import fitting
from edge_anpr.plates.text import encode
from edge_anpr.tools.terminal import progress
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.session import Network
from edge_anpr.vision.views import parts

MARGINS = (0.02, 0.09)
LEAST_WIDTH_PX, LEAST_FOUND, LEAST_SCORE = 40.0, 0.2, 0.88
#: A plate that is less than this times as wide as high may have two rows, which are read one by one.
TWO_ROWS = 2.3


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row of a real plate: the photo, the corners [4,2] of that row in it, and what it says."""

    gray: Gray
    quad: FloatArray
    text: str


def flat(gray: Gray, quad: FloatArray, margin: float, height: int = 48) -> Gray:
    """Lay a quad flat with a margin of its height around it."""
    wide = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    high = float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    width = max(16, round(height * wide / max(high, 1.0)))
    edge = margin * width * 0.5
    rim = np.array(
        [[edge, edge / 2], [width - edge, edge / 2], [width - edge, height - edge / 2], [edge, height - edge / 2]]
    )
    matrix = cv2.getPerspectiveTransform(np.asarray(quad - 0.5, np.float32), np.asarray(rim - 0.5, np.float32))
    return np.asarray(
        cv2.warpPerspective(gray, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def rows_of(quad: FloatArray) -> list[FloatArray]:
    """Cut a quad into its upper and its lower half."""
    left, right = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
    return [np.stack([quad[0], quad[1], right, left]), np.stack([left, right, quad[2], quad[3]])]


def plausible(text: str) -> bool:
    """Say whether plates are written so."""
    if not re.fullmatch(r"[A-Z0-9]{4,9}", text):
        return False
    return bool(fitting(encode(text))) or (
        5 <= len(text) <= 8 and any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    )


def label(photo: Photo, detector: Detector, recogniser: Recogniser) -> list[dict[str, Any]]:
    """Read each labelled plate of a photo; empty where nothing is sure."""
    high, wide = photo.gray.shape
    found = detector.find(photo.gray, photo.gray, parts(detector.whole_view(wide, high), deep=True))
    kept: list[dict[str, Any]] = []
    for box in map(_box, photo.boxes):
        best = max(found, key=lambda plate: plate.box.overlap(box), default=None)
        if box.width < LEAST_WIDTH_PX or best is None or best.box.overlap(box) < 0.6:
            continue
        quad = best.quad
        wide, high = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
        ways = [[quad]] if wide > TWO_ROWS * high else [[quad], rows_of(quad)]
        for rows in ways:
            texts = [[recogniser.read(flat(photo.gray, row, margin)) for row in rows] for margin in MARGINS]
            said = ["".join(text for text, _ in way) for way in texts]
            if said[0] == said[1] and plausible(said[0]) and min(s for way in texts for _, s in way) >= LEAST_SCORE:
                name = f"{photo.source}/{photo.name}"
                kept += [
                    {"photo": name, "quad": row.round(1).tolist(), "text": text, "of": len(rows)}
                    for row, (text, _) in zip(rows, texts[0], strict=True)
                ]
                break
    return kept


def nothing(photo: Photo, recogniser: Recogniser, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Places without a plate and without lettering: what the detector took for one, and two by chance."""
    high, wide = photo.gray.shape
    places = list(photo.hard)
    for _ in range(2):
        across = float(np.exp(rng.uniform(np.log(40), np.log(wide / 2))))
        spot = rng.random(2) * (wide - across, high - across / 4)
        places.append(np.array([*spot, spot[0] + across, spot[1] + across / float(rng.uniform(3.5, 5))], np.float32))
    kept: list[dict[str, Any]] = []
    for box in places:
        if any(_box(box).overlap(_box(other)) > 0.02 for other in (*photo.boxes, *photo.ignore)):
            continue
        quad = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], np.float32)
        text, score = recogniser.read(flat(photo.gray, quad, MARGINS[0]))
        if len(text) < 2 or score < 0.5:
            kept.append({"photo": f"{photo.source}/{photo.name}", "quad": quad.round(1).tolist(), "text": "", "of": 1})
    return kept


def _box(edges: FloatArray) -> Box:
    x1, y1, x2, y2 = (float(value) for value in edges)
    return Box(x1, y1, x2 - x1, y2 - y1)


def load_labels(path: Path, photos: list[Photo]) -> list[Labelled]:
    """Read what `main` wrote."""
    gray = {f"{photo.source}/{photo.name}": photo.gray for photo in photos}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["photo"] in gray]
    return [Labelled(gray[row["photo"]], np.asarray(row["quad"], np.float32), row["text"]) for row in rows]


def main() -> None:
    """Label every training photo; the held-back ones are not looked at."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=here / "runs" / "labels.jsonl")
    parser.add_argument(
        "--places", type=Path, default=here / "runs" / "detector" / "places.json", help="what detector_train.py noted"
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(3)
    detector = Detector(Network(here.parent / "detector.onnx", "detector", "quad13-s8"), LEAST_FOUND)
    recogniser = Recogniser()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with args.out.open("w") as out:
        photos = training_photos(args.data)
        recall_search(photos, args.places)
        with progress(len(photos), "label") as step:
            for photo in photos:
                for row in label(photo, detector, recogniser) + nothing(photo, recogniser, rng):
                    out.write(json.dumps(row) + "\n")
                    count += 1
                step(1)
    print(f"{count} rows of real plates in {args.out}")


if __name__ == "__main__":
    main()
