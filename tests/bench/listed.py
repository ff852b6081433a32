"""What a list costs over its entries: to open, to hold, and to look a passage up in."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import numpy as np

from edge_anpr.datatypes import PlateRead
from edge_anpr.privacy.tokens import KEY_BYTES
from edge_anpr.watch import opener
from edge_anpr.watch.matcher import Matcher
from edge_anpr.watch.opening import Trust
from edge_anpr.watch.rows import ROW
from edge_anpr.watch.tokens import Group, TokenTable
from edge_anpr.watch.watchlist import MAX_ENTRIES
from tests.bench.curves import Curve, Points
from tests.watch import lists

OPENED = (100, 1_000, 10_000, 100_000, MAX_ENTRIES)
LOOKED_UP = (100, 1_000, 10_000, 100_000, 1_000_000)
ROUNDS, READS = 3, 3000
_TELLS = "; import sys; from edge_anpr.tools.machine import memory_mb; sys.stderr.write(str(memory_mb('VmHWM')))"
_RUN: Any = subprocess.run
Step = Callable[[int], None]


def opening(step: Step) -> Curve:
    """A signed list through the process that opens it: seconds on the wall, its most memory, what the unit holds."""
    lines: dict[str, Points] = {"seconds": [], "its process at most, MB": [], "the unit holds, MB": []}
    for count in OPENED:
        raw, took = lists.signed(*(f"TEST{number:06d}" for number in range(count))), []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            opened = opener.open_list(raw, Trust(lists.TRUSTED), "pole-07", lists.at(), passages_per_day=5000)
            took.append(time.perf_counter() - begin)
        with mock.patch.object(subprocess, "run", _Telling()) as telling:
            opener.open_list(raw, Trust(lists.TRUSTED), "pole-07", lists.at(), passages_per_day=5000)
        for values, value in zip(lines.values(), (min(took), telling.most_mb, _held_mb(opened.table)), strict=True):
            values.append((count, value))
        step(1)
    return Curve("list-opening", "entries", lines)


def matching(step: Step) -> Curve:
    """A read that meets nothing: one without a doubt, and one with eight, of which 36 spellings are tried."""
    until_ns = time.monotonic_ns() + int(timedelta(days=1).total_seconds() * 1e9)
    lines: dict[str, Points] = {"a clear read, µs": [], "a doubtful read, µs": [], "held, MB": []}
    for count in LOOKED_UP:
        rng = np.random.default_rng(1)
        rows = np.zeros(count, [("token", "V16"), ("group", "<u4")])
        rows["token"] = np.frombuffer(rng.bytes(16 * count), "V16")
        assert rows.itemsize == ROW.size
        table = TokenTable(bytearray(KEY_BYTES), [Group("NL", "stolen", 1, until_ns)], rows.tobytes())
        costs = (_us(Matcher(table), _reads(0.001)), _us(Matcher(table), _reads(0.03)), _held_mb(table))
        for values, value in zip(lines.values(), costs, strict=True):
            values.append((count, value))
        step(1)
    return Curve("list-matching", "entries", lines)


class _Telling:
    """``subprocess.run`` for a Python that says at its end how much memory it had at most."""

    most_mb = 0.0

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        done: subprocess.CompletedProcess[bytes] = _RUN([*command[:-1], command[-1] + _TELLS], **options)
        self.most_mb = float(done.stderr)
        return done


def _reads(doubt: float) -> list[PlateRead]:
    """Plates by chance; each character's picture also speaks so much for every other one."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(READS):
        classes = rng.choice([2, 5, 8, 11, 28, 31], 6).astype(np.uint8)  # 2, 5, 8, B, S, V: each has a pair
        posteriors = np.full((6, 36), doubt, np.float32)
        posteriors[np.arange(6), classes] = 0.9
        found.append(PlateRead(classes, posteriors, posteriors.max(axis=1), 3, 3))
    return found


def _us(matcher: Matcher, reads: list[PlateRead]) -> float:
    now_ns, took = time.monotonic_ns(), []
    for _ in range(5):
        begin = time.thread_time()
        met = sum(matcher.match(read, now_ns) is not None for read in reads)
        took.append(1e6 * (time.thread_time() - begin) / len(reads))
        assert not met
    return sorted(took)[2]


def _held_mb(table: TokenTable) -> float:
    return sum(len(part) * part.itemsize for part in (table._heads, table._tails, table._numbers, table._entries)) / 1e6
