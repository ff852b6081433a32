"""Draws the golden plates: pictures and rows whose right reading is known, for a unit to prove itself on at its start.

python golden.py        # writes edge_anpr/vision/golden.npz; the same bytes in every run

They were never issued, and are drawn without a font file. Where they stand is known from the drawing, so the file
outlives the models. Rows are drawn until the shipped OCR is sure of enough of them: every good one is to read them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from degrade import degrade
from plates import PlateRenderer, cut
from proof_clip import never_issued

Gray = npt.NDArray[np.uint8]
ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "edge_anpr" / "vision" / "golden.npz"
SEED = 20261
ROWS, SURE = 10, 0.8
Places = tuple[tuple[int, int, int, float], ...]
# Width and height of each picture; of each plate in it the middle, the width and the lean, all in pixels of it.
SCENES: tuple[tuple[tuple[int, int], Places], ...] = (
    ((1280, 768), ((960, 560, 230, 5.0), (300, 200, 80, 0.0))),  # the small one is for the parts of the far road
    # Of the detector's own size: one view of it is enough.
    ((640, 384), ((170, 250, 190, 6.0), (470, 120, 90, -3.0))),
)


def scene(size: tuple[int, int], places: Places, flats: list[Gray]) -> tuple[Gray, npt.NDArray[np.float32]]:
    """A smooth road, a dark body around each plate; and the corners of the plates (n, 4, 2)."""
    width, height = size
    quads = []
    picture = np.repeat(np.linspace(150, 90, height).astype(np.uint8)[:, None], width, axis=1)
    for (x, y, wide, lean), flat in zip(places, flats, strict=True):
        high = wide * flat.shape[0] / flat.shape[1]
        body = [round(value) for value in (x - 0.8 * wide, y - 1.1 * wide, x + 0.8 * wide, y + 0.35 * wide)]
        cv2.rectangle(picture, (body[0], body[1]), (body[2], body[3]), (58,), -1)
        left, right, top, bottom = x - wide / 2, x + wide / 2, y - high / 2, y + high / 2
        corners = np.array(
            [(left, top + lean), (right, top - lean), (right, bottom - lean), (left, bottom + lean)], np.float32
        )
        quads.append(corners)
        tall, broad = flat.shape
        source = np.array([(0, 0), (broad, 0), (broad, tall), (0, tall)], np.float32)
        cv2.warpPerspective(
            cv2.GaussianBlur(flat, (0, 0), 0.4 * broad / wide),
            cv2.getPerspectiveTransform(source - 0.5, corners - 0.5),
            size,
            dst=picture,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
    return picture, np.array(quads, np.float32)


def main() -> int:
    """Draw, have the shipped networks read, and write if they read all of it right."""
    from edge_anpr.unit.pipeline import DETECTION_THRESHOLD  # noqa: PLC0415
    from edge_anpr.vision import golden  # noqa: PLC0415
    from edge_anpr.vision.detect import Detector  # noqa: PLC0415
    from edge_anpr.vision.ocr import Reader  # noqa: PLC0415
    from edge_anpr.vision.session import Network, shipped  # noqa: PLC0415

    rng = np.random.default_rng(SEED)
    renderer = PlateRenderer(rng, faces="drawn")
    detector = Detector(Network(shipped("detector"), "detector", "quad13-s8"), DETECTION_THRESHOLD)
    reader = Reader(Network(shipped("ocr"), "ocr", "ctc"))
    texts = iter(never_issued(300, SEED))
    held: dict[str, npt.NDArray[Any]] = {}
    for index, (size, places) in enumerate(SCENES):
        marked = [next(texts) for _ in places]
        flats = [renderer.flat(text, "NL").gray for text in marked]
        held[f"picture{index}"], held[f"quads{index}"] = scene(size, places, flats)
        held[f"texts{index}"] = np.array([text.replace("-", "") for text in marked])
    rows: list[tuple[Gray, str]] = []
    while len(rows) < ROWS:
        text = next(texts)
        wide = 70 + 10 * len(rows)
        worn = renderer.worn([text], "NL", "NL", wide)
        seen = cv2.resize(worn, (wide, round(wide * worn.shape[0] / worn.shape[1])), interpolation=cv2.INTER_AREA)
        spoilt = degrade(np.asarray(seen, np.uint8), rng, 0.6 * seen.shape[0])
        ((row, plain),) = cut(spoilt, 1, [text.replace("-", "")], rng)
        reading = reader.read_rows([row])
        if reading.confidence >= SURE and golden.text(reading) == plain:
            rows.append((row, plain))
    held["rows"] = np.array([row for row, _ in rows])
    held["row_texts"] = np.array([text for _, text in rows])
    np.savez_compressed(OUT, **held)  # type: ignore[arg-type]
    wrong = golden.complaints(golden.load(OUT), detector, reader)
    sys.stdout.write(f"{OUT.name}: {OUT.stat().st_size} bytes; wrong: {wrong or 'nothing'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
