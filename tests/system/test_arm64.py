"""The same package on arm64, emulated: it installs, and its networks read there what they read here."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from plates import PlateRenderer

from edge_anpr import demo
from edge_anpr.vision.rectify import scale_rows
from tests.system import root
from tests.system.container import Container
from tests.system.unit import TRUTH

pytestmark = pytest.mark.system

PLATES = 40
ROW = (32, 128)


def golden() -> tuple[list[str], NDArray[np.uint8], NDArray[np.uint8]]:
    """Drawn plates of one row with what stands on them, and the demo's frames in the middle of each passage."""
    renderer = PlateRenderer(np.random.default_rng(7), "drawn")
    texts: list[str] = []
    rows: list[NDArray[np.uint8]] = []
    while len(texts) < PLATES:
        plate = renderer.flat()
        if plate.rows == 1:
            row = np.zeros((1, *ROW), np.uint8)
            scale_rows(plate.gray, row)
            texts.append(plate.text)
            rows.append(row[0])
    clip = cv2.VideoCapture(str(demo.FOLDER / "clip.mp4"))
    frames = []
    for passage in TRUTH:
        clip.set(cv2.CAP_PROP_POS_FRAMES, (passage["first_frame"] + passage["last_frame"]) // 2)
        frames.append(cv2.cvtColor(clip.read()[1], cv2.COLOR_BGR2GRAY))
    return texts, np.stack(rows), np.stack(frames).astype(np.uint8)


def read(base: Path, folder: Path, package: Path, given: Path) -> tuple[dict[str, NDArray[np.generic]], str, float]:
    """What is read in this root, what the installation said, and how many seconds that took."""
    at = Container(base, folder)
    try:
        inside = folder / "upper" / "root"
        inside.mkdir()
        for path in (package, given, Path(__file__).with_name("reads.py")):
            shutil.copy(path, inside)
        began = time.monotonic()
        said = at.once("dpkg", "--install", f"/root/{package.name}", timeout_s=900)
        took_s = time.monotonic() - began
        at.once("python3", "/root/reads.py", f"/root/{given.name}", "/root/out.npz", timeout_s=900)
        with np.load(inside / "out.npz") as out:
            return dict(out), said, took_s
    finally:
        at.gone()


def test_it_installs_on_arm64_and_reads_the_same(package: Path, tmp_path: Path, figures: dict[str, object]) -> None:
    texts, rows, frames = golden()
    given = tmp_path / "golden.npz"
    np.savez(given, rows=rows, frames=frames)
    here, _, _ = read(root.booting(), tmp_path / "here", package, given)
    there, said, took_s = read(root.arm64(), tmp_path / "there", package, given)
    assert "edge-anpr: waits for /etc/edge-anpr/unit.yaml" in said
    right = sum(one == text for one, text in zip(here["plates"], texts, strict=True))
    assert right >= 0.8 * PLATES  # else the same would mean little
    assert sum(passage["plate"] in seen for passage, seen in zip(TRUTH, here["seen"], strict=True)) >= 7
    outputs = [name for name in here if name not in {"plates", "seen"}]
    figures["arm64"] = {
        "plates_read_the_same": f"{np.count_nonzero(here['plates'] == there['plates'])} of {PLATES}",
        "frames_read_the_same": f"{np.count_nonzero(here['seen'] == there['seen'])} of {len(frames)}",
        "plates_read_right_on_both": right,
        "outputs_that_differ": f"{sum(np.count_nonzero(here[name] != there[name]) for name in outputs)} of "
        f"{sum(here[name].size for name in outputs)}",
        "largest_difference": {
            name: float(np.abs(here[name].astype(float) - there[name].astype(float)).max()) for name in outputs
        },
        "range": {name: [float(here[name].min()), float(here[name].max())] for name in outputs},
        "install_emulated_s": round(took_s),
    }
    assert here["plates"].tolist() == there["plates"].tolist(), json.dumps(figures["arm64"])
    assert here["seen"].tolist() == there["seen"].tolist(), json.dumps(figures["arm64"])
