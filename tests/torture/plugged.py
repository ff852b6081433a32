"""What runs until the plug is pulled: the recogniser's side of an outbox and the publisher's, as two processes.

Run under strace by ``trace.record``: ``python -m tests.torture.plugged FOLDER LEDGER HITS SEED SABOTAGE``.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from edge_anpr.unit import outbox as outbox_module
from edge_anpr.unit import outbox_file
from edge_anpr.unit.outbox import Outbox

BIG = 10**8
FIRST_BEFORE = 1_000_000  # hits from this number on were there before the run
LEAST_WAITING = 5


def payload(number: int) -> bytes:
    """What hit ``number`` holds: of the two sizes that sealed hits have."""
    draw = random.Random(number)
    return draw.randbytes(draw.choice((8254, 8254, 8254, 16446)))


def live(folder: Path, ledger: Path, hits: int, seed: int, sabotage: str) -> None:
    """Append ``hits`` hits as the recogniser does, and deliver most as the publisher does; end without closing."""
    _sabotage(sabotage)
    marks = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    deliverer = os.fork()
    if deliverer == 0:
        _deliver(folder, marks, hits, random.Random(seed + 1))
        os._exit(0)
    draw = random.Random(seed)
    outbox = Outbox(folder / "outbox.db", BIG, "recogniser")
    for number in range(hits):
        outbox.append(str(number), "first", payload(number))
        os.write(marks, b"A %d" % number)
        while draw.random() < 0.3:
            outbox.put_state(draw.choice(("health", "status", "alarm")), draw.randbytes(draw.randrange(50, 900)))
        if draw.random() < 0.1:
            time.sleep(draw.random() * 0.02)
    os.waitpid(deliverer, 0)
    os._exit(0)


def _deliver(folder: Path, marks: int, hits: int, draw: random.Random) -> None:
    outbox = Outbox(folder / "outbox.db", BIG, "publisher")
    last = -1
    while last < hits - 1:
        rows = outbox.waiting(0, 40)
        last = max((int(row.hit_id) for row in rows if int(row.hit_id) < FIRST_BEFORE), default=last)
        if (
            len(rows) < LEAST_WAITING and last < hits - 1
        ):  # or a quick deliverer would leave nothing that a cut could take
            time.sleep(0.001)
            continue
        # Now and then everything, so that the log is cut; mostly a window's worth.
        done = rows if draw.random() < 0.2 else rows[: draw.randrange(0, 10)]
        if done:
            os.write(marks, b"D " + b" ".join(row.hit_id.encode() for row in done))
            outbox.delete([row.rowid for row in done])
            os.write(marks, b"G " + b" ".join(row.hit_id.encode() for row in done))
        outbox.expire(1e9)
        time.sleep(draw.random() * 0.01)


def _sabotage(how: str) -> None:
    """Take away what keeps hits through a power cut; ``none`` takes nothing."""
    if how in {"OFF", "NORMAL"}:
        outbox_module._SYNCHRONOUS = how
    elif how == "folder":
        outbox_file.sync = lambda folder: None
    elif how == "psow":
        outbox_file._POWERSAFE = "psow=1"
    elif how != "none":
        raise ValueError(how)


if __name__ == "__main__":
    live(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
