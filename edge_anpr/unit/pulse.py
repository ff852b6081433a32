"""Whether the worker threads go on: each says before every step when it will be back, and the main thread looks."""

from __future__ import annotations

import logging
import math
import time

from edge_anpr.unit.events import event

log = logging.getLogger(__name__)


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
    """Of all workers; a change is logged once."""

    def __init__(self, *pulses: Pulse) -> None:
        self._pulses = pulses
        self._hanging: list[str] = []

    def alive(self) -> bool:
        """Whether every one goes on."""
        hanging = [pulse.name for pulse in self._pulses if pulse.is_late]
        if hanging and hanging != self._hanging:
            log.critical(
                "%s: does not go on; the watchdog, if there is one, starts this process anew",
                " and ".join(hanging),
                extra=event("worker-hangs"),
            )
        elif self._hanging and not hanging:
            log.info("%s: goes on again", " and ".join(self._hanging), extra=event("worker-hangs", over=True))
        self._hanging = hanging
        return not hanging
