"""Whether this machine computes what it should: models, golden plates, what computes them, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_anpr.unit.pipeline import DETECTION_THRESHOLD
from edge_anpr.vision import golden
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import ModelRefused, Network, networks, versions

# Detector passes over a whole picture, and OCR passes over one row of characters.
DETECTOR_RUNS, OCR_RUNS = 30, 100


def run(detector: Path | None, ocr: Path | None, *, provider: str, threads: int) -> dict[str, Any]:
    """What was found; ``passed`` is whether ``complaints`` is empty. Without a path the shipped models are tested."""
    cv2.setNumThreads(threads)
    found: dict[str, Any] = {
        "passed": False,
        "complaints": [],
        "asked": provider,
        "versions": versions(),
    }
    try:
        loaded = networks(detector, ocr, provider=provider, threads=threads)
    except ModelRefused as error:
        return found | {"complaints": [str(error)]}
    known = golden.load()
    wrong = golden.complaints(known, Detector(loaded["detector"], DETECTION_THRESHOLD), Reader(loaded["ocr"]))
    found |= {"passed": not wrong, "complaints": wrong}
    found["golden"] = {"pictures": len(known.pictures), "plates": known.plates, "rows": len(known.rows)}
    found["models"] = {
        kind: {"sha256": one.card.sha256, "provider": one.provider, "nodes": one.nodes, "ms": _ms(one, runs)}
        for (kind, one), runs in zip(loaded.items(), (DETECTOR_RUNS, OCR_RUNS), strict=True)
    }
    return found


def rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The same for a table."""
    told = [(f"{name}", str(value)) for name, value in found["versions"].items()]
    for kind, model in found.get("models", {}).items():
        ms = model["ms"]
        told += [
            (f"{kind}: file", f"as its card says, sha256 {model['sha256'][:12]}…"),
            (f"{kind}: computed by", model["provider"]),
            (f"{kind}: ms a pass", f"{ms['p50']:.1f} (median), {ms['p95']:.1f} (95 %) of {ms['runs']}"),
        ]
    if "golden" in found:
        pictures, plates, many = found["golden"].values()
        verdict = "wrong" if found["complaints"] else "all read right"
        told.append(("golden plates", f"{plates} in {pictures} pictures, {many} rows of characters: {verdict}"))
    return [*told, ("self-test", "passed" if found["passed"] else "FAILED")]


def _ms(network: Network, runs: int) -> dict[str, float]:
    empty = np.zeros((1, 1, network.card.height, network.card.width), np.uint8)
    took = [_seconds(lambda: network.run(empty)) * 1e3 for _ in range(runs)]
    middle, high = np.percentile(took, [50, 95])
    return {"p50": round(float(middle), 2), "p95": round(float(high), 2), "runs": runs}


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
