"""When to try again. Each unit decides alone; the numbers are for a thousand of them at one broker.

A broker that comes back after a restart sees them spread over ``SPREAD_S``: 1,000 units make about 130 connections a
second, and a mutual TLS 1.3 handshake costs mosquitto 2.5 ms (measured, P-256, a shared x86 core). A unit whose own
connection broke cannot tell that from a restart (mosquitto 2.0 says no goodbye), so it waits as well, unless it has
something urgent: ``hurry``. With 1,000 hits a day each, one unit in ten has that within eight seconds. After a long
outage all are back within ``longest_s``. Who has been refused waits minutes: that mends itself only when a person does
something, and two units of one name would throw each other out for ever.
"""

from __future__ import annotations

import random
from enum import Enum

SPREAD_S = 8.0
HURRY_S = (0.1, 1.0)
REFUSED_S = (60.0, 400.0)  # first and longest, times 1.0 to 1.5
STEADY_S = 10.0


class Pace(Enum):
    """Who has to do something: nobody, it passes by itself; or a person."""

    AWAY = "away"
    REFUSED = "refused"


class Backoff:
    """How long one unit waits after each failure; at its start from ``first_s`` on, never longer than ``longest_s``."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._failures, self._pace, self._last_s = 0, Pace.AWAY, 0.0
        self._has_stood = False
        self.may_hurry = False

    def is_steady(self, stood_s: float) -> bool:
        """Whether a connection has stood for long enough that what was before it is forgotten.

        Longer than the wait before it, or two units of one name, each of which ends the other's connection when its
        own wait is over, would never slow down.
        """
        return stood_s >= max(STEADY_S, 2 * self._last_s)

    def after(self, pace: Pace, stood_s: float | None) -> float:
        """Seconds to wait after a connection that ``stood_s``, or None if the attempt at one failed."""
        steady = stood_s is not None and self.is_steady(stood_s)
        self._has_stood = self._has_stood or stood_s is not None
        if steady or pace is not self._pace:
            self._failures = 0
        doublings = min(self._failures, 16)
        self._failures, self._pace = self._failures + 1, pace
        self.may_hurry = steady and pace is Pace.AWAY
        if pace is Pace.REFUSED:
            self._last_s = min(REFUSED_S[1], REFUSED_S[0] * 2**doublings) * random.uniform(1.0, 1.5)
        elif self._has_stood:
            highest = min(self._longest_s, SPREAD_S * 2**doublings)
            self._last_s = random.uniform(min(self._first_s, highest), highest)
        else:
            self._last_s = min(self._longest_s, self._first_s * 2**doublings) * random.uniform(0.5, 1.0)
        return self._last_s

    def hurry(self) -> float | None:
        """Seconds from now for the one early attempt after a steady connection broke; None when that is spent."""
        if not self.may_hurry:
            return None
        self.may_hurry = False
        self._last_s = min(self._longest_s, random.uniform(*HURRY_S))
        return self._last_s
