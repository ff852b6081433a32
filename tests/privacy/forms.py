"""All forms in which a plate could be left behind: its text in every encoding, what the networks say, its pixels.

The forms of pictures come from the same deterministic pipeline on the same clip, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from proof_clip import Passage

from edge_anpr.camera.files import Clip
from edge_anpr.datatypes import PlateDetection
from edge_anpr.plates.text import encode, reveal
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Pipeline
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.fuse import forget_read
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.rectify import row_counts
from edge_anpr.vision.session import Card, Network, Outputs, shipped
from tests.privacy.scan import Needle

RUN = 32  # bytes of a row of pixels or values: less than that is no picture of a plate
ROWS = 8  # rows of each patch
LEAST_CONTRAST = 3.0
# As floats, an edge between two flat areas stands in tables that rise by steps: a grid of cells has 245, 255, 255, …
LEAST_FLOATS = 4

TEXT: dict[str, Callable[[NDArray[np.uint8], str], bytes]] = {
    "ASCII": lambda classes, text: text.encode("ascii"),
    "UTF-16": lambda classes, text: text.encode("utf-16-le"),
    "UTF-32": lambda classes, text: text.encode("utf-32-le"),
    "classes, uint8": lambda classes, text: classes.tobytes(),
    "classes, int32": lambda classes, text: classes.astype(np.int32).tobytes(),
    "classes, int64": lambda classes, text: classes.astype(np.int64).tobytes(),
    "classes, float32": lambda classes, text: classes.astype(np.float32).tobytes(),
}
PIXELS = (
    "compressed frame",
    "decoder's plane",
    "colour picture",
    "luma",
    "detector input",
    "detector input, float32",
    "OCR crop",
    "OCR crop, float32",
    "OCR output",
    "OCR output, by class",
    "character rows",
    "fused rows",
)
FLOATS = ("detector input", "OCR crop")  # both networks begin by making floats of what they are given
KEYS = ("old key", "token of an old key")
FORMS = (*TEXT, *PIXELS, *KEYS)


def of_text(number: int, text: str) -> list[Needle]:
    """A plate as text and as classes."""
    classes = encode(text)
    return [Needle(form, number, write(classes, text)) for form, write in TEXT.items()]


@dataclass(slots=True)
class Recorded:
    """What the pipeline made of a clip: needles, and the text of each passage as it was read (None: not read)."""

    needles: list[Needle] = field(default_factory=list, repr=False)
    read: list[str | None] = field(default_factory=list, repr=False)


def record(clip: Path, passages: Sequence[Passage]) -> Recorded:
    """Run the pipeline over ``clip`` and keep every form of the plates of ``passages``."""
    found = Recorded(read=[None] * len(passages))
    detecting, reading = _Spy("detector", "quad13-s8"), _Spy("ocr", "ctc")
    pipeline = Pipeline(Detector(detecting, DETECTION_THRESHOLD), Reader(reading))  # type: ignore[arg-type]
    by_track: dict[int, int] = {}
    source, planes, packets = Clip(clip, live=False), cv2.VideoCapture(str(clip)), cv2.VideoCapture(str(clip))
    planes.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    packets.set(cv2.CAP_PROP_FORMAT, -1)

    def settle(ended: Sequence[Any]) -> None:
        for track in ended:
            read, number = pipeline.fuse(track), by_track.get(track.number)
            if read is not None and number is not None and read.agree > 1:
                found.read[number] = reveal(read.classes)
                found.needles += _values("fused rows", number, read.posteriors)
                forget_read(read)
            pipeline.forget(track)

    while (frame := source.read()) is not None:
        seen = pipeline.see(frame)
        (_, plane), (_, packet) = planes.read(), packets.read()
        settle(seen.ended)
        flat, middle, crop = packet.ravel(), packet.size // 2, 0
        times = min(detecting.card.width / frame.luma.shape[1], detecting.card.height / frame.luma.shape[0])
        for sighting in seen.sightings:
            if sighting.reading is None:
                continue
            number = _whose(passages, frame.index, sighting.detection)
            if number is not None:
                by_track[sighting.track.number] = number
                for form, picture, scale in (
                    ("decoder's plane", plane, 1.0),
                    ("colour picture", frame.colour, 1.0),
                    ("luma", frame.luma, 1.0),
                    ("detector input", detecting.array[0, 0], times),
                ):
                    assert picture is not None
                    found.needles += _patch(form, number, picture, sighting.detection, scale)
                for begin in range(middle, middle + 4 * RUN, RUN):
                    found.needles.append(Needle("compressed frame", number, flat[begin : begin + RUN].tobytes()))
                for row in range(4, 28, 3):
                    found.needles += _run("OCR crop", number, reading.array[crop, 0, row, 40 : 40 + RUN])
                found.needles += _values("OCR output", number, reading.outputs[0][crop][::5])
                # The network works class by class, and turns its output round at the very end.
                found.needles += _values("OCR output, by class", number, reading.outputs[0][crop].T)
                found.needles += _values("character rows", number, sighting.reading.posteriors)
            crop += sum(row_counts(sighting.detection))
        source.recycle(frame)
    settle(pipeline.tracker.finish())
    for number, (passage, read) in enumerate(zip(passages, found.read, strict=True)):
        for text in {passage.plate, read or passage.plate}:
            found.needles += of_text(number, text)
    return found


def _whose(passages: Sequence[Passage], frame: int, plate: PlateDetection) -> int | None:
    """The passage that a detection belongs to."""
    x, _ = plate.box.centre
    for number, one in enumerate(passages):
        if one.first <= frame <= one.last and abs(one.lane - x) < plate.box.width / 4:
            return number
    return None


class _Spy:
    """A network that keeps copies of its last input and outputs."""

    def __init__(self, kind: str, decoder: str) -> None:
        self._network = Network(shipped(kind), kind, decoder)
        self.card: Card = self._network.card
        self.array: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.outputs: list[NDArray[np.float32]] = []

    def bind(self, array: NDArray[np.uint8]) -> SimpleNamespace:
        held = self._network.bind(array)

        def run() -> Outputs:
            outputs = held.run()
            self.array, self.outputs = array.copy(), [output.copy() for output in outputs]
            return outputs

        return SimpleNamespace(run=run)


def _patch(form: str, number: int, picture: NDArray[Any], plate: PlateDetection, scale: float) -> Iterator[Needle]:
    x, y = (value * scale for value in plate.box.centre)
    top, left = round(y) - ROWS, round(x) - RUN // 2
    for row in picture[top : top + 2 * ROWS : 2]:
        yield from _run(form, number, row[left : left + RUN].ravel()[:RUN])


def _run(form: str, number: int, row: NDArray[Any]) -> Iterator[Needle]:
    """One run of a row, unless it is too plain to be known again; and what a network makes floats of."""
    if len(row) == RUN and float(row.astype(np.float32).std()) >= LEAST_CONTRAST:
        yield Needle(form, number, row.astype(np.uint8).tobytes())
        floats = row[12:20].astype(np.float32)
        if form in FLOATS and float(floats.std()) >= LEAST_CONTRAST and len(np.unique(floats)) >= LEAST_FLOATS:
            yield Needle(f"{form}, float32", number, floats.tobytes())


def _values(form: str, number: int, rows: NDArray[np.float32]) -> Iterator[Needle]:
    """A run of eight values out of each row, where none is alike."""
    for row in rows:
        values = row[12 : 12 + RUN // 4]
        if len(np.unique(values)) == len(values):
            yield Needle(form, number, np.ascontiguousarray(values).tobytes())
