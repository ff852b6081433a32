"""The way of a frame: detect → track → rectify → ocr → fuse, the same for the daemon and for recorded material."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from edge_anpr.datatypes import Frame, PlateDetection, PlateRead, PlateReading, Track
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.fuse import Passage
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.track import Tracker

# Found on the training pictures and rides, where nothing below it was a plate.
DETECTION_THRESHOLD = 0.35
MAX_GAP_NS = 1_000_000_000
# A passage counts as a plate from here on; what is less certain was a sign, a grille, or a plate too far away.
LEAST_SCORE = 0.5
LEAST_CHARACTERS = 4
LEAST_CONFIDENCE = 0.5
LEAST_AGREE = 2


@dataclass(frozen=True, slots=True)
class Sighting:
    """One plate in one frame."""

    track: Track
    detection: PlateDetection
    reading: PlateReading


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame gave: its plates, the passages that ended before it, and the milliseconds each part took."""

    sightings: list[Sighting]
    ended: list[Track]
    detect_ms: float
    ocr_ms: float
    total_ms: float


@dataclass(slots=True)
class Pipeline:
    """Detector, reader, tracker, and the readings of each passage that is under way."""

    detector: Detector
    reader: Reader
    tracker: Tracker = field(default_factory=lambda: Tracker(MAX_GAP_NS))
    passages: dict[int, Passage] = field(default_factory=dict)

    def see(self, frame: Frame) -> Seen:
        """Take one frame. Ended tracks keep their passage until ``forget``, so that the caller can fuse and decide."""
        begin = time.perf_counter()
        detections = self.detector.find(frame.lores, frame.luma.shape[1])
        detected = time.perf_counter()
        tracks, ended = self.tracker.update(detections, frame.index, frame.captured_ns)
        reading = time.perf_counter()
        readings = self.reader.read(frame.luma, detections) if detections else []
        read = time.perf_counter()
        sightings = []
        for track, detection, plate in zip(tracks, detections, readings, strict=True):
            self.passages.setdefault(track.number, Passage()).add(plate)
            sightings.append(Sighting(track, detection, plate))
        end = time.perf_counter()
        return Seen(sightings, ended, (detected - begin) * 1e3, (read - reading) * 1e3, (end - begin) * 1e3)

    def fuse(self, track: Track) -> PlateRead | None:
        """What the passage of this track says so far."""
        passage = self.passages.get(track.number)
        return passage.fuse() if passage else None

    def forget(self, track: Track) -> None:
        """Overwrite the passage of a track that has ended."""
        passage = self.passages.pop(track.number, None)
        if passage:
            passage.forget()


def is_plate(read: PlateRead, track: Track, *, still: bool = False) -> bool:
    """Whether the evidence is enough to call it a plate; of a still picture one reading has to do."""
    return (
        track.best_score >= LEAST_SCORE
        and len(read.classes) >= LEAST_CHARACTERS
        and read.confidence >= LEAST_CONFIDENCE
        and read.agree >= (1 if still else LEAST_AGREE)
    )
