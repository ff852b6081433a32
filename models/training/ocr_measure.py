"""Measure an OCR model on labelled crops, or on rendered ones that it has not seen.

python ocr_measure.py ../ocr.onnx                     # 4,096 rendered crops of a seed of their own
python ocr_measure.py ../ocr.onnx --crops FOLDER      # FOLDER/labels.jsonl: image, texts, lines
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from ocr_io import CROP_H, CROP_W, decode, fold, standardise, to_input
from plates import PlateRenderer

MEASURE_SEED = 990_002  # neither the training seeds nor the held-out set that training watches


@dataclass(frozen=True, slots=True)
class Score:
    """How many of `count` crops were read exactly, as labelled and with O/0 and I/1 folded."""

    count: int
    exact: int
    folded: int

    def __str__(self) -> str:
        if not self.count:
            return "no crops"
        exact, folded = self.exact / self.count, self.folded / self.count
        return f"{self.count} crops: exact {exact:.1%}, O/0 and I/1 folded {folded:.1%}"


def session(path: Path) -> ort.InferenceSession:
    """Open a model on one CPU thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def read(model: ort.InferenceSession, crops: npt.NDArray[np.uint8]) -> list[str]:
    """Read crops, uint8 [N,32,128] before standardisation."""
    texts: list[str] = []
    for start in range(0, len(crops), 64):
        part = standardise(crops[start : start + 64])[:, None]
        texts += decode(model.run(["logits"], {"plate": part})[0])
    return texts


def score(texts: list[str], labels: list[list[str]]) -> Score:
    """Compare with labels, any of which will do."""
    exact = sum(text in label for text, label in zip(texts, labels, strict=True))
    folded = sum(fold(text) in map(fold, label) for text, label in zip(texts, labels, strict=True))
    return Score(len(texts), exact, folded)


def labelled(folder: Path, rows: int) -> Iterator[tuple[npt.NDArray[np.uint8], list[str], str]]:
    """Yield (crop 32×128, texts, country) of a folder's crops with so many rows."""
    for line in (folder / "labels.jsonl").read_text().splitlines():
        entry = json.loads(line)
        texts = [text for text in entry["texts"] if text]
        if entry["lines"] != rows or not texts:
            continue
        gray = cv2.imread(str(folder / entry["image"]), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise FileNotFoundError(folder / entry["image"])
        yield to_input(np.asarray(gray, np.uint8), rows), texts, entry.get("country") or ""


def rendered(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    """Render crops to measure on: uint8 [count,32,128] and their texts."""
    renderer = PlateRenderer(np.random.default_rng(seed))
    pairs = [renderer.crop() for _ in range(count)]
    return np.stack([crop for crop, _ in pairs]), [[text] for _, text in pairs]


def milliseconds(model: ort.InferenceSession, runs: int = 2000) -> float:
    """Return the median time of one crop on one thread."""
    plate = np.full((1, 1, CROP_H, CROP_W), 128, np.uint8)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        model.run(["logits"], {"plate": plate})
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def main() -> None:
    """Print the scores; no plate is printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--crops", type=Path, help="folder with labels.jsonl; without it, rendered crops")
    args = parser.parse_args()
    model = session(args.model)
    if args.crops is None:
        crops, labels = rendered(4096, MEASURE_SEED)
        print("rendered:", score(read(model, crops), labels))
    else:
        for rows in (1, 2):
            found = list(labelled(args.crops, rows))
            texts = read(model, np.stack([crop for crop, _, _ in found])) if found else []
            print(f"{rows} row(s):", score(texts, [label for _, label, _ in found]))
            for country in ("NL", "DE", "BE"):
                some = [i for i, (_, _, c) in enumerate(found) if c == country]
                print(f"  {country}:", score([texts[i] for i in some], [found[i][1] for i in some]))
    print(f"one crop: {milliseconds(model):.3f} ms on one thread")


if __name__ == "__main__":
    main()
