"""The vision thread: latest-frame box → pipeline → decision; and what it forgets when the road is empty."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_anpr.camera.box import LatestFrame
from edge_anpr.datatypes import Frame, Track
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.privacy.wipe import release
from edge_anpr.unit.attention import Attention, Glance
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.health import Counters
from edge_anpr.unit.lists import Lists
from edge_anpr.unit.pipeline import MAX_GAP_NS, Pipeline
from edge_anpr.unit.pulse import Pulse

IDLE_NS = 1_000_000_000
WAIT_S = 0.25
# One round is a frame of a tenth of a second, and in it hits that may wait BUSY_S for the disk.
HANGS_S = 15.0


class Vision:
    """Takes frames out of ``box``; ``recycle`` gets each back once it has been looked at.

    While no list is in force no frame is looked at. ``attention`` says which are worth it, without it all are.
    ``region`` is the part of each that is looked at: left, top, width and height in shares of it.
    ``pulse`` begins when the networks have proved themselves.
    """

    def __init__(
        self, pipeline: Pipeline, decider: Decider, lists: Lists, passes: PassCounter, box: LatestFrame,
        counters: Counters, attention: Attention | None = None, region: tuple[float, float, float, float] | None = None,
    ) -> None:  # fmt: skip
        self._pipeline, self._decider, self._lists, self._passes = pipeline, decider, lists, passes
        self._box, self._counters, self._attention, self._region = box, counters, attention, region
        self.pulse = Pulse("vision")
        self._clean = True
        self._frame_ns = self._arrived_ns = self._plate_ns = 0

    def run(self, stop: threading.Event, recycle: Callable[[Frame], None]) -> None:
        """Until the box is closed and empty, or ``stop`` is set; passages under way are settled at the end.

        Raises Unusable when the networks misread what they have to read.
        """
        self._pipeline.prove()  # the first pass is slow, and leaves its buffers in the heap of the thread that makes it
        self._forget()
        while not stop.is_set() and not self._box.closed:
            self.pulse.beat(HANGS_S)
            frame = self._box.take(WAIT_S)
            now_ns = time.monotonic_ns()
            self._passes.expire(now_ns)
            if self._lists.armed is None:
                self._settle()  # no list, no reading: what was under way is forgotten too
                if frame is not None:
                    self._counters.last_frame_ns = now_ns
                    recycle(frame)
            elif frame is not None:
                self._look(frame if self._region is None else frame.part(*self._region), now_ns)
                recycle(frame)
            elif now_ns - self._arrived_ns > MAX_GAP_NS:
                self._settle()  # the camera is gone, and with it whatever was under way
            if not self._clean and now_ns - self._plate_ns > IDLE_NS:
                self._forget()
        self._settle()
        self._forget()
        self._passes.forget()  # nobody will call for the end of its epoch
        self.pulse.rest()
        if self._box.closed:
            self._counters.state = "ended"

    def _look(self, frame: Frame, now_ns: int) -> None:
        self._frame_ns, self._arrived_ns = frame.captured_ns, now_ns
        tracker = self._pipeline.tracker
        glance = self._attention.glance(frame, tracker.under_way) if self._attention else Glance.LOOK
        self._counters.came(time.monotonic_ns(), moves=self._attention is None or not self._attention.asleep)
        if glance is Glance.ASLEEP:
            self._end(tracker.hold(frame.captured_ns))
        if glance is not Glance.LOOK:
            return
        seen = self._pipeline.see(frame, self._attention.moving if self._attention else None)
        self._decider.take(frame, seen)
        if seen.ended:  # on a busy road no second is idle
            self._pipeline.tidy()
        self._counters.looked(seen)
        if seen.sightings:
            self._clean, self._plate_ns = False, now_ns

    def _settle(self) -> None:
        self._end(self._pipeline.tracker.finish())

    def _end(self, tracks: list[Track]) -> None:
        for track in tracks:
            self._decider.end(track, self._frame_ns)
        if tracks:  # to settle one leaves something behind, too, and the idle second may be over
            self._pipeline.tidy()

    def _forget(self) -> None:
        self._pipeline.clean()
        if self._attention:
            self._attention.forget()
        release()
        self._clean = True
