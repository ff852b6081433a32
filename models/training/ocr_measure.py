"""Measure an OCR model on rendered crops that it has not seen, O/0 and I/1 left to no layout.

python ocr_measure.py ../ocr.onnx                     # 4,096 rendered crops of a seed of their own
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from ocr_io import CROP_H, CROP_W, Gray, decode, fold, standardise
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


def rendered(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    """Render crops to measure on: uint8 [count,32,128] and their texts."""
    renderer = PlateRenderer(np.random.default_rng(seed))
    pairs: list[tuple[Gray, str]] = []
    while len(pairs) < count:
        pairs += renderer.crops()
    pairs = pairs[:count]
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
    args = parser.parse_args()
    model = session(args.model)
    crops, labels = rendered(4096, MEASURE_SEED)
    print("rendered:", score(read(model, crops), labels))
    print(f"one crop: {milliseconds(model):.3f} ms on one thread")


if __name__ == "__main__":
    main()
