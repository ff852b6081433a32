"""Power cuts: a real recogniser's side and a real publisher's side run under strace, and the plug is pulled on paper.

From the trace the disk is built as it could be after a cut at any moment. Then the outbox is opened there, and has to
hold what it promised.

    python -m tests.torture.powercut [CUTS] [--seed SEED]
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_anpr.unit import outbox_file
from edge_anpr.unit.outbox import Outbox
from tests.torture.disk import Disk
from tests.torture.plugged import BIG, FIRST_BEFORE, payload
from tests.torture.trace import Trace, record


@dataclass(slots=True)
class Figures:
    """What all cuts together showed; ``losses``: of each cut that broke a promise, which ones, in words."""

    cuts: int = 0
    sure: int = 0  # hits that had to be there, over all cuts
    kept: int = 0  # hits that were there
    back: int = 0  # of these: deleted before the cut
    losses: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def judge(
    trace: Trace, cuts: Sequence[int], seed: int, figures: Figures, place: Path, besides: frozenset[int] = frozenset()
) -> None:
    """Cut at each of these places, and open what is left; ``besides`` are hits that were there before."""
    disk = Disk(trace)
    for at in cuts:
        draw = random.Random(seed * 1_000_003 + at)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name, raw in disk.cut(at, draw).items():
            (place / name).write_bytes(raw)
        sure = {number for number, since in trace.appended.items() if since < at} | besides
        sure -= {number for number, since in trace.deleting.items() if since < at}
        figures.cuts += 1
        figures.sure += len(sure)
        began = time.perf_counter()
        try:
            there, mended = _open(place)
        except Exception as error:  # noqa: BLE001 - whatever it is, the outbox did not open by itself
            figures.losses.append(f"cut at {at} of {trace.length}: does not open: {error}")
            continue
        figures.slowest_s = max(figures.slowest_s, time.perf_counter() - began)
        figures.kept += len(there)
        figures.back += sum(trace.deleted.get(number, trace.length) < at for number in there)
        broken = [
            f"{words} {sorted(wrong)[:10]}"
            for words, wrong in (
                ("lost", sure - there.keys()),
                ("torn", {number for number, raw in there.items() if raw != payload(number)}),
                ("out of order", set() if list(there) == sorted(there, key=_age) else {-1}),
                ("had to be mended", {-1} if mended and not besides else set()),
            )
            if wrong
        ]
        if broken:
            figures.losses.append(f"cut at {at} of {trace.length}: {'; '.join(broken)}")


def _age(number: int) -> int:
    return number - 2 * FIRST_BEFORE if number >= FIRST_BEFORE else number


def _open(place: Path) -> tuple[dict[int, bytes], bool]:
    """The hits in the outbox there; it has to open, be read, take a hit and lose one."""
    outbox = Outbox(place / "outbox.db", BIG)
    try:
        there = {int(row.hit_id): row.payload for row in outbox.waiting(0, 10**6)}
        outbox.append("-1", "first", b"after the cut")
        (row,) = outbox.waiting(0, 10**6)[len(there) :]
        outbox.delete([row.rowid])
        if outbox.depth().hits != len(there):
            raise AssertionError("the tally is wrong")
        return there, outbox.mended is not None
    finally:
        outbox.close()


def moments(trace: Trace, count: int, draw: random.Random) -> list[int]:
    """Where to cut: one in four while a file comes or goes, one in eight while the outbox is opened, else anywhere."""
    opened = min(trace.appended.values(), default=trace.length)
    changes = [event.start for event in trace.events if event.call in {"create", "rename", "unlink"}]
    places = []
    for index in range(count):
        match index % 8:
            case 0 | 4:
                places.append(max(draw.choice(changes) + draw.randrange(-1, 5), 1))
            case 2:
                places.append(draw.randrange(1, opened))
            case _:
                places.append(draw.randrange(1, trace.length + 1))
    return places


def older(folder: Path) -> frozenset[int]:
    """A file of version 1 with hits, as it lies there before the unit is brought up to date."""
    folder.mkdir(parents=True)
    db = sqlite3.connect(folder / "outbox.db")
    for statement in outbox_file._STEPS[0]:
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    numbers = range(FIRST_BEFORE, FIRST_BEFORE + 20)
    db.executemany(
        "INSERT INTO hit (hit_id, phase, payload) VALUES (?, 'first', ?)", [(str(n), payload(n)) for n in numbers]
    )
    db.commit()
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    return frozenset(numbers)


def damaged(folder: Path) -> frozenset[int]:
    """A file with a page that the card has lost, so that the first thing that happens is its mending."""
    outbox = Outbox(folder / "outbox.db", BIG)
    for number in range(FIRST_BEFORE, FIRST_BEFORE + 40):
        outbox.append(str(number), "first", payload(number))
    outbox.close()
    raw = bytearray((folder / "outbox.db").read_bytes())
    hole = raw.index(payload(FIRST_BEFORE + 20)[-3000:]) // 4096 * 4096
    raw[hole : hole + 4096] = bytes(4096)
    (folder / "outbox.db").write_bytes(raw)
    (folder / "outbox.db.damaged").touch()
    return frozenset(range(FIRST_BEFORE, FIRST_BEFORE + 40)) - {FIRST_BEFORE + 20}


STARTS = {"new": None, "version 1": older, "damaged": damaged}


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of run: from where it starts, and what was taken away from the outbox."""

    start: str
    sabotage: str = "none"


PROMISED = (Trial("new"), Trial("version 1"), Trial("damaged"))
CONTROLS = (Trial("new", "OFF"), Trial("new", "NORMAL"), Trial("new", "psow"), Trial("damaged", "folder"))


def run(trial: Trial, work: Path, cuts: int, seed: int, hits: int = 100) -> Figures:
    """Record runs of this kind and cut each up to 100 times, ``cuts`` times in all."""
    figures = Figures()
    while figures.cuts < cuts:
        before, besides = None, frozenset[int]()
        prepare = STARTS[trial.start]
        if prepare is not None:
            before = work / "before"
            shutil.rmtree(before, ignore_errors=True)
            besides = prepare(before)
        trace = record(work, hits, seed + figures.cuts, trial.sabotage, before)
        places = moments(trace, min(cuts - figures.cuts, 100), random.Random(seed + figures.cuts))
        judge(trace, places, seed, figures, work / "after", besides)
    return figures


def _rows(trials: Sequence[Trial], cuts: int, seed: int) -> Iterator[tuple[Trial, Figures]]:
    for trial in trials:
        with tempfile.TemporaryDirectory(dir=_in_memory()) as work:
            yield trial, run(trial, Path(work), cuts, seed)


def _in_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main() -> int:
    """Print a table of figures. 1 when a promise was broken, or when a control did not break."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuts", nargs="?", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    logging.disable()
    out = sys.stdout
    out.write(f"seed {chosen.seed}\n{'start':<10} {'taken away':<11}")
    out.write("".join(f" {word:>9}" for word in ("cuts", "hits due", "there", "back", "broken", "slowest s")) + "\n")
    good = True
    for trial, figures in _rows((*PROMISED, *CONTROLS), chosen.cuts, chosen.seed):
        numbers = (figures.cuts, figures.sure, figures.kept, figures.back, len(figures.losses))
        out.write(f"{trial.start:<10} {trial.sabotage:<11}" + "".join(f" {number:>9}" for number in numbers))
        out.write(f" {figures.slowest_s:>9.2f}\n" + "".join(f"    {loss}\n" for loss in figures.losses[:3]))
        out.flush()
        good = good and bool(figures.losses) == (trial in CONTROLS)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
