"""The OCR by itself: crops of real plates, rendered ones it has not seen, and how far its confidence is true."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from faces import font_faces
from figures import Figures, calibration_error, fold
from ocr_io import CROP_H, CROP_W, Gray
from plates import PlateRenderer
from recogniser import Recogniser
from splits import CORRECTIONS

from edge_anpr.datatypes import Frame
from edge_anpr.plates.syntax import decide, fitting
from edge_anpr.plates.text import encode, reveal
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline, is_plate
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.rectify import scale_rows
from edge_anpr.vision.session import Network
from edge_anpr.vision.views import parts

# Neither of these seeds is one of training's.
RENDERED_SEED, CALIBRATION_SEED, RENDERED = 990_002, 990_004, 3000
SMALL_WIDTHS_PX, PLATE_WIDTHS_PX, PEER_WIDTHS_PX = (71, 57, 50, 43, 40, 36), (43, 40, 36), (57, 40)
Confidences = npt.NDArray[np.float32]
ROWS = {1: "one row", 2: "two rows"}


@dataclass(frozen=True, slots=True)
class Crop:
    """A labelled crop of a real plate."""

    gray: Gray
    texts: list[str]
    rows: int
    country: str

    def is_right(self, text: str) -> bool:
        """Whether the text is one of the labels."""
        return text in self.texts

    def is_alike(self, text: str) -> bool:
        """Whether it is one of them, O and 0, I and 1 taken for the same."""
        return fold(text) in map(fold, self.texts)


def load_crops(folder: Path) -> list[Crop]:
    """The crops of a set, its labels put right where the picture proves them wrong (`corrections.json`)."""
    listed = json.loads(CORRECTIONS.read_text())[folder.name]
    found = []
    for line in (folder / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        # By digest: the file names of the set are plates, and the list of corrections must not be.
        name = hashlib.sha256(Path(row["image"]).name.encode()).hexdigest()[:12]
        if name in listed["wrong"]:
            continue
        gray = cv2.imread(str(folder / row["image"]), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise FileNotFoundError(f"{folder / row['image']}: no such picture, or not readable")
        texts = [_corrected(text, listed["characters"].get(name, [])) for text in row["texts"] if text]
        found.append(Crop(np.asarray(gray, np.uint8), texts, row["lines"], row.get("country") or "?"))
    return found


def _corrected(text: str, places: list[tuple[int, str]]) -> str:
    characters = list(text)
    for place, character in places:
        characters[place] = character
    return "".join(characters)


def read_crop(reader: Reader, gray: Gray, rows: int) -> tuple[str, Confidences]:
    """Text and the characters' confidences, as the unit would say them of one frame."""
    whole = np.empty((rows, CROP_H, CROP_W), np.uint8)
    scale_rows(gray, whole)
    classes, sure = decide(reader.read_rows(list(whole)).posteriors)
    return reveal(classes), sure


def read_still(detector: Detector, reader: Reader, gray: Gray) -> str:
    """What ``edge-anpr read`` tells of a picture of a plate; "" where it tells nothing."""
    pipeline = Pipeline(detector, reader, Material.STILL)
    pipeline.see(Frame(0, 0, gray, gray))
    track = max(pipeline.tracker.finish(), key=lambda track: track.best_score, default=None)
    if track is None:
        return ""
    read = pipeline.fuse(track)
    return reveal(read.classes) if read is not None and is_plate(read, track, still=True) else ""


def crops(folder: Path, network: Network, reader: Reader, figures: Figures) -> None:
    """Exact and folded by rows, country and width; the pairs of characters that are taken for each other.

    ``network``: the detector, without which a picture is read but by the OCR alone.
    """
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    pairs: Counter[str] = Counter()
    found = load_crops(folder)
    detector = Detector(network, DETECTION_THRESHOLD)
    for crop in found:
        text, _ = read_crop(reader, crop.gray, crop.rows)
        still = read_still(detector, reader, crop.gray)
        for way, said in (("OCR alone", text), ("by `read`", still)):
            for kind, good in (("exact", crop.is_right(said)), ("folded", crop.is_alike(said))):
                tally[f"{way}, {ROWS[crop.rows]}, {kind}"][0] += good
                tally[f"{way}, {ROWS[crop.rows]}, {kind}"][1] += 1
        if crop.country in ("NL", "DE", "BE"):
            tally[f"OCR alone, {crop.country}, folded"][0] += crop.is_alike(text)
            tally[f"OCR alone, {crop.country}, folded"][1] += 1
        if len(text) == len(crop.texts[0]) and not crop.is_right(text):
            pairs.update(f"{a} read as {b}" for a, b in zip(crop.texts[0], text, strict=True) if a != b)
        elif not crop.is_alike(text):
            more = len(text) - len(crop.texts[0])
            pairs[f"{abs(more)} character(s) {'more' if more > 0 else 'less'}"] += 1
    for name, (right, of) in sorted(tally.items()):
        figures.counts.append((f"eu_crops: {name}", right, of))
    for name, count in pairs.most_common(8):
        figures.numbers[f"eu_crops: {name}"] = count
    _small([crop for crop in found if crop.rows == 1], detector, reader, figures)


