"""Plays many units in a few processes, to find out what a broker and a centre carry.

A few, because paho waits by select(2), which takes no file number above 1023; a hundred units have seven hundred.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.tools.crowd import Crowd, Figures, Storm
from edge_anpr.tools.played import Wish
from edge_anpr.unit.mqtt import Broker

UNITS_A_PROCESS = 100
STARTS_PER_S = 50.0
GOODBYE_S = 30.0


def play(
    wish: Wish, ways: Mapping[str, Broker], every_second: Callable[[bool], None], patience_s: float = 60.0
) -> Figures:
    """Play a unit for each of ``ways``; ``every_second`` hears whether all have come and the play is on.

    Raises Unusable when one has not come ``patience_s`` after the last was started.
    """
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    crowds = math.ceil(len(ways) / UNITS_A_PROCESS)
    gathering = STARTS_PER_S / crowds, patience_s
    running = []
    with tempfile.TemporaryDirectory(prefix="edge-anpr-load-") as folder:
        try:
            for number in range(crowds):
                ours, theirs = context.Pipe()
                share = dict(islice(ways.items(), number, None, crowds))
                mine = Path(folder, str(number))
                mine.mkdir()
                said = wish, share, gathering, mine, start, theirs
                process = context.Process(target=_share, args=said, daemon=True)
                process.start()
                theirs.close()
                running.append((ours, process))
            connections = [ours for ours, _ in running]
            _collect(connections, lambda: every_second(False))
            start.set()
            figures = _collect(connections, lambda: every_second(True))
            return merged([one for one in figures if isinstance(one, Figures)])
        finally:
            for _, process in running:
                process.terminate()
            for _, process in running:
                process.join(GOODBYE_S)
                process.kill()
                process.join()


def merged(parts: Sequence[Figures]) -> Figures:
    """The figures of several crowds that played at the same time, as those of one."""
    whole = Figures(sum(part.units for part in parts))
    whole.connecting_s = max(part.connecting_s for part in parts)
    whole.playing_s = max(part.playing_s for part in parts)
    for name in ("appended", "receipted", "sent", "resent", "reconnects", "unfinished"):
        setattr(whole, name, sum(getattr(part, name) for part in parts))
    whole.calm_s = [value for part in parts for value in part.calm_s]
    whole.stormy_s = [value for part in parts for value in part.stormy_s]
    whole.storms = _one_weather([storm for part in parts for storm in part.storms])
    return whole


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that so many percent do not exceed; None of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else None


def _one_weather(storms: Sequence[Storm]) -> list[Storm]:
    """Storms of different crowds that overlap are one."""
    seen: list[Storm] = []
    for storm in sorted(storms, key=lambda one: one.began_s):
        if seen and (seen[-1].settled_s is None or storm.began_s <= seen[-1].settled_s):
            seen[-1] = seen[-1].with_(storm)
        else:
            seen.append(storm)
    return seen


def _collect(connections: Sequence[Connection], every_second: Callable[[], None]) -> list[object]:
    answers: list[object] = []
    next_s = time.monotonic()
    for connection in connections:
        while True:
            try:
                if connection.poll(max(0.0, next_s - time.monotonic())):
                    answers.append(connection.recv())
                    break
            except EOFError:
                raise Unusable("a process that played units has ended; is there memory enough?") from None
            next_s += 1.0
            every_second()
    for answer in answers:
        if isinstance(answer, Unusable):
            raise answer
    return answers


def _share(
    wish: Wish,
    ways: Mapping[str, Broker],
    gathering: tuple[float, float],
    folder: Path,
    start: Event,
    told: Connection,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us, and ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _say_alarms_once()
    crowd = Crowd(wish, ways, folder)
    try:
        crowd.gather(*gathering)
        told.send(None)
        crowd.wait(start.is_set)
        told.send(crowd.play())
    except Unusable as error:
        told.send(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        crowd.close()


def _say_alarms_once() -> None:
    """An alarm of a hundred units is one line."""
    said = set[str]()

    def new(record: logging.LogRecord) -> bool:
        before = len(said)
        said.add(record.getMessage())
        return len(said) > before

    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    handler.addFilter(new)
    logging.basicConfig(handlers=[handler], format="load: %(message)s")
