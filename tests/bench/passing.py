"""A minute of traffic through tracker, fusion, match and decision, with no picture and no network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from edge_anpr.datatypes import Box, Frame, Gray, PlateDetection, PlateReading, Posteriors, Track
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.health import Counters
from edge_anpr.unit.hit import Origin
from edge_anpr.unit.lists import Armed
from edge_anpr.unit.pipeline import MAX_GAP_NS, Pipeline
from edge_anpr.vision.track import Tracker
from edge_anpr.vision.views import View, whole
from edge_anpr.watch.breaker import Breaker
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.tokens import Group, TokenTable
from tests.bench.curves import Curve, medians
from tests.watch.lists import watchlist

PASSAGES = (6, 60, 300, 600, 1200, 2400)
LOOKS_HZ, IN_VIEW = 12, 24  # a vehicle is in view for two seconds
LISTED, ROUNDS = 10_000, 3
Step = Callable[[int], None]


def passages(step: Step) -> Curve:
    """Processor time of a minute over the passages in it; two seconds each, so that 2,400 are 80 in view at once."""
    table = TokenTable.of((f"TEST{number:05d}", Group("NL", "stolen", 1, 2**62)) for number in range(LISTED))
    return Curve(
        "passages", "passages a minute", medians(PASSAGES, lambda count: _minute(int(count), table), ROUNDS, step)
    )


class _Timed(Tracker):
    seconds = 0.0

    def update(self, detections: list[PlateDetection], frame: int, now_ns: int) -> tuple[list[Track], list[Track]]:
        begin = time.thread_time()
        found = super().update(detections, frame, now_ns)
        self.seconds += time.thread_time() - begin
        return found


class _Script:
    """Stands for detector and reader: whoever is in view in this look, and what he says."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(1)
        self.look, self._texts = 0, rng.integers(10, 36, (count, 7))
        self._texts[:, 2:5] = rng.integers(2, 10, (count, 3))  # a word would have to be surer
        self._begins = [round(60 * LOOKS_HZ * number / count) for number in range(count)]
        self._here: list[int] = []

    def whole_view(self, width: int, height: int) -> View:
        return whole(width, height, 640, 384)

    def find(self, _lores: Gray, _luma: Gray, _parts: Sequence[View]) -> list[PlateDetection]:
        self._here = [n for n, begin in enumerate(self._begins) if begin <= self.look < begin + IN_VIEW]
        return [self._at(number) for number in self._here]

    def read(self, _luma: Gray, detections: list[PlateDetection], _margin: float) -> list[PlateReading]:
        by_left = {self._at(number).box: number for number in self._here}
        return [PlateReading(self._said(by_left[detection.box]), 1, 0.8) for detection in detections]

    def _at(self, number: int) -> PlateDetection:
        spot, moved = number % 160, 2.0 * (self.look - self._begins[number])
        left, top = 8 + 118.0 * (spot % 16) + moved, 8 + 106.0 * (spot // 16) + 0.01 * number  # none at the border
        quad = np.array([[0, 0], [80, 0], [80, 17], [0, 17]], np.float32) + np.array([left, top], np.float32)
        return PlateDetection(Box(left, top, 80.0, 17.0), quad, 0.9)

    def _said(self, number: int) -> Posteriors:
        rows = np.full((7, 36), 0.001, np.float32)
        rows[np.arange(7), self._texts[number]] = 0.85  # never surer, so that each look reads all
        return rows


def _minute(count: int, table: TokenTable) -> dict[str, float]:
    script, tracker, counters = _Script(count), _Timed(MAX_GAP_NS), Counters()
    doubles: Any = script
    pipeline = Pipeline(doubles, doubles, tracker=tracker)
    armed = Armed(watchlist().header, Matcher(table), Breaker(10), None, "0" * 64, 2**62, {})
    decider = Decider(
        pipeline, lambda: armed, PassCounter(10**18), counters,
        origin=Origin("town/bridge/pole-07", "0" * 16, "cam-1", "in", "a", "b"),
        append=lambda *_: None, with_evidence=False, stills=False, utc_of=lambda _: datetime.now(UTC),
    )  # fmt: skip
    picture = np.zeros((1080, 1920), np.uint8)
    begin = time.thread_time()
    for look in range(60 * LOOKS_HZ + IN_VIEW + 2 * LOOKS_HZ):
        script.look = look
        frame = Frame(look, round(look * 1e9 / LOOKS_HZ), picture, picture)
        decider.take(frame, pipeline.see(frame))
    spent = time.thread_time() - begin
    assert counters.passages == count, f"{counters.passages} of {count} passages"
    return {
        "all of it, ms of processor time": 1e3 * spent,
        "a passage, ms": 1e3 * spent / count,
        "of it the tracker, ms a passage": 1e3 * tracker.seconds / count,
    }
