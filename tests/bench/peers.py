"""``python -m tests.bench.peers``: our pipeline beside RapidOCR (PP-OCR, Apache-2.0), frame by frame in one run.

Both get the same whole gray pictures, one thread, each frame by itself, and give texts. Writes peers.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import cv2

import edge_anpr
from edge_anpr import files
from edge_anpr.datatypes import Frame, Gray
from edge_anpr.plates.text import reveal
from edge_anpr.tools import machine
from edge_anpr.tools.terminal import progress
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline, is_plate
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import networks
from tests.bench.__main__ import DOCS
from tests.bench.roads import Road, Vehicle

# Of the demo's clip one frame of each so many that show a whole plate.
EVERY = 6
ROADS, ON_EACH = 24, 3
TEXT = """\
# Beside RapidOCR

This file is written by `make bench-peers`. The same whole gray pictures for all, in turns, in one process, one thread;
each picture by itself. Milliseconds of processor time, medians. {where}.

{table}

RapidOCR (PP-OCR, Apache-2.0) reads any text in a picture, which is more than is asked of it here; its models are those
of the package, and text that lies upside down is not looked for. What it says is kept as letters and digits, in
capitals. A plate inside a longer text is one to which it added, say, the country's letters at the edge; others are
texts with no plate in them, misread plates among them. Of edge-anpr stands what it would call a plate of one picture:
as a recording, each part of the far road is looked at once and each plate cut once; as a still, the parts go deeper
and three cuts are read. A unit on a road looks at one part a frame, and several frames speak for one plate: what that
costs is in [speed.md](../speed.md).

The clip is composed of photos of cars, with drawn plates set into them; the road is drawn. That is little material, and
our own renderer, by whose plates our networks were trained, drew the plates: it says what each costs, and only roughly
how well each reads. Real plates, cut out, are in [recognition.md](../recognition.md).
"""
Reads = Callable[[Gray], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A gray picture, and what its plates say."""

    picture: Gray = field(repr=False)
    texts: tuple[str, ...]


@dataclass(slots=True)
class Score:
    """Of so many plates, how many were told exactly, how many with O for 0 or I for 1, or inside a longer text."""

    plates: int = 0
    exact: int = 0
    folded: int = 0
    within: int = 0
    others: int = 0
    ms: list[float] = field(default_factory=list)

    def take(self, texts: Sequence[str], said: Sequence[str], ms: float) -> None:
        """One picture: what stands there, what was said, and what it took."""
        alike = {_fold(text) for text in said}
        self.plates += len(texts)
        self.exact += sum(text in said for text in texts)
        self.folded += sum(_fold(text) in alike for text in texts)
        self.within += sum(any(_fold(text) in one for one in alike) for text in texts)
        truths = {_fold(text) for text in texts}
        self.others += sum(not any(truth in one for truth in truths) for one in alike if one)
        self.ms.append(ms)


def demo() -> list[Shown]:
    """Frames of the demo's clip that show all of a plate."""
    folder = Path(edge_anpr.__file__).parent / "demo"
    truth = json.loads((folder / "truth.json").read_text())
    wanted = {
        int(number): passage["plate"]
        for passage in truth["passages"]
        for number in sorted(passage["quads"], key=int)[::EVERY]
    }
    clip, found = cv2.VideoCapture(str(folder / "clip.mp4")), []
    for number in range(truth["frames"]):
        picture = clip.read()[1]
        if number in wanted:
            found.append(Shown(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (wanted[number],)))  # type: ignore[arg-type]
    return found


def roads() -> list[Shown]:
    """1080p, three drawn plates 50 to 220 px wide on each."""
    road = Road(1920, 1080, 12.0)
    plates = road.plates(ROADS * ON_EACH)
    found = []
    for index in range(ROADS):
        here = [
            Vehicle(
                0.2 + 0.3 * lane, 0.25 + 0.02 * index, (50 + 170 * ((index * ON_EACH + lane) % 10) / 9) / 1920, *plate
            )
            for lane, plate in enumerate(plates[index * ON_EACH : (index + 1) * ON_EACH])
        ]
        found.append(Shown(road.frame(index, here).luma, tuple(vehicle.text for vehicle in here)))
    return found


def ours(material: Material) -> Reads:
    """What the unit would call plates of this picture, looked at as one of a recording, or as a still."""
    loaded = networks(None, None)
    detector, reader = Detector(loaded["detector"], DETECTION_THRESHOLD), Reader(loaded["ocr"])

    def read(picture: Gray) -> list[str]:
        pipeline = Pipeline(detector, reader, material)  # a new one, so that no two pictures speak for one plate
        seen = pipeline.see(Frame(0, 0, picture, picture))
        fused = [(pipeline.fuse(one.track), one.track) for one in seen.sightings]
        return [reveal(read.classes) for read, track in fused if read is not None and is_plate(read, track, still=True)]

    return read


def rapidocr() -> Reads:
    """Its detection and recognition of text, without the classifier for text that lies upside down."""
    from rapidocr import RapidOCR

    engine: Any = RapidOCR(
        params={"Global.use_cls": False, "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1}
    )  # fmt: skip

    def read(picture: Gray) -> list[str]:
        found = engine(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), use_cls=False)
        return [re.sub(r"[^A-Z0-9]", "", text.upper()) for text in found.txts or ()]

    return read


def compare(shown: Sequence[Shown], readers: dict[str, Reads], step: Callable[[int], None]) -> dict[str, Score]:
    """All read each picture, in turns; the first one once more before that, as first passes are slow."""
    scores = {name: Score() for name in readers}
    for read in readers.values():
        read(shown[0].picture)
    for one in shown:
        for name, read in readers.items():
            begin = time.process_time()
            said = read(one.picture)
            scores[name].take(one.texts, said, 1e3 * (time.process_time() - begin))
        step(1)
    return scores


def markdown(found: Mapping[str, Mapping[str, Score]]) -> str:
    """The table, a row for each reader on each material."""
    rows = [
        "| pictures | read by | ms | plates | exactly | O as 0, I as 1 | or inside a longer text | others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {where} | {name} | {median(score.ms):.0f} "
        f"| {score.plates} | {score.exact} | {score.folded} | {score.within} | {score.others} |"
        for where, scores in found.items()
        for name, score in scores.items()
    ]
    return "\n".join(rows)


def main() -> int:
    """Compare, write, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS / "peers.md")
    said = parser.parse_args()
    cv2.setNumThreads(1)
    readers = {
        "edge-anpr, as a recording": ours(Material.RECORDED),
        "edge-anpr, as a still": ours(Material.STILL),
        f"RapidOCR {version('rapidocr')}": rapidocr(),
    }
    found = {}
    for name, make in (("demo clip, 640×480", demo), ("drawn road, 1080p", roads)):
        shown = make()
        with progress(len(shown), name) as step:
            found[f"{name}, {len(shown)} pictures"] = compare(shown, readers, step)
    where = f"edge-anpr {edge_anpr.__version__} on {machine.name()}, ONNX Runtime {version('onnxruntime')}"
    files.replace(said.out, TEXT.format(table=markdown(found), where=where).encode())
    sys.stdout.write(markdown(found) + "\n")
    return 0


def _fold(text: str) -> str:
    return text.replace("O", "0").replace("I", "1")


if __name__ == "__main__":
    sys.exit(main())
