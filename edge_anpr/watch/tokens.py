"""The list as the unit keeps it: keyed tokens in RAM, and to each what may be told of its entry; never a plate."""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_anpr.privacy.tokens import KEY_BYTES, keyed
from edge_anpr.watch.rows import ROW, TOKEN_BYTES, token_of

_HALVES = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Group:
    """What entries have in common: who answers for them why, and until when (nanoseconds of the monotonic clock)."""

    country: str
    reason: str
    priority: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry that a text meets: its place in the list, and its group."""

    entry: int
    group: Group


class TokenTable:
    """All entries of a list as tokens under ``key`` (32 random bytes that exist nowhere else).

    ``rows``: ``ROW`` of each entry, in the list's order, one after the other. 200,000 entries take 5 MB.
    """

    def __init__(self, key: bytearray, groups: Iterable[Group], rows: bytes) -> None:
        self._key, self._groups = key, tuple(groups)
        table = np.frombuffer(rows, [("head", "<u8"), ("tail", "<u8"), ("group", "<u4")])
        # A plate may be listed more than once, by two countries or again with a later end: the first one goes first.
        order = np.argsort(table["head"], kind="stable")
        self._heads = array("Q", table["head"][order].tobytes())
        self._tails = array("Q", table["tail"][order].tobytes())
        self._numbers = array("I", table["group"][order].tobytes())
        self._entries = array("I", order.astype(np.uint32).tobytes())

    @classmethod
    def of(cls, entries: Iterable[tuple[str, Group]]) -> TokenTable:
        """Tokens of plates that this process holds in clear (tests, `simulate`) under a key of their own."""
        key = bytearray(os.urandom(KEY_BYTES))
        groups: dict[Group, int] = {}
        rows = b"".join(
            ROW.pack(token_of(plate, key), groups.setdefault(group, len(groups))) for plate, group in entries
        )
        return cls(key, groups, rows)

    def __len__(self) -> int:
        """How many entries are listed."""
        return len(self._heads)

    def find(self, classes: NDArray[np.uint8], now_ns: int) -> Iterator[Listed]:
        """The entries in force at ``now_ns`` (monotonic) whose plate is this text (classes, uint8)."""
        head, tail = _HALVES.unpack(keyed(classes, self._key, TOKEN_BYTES))
        place = bisect_left(self._heads, head)
        while place < len(self._heads) and self._heads[place] == head:
            group = self._groups[self._numbers[place]]
            if self._tails[place] == tail and now_ns <= group.expires_ns:
                yield Listed(self._entries[place], group)
            place += 1
