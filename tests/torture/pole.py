"""A recogniser's stand-in: appends sealed hits to a real outbox as the recogniser does, and keeps a ledger of them.

It is killed at any moment and started again; each start is a boot of its own. ``--backlog``: all its hits are as from
before a reboot of the unit, so that they go the way of a backlog. SIGTERM ends it when its open passages are through.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from edge_anpr.privacy import keys
from edge_anpr.privacy.seal import sealing
from edge_anpr.tools.invented import Invented, Inventor
from edge_anpr.unit import clock
from edge_anpr.unit.outbox import Outbox, OutboxFull
from tests.torture.ledger import Entry, Ledger

STATE_S = 1.0


class Pole:
    """One start of the stand-in."""

    def __init__(self, outbox: Outbox, ledger: Ledger, inventor: Inventor, public: keys.Key) -> None:
        self._outbox, self._ledger, self._inventor = outbox, ledger, inventor
        self._append = sealing(self._noted, public)

    def say(self, message: Invented) -> bool:
        """Put one message into the outbox; False when it is full."""
        try:
            self._append(message.hit_id, message.phase, message.payload)
        except OutboxFull:
            return False
        return True

    def say_state(self, kind: str, **state: object) -> None:
        """What the recogniser tells of itself, beside the hits."""
        self._outbox.put_state(kind, json.dumps(state).encode())

    def _noted(self, hit_id: str, phase: str, sealed: bytes) -> None:
        digest = hashlib.sha256(sealed).hexdigest()
        entry = Entry(self._inventor.boot_id, self._inventor.seq, hit_id, phase, digest)
        self._ledger.note("trying", entry)
        try:
            self._outbox.append(hit_id, phase, sealed)
        except OutboxFull:
            self._ledger.note("refused", entry)
            raise
        self._ledger.note("taken", entry)


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outbox", type=Path, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--unit", required=True)
    parser.add_argument("--camera", required=True)
    parser.add_argument("--seal-to", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True, help="passages a second, on average")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backlog", action="store_true")
    said = parser.parse_args()

    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    chance = random.Random(said.seed ^ time.monotonic_ns())
    inventor = Inventor(said.unit, said.camera, chance)
    outbox = Outbox(said.outbox, 1_000_000_000, "recogniser", now=_before_a_reboot if said.backlog else clock.uptime)
    pole = Pole(outbox, Ledger(said.ledger), inventor, keys.read(said.seal_to, "x25519", secret=False))
    pole.say_state("birth", schema="anpr.birth/1", version="torture", boot_id=inventor.boot_id)

    open_passages: list[tuple[float, Iterator[Invented]]] = []
    next_passage = next_state = time.monotonic()
    while not stopping or open_passages:
        now = time.monotonic()
        if now >= next_state:
            pole.say_state("health", state="running", hits=inventor.seq)
            next_state = now + STATE_S
        if now >= next_passage and not stopping:
            open_passages.append((now, inventor.passage()))
            next_passage += chance.expovariate(said.rate)
        for due, passage in [one for one in open_passages if one[0] <= now or stopping]:
            open_passages.remove((due, passage))
            message = next(passage, None)
            if message is not None:
                pole.say(message)
                open_passages.append((now + chance.uniform(0.05, 1.0), passage))
        time.sleep(max(0.0, min([next_passage, next_state, *(due for due, _ in open_passages)]) - time.monotonic()))
    outbox.close()
    return 0


def _before_a_reboot() -> clock.Uptime:
    return clock.Uptime("0" * 16, clock.uptime().seconds)


if __name__ == "__main__":
    sys.exit(main())
