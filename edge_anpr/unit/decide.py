"""What becomes of a passage: a hit for the outbox, or a keyed token and nothing else."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from datetime import datetime

from edge_anpr.datatypes import Frame, Match, Phase, PlateDetection, PlateRead, Track
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit import hit as hits
from edge_anpr.unit.clock import quality, utc_of
from edge_anpr.unit.events import event
from edge_anpr.unit.health import Counters
from edge_anpr.unit.lists import Armed
from edge_anpr.unit.outbox import OutboxFull
from edge_anpr.unit.pipeline import LEAST_AGREE, LEAST_HIT_CONFIDENCE, Pipeline, Seen, is_plate
from edge_anpr.vision.fuse import forget_read

log = logging.getLogger(__name__)


class Decider:
    """Matches passages and hands hits to ``append`` (hit id, phase, payload), which raises OutboxFull when it cannot.

    A hit goes out as soon as two frames agree on a listed plate, and is completed or withdrawn under the same id
    when the passage ends. ``armed`` tells the list in force; without one nothing goes out any more, not even the end
    of a hit.
    ``why_refused`` is what the outbox said when it last refused one.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        armed: Callable[[], Armed | None],
        passes: PassCounter,
        counters: Counters,
        *,
        origin: hits.Origin,
        append: Callable[[str, str, bytes], None],
        with_evidence: bool,
        stills: bool,
        utc_of: Callable[[int], datetime],
    ) -> None:
        self._pipeline, self._armed, self._passes, self._counters = pipeline, armed, passes, counters
        self._origin, self._append = origin, append
        self._with_evidence, self._stills, self._utc_of = with_evidence, stills, utc_of
        self._open: dict[int, hits.OpenHit] = {}
        self._seq = 0
        self._refusing = False
        self.why_refused = ""

    def take(self, frame: Frame, seen: Seen) -> None:
        """Decide on what a frame showed, and on the passages that ended before it."""
        for track in seen.ended:
            self.end(track, frame.captured_ns)
        for sighting in seen.sightings:
            track = sighting.track
            if track.number in self._open:
                self._keep_evidence(self._open[track.number], frame, sighting.detection)
            elif sighting.reading is not None and (self._stills or track.frames >= LEAST_AGREE):
                self._try_first(frame, track)

    def end(self, track: Track, now_ns: int) -> None:
        """Settle a passage whose vehicle has left, and overwrite what was read of it."""
        hit = self._open.pop(track.number, None)
        read = self._pipeline.fuse(track)
        armed = self._armed()
        try:
            if read is None or armed is None:
                return
            plate = is_plate(read, track, still=self._stills)
            self._counters.passages += plate
            match = self._match(armed, read) if plate else None
            if plate:
                armed.breaker.note(time.monotonic_ns(), hit=match is not None)
            if hit and match and match.listed == hit.match.listed:
                # A newer list may have come meanwhile, in which this plate has another place.
                hit.match, hit.header, hit.expires = match, armed.header, utc_of(match.expires_ns)
                self._send(armed, hit, read, Phase.FINAL)
                return
            if hit:
                self._send(armed, hit, read, Phase.WITHDRAWN)
            if match:
                self._counters.hits += 1
                self._send(armed, self._new_hit(armed, match, track.last_ns), read, Phase.FINAL)
            elif plate:
                self._passes.note(read.classes, now_ns)
        finally:
            if read is not None:
                forget_read(read)
            self._pipeline.forget(track)

    def _try_first(self, frame: Frame, track: Track) -> None:
        armed, passage = self._armed(), self._pipeline.passages[track.number]
        if armed is None or passage.settled is armed:
            return
        read = passage.fuse()
        if read is None:
            return
        try:
            if not is_plate(read, track, still=self._stills):
                return
            match = self._match(armed, read)
            if match is None:
                passage.settled = armed if read.confidence >= LEAST_HIT_CONFIDENCE else None
                return
            hit = self._open[track.number] = self._new_hit(armed, match, frame.captured_ns)
            self._keep_evidence(hit, frame, track.detection)
            self._counters.hits += 1
            self._send(armed, hit, read, Phase.FIRST)
        finally:
            forget_read(read)

    def _keep_evidence(self, hit: hits.OpenHit, frame: Frame, detection: PlateDetection) -> None:
        if self._with_evidence and detection.width_px > hit.best_width_px:
            hit.evidence, hit.best_width_px = hits.evidence(frame, detection), detection.width_px

    def _match(self, armed: Armed, read: PlateRead) -> Match | None:
        return armed.matcher.match(read, time.monotonic_ns()) if read.confidence >= LEAST_HIT_CONFIDENCE else None

    def _new_hit(self, armed: Armed, match: Match, captured_ns: int) -> hits.OpenHit:
        expires = utc_of(match.expires_ns)
        return hits.OpenHit(secrets.token_hex(16), match, armed.header, self._utc_of(captured_ns), expires)

    def _send(self, armed: Armed, hit: hits.OpenHit, read: PlateRead, phase: Phase) -> None:
        if armed.breaker.tripped:
            self._counters.hits_withheld += 1
            return
        self._seq += 1
        body = hits.payload(hit, read, phase, seq=self._seq, origin=self._origin, clock=quality())
        try:
            self._append(hit.hit_id, phase.value, body)
        except OutboxFull as error:
            self.why_refused = str(error)
            self._counters.hits_refused += 1
            if not self._refusing:
                log.error("hits are being refused: %s", error, extra=event("hits-refused"))
            self._refusing = True
        else:
            if self._refusing:
                log.info("hits are being taken again", extra=event("hits-refused", over=True))
            self._refusing = False
