"""The units that one process plays: one thread turns all of them, each when something has happened to it.

Once a second each is turned anyhow; paho keeps one more thread a connection. Times are monotonic, in seconds.
"""

from __future__ import annotations

import heapq
import logging
import math
import os
import random
import resource
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.tools.invented import Invented
from edge_anpr.tools.played import Player, Wish
from edge_anpr.unit import states
from edge_anpr.unit.mqtt import Broker, Link, Message

TURN_S = 1.0
POLL_S = 0.1  # a publisher looks into its outbox so often, so it finds a hit up to so much later
PASSAGE_S = (0.5, 3.0)  # between the two messages of a passage
FILES_A_UNIT = 9  # paho's three sockets, and SQLite's files
GONE_SHARE = 0.1  # so many units lost at once are a storm
LAST_WAIT_S = 120.0  # for what is on its way in the end


@dataclass
class Storm:
    """Many units lost the broker; None is what has not come yet.

    ``settled_s``: all that was appended before all were connected again has its receipt.
    """

    began_s: float
    lost: int
    connected_s: float | None = None
    settled_s: float | None = None

    def with_(self, other: Storm) -> Storm:
        """The same storm over the units of both."""

        def last(ours: float | None, theirs: float | None) -> float | None:
            return None if ours is None or theirs is None else max(ours, theirs)

        return Storm(
            min(self.began_s, other.began_s),
            self.lost + other.lost,
            last(self.connected_s, other.connected_s),
            last(self.settled_s, other.settled_s),
        )


@dataclass
class Figures:
    """What was measured; ``calm_s`` and ``stormy_s`` are from append to receipt, of each message."""

    units: int
    connecting_s: float = 0.0
    playing_s: float = 0.0
    appended: int = 0
    receipted: int = 0
    sent: int = 0
    resent: int = 0
    reconnects: int = 0
    unfinished: int = 0
    calm_s: list[float] = field(default_factory=list)
    stormy_s: list[float] = field(default_factory=list)
    storms: list[Storm] = field(default_factory=list)


