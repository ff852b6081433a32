"""The photos a detector may learn from, and the fixed rule that holds some of them back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

#: Whole rides are held back: two frames of one ride show the same car.
HELD_BACK_RIDES = frozenset({"dayride_type1_002", "nightride_type3_001"})
#: Share of the photos of the other sets that is held back, by a hash of their name.
HELD_BACK_SHARE = {"openimages_plates": 0.10, "pl_photos": 0.25}
TRAIN_SETS = ("openimages_plates", "ro_dashcam", "pl_photos")
#: Labels that pictures prove wrong or missing.
CORRECTIONS = Path(__file__).parent / "corrections.json"


@dataclass(slots=True)
class Photo:
    """One gray photo with its labels; boxes [n,4] as x1 y1 x2 y2 in pixels, the other boxes likewise.

    `ignore` are places that may be unlabelled plates, `hard` places that look like plates and are none.

    `mips[k]` is the photo shrunk by 2**k, so that a far view needs no slow area filter.
    """

    source: str
    name: str
    group: str
    mips: list[Gray]
    boxes: FloatArray
    quads: FloatArray | None = None
    ignore: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    hard: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    @property
    def gray(self) -> Gray:
        """The photo at full size."""
        return self.mips[0]


def held_back(source: str, name: str, group: str) -> bool:
    """Say whether a picture is held back from training: dashcam by ride, the others by a hash of the name."""
    if source == "ro_dashcam":
        return group in HELD_BACK_RIDES
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return digest / 2**32 < HELD_BACK_SHARE.get(source, 0.0)


def shrink(gray: Gray, levels: int = 4) -> list[Gray]:
    """Return the photo and its halves, `levels` at most."""
    mips = [gray]
    while len(mips) < levels and min(mips[-1].shape) >= 64:
        height, width = mips[-1].shape
        half = cv2.resize(mips[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        mips.append(np.asarray(half, np.uint8))
    return mips


def load(data: Path, source: str) -> Iterator[tuple[Photo, bool]]:
    """Yield each photo of a set with whether it is held back; its labels are corrected.

    FileNotFoundError for a missing picture.
    """
    corrections: dict[str, dict[str, list[list[float]]]] = json.loads(CORRECTIONS.read_text())
    lacking, wrong = corrections.get(source, {}), corrections.get(f"{source} wrong", {})
    with (data / source / "labels.jsonl").open() as lines:
        for line in lines:
            row = json.loads(line)
            path = data / source / row["image"]
            gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if gray is None:
                raise FileNotFoundError(f"{path}: no such picture, or not readable")
            name = row.get("openimages_id") or Path(row["image"]).stem
            labels = [box for box in row["boxes"] if [round(side) for side in box] not in wrong.get(name, [])]
            boxes = np.asarray([*labels, *lacking.get(name, [])], np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            group = row.get("video") or row.get("clip") or name
            quads = np.asarray(row["quads"], np.float32).reshape(-1, 4, 2) if "quads" in row else None
            photo = Photo(source, name, group, shrink(np.asarray(gray, np.uint8)), boxes, quads)
            yield photo, held_back(source, name, group)


def training_photos(data: Path) -> list[Photo]:
    """Load every photo of the training sets that is not held back."""
    return [photo for source in TRAIN_SETS for photo, held in load(data, source) if not held]


def held_back_photos(data: Path) -> dict[str, list[Photo]]:
    """Load the held-back photos, by the name under which they are measured."""
    found: dict[str, list[Photo]] = {}
    for source in TRAIN_SETS:
        for photo, held in load(data, source):
            if held:
                found.setdefault(photo.group if source == "ro_dashcam" else source, []).append(photo)
    return found


def recall_search(photos: list[Photo], path: Path) -> list[Photo]:
    """Take up what a search noted; returns the photos with mistakes to learn from."""
    noted = json.loads(path.read_text()) if path.exists() else {}
    for photo in photos:
        for kind in ("ignore", "hard"):
            boxes = noted.get(kind, {}).get(f"{photo.source}/{photo.name}", [])
            setattr(photo, kind, np.asarray(boxes, np.float32).reshape(-1, 4))
    return [photo for photo in photos if len(photo.hard)]
