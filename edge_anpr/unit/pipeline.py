"""The way of a frame: detect → track → rectify → ocr → fuse, the same for the daemon and for recorded material."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from edge_anpr.datatypes import Frame, PlateDetection, PlateRead, PlateReading, Track
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.fuse import Passage
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.track import Tracker
from edge_anpr.vision.views import Gaze, parts

DETECTION_THRESHOLD = 0.3
MAX_GAP_NS = 1_000_000_000
LEAST_CHARACTERS = 4
LEAST_AGREE = 2
# Detector's best score times the geometric mean of the characters' confidences. Of several such products this parted
# plates best from lettering, badges and lamps on the training photos: at 0.48, 281 of 398 plates (not all readable)
# against 10 other things in 460 photos, one reading each; at 0.56, 252 against 2.
LEAST_EVIDENCE = 0.5
# A hit has consequences, so there one doubtful character is enough to doubt it.
LEAST_HIT_CONFIDENCE = 0.5


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
    """Detector, reader, tracker, and the readings of each passage that is under way.

    ``hurried``: frames do not wait, so that each frame's far road is looked at in part (see ``vision.views``).
    """

    detector: Detector
    reader: Reader
    hurried: bool = True
    tracker: Tracker = field(default_factory=lambda: Tracker(MAX_GAP_NS))
    passages: dict[int, Passage] = field(default_factory=dict)
    gaze: Gaze = field(default_factory=Gaze)

    def see(self, frame: Frame, *, still: bool = False) -> Seen:
        """Take one frame. Ended tracks keep their passage until ``forget``, so that the caller can fuse and decide.

        ``still``: a picture by itself, which is looked at down to its own pixels.
        """
        begin = time.perf_counter()
        height, width = frame.luma.shape
        far = parts(self.detector.whole_view(width, height), deep=still)
        if self.hurried:
            far = self.gaze.choose(far, self.tracker.under_way)
        detections = self.detector.find(frame.lores, frame.luma, far)
        detected = time.perf_counter()
        tracks, ended = self.tracker.update(detections, frame.index, frame.captured_ns)
        reading = time.perf_counter()
        readings = self.reader.read(frame.luma, detections) if detections else []
        read = time.perf_counter()
        sightings = []
        for track, detection, plate in zip(tracks, detections, readings, strict=True):
            passage = self.passages.setdefault(track.number, Passage())
            if not detection.is_cut:  # half a plate has no voice
                passage.add(plate)
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
    certainty = float(np.exp(np.log(np.maximum(read.char_confidence, 1e-6)).mean()))
    return (
        len(read.classes) >= LEAST_CHARACTERS
        and track.best_score * certainty >= LEAST_EVIDENCE
        and read.agree >= (1 if still else LEAST_AGREE)
    )
