"""What the outbox costs over the hits that wait in it: to open, to add one, to find the next, to let one go."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

from edge_anpr.unit import outbox
from edge_anpr.unit.clock import Uptime
from edge_anpr.unit.delivery import Delivery
from edge_anpr.unit.outbox import Outbox
from tests.bench.curves import Curve, Points

WAITING = (100, 1_000, 10_000, 30_000, 100_000)
# A sealed hit with its picture, as most are.
HIT_BYTES = 6_000
MOST_BYTES = 1_000_000_000
TIMES = 30
Step = Callable[[int], None]


def hits(step: Step) -> Curve:
    """Hits of an earlier boot wait; milliseconds on the wall, with the disk's sync; the least, as others only add."""
    lines: dict[str, Points] = {}
    with tempfile.TemporaryDirectory(prefix="edge-anpr-bench-") as folder:
        path, there = Path(folder) / "outbox.db", 0
        for count in WAITING:
            _fill(path, there, count)
            for name, value in _costs(path).items():
                lines.setdefault(name, []).append((count, value))
            there = count
            step(1)
    return Curve("outbox", "hits that wait", lines)


def _fill(path: Path, first: int, count: int) -> None:
    """Put them there as a unit did before its last start, without waiting for the disk each time."""
    with (
        mock.patch.object(outbox, "_SYNCHRONOUS", "OFF"),
        closing(Outbox(path, MOST_BYTES, now=lambda: Uptime("an earlier boot", 1000.0))) as box,
    ):
        for number in range(first, count):
            box.append(f"{number:032x}", "final", os.urandom(HIT_BYTES))


def _costs(path: Path) -> dict[str, float]:
    took: dict[str, list[float]] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        took.setdefault(name, []).append(1e3 * (time.perf_counter() - begin))

    for _ in range(5):
        with timed("start-up, ms"):
            box = Outbox(path, MOST_BYTES)
        box.close()
    with closing(Outbox(path, MOST_BYTES)) as box:
        for number in range(TIMES):
            with timed("add one, ms"):
                box.append(f"new{number:029x}", "final", os.urandom(HIT_BYTES))
            with timed("the next to send, ms"):
                found = list(Delivery(box, receipts=True).due())
            assert found
            with timed("how many wait, ms"):
                box.depth()
            with timed("look for expired ones, ms"):
                box.expire(28 * 24 * 3600.0)
            (added,) = box.recent(0, 3600.0, 2)  # the only one of this boot, so that those that wait stay the same
            with timed("delete one, ms"):
                box.delete([added.rowid])
        # As after a pulled plug: a log is left, and all is looked through.
        cut = path.with_name("cut")
        shutil.rmtree(cut, ignore_errors=True)
        cut.mkdir()
        for part in path.parent.glob("outbox.db*"):
            shutil.copy(part, cut)
    with timed("start-up after a power cut, ms"):
        box = Outbox(cut / path.name, MOST_BYTES)
    box.close()
    shutil.rmtree(cut)
    return {name: min(values) for name, values in took.items()}
