"""``python -m tests.bench.latency``: from the frame that makes a hit to the hit at a subscriber of the broker.

The demo's clip at 25 frames a second, each of its pictures shown twice, through both processes of a unit and a broker
on this machine. All its plates are listed. The frame that makes a hit is the second one that agrees on the plate.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from edge_anpr import config, demo
from edge_anpr.unit import supervisor

FPS, SHOWN = 25.0, 2


def clip(path: Path) -> None:
    """Write the demo's clip at 25 frames a second, every picture a key frame."""
    source = cv2.VideoCapture(str(demo.FOLDER / "clip.mp4"))
    size = int(source.get(cv2.CAP_PROP_FRAME_WIDTH)), int(source.get(cv2.CAP_PROP_FRAME_HEIGHT))
    out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, size)
    while True:
        there, picture = source.read()
        if not there:
            break
        for _ in range(SHOWN):
            out.write(picture)
    out.release()


def watchlist(path: Path) -> int:
    """Write a list of all plates of the clip; returns how many."""
    held = json.loads((demo.FOLDER / "watchlist.json").read_bytes())
    plates = [one["plate"] for one in json.loads((demo.FOLDER / "truth.json").read_bytes())["passages"]]
    held["entries"] = [held["entries"][0] | {"plate": plate} for plate in plates]
    path.write_text(json.dumps(held))
    return len(plates)


def once(folder: Path) -> list[float]:
    """Milliseconds of each first message of a hit, the clip shown once."""
    for old in folder.glob("outbox*"):
        old.unlink()
    took: list[float] = []

    def hear(topic: str, payload: bytes) -> None:
        now = datetime.now(UTC)
        told = json.loads(payload) if payload.startswith(b"{") else {}
        if "/hit/" in topic and told["phase"] == "first":
            took.append((now - datetime.fromisoformat(told["captured_at"])).total_seconds() * 1e3)
        elif topic.endswith("/health") and (told["recogniser"] or {}).get("state") == "ended":
            os.kill(os.getpid(), signal.SIGINT)

    path = folder / "unit.yaml"
    supervisor.run(path, config.load(path), hear)
    return took


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that the clip is shown, 42 s each")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip(folder / "clip.avi")
        plates = watchlist(folder / "list.json")
        (folder / "unit.yaml").write_text(
            "unit: {org: bench, site: desk, id: pole}\n"
            "camera: {source: clip, path: clip.avi, pace: live}\n"
            "watchlist: {path: list.json, allow_unsigned: true}\n"
            "delivery: {outbox: outbox.db}\n"
            "health: {interval_s: 1.0}\n"
        )
        took = [value for _ in range(said.rounds) for value in once(folder)]
    half, most = np.percentile(took, [50, 95])
    sys.stdout.write(
        f"{len(took)} hits of {said.rounds * plates} vehicles: {half:.0f} ms in the middle, {most:.0f} ms at 95 %, "
        f"{max(took):.0f} ms at most\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
