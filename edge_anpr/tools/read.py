"""Plates of recorded material as JSON Lines, to measure recognition: in clear, for files somebody already has."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from edge_anpr.camera.files import PICTURES, Clip, frames, pictures, still
from edge_anpr.camera.opencv import SourceUnusable
from edge_anpr.datatypes import Frame, PlateRead, PlateReading, Track
from edge_anpr.errors import Unusable
from edge_anpr.plates.syntax import decide, likely_layout
from edge_anpr.plates.text import reveal
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, MAX_GAP_NS, Material, Pipeline, Seen, Sighting, is_plate
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import networks
from edge_anpr.vision.track import Tracker

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to read: a clip, or one picture; ``frames`` is how many frames it promises, for the progress bar."""

    path: Path
    frames: int
    is_clip: bool


def plan(sources: tuple[str, ...]) -> list[Job]:
    """What the named sources hold. Raises Unusable for live cameras and for what does not exist."""
    jobs: list[Job] = []
    for source in sources:
        path = Path(source)
        if re.match(r"[a-zA-Z0-9+]+://", source) or path.is_char_device() or (source.isdigit() and not path.exists()):
            raise Unusable(
                f"{source.split('://', maxsplit=1)[0]}: a live camera is refused; this command shows plates in clear "
                "and is for recorded files only; use `edge-anpr run`"
            )
        if path.is_dir():
            jobs += [Job(picture, 1, is_clip=False) for picture in pictures(path)]
        elif not path.exists():
            raise Unusable(f"{source}: no such file or folder")
        elif not path.is_file():
            raise Unusable(f"{source}: is neither a file nor a folder")
        elif path.suffix.lower() in PICTURES:
            jobs.append(Job(path, 1, is_clip=False))
        else:
            capture = cv2.VideoCapture(str(path))
            jobs.append(Job(path, max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1), is_clip=True))
            capture.release()
    return jobs


def read(
    jobs: list[Job], emit: Emit, *, every: int, with_frames: bool, threads: int, step: Callable[[int], None]
) -> list[Path]:
    """Read all jobs, giving each line to ``emit`` and each advance in frames to ``step``; the files that failed."""
    cv2.setNumThreads(threads)
    loaded = networks(None, None, threads=threads)
    detector, reader = Detector(loaded["detector"], DETECTION_THRESHOLD), Reader(loaded["ocr"])
    failed: list[Path] = []
    for job in jobs:
        run = _Run(detector, reader, job, emit, with_frames=with_frames)
        whole = run.clip(every, step) if job.is_clip else run.still(step)
        if not whole:
            failed.append(job.path)
    return failed


class _Run:
    """One job on its way through a pipeline of its own."""

    def __init__(self, detector: Detector, reader: Reader, job: Job, emit: Emit, *, with_frames: bool) -> None:
        material = Material.RECORDED if job.is_clip else Material.STILL
        self._pipeline = Pipeline(detector, reader, material)
        self._job, self._emit, self._with_frames = job, emit, with_frames
        self._source = str(job.path)

    def clip(self, every: int, step: Callable[[int], None]) -> bool:
        """Read a clip; False when it cannot be read to its end."""
        done = 0
        try:
            clip = Clip(self._job.path, live=False)
            # A passage outlasts a gap of two of the frames that are looked at, however far they are apart.
            gap_ns = max(MAX_GAP_NS, round(2.5e9 * every / clip.frames_per_second))
            self._pipeline.tracker = Tracker(gap_ns)
            for frame in frames(clip, every):
                self._look(frame)
                step(frame.index + 1 - done)
                done = frame.index + 1
            clip.close()
            whole = clip.shortfall() is None
        except SourceUnusable:
            whole = False
        self._end(self._pipeline.tracker.finish(), is_still=False)
        step(self._job.frames - done)
        return whole

    def still(self, step: Callable[[int], None]) -> bool:
        """Read one picture, each plate a passage of its own; False when it is none."""
        frame = still(self._job.path, 0)
        if frame is not None:
            self._look(frame)
        self._end(self._pipeline.tracker.finish(), is_still=True)
        step(1)
        return frame is not None

    def _look(self, frame: Frame) -> None:
        seen = self._pipeline.see(frame)
        self._end(seen.ended, is_still=False)
        if self._with_frames:
            self._emit(frame_line(self._source, frame, seen))

    def _end(self, tracks: list[Track], *, is_still: bool) -> None:
        for track in tracks:
            read = self._pipeline.fuse(track)
            self._pipeline.forget(track)
            if read is not None and is_plate(read, track, still=is_still):
                self._emit(passage_line(self._source, track, read))


def frame_line(source: str, frame: Frame, seen: Seen) -> dict[str, Any]:
    """What one frame gave, in pixels of the given picture."""
    return {
        "type": "frame",
        "source": source,
        "frame": frame.index,
        "ms": {
            "detect": round(seen.detect_ms, 3),
            "ocr": round(seen.ocr_ms, 3),
            "total": round(seen.total_ms, 3),
        },
        "reads": [
            _read(sighting, sighting.reading)
            for sighting in seen.sightings
            if sighting.reading and len(sighting.reading.posteriors)
        ],
    }


def _read(sighting: Sighting, reading: PlateReading) -> dict[str, Any]:
    classes, confidences = decide(reading.posteriors)
    box, quad = sighting.detection.box, sighting.detection.quad
    return {
        "text": reveal(classes),
        "confidence": round(float(confidences.min()), 4),
        "char_confidence": [round(float(value), 4) for value in confidences],
        "box": [round(value, 1) for value in (box.left, box.top, box.width, box.height)],
        "quad": [[round(float(x), 1), round(float(y), 1)] for x, y in quad],
        "cut": sighting.detection.is_cut,
        "track": sighting.track.number,
    }


def passage_line(source: str, track: Track, read: PlateRead) -> dict[str, Any]:
    """What one passage gave."""
    layout = likely_layout(read.classes)
    return {
        "type": "passage",
        "source": source,
        "track": track.number,
        "read": reveal(read.classes),
        "confidence": round(read.confidence, 4),
        "probability": round(read.probability, 4),
        "country": layout.country if layout else None,
        "frames": read.frames,
        "first_frame": track.first_frame,
        "last_frame": track.last_frame,
    }
