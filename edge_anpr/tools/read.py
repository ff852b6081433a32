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
from edge_anpr.datatypes import Frame, PlateRead, Track, Unusable
from edge_anpr.plates.syntax import decide
from edge_anpr.plates.text import reveal
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Pipeline, Seen, Sighting, is_plate
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped

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
        if re.match(r"[a-z0-9+]+://", source) or source.isdigit() or path.is_char_device():
            raise Unusable(
                f"{source.split('://')[0]}: a live camera is refused; this command shows plates in clear and is for "
                "recorded files only; use `edge-anpr run`"
            )
        if path.is_dir():
            jobs += [Job(picture, 1, is_clip=False) for picture in pictures(path)]
        elif not path.exists():
            raise Unusable(f"{source}: no such file or folder")
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
    detector = Detector(Network(shipped("detector"), "detector", "quad-s8", threads=threads), DETECTION_THRESHOLD)
    reader = Reader(Network(shipped("ocr"), "ocr", "ctc", threads=threads))
    failed: list[Path] = []
    for job in jobs:
        pipeline = Pipeline(detector, reader)
        source = str(job.path)
        done = 0
        if job.is_clip:
            try:
                clip = Clip(job.path, live=False)
                for frame in frames(clip, every):
                    _frame(pipeline, frame, source, emit, with_frames=with_frames)
                    step(frame.index + 1 - done)
                    done = frame.index + 1
                if clip.cut_short:
                    failed.append(job.path)
            except SourceUnusable:
                failed.append(job.path)
        else:
            picture = still(job.path, 0)
            if picture is None:
                failed.append(job.path)
            else:
                _frame(pipeline, picture, source, emit, with_frames=with_frames)
        for track in pipeline.tracker.finish():
            _passage(pipeline, track, source, emit, is_still=not job.is_clip)
        step(job.frames - done)
    return failed


def _frame(pipeline: Pipeline, frame: Frame, source: str, emit: Emit, *, with_frames: bool) -> None:
    seen = pipeline.see(frame)
    for track in seen.ended:
        _passage(pipeline, track, source, emit, is_still=False)
    if with_frames:
        emit(frame_line(source, frame, seen))


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
        "reads": [_read(sighting) for sighting in seen.sightings if len(sighting.reading.posteriors)],
    }


def _read(sighting: Sighting) -> dict[str, Any]:
    classes, confidences, _ = decide(sighting.reading.posteriors)
    box, quad = sighting.detection.box, sighting.detection.quad
    return {
        "text": reveal(classes),
        "confidence": round(float(confidences.min()), 4),
        "char_confidence": [round(float(value), 4) for value in confidences],
        "box": [round(value, 1) for value in (box.left, box.top, box.width, box.height)],
        "quad": [[round(float(x), 1), round(float(y), 1)] for x, y in quad],
        "track": sighting.track.number,
    }


def _passage(pipeline: Pipeline, track: Track, source: str, emit: Emit, *, is_still: bool) -> None:
    read = pipeline.fuse(track)
    pipeline.forget(track)
    if read is not None and is_plate(read, track, still=is_still):
        emit(passage_line(source, track, read))


def passage_line(source: str, track: Track, read: PlateRead) -> dict[str, Any]:
    """What one passage gave."""
    return {
        "type": "passage",
        "source": source,
        "track": track.number,
        "read": reveal(read.classes),
        "confidence": round(read.confidence, 4),
        "country": read.country,
        "frames": read.frames,
        "first_frame": track.first_frame,
        "last_frame": track.last_frame,
    }
