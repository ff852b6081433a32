"""Stops a list under which so many vehicles are hits that it tracks traffic instead of finding somebody."""

from __future__ import annotations

from collections import deque

WINDOW_NS = 3_600_000_000_000
SLOT_NS = 60_000_000_000
# Fewer hits than this in an hour are no rate: a convoy, a test, a stolen car that circles.
LEAST_HITS = 20


class Breaker:
    """Trips for good when more than ``most_percent`` of an hour's passages were hits, and at least 20 of them."""

    def __init__(self, most_percent: float) -> None:
        self._most = most_percent / 100
        self._slots: deque[tuple[int, int, int]] = deque()  # slot, passages, hits
        self.tripped = False

    def note(self, now_ns: int, *, hit: bool) -> None:
        """Take one passage, at ``now_ns`` (monotonic)."""
        slot = now_ns // SLOT_NS
        if self._slots and self._slots[-1][0] == slot:
            _, passages, hits = self._slots.pop()
        else:
            passages = hits = 0
        self._slots.append((slot, passages + 1, hits + hit))
        while self._slots[0][0] <= slot - WINDOW_NS // SLOT_NS:
            self._slots.popleft()
        passages = sum(item[1] for item in self._slots)
        hits = sum(item[2] for item in self._slots)
        if hits >= LEAST_HITS and hits > self._most * passages:
            self.tripped = True
