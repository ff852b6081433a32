"""Which of a live camera's frames are looked at: hardly any of an empty road, few of what is slow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum

from edge_anpr.datatypes import Frame, Gray, Track
from edge_anpr.vision.motion import Motion

# After the last movement that was noticed the road is watched so long: what is seen in the last look stands there.
AWAKE_NS = 1_500_000_000
# Looks a second: at 100 km/h a plate wants twelve, below 50 km/h four or five. Now and then also when nothing moves.
FAST_HZ, SLOW_HZ, ASLEEP_HZ = 12.5, 5.0, 0.5
# So often a road that is awake is asked whether it still is, and so often when it just was: it costs as much as
# everything that finding plates costs beside the network.
COMPARED_HZ, MOVED_HZ = 2.5, 1.0
# A plate that moves by less than its own width in a second is slow, once it has been seen in so many looks; one that
# moves by less than so much stands, as far as its corners tell, and is not what moves there.
SLOW_WIDTHS_S, STANDS_WIDTHS_S, KNOWN_LOOKS = 1.0, 0.25, 3
# The surest look counts for a passage, so while none was as sure as this no frame is passed over, in its first looks.
# Of 500 drawn vehicles 466 are called a plate so, 460 without, 468 where every frame is looked at.
SURE, UNSURE_LOOKS = 0.7, 30


class Glance(Enum):
    """What is done with a frame: looked at; passed over, as there was one just before; or nothing moves in it."""

    LOOK, PASS, ASLEEP = range(3)


class Attention:
    """Asked of every frame of one camera, with the tracks under way.

    ``rate`` tells, 0 to 1, what share of the usual looks heat allows now. ``asleep``: nothing has moved for a while.
    """

    def __init__(self, rate: Callable[[], float] = lambda: 1.0) -> None:
        self._rate = rate
        self._motion = Motion()
        self._awake_until_ns = self._compare_ns = -math.inf
        self._since_ns: float | None = None  # the next look is due so long after it as there is to be between two
        self._looked_ns = -1
        self.asleep = True

    @property
    def moving(self) -> Gray:
        """Where something moves, not 0, over the whole picture in cells."""
        return self._motion.changed

    def glance(self, frame: Frame, tracks: Sequence[Track]) -> Glance:
        """What to do with this frame."""
        now_ns = frame.captured_ns
        if now_ns > self._awake_until_ns or now_ns >= self._compare_ns:  # asleep, every frame is compared
            self._compare(frame, now_ns)
        self.asleep = now_ns > self._awake_until_ns
        # By the tracks as they are now: before the last look there may have been somebody who has left.
        every_ns = 1e9 / (ASLEEP_HZ if self.asleep else self._rate() * (SLOW_HZ if _are_slow(tracks) else FAST_HZ))
        due_ns = now_ns if self._since_ns is None else self._since_ns + every_ns
        if now_ns < due_ns and not self._is_wanted(tracks):
            return Glance.ASLEEP if self.asleep else Glance.PASS
        # Frames come when they come: what one is late the next may be early.
        self._since_ns = max(min(due_ns, now_ns), now_ns - every_ns)
        self._looked_ns = now_ns
        return Glance.LOOK

    def _is_wanted(self, tracks: Sequence[Track]) -> bool:
        """Whether the last look showed somebody who may be gone before the next, and is not known yet."""
        return self._rate() >= 1 and any(
            track.last_ns == self._looked_ns
            and track.frames < (KNOWN_LOOKS if track.best_score >= SURE else UNSURE_LOOKS)
            for track in tracks
        )

    def _compare(self, frame: Frame, now_ns: int) -> None:
        moves = self._motion.look(frame.lores, now_ns)
        # Frames come when they come, so a tenth early is in time.
        self._compare_ns = now_ns + 0.9e9 / (MOVED_HZ if moves else COMPARED_HZ)
        if moves:
            if now_ns > self._awake_until_ns:
                self._since_ns = None  # somebody enters: look at once
            self._awake_until_ns = now_ns + AWAKE_NS

    def forget(self) -> None:
        """Overwrite what the last pictures left; the next one is compared with nothing."""
        self._motion.forget()


def _are_slow(tracks: Sequence[Track]) -> bool:
    """Whether all that moves is known and slow; while nothing is known that moves, it may be anything."""
    speeds = [math.hypot(*track.velocity_px_s) / max(track.detection.box.width, 1.0) for track in tracks]
    known = all(track.frames >= KNOWN_LOOKS for track in tracks)
    return known and STANDS_WIDTHS_S < max(speeds, default=0.0) < SLOW_WIDTHS_S
