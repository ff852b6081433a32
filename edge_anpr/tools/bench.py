"""What a frame costs on this machine, beside what the two networks alone cost in the same run.

Processor time of one thread, frame by frame; of a shared machine the ratio tells more than the milliseconds.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edge_anpr
from edge_anpr.camera.files import Clip, still
from edge_anpr.datatypes import Frame, Track
from edge_anpr.errors import Unusable
from edge_anpr.privacy import process
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.tools import machine
from edge_anpr.unit.attention import Attention, Glance
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.health import Counters
from edge_anpr.unit.hit import Origin
from edge_anpr.unit.lists import Armed
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline, Seen
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Input, Network, Outputs, Pass, shipped, versions
from edge_anpr.watch.breaker import Breaker
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.tokens import Group, TokenTable
from edge_anpr.watch.watchlist import Header, Mandate

# Decoded frames are kept, so that decoding is no part of the figures; of 1080p with its colours 64 have 130 MB.
MOST_BYTES = 130_000_000
PARTS = ("attention", "detect", "read", "rest", "decide", "look")
STAGES = (*PARTS, "bare", "full")
RATIOS = {"look / bare": "ratio_to_bare", "look / full": "ratio_to_full"}
# Plates of twelve characters, which no country issues: each passage is asked for in a list, and none is in it.
LISTED = 10_000
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
Told = dict[str, Any]


class _Noted(Network):
    """A network that notes its passes, which can then be run again with nothing around them."""

    def __init__(self, name: str, decoder: str, threads: int) -> None:
        super().__init__(shipped(name), name, decoder, threads=threads)
        self.made: list[Pass] = []
        self.full = super().bind(np.zeros((1, 1, self.card.height, self.card.width), np.uint8))

    def bind(self, array: Input) -> Pass:
        return _NotedPass(super().bind(array), self.made)

    def again_s(self) -> float:
        """Seconds of this thread for the passes since the last call, bare."""
        begin = time.thread_time()
        for one in self.made:
            one.run()
        self.made.clear()
        return time.thread_time() - begin


class _NotedPass(Pass):
    def __init__(self, bare: Pass, made: list[Pass]) -> None:
        self._bare, self._made = bare, made

    def run(self) -> Outputs:
        self._made.append(self._bare)
        return self._bare.run()


def frames(path: Path, lores_width: int | None) -> list[Frame]:
    """A clip's frames, or one picture, decoded; with a second stream so many pixels wide, as a Pi's camera gives it."""
    found: list[Frame] = []
    for frame in _decoded(path):
        lores = frame.luma
        if lores_width is not None and lores_width < lores.shape[1]:
            size = lores_width, round(lores.shape[0] * lores_width / lores.shape[1])
            lores = np.asarray(cv2.resize(lores, size, interpolation=cv2.INTER_AREA), np.uint8)
        found.append(Frame(frame.index, frame.captured_ns, frame.luma.copy(), lores.copy()))
        if len(found) * (frame.luma.nbytes + lores.nbytes) > MOST_BYTES:
            break
    if not found:
        raise Unusable(f"{path}: is no picture and no clip that can be read")
    return found


def _decoded(path: Path) -> Iterator[Frame]:
    picture = still(path, 0) if path.is_file() else None
    if picture is not None:
        yield picture
        return
    clip = Clip(path, live=False)
    while (frame := clip.read()) is not None:
        yield frame
        clip.recycle(frame)


class _Tally:
    """What the frames of some rounds took."""

    def __init__(self) -> None:
        self.frames = self.asleep = self.plates = self.readings = self.passages = 0
        self.cpu_s = 0.0
        self.ms: dict[str, list[float]] = {stage: [] for stage in PARTS}
        self.beside_ms: list[float] = []
        self.ratios: list[float] = []

    def frame(self, glance: Glance, attention_s: float) -> None:
        self.frames += 1
        self.asleep += glance is Glance.ASLEEP
        self.cpu_s += attention_s
        self.ms["attention"].append(attention_s * 1e3)

    def look(self, seen: Seen, decide_s: float, look_s: float, beside_s: float) -> None:
        """``look_s``: the whole frame, from the question whether it is worth it to the decision."""
        self.cpu_s += look_s - self.ms["attention"][-1] / 1e3
        self.plates += len(seen.sightings)
        self.readings += sum(sighting.reading is not None for sighting in seen.sightings)
        self.ms["detect"].append(seen.detect_ms)
        self.ms["read"].append(seen.ocr_ms)
        self.ms["rest"].append(seen.total_ms - seen.detect_ms - seen.ocr_ms)
        self.ms["decide"].append(decide_s * 1e3)
        self.ms["look"].append(look_s * 1e3)
        self.beside_ms.append(beside_s * 1e3)
        self.ratios.append(look_s / max(beside_s, 1e-9))


class Bench:
    """Both networks, and pipelines of them. Make it before the frames: it notes what the process takes without them."""

    def __init__(self, threads: int) -> None:
        cv2.setNumThreads(threads)
        process.overwrite_freed()  # as on a unit
        self.threads = threads
        self.detector, self.ocr = _Noted("detector", "quad13-s8", threads), _Noted("ocr", "ctc", threads)
        # Inputs are bound when a picture of their size comes first, as in a live unit once.
        self._find, self._read = Detector(self.detector, DETECTION_THRESHOLD), Reader(self.ocr)
        self.pipeline().clean()
        group = Group("NL", "bench", 1, 2**62)
        header = Header("bench", 1, _NEVER, _NEVER, ("*",), Mandate("", "", "", _NEVER))
        matcher = Matcher(TokenTable.of((f"TEST{number:08d}", group) for number in range(LISTED)))
        self._armed = Armed(header, matcher, Breaker(100), None, "", 2**62, {})
        self.rss_mb = machine.memory_mb("VmRSS")

    def pipeline(self) -> Pipeline:
        """One that has seen nothing yet, as a live unit has it."""
        return Pipeline(self._find, self._read, Material.LIVE)

    def decider(self, pipeline: Pipeline, counters: Counters) -> Decider:
        """What decides on its passages; hits, of which there are none, would go nowhere."""
        return Decider(
            pipeline, lambda: self._armed, PassCounter(2**62), counters, origin=Origin("", "", "", "", "", ""),
            append=lambda *_: None, with_evidence=False, stills=False, utc_of=lambda _: _NEVER,
        )  # fmt: skip

    def round(
        self,
        material: Sequence[Frame],
        tally: _Tally,
        step: Callable[[int], None],
        beside: Callable[[], float] | None = None,
    ) -> None:
        """All frames once, as a live unit takes them.

        ``beside``: runs what each look is compared with, and tells its seconds; the passes that it made, bare.
        """
        pipeline, attention, counters = self.pipeline(), Attention(), Counters()
        decider = self.decider(pipeline, counters)
        beside = beside or self._bare_s
        beside()
        for frame in material:
            begin = time.thread_time()
            glance = attention.glance(frame, pipeline.tracker.under_way)
            tally.frame(glance, time.thread_time() - begin)
            if glance is Glance.ASLEEP:
                _end(pipeline.tracker.hold(frame.captured_ns), pipeline, decider, frame)
            elif glance is Glance.LOOK:
                seen = pipeline.see(frame, attention.moving)
                deciding = time.thread_time()
                decider.take(frame, seen)
                if seen.ended:
                    pipeline.tidy()
                end = time.thread_time()
                tally.look(seen, end - deciding, end - begin, beside())
            step(1)
        _end(pipeline.tracker.finish(), pipeline, decider, material[-1])
        tally.passages += counters.passages

    def _bare_s(self) -> float:
        return self.detector.again_s() + self.ocr.again_s()

    def full_s(self) -> float:
        """Seconds of one pass of each network at its own size."""
        for network in (self.detector, self.ocr):
            network.made[:] = [network.full]
        return self._bare_s()


def measure(bench: Bench, material: Sequence[Frame], *, rounds: int, step: Callable[[int], None]) -> Told:
    """Look at the frames so many times over, once more before and after that, and tell what it took.

    ``step`` hears of each frame.
    """
    tally, full = _Tally(), _Tally()
    bench.round(material, _Tally(), step)
    with machine.Power() as power:
        for _ in range(rounds):
            bench.round(material, tally, step)
            power.look()
    bench.round(material, full, step, bench.full_s)
    height, width = material[0].luma.shape
    looks = len(tally.ratios)
    return {
        "version": edge_anpr.__version__,
        "machine": machine.name(),
        "versions": versions(),
        "provider": bench.detector.provider,
        "threads": bench.threads,
        "picture": f"{width}x{height}",
        "lores": f"{material[0].lores.shape[1]}x{material[0].lores.shape[0]}",
        "source_fps": _fps(material),
        "frames": tally.frames,
        "asleep": tally.asleep,
        "looks": looks,
        "plates": tally.plates,
        "readings": tally.readings,
        "passages": tally.passages,
        "ms": {
            **{stage: _spread(values) for stage, values in tally.ms.items()},
            "bare": _spread(tally.beside_ms),
            "full": _spread(full.beside_ms),
        },
        "ratio_to_bare": _spread(tally.ratios),
        "ratio_to_full": _spread(full.ratios),
        "looks_per_second_at_most": round(1e3 / float(np.mean(tally.ms["look"])), 1) if looks else None,
        "cpu_ms_per_frame": round(tally.cpu_s * 1e3 / tally.frames, 3),
        "core_percent": round(100 * tally.cpu_s / tally.frames * _fps(material), 1),
        "cpu_ms_per_passage": round(tally.cpu_s * 1e3 / tally.passages, 1) if tally.passages else None,
        "watts": power.watts,
        "rss_mb": bench.rss_mb,
        "allocations": _allocations(bench, material),
        "peak_mb": machine.memory_mb("VmHWM"),
    }


def _end(tracks: list[Track], pipeline: Pipeline, decider: Decider, last: Frame) -> None:
    """Settle passages as a unit does."""
    for track in tracks:
        decider.end(track, last.captured_ns)
    if tracks:
        pipeline.tidy()


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    half, most = np.percentile(values, [50, 95])
    return {"p50": round(float(half), 3), "p95": round(float(most), 3)}


def _fps(material: Sequence[Frame]) -> float:
    span_s = (material[-1].captured_ns - material[0].captured_ns) / 1e9
    return round((len(material) - 1) / span_s, 2) if span_s else 0.0


def _allocations(bench: Bench, material: Sequence[Frame]) -> dict[str, float]:
    """Of Python and numpy a look: bytes at the most, and how many are left of it, in the mean."""
    some = material[: min(len(material), 30)]
    pipeline = bench.pipeline()
    decider = bench.decider(pipeline, Counters())
    tracemalloc.start()
    try:
        before, peaks = tracemalloc.get_traced_memory()[0], []
        for frame in some:
            tracemalloc.reset_peak()
            held = tracemalloc.get_traced_memory()[0]
            decider.take(frame, pipeline.see(frame))
            peaks.append(tracemalloc.get_traced_memory()[1] - held)
        _end(pipeline.tracker.finish(), pipeline, decider, some[-1])
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return {"peak_kb": round(float(np.median(peaks)) / 1e3, 1), "left_kb": round(left / len(some) / 1e3, 2)}


def line(told: Told) -> str:
    """The one line to show others."""
    begin = f"edge-anpr {told['version']} on {told['machine']}: "
    if not told["looks"]:
        return begin + "nothing was looked at"
    return begin + (
        f"{told['picture']} in {told['ms']['look']['p50']:.1f} ms of one core ({told['ratio_to_bare']['p50']:.2f} "
        f"times the networks' {told['ms']['bare']['p50']:.1f} ms), at most "
        f"{told['looks_per_second_at_most']:.0f} looks a second, {told['rss_mb']:.0f} MB"
        + (f", {told['watts']:.1f} W" if told["watts"] else "")
    )


def rows(told: Told, old: Told | None) -> list[tuple[str, ...]]:
    """Name, p50 and p95 of each figure, and with ``old`` its p50 and what has become of it."""
    found: list[tuple[str, ...]] = []
    for name, of in (
        *((f"{stage}, ms", told["ms"][stage]) for stage in STAGES),
        *((name, told[key]) for name, key in RATIOS.items()),
    ):
        if of is None:
            continue
        line = (name, f"{of['p50']:.3f}", f"{of['p95']:.3f}")
        before = None
        if old is not None:
            before = old.get(RATIOS[name]) if name in RATIOS else old["ms"].get(name.removesuffix(", ms"))
        found.append((*line, *_compared(of["p50"], before["p50"] if before else None)) if old is not None else line)
    for key in ("cpu_ms_per_frame", "core_percent", "cpu_ms_per_passage", "rss_mb", "peak_mb"):
        if told[key] is not None:
            line = (key.replace("_", " "), f"{told[key]:.2f}", "")
            found.append((*line, *_compared(told[key], old[key])) if old is not None else line)
    return found


def _compared(now: float, before: float | None) -> tuple[str, str]:
    return (f"{before:.3f}", f"{100 * (now / before - 1):+.0f} %") if before else ("-", "-")
