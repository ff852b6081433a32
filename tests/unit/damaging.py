"""Outboxes for the tests of damage: filled ones, what is in them, what lies beside them, and a hand that overwrites."""

from __future__ import annotations

import random
from pathlib import Path

from edge_anpr.unit.outbox import Outbox

BIG = 10**8
PAGE = 4096


def payload(number: int) -> bytes:
    draw = random.Random(number)
    return draw.randbytes(draw.choice((1, 300, 4000, 8260, 16450)))


def filled(path: Path, count: int = 60, *, clean: bool = True) -> dict[str, bytes]:
    """An outbox with ``count`` hits, every fifth of them delivered; not ``clean``: as a killed process leaves it."""
    outbox = Outbox(path, BIG)
    outbox._db.execute("PRAGMA synchronous = OFF")
    for number in range(count):
        outbox.append(str(number), "first", payload(number))
    outbox.delete(list(range(1, count, 5)))
    if not clean:
        copies = [(part, part.read_bytes()) for part in path.parent.glob("outbox.db*")]
    outbox.close()
    if not clean:
        for part, raw in copies:
            part.write_bytes(raw)
    return {str(number): payload(number) for number in range(count) if number % 5}


def held(outbox: Outbox) -> dict[str, bytes]:
    return {row.hit_id: row.payload for row in outbox.waiting(0, 10**6)}


def beside(path: Path) -> set[str]:
    return {part.name for part in path.parent.iterdir()}


def overwrite(path: Path, at: int, raw: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(raw)