def _small(found: list[Crop], detector: Detector, reader: Reader, figures: Figures) -> None:
    """Crops in one row shrunk to a width; and, as each shows more than its plate, so that the plate is so wide."""

    def told(what: str, shares: list[float], widths: Sequence[int]) -> list[tuple[float, float, int]]:
        curve = []
        for width in widths:
            alike = by_read = shown = 0
            for crop, share in zip(found, shares, strict=True):
                if crop.gray.shape[1] * share > width:
                    small = shrunk(crop.gray, round(width / share))
                    alike += crop.is_alike(read_crop(reader, small, 1)[0])
                    by_read += crop.is_alike(read_still(detector, reader, small))
                    shown += 1
            curve.append((float(width), alike / max(shown, 1), shown))
            figures.counts.append((f"eu_crops: one row, {what}shrunk to {width} px, folded", alike, shown))
            figures.counts.append((f"eu_crops: by `read`, one row, {what}shrunk to {width} px, folded", by_read, shown))
        return curve

    figures.curves["eu_crops, one row, by width in px: folded"] = told("", [1.0] * len(found), SMALL_WIDTHS_PX)
    told("its plate ", [plate_share(detector, crop.gray) for crop in found], PLATE_WIDTHS_PX)


def shrunk(gray: Gray, width: int) -> Gray:
    """The crop so many pixels wide, averaged over area."""
    size = (width, max(4, round(gray.shape[0] * width / gray.shape[1])))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def plate_share(detector: Detector, gray: Gray) -> float:
    """How much of a crop's width its plate takes; 1.0 where the detector finds none with half a crop of room around."""
    high, wide = gray.shape
    room = np.asarray(cv2.copyMakeBorder(gray, high, high, wide // 2, wide // 2, cv2.BORDER_REPLICATE), np.uint8)
    whole = detector.whole_view(room.shape[1], room.shape[0])
    found = [plate for plate in detector.find(room, room, parts(whole, deep=True)) if plate.box.width > wide / 2]
    if not found:
        return 1.0
    a, b, c, d = max(found, key=lambda plate: plate.score).quad.tolist()
    across: float = (math.dist(a, b) + math.dist(c, d)) / 2
    return float(min(across / wide, 1.0))


def peer(folder: Path, figures: Figures) -> None:
    """RapidOCR's recogniser on the same crops, each row by itself, small ones too, and its milliseconds a row."""
    recogniser = Recogniser()
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    times = []
    for crop in load_crops(folder):
        text = ""
        for row in np.array_split(crop.gray, crop.rows):
            begin = time.perf_counter()
            text += recogniser.read(row)[0]
            times.append(1e3 * (time.perf_counter() - begin))
        for kind, good in (("exact", crop.is_right(text)), ("folded", crop.is_alike(text))):
            tally[f"{ROWS[crop.rows]}, {kind}"][0] += good
            tally[f"{ROWS[crop.rows]}, {kind}"][1] += 1
        for width in PEER_WIDTHS_PX:
            if crop.rows == 1 and crop.gray.shape[1] > width:
                small = tally[f"{ROWS[crop.rows]}, shrunk to {width} px, folded"]
                small[0] += crop.is_alike(recogniser.read(shrunk(crop.gray, width))[0])
                small[1] += 1
    for name, (right, of) in sorted(tally.items()):
        figures.counts.append((f"eu_crops: RapidOCR's recogniser, {name}", right, of))
    figures.numbers["eu_crops: RapidOCR's recogniser, ms a row, median, 1 thread"] = round(float(np.median(times)), 2)


def rendered(reader: Reader, figures: Figures) -> None:
    """The hard rendered set: badly lit, smeared, dirty plates 30 to 210 px wide, each row of two by itself."""
    renderer = PlateRenderer(np.random.default_rng(RENDERED_SEED))
    exact = alike = of = 0
    while of < RENDERED:
        for crop, text in renderer.crops():
            said = reveal(decide(reader.read_rows([crop]).posteriors)[0])
            exact, alike, of = exact + (said == text), alike + (fold(said) == fold(text)), of + 1
            if fold(said) != fold(text) and not fitting(encode(text)):  # what fits a layout may be somebody's
                figures.failures.append((crop, text, said))
    figures.numbers["rendered rows: font faces at hand, beside those drawn"] = len(font_faces())
    figures.counts += [("rendered rows, hard: exact", exact, of), ("rendered rows, hard: folded", alike, of)]


def calibration(folder: Path, reader: Reader, figures: Figures) -> None:
    """Of what is said with confidence p, the share that is right: characters and plates, O/0 and I/1 taken for one."""
    renderer = PlateRenderer(np.random.default_rng(CALIBRATION_SEED))
    samples: list[tuple[str, Confidences, list[str]]] = []
    while len(samples) < RENDERED:
        for crop, text in renderer.crops():
            classes, certain = decide(reader.read_rows([crop]).posteriors)
            if text:
                samples.append((reveal(classes), certain, [text]))
    sets = {"rendered rows": samples}
    if folder.is_dir():
        real = load_crops(folder)
        sets["eu_crops"] = [(*read_crop(reader, crop.gray, crop.rows), crop.texts) for crop in real]
    for name, items in sets.items():
        sure: list[float] = []
        right: list[bool] = []
        for text, confidences, texts in items:
            truth = next((t for t in texts if len(t) == len(text)), None)
            if truth is not None:
                sure += confidences.tolist()
                right += [fold(a) == fold(b) for a, b in zip(text, truth, strict=True)]
        error, points = calibration_error(np.array(sure), np.array(right))
        figures.numbers[f"{name}: calibration error of characters (ECE)"] = round(error, 4)
        figures.curves[f"{name}: characters, share right by confidence"] = points
        said = [item for item in items if len(item[1])]
        whole = np.array([float(item[1].prod()) for item in said])
        good = np.array([fold(item[0]) in map(fold, item[2]) for item in said])
        error, points = calibration_error(whole, good)
        figures.numbers[f"{name}: calibration error of plates (ECE)"] = round(error, 4)
        figures.curves[f"{name}: plates, share right by probability"] = points
