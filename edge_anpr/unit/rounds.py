"""What the recogniser's main thread does again and again: lists, alarms, health, hourly statistics, word to systemd."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from edge_anpr.camera.box import LatestFrame
from edge_anpr.privacy.tokens import LEAST_TOLD, Hour, PassCounter
from edge_anpr.unit import camera_alarms, statusline
from edge_anpr.unit import telling as tell
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.capture import Capture
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.events import event
from edge_anpr.unit.governor import Governor
from edge_anpr.unit.health import Counters
from edge_anpr.unit.lists import Lists
from edge_anpr.unit.outbox import Outbox
from edge_anpr.unit.outbox_alarms import OutboxAlarms
from edge_anpr.unit.pulse import Liveness, Pulse
from edge_anpr.unit.systemd import Service

log = logging.getLogger(__name__)


class Rounds:
    """``turn`` is one round. ``sources``: where lists come from.

    The last of ``pulses`` is the one that begins when the networks have read what they must: the service is ready then.
    """

    def __init__(
        self, interval_s: float, telling: tell.Telling, counters: Counters, box: LatestFrame, lists: Lists,
        passes: PassCounter, *, sources: Sequence[Callable[[Lists], None]], outbox: Outbox, capture: Capture,
        alarms: Alarms, decider: Decider, governor: Governor, pulses: Sequence[Pulse],
    ) -> None:  # fmt: skip
        self._interval_s, self._telling, self._counters = interval_s, telling, counters
        self._box, self._lists, self._passes = box, lists, passes
        self._capture = capture
        self._sources, self._outbox, self._alarms, self._decider = sources, outbox, alarms, decider
        self._governor = governor
        self._outbox_alarms = OutboxAlarms(alarms, outbox)
        self._pulses, self._liveness, self._service = pulses, Liveness(*pulses), Service()
        self._told_s = -interval_s
        self._summed: dict[str, int] = {}
        self._last_hour = "no whole hour yet"

    def turn(self) -> None:
        """One round. Raises OutboxError when the outbox is damaged, WorkerHangs when a thread never comes back."""
        self._lists.tick(time.monotonic_ns())
        for look in self._sources:
            look(self._lists)
        camera_alarms.look(self._alarms, self._capture)
        self._outbox_alarms.look(self._counters.hits_refused, self._decider.why_refused, time.monotonic())
        self._governor.look()
        if time.monotonic() - self._told_s >= self._interval_s:
            self._told_s = time.monotonic()
            armed = self._lists.armed is not None
            self._telling.put("health", self._counters.tell(self._box.drops, self._governor, armed=armed))
        if (hour := self._passes.finished(datetime.now(UTC))) is not None:
            self._telling.put("stats", tell.stats(hour))
            self._summarise(hour)
        if self._pulses[-1].begun:
            self._service.ready()
        self._service.turn(alive=self._liveness.alive(), status=self._status)

    def stopping(self) -> None:
        """There will be no more."""
        self._service.stopping()

    def _summarise(self, hour: Hour) -> None:
        self._last_hour = statusline.passages(hour.passages_about, LEAST_TOLD)
        counts = {
            "frames": self._counters.frames,
            "drops": self._box.drops,
            "hits": self._counters.hits,
            "losses": self._counters.source_losses,
        }
        more = {name: count - self._summed.get(name, 0) for name, count in counts.items()}
        self._summed = counts
        text = "; ".join((self._last_hour, "%d frames, %d dropped, %d hits, the camera was lost %d times"))
        log.info(text, *more.values(), extra=event("hour", more))

    def _status(self) -> str:
        armed, in_force = self._lists.armed, None
        if armed:
            header = armed.header
            in_force = statusline.a_list(header.list_id, header.version, header.valid_from, datetime.now(UTC))
        return statusline.recogniser(
            state=self._counters.how(armed=armed is not None),
            fps=self._counters.fps,
            list_in_force=in_force,
            last_hour=self._last_hour,
            waiting=self._outbox.depth().hits,
            alarms=self._alarms.codes,
        )
