"""Whether the worker threads go on: each says before every step when it will be back, and the main thread looks."""

from __future__ import annotations

import logging
import math
import time

from edge_anpr.unit.events import event

log = logging.getLogger(__name__)

# A watchdog ends a process long before this. Counted from the first look that finds a worker late, not from its own
# word: a process that was stopped for an hour and goes on has workers that are late and do not hang.
ENDS_S = 90.0


class WorkerHangs(Exception):
    """A worker does not come back from what it does, and only a new process will."""


class Pulse:
    """One worker's. Nothing is expected of it before its first beat."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._due_s: float | None = None

    def beat(self, within_s: float) -> None:
        """The worker goes on, and will beat again within so many seconds."""
        self._due_s = time.monotonic() + within_s

    def rest(self) -> None:
        """It has nothing more to do."""
        self._due_s = math.inf

    @property
    def begun(self) -> bool:
        """Whether it has ever beaten."""
        return self._due_s is not None

    @property
    def is_late(self) -> bool:
        """Whether it is not back when it said it would be: it hangs."""
        return self._due_s is not None and time.monotonic() > self._due_s


class Liveness:
    """Of all workers; a change is logged once, and a hang for ``ENDS_S`` ends the process, watchdog or not."""

    def __init__(self, *pulses: Pulse) -> None:
        self._pulses = pulses
        self._hanging: list[str] = []
        self._since_s: float | None = None

    def alive(self) -> bool:
        """Whether every one goes on. Raises WorkerHangs when one has not for so long that it never will."""
        hanging = [pulse.name for pulse in self._pulses if pulse.is_late]
        if hanging and hanging != self._hanging:
            log.critical(
                "%s: does not go on; unless that changes, this process ends, so that a new one may do better",
                " and ".join(hanging),
                extra=event("worker-hangs"),
            )
        elif self._hanging and not hanging:
            log.info("%s: goes on again", " and ".join(self._hanging), extra=event("worker-hangs", over=True))
        self._hanging = hanging
        if not hanging:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = time.monotonic()
        elif time.monotonic() - self._since_s >= ENDS_S:
            raise WorkerHangs(f"{' and '.join(hanging)} has hung for {ENDS_S:g} s; this process ends")
        return not hanging