class Crowd:
    """Plays the units of ``ways``: each one's way to the broker by its name, ``org/site/unit``."""

    def __init__(self, wish: Wish, ways: Mapping[str, Broker], folder: Path) -> None:
        self._wish, self._folder = wish, folder
        self._ways = list(ways.items())
        self._players: list[Player] = []
        self._standing: set[int] = set()
        self._any_bell, self._rung = threading.Event(), deque[int]()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._chance = random.Random()
        self._storm: Storm | None = None
        self._last_word = _LastWord()
        self.figures = Figures(len(ways))

    def gather(self, starts_per_s: float, patience_s: float) -> None:
        """Let all come, ``patience_s`` after the last has started. Raises Unusable, saying why, when they cannot."""
        _allow_files(len(self._ways) * FILES_A_UNIT + 100)
        began_s = time.monotonic()
        for number in range(len(self._ways)):
            self._at(began_s + number / starts_per_s, self._begin_one)
        deadline_s = began_s + len(self._ways) / starts_per_s + patience_s
        self._until(lambda: len(self._standing) == len(self._ways), deadline_s)
        missing = len(self._ways) - len(self._standing)
        if missing:
            raise Unusable(f"{missing} of {len(self._ways)} units could not connect; of one: {self._last_word.text}")
        self.figures.connecting_s = time.monotonic() - began_s

    def wait(self, condition: Callable[[], bool]) -> None:
        """Stay connected until ``condition``, which is asked often."""
        self._until(condition, math.inf)

    def play(self) -> Figures:
        """Do what was wished, then wait for what is on its way."""
        began_s, wish = time.monotonic(), self._wish
        end_s = began_s + wish.seconds
        for number in range(len(self._players)):
            self._at(began_s + self._gap_s(), partial(self._pass_by, number, end_s))
        if wish.storm:
            self._at(began_s + wish.seconds / 2, self.cut)
        self._until(lambda: False, end_s)
        self.figures.playing_s = time.monotonic() - began_s
        self._until(lambda: self._storm is None and not self._waiting(), end_s + LAST_WAIT_S)
        self._sum_up()
        return self.figures

    def close(self) -> None:
        """Say goodbye for all."""
        self._last_word.close()
        for player in self._players:
            player.close()

    def cut(self) -> None:
        """Cut all connections of this process to the broker at once."""
        ports = {way.port for _, way in self._ways}
        for file in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
            with suppress(OSError):
                if not stat.S_ISSOCK(os.fstat(file).st_mode):
                    continue
                with socket.socket(fileno=os.dup(file)) as sock:
                    if sock.family is not socket.AF_UNIX and sock.getpeername()[1] in ports:
                        sock.shutdown(socket.SHUT_RDWR)

    def _until(self, condition: Callable[[], bool], deadline_s: float) -> None:
        while (now_s := time.monotonic()) < deadline_s and not condition():
            while self._rung:
                self._turn(self._rung.popleft())
            while self._due and self._due[0][0] <= now_s:
                heapq.heappop(self._due)[2]()
            self._look_at_the_weather()
            next_s = min(self._due[0][0] if self._due else now_s, now_s + POLL_S)
            if self._any_bell.wait(max(0.0, next_s - time.monotonic())):
                self._any_bell.clear()

    def _at(self, when_s: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._due, (when_s, self._order, what))

    def _begin_one(self) -> None:
        number = len(self._players)
        name, way = self._ways[number]
        topic = f"anpr/v1/{name}"
        link = Link(
            way,
            will=Message(f"{topic}/status", states.LOST, retain=True),
            subscribe=[f"{topic}/receipt"],
            wake=_Bell(number, self._rung, self._any_bell),
        )
        self._players.append(Player(topic, self._folder, link, self._wish, self._delivered, self._chance))
        self._turn_often(number)

    def _turn_often(self, number: int) -> None:
        self._turn(number)
        self._at(time.monotonic() + TURN_S, partial(self._turn_often, number))

    def _turn(self, number: int) -> None:
        player = self._players[number]
        player.turn()
        if player.link.connected_s is None:
            self._standing.discard(number)
        else:
            self._standing.add(number)

    def _gap_s(self) -> float:
        return self._chance.expovariate(self._wish.hits_per_minute / 60.0)

    def _pass_by(self, number: int, end_s: float) -> None:
        if time.monotonic() < end_s:
            self._say_next(number, self._players[number].passage())
            self._at(time.monotonic() + self._gap_s(), partial(self._pass_by, number, end_s))

    def _say_next(self, number: int, passage: Iterator[Invented]) -> None:
        message = next(passage, None)
        if message is None:
            return
        self._players[number].say(message)
        self.figures.appended += 1
        now_s = time.monotonic()
        self._at(now_s + self._chance.uniform(0.0, POLL_S), partial(self._turn, number))
        self._at(now_s + self._chance.uniform(*PASSAGE_S), partial(self._say_next, number, passage))

    def _delivered(self, appended_s: float) -> None:
        took_s = time.monotonic() - appended_s
        self.figures.receipted += 1
        last = self.figures.storms[-1] if self.figures.storms else None
        calm = last is None or (last.settled_s is not None and appended_s > last.settled_s)
        (self.figures.calm_s if calm else self.figures.stormy_s).append(took_s)

    def _look_at_the_weather(self) -> None:
        lost = len(self._ways) - len(self._standing)
        if self._storm is None:
            if self.figures.connecting_s and lost >= max(1.0, len(self._ways) * GONE_SHARE):
                self._storm = Storm(time.monotonic(), lost)
                self.figures.storms.append(self._storm)
            return
        storm, now_s = self._storm, time.monotonic()
        storm.lost = max(storm.lost, lost)
        if lost:
            storm.connected_s = None
        elif storm.connected_s is None:
            storm.connected_s = now_s
        elif self._oldest_s() > storm.connected_s:
            storm.settled_s, self._storm = now_s, None

    def _oldest_s(self) -> float:
        waiting = (player.oldest_s() for player in self._players)
        return min((oldest_s for oldest_s in waiting if oldest_s is not None), default=time.monotonic())

    def _waiting(self) -> int:
        return sum(player.waiting for player in self._players)

    def _sum_up(self) -> None:
        self.figures.unfinished = self._waiting()
        for player in self._players:
            self.figures.sent += player.counts.sent
            self.figures.resent += player.counts.retries
            self.figures.reconnects += player.counts.reconnects


class _LastWord(logging.Handler):
    """Keeps the last warning of a carrier, which says why there is no connection."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = "nothing was said"
        logging.getLogger("edge_anpr.unit.carrier").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


class _Bell(threading.Event):
    """Set when something has happened to one unit; tells which."""

    def __init__(self, number: int, rung: deque[int], any_bell: threading.Event) -> None:
        super().__init__()
        self._number, self._rung, self._any_bell = number, rung, any_bell

    def set(self) -> None:
        self._rung.append(self._number)
        self._any_bell.set()


def _allow_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Unusable(f"{needed} files have to be open at once, and this user may have {hard}; see ulimit -Hn")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
