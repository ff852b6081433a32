"""One unit that is played: a real link, carrier and outbox; only what it saw is invented."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import edge_anpr
from edge_anpr.errors import Unusable
from edge_anpr.privacy.keys import Key
from edge_anpr.privacy.seal import sealing
from edge_anpr.tools.invented import Invented, Inventor
from edge_anpr.unit.carrier import Carrier, Counts, Told
from edge_anpr.unit.mqtt import Link, Message
from edge_anpr.unit.outbox import Outbox, OutboxFull, Row

CAMERA = "cam-1"
MAX_BYTES = 20_000_000
MAX_AGE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What each unit is to do; ``storm``: halfway, all connections are cut at once.

    Hits are sealed to ``public``, and delivered by receipts of ``centres`` (keys by their ids).
    """

    hits_per_minute: float
    seconds: float
    storm: bool
    health_s: float
    public: Key
    centres: Mapping[str, bytes]


class Player:
    """A unit of this ``topic`` with its outbox in ``folder``; ``delivered`` hears when a message had been appended.

    It is told so when the outbox deletes the message, which a receipt alone makes it do.
    """

    def __init__(
        self,
        topic: str,
        folder: Path,
        link: Link,
        wish: Wish,
        delivered: Callable[[float], None],
        chance: random.Random,
    ) -> None:
        self.link = link
        self._topic = topic
        self._outbox = _Watched(folder / f"{topic.rsplit('/', 1)[-1]}.db", delivered)
        told = Told(topic, CAMERA, wish.health_s, MAX_AGE_S, MAX_BYTES)
        self._carrier = Carrier(self._outbox, link, told, centres=wish.centres)
        self._append = sealing(self._outbox.append, wish.public)
        self._inventor = Inventor(topic.removeprefix("anpr/v1/"), CAMERA, chance)
        birth = {"schema": "anpr.birth/1", "version": edge_anpr.__version__, "boot_id": self._inventor.boot_id}
        self._outbox.put_state("birth", json.dumps(birth).encode())

    @property
    def counts(self) -> Counts:
        """What its publisher has done."""
        return self._carrier.counts

    @property
    def waiting(self) -> int:
        """How many messages have no receipt yet."""
        return len(self._outbox.appended_s)

    def oldest_s(self) -> float | None:
        """When the oldest message that waits was appended (monotonic)."""
        return next(iter(self._outbox.appended_s.values()), None)

    def turn(self) -> None:
        """One round of its publisher."""
        self._carrier.turn()

    def passage(self) -> Iterator[Invented]:
        """The messages of a vehicle that passes."""
        return self._inventor.passage()

    def say(self, message: Invented) -> None:
        """Put a message into the outbox, sealed. Raises Unusable when it takes none."""
        try:
            self._append(message.hit_id, message.phase, message.payload)
        except OutboxFull as error:
            raise Unusable(f"a unit that is played cannot keep its hits: {error}; see TMPDIR and the centre") from None

    def close(self) -> None:
        """Take away what the broker has kept of this unit, and end."""
        for kind in ("birth", "alarm"):
            self.link.publish(Message(f"{self._topic}/{kind}", b"", retain=True))
        self.link.close(Message(f"{self._topic}/status", b"", retain=True))
        self._outbox.close()


class _Watched(Outbox):
    """Both directions of an outbox in one, which notes when each message went in."""

    def __init__(self, path: Path, delivered: Callable[[float], None]) -> None:
        super().__init__(path, MAX_BYTES, "publisher")
        self._delivered = delivered
        self._places: dict[int, tuple[str, str]] = {}
        self._appends = 0
        self.appended_s: dict[tuple[str, str], float] = {}

    def append(self, hit_id: str, phase: str, payload: bytes) -> None:
        self.appended_s[hit_id, phase] = time.monotonic()
        super().append(hit_id, phase, payload)
        self._appends += 1

    def version(self) -> int:
        # SQLite tells of the changes of other connections only; on a unit the recogniser is one.
        return super().version() + self._appends

    def waiting(self, after: int, limit: int) -> list[Row]:
        return self._seen(super().waiting(after, limit))

    def recent(self, after: int, younger_than_s: float, limit: int) -> list[Row]:
        return self._seen(super().recent(after, younger_than_s, limit))

    def delete(self, rowids: Sequence[int]) -> None:
        for rowid in rowids:
            self._delivered(self.appended_s.pop(self._places.pop(rowid)))
        super().delete(rowids)

    def _seen(self, rows: list[Row]) -> list[Row]:
        self._places.update((row.rowid, (row.hit_id, row.phase)) for row in rows)
        return rows
