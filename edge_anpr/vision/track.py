"""Plates followed from frame to frame: one track is one vehicle's passage.

A roadside picture holds a handful of plates, far from each other compared with their own size. Taking the nearest
pairs first gives what an optimal assignment gives there, without the linear algebra package that has one.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace

from edge_anpr.datatypes import PlateDetection, Track

# In plate widths: how far from where it was expected a plate may turn up; a new track has no expectation yet.
REACH = 0.8
FIRST_REACH = 1.6
MOST_GROWTH = 1.7
VELOCITY_MEMORY = 0.5


class Tracker:
    """Assigns detections to tracks. ``max_gap_ns``: a plate unseen for longer has left, monotonic nanoseconds."""

    def __init__(self, max_gap_ns: int) -> None:
        self._max_gap_ns = max_gap_ns
        self._tracks: list[Track] = []
        self._count = 0
        self._last_frame = -1

    def update(self, detections: list[PlateDetection], frame: int, now_ns: int) -> tuple[list[Track], list[Track]]:
        """The track of each detection, in their order, and the tracks that have ended."""
        ended = [track for track in self._tracks if now_ns - track.last_ns > self._max_gap_ns]
        alive = [track for track in self._tracks if now_ns - track.last_ns <= self._max_gap_ns]
        pairs = sorted(
            (distance, index, number)
            for index, number in _neighbours(detections, alive, now_ns)
            if (distance := _distance(alive[number], detections[index], now_ns)) is not None
        )
        assigned: dict[int, Track] = {}
        taken: set[int] = set()
        for _, index, number in pairs:
            if index not in assigned and number not in taken:
                taken.add(number)
                assigned[index] = _follow(alive[number], detections[index], frame, now_ns)
        for index, detection in enumerate(detections):
            if index not in assigned:
                self._count += 1
                assigned[index] = Track(self._count, frame, frame, now_ns, 1, detection, detection.score)
        self._last_frame = frame
        here = [assigned[index] for index in range(len(detections))]
        self._tracks = here + [track for number, track in enumerate(alive) if number not in taken]
        return here, ended

    def renew(self, track: Track) -> Track:
        """Another vehicle stands where this one stood: the same place under a new number."""
        self._count += 1
        detection = track.detection
        new = replace(track, number=self._count, first_frame=track.last_frame, frames=1, best_score=detection.score)
        self._tracks = [new if known.number == track.number else known for known in self._tracks]
        return new

    def hold(self, now_ns: int) -> list[Track]:
        """Nothing moves in the picture: what was seen in the last one is there still. The tracks that have ended."""
        here = [replace(track, last_ns=now_ns) for track in self._tracks if track.last_frame == self._last_frame]
        missed = [track for track in self._tracks if track.last_frame != self._last_frame]
        self._tracks = here + [track for track in missed if now_ns - track.last_ns <= self._max_gap_ns]
        return [track for track in missed if now_ns - track.last_ns > self._max_gap_ns]

    @property
    def under_way(self) -> list[Track]:
        """The tracks that have not ended."""
        return self._tracks

    def finish(self) -> list[Track]:
        """End all tracks and give them back: the source has ended, or its next picture shows something else."""
        ended, self._tracks = self._tracks, []
        return ended


def _neighbours(detections: list[PlateDetection], tracks: list[Track], now_ns: int) -> Iterator[tuple[int, int]]:
    """Detections and tracks that may be one plate, by their place across alone.

    With 80 plates in view all with all took 12 ms a look, this takes 4.
    """
    across = sorted((detection.box.centre[0], index) for index, detection in enumerate(detections))
    for number, track in enumerate(tracks):
        x = _expected(track, now_ns)[0]
        reach = FIRST_REACH * MOST_GROWTH * max(track.detection.box.width, 1.0)
        begin, end = bisect_left(across, (x - reach, 0)), bisect_right(across, (x + reach, len(detections)))
        for _, index in across[begin:end]:
            yield index, number


def _expected(track: Track, now_ns: int) -> tuple[float, float]:
    """Where the plate's middle is by now, (x, y) in pixels."""
    seconds = (now_ns - track.last_ns) / 1e9
    x, y = track.detection.box.centre
    return x + track.velocity_px_s[0] * seconds, y + track.velocity_px_s[1] * seconds


def _distance(track: Track, detection: PlateDetection, now_ns: int) -> float | None:
    """From where the plate is expected, in plate widths; None when it cannot be the same plate."""
    last = track.detection
    growth = detection.box.width / max(last.box.width, 1.0)
    if not 1 / MOST_GROWTH <= growth <= MOST_GROWTH:
        return None
    distance = math.dist(_expected(track, now_ns), detection.box.centre) / max(last.box.width, detection.box.width)
    return distance if distance <= (REACH if track.frames > 1 else FIRST_REACH) else None


def _follow(track: Track, detection: PlateDetection, frame: int, now_ns: int) -> Track:
    seconds = max((now_ns - track.last_ns) / 1e9, 1e-3)
    (x, y), (old_x, old_y) = detection.box.centre, track.detection.box.centre
    speed_x, speed_y = track.velocity_px_s
    memory = VELOCITY_MEMORY if track.frames > 1 else 0.0
    velocity = (
        memory * speed_x + (1 - memory) * (x - old_x) / seconds,
        memory * speed_y + (1 - memory) * (y - old_y) / seconds,
    )
    best = max(track.best_score, detection.score)
    return Track(
        track.number, track.first_frame, frame, now_ns, track.frames + 1, detection, best, velocity_px_s=velocity
    )
