"""The list as the unit keeps it: keyed tokens in RAM, and to each what may be told of its entry; never a plate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_anpr.plates.text import CLASS_BYTES
from edge_anpr.privacy.tokens import KEY_BYTES, keyed

TOKEN_BYTES = 16


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


def token_of(plate: str, key: bytes | bytearray) -> bytes:
    """Token of a canonical plate (A-Z, 0-9) under the list's key: that of its classes, see ``privacy.tokens.keyed``."""
    return hashlib.blake2b(plate.encode("ascii").translate(CLASS_BYTES), key=key, digest_size=TOKEN_BYTES).digest()


class TokenTable:
    """All entries of a list as tokens under ``key`` (32 random bytes that exist nowhere else).

    ``rows``: token and group number of each entry, in the list's order.
    """

    def __init__(self, key: bytearray, groups: Iterable[Group], rows: Iterable[tuple[bytes, int]]) -> None:
        self._key, self._groups = key, tuple(groups)
        # A plate may be listed more than once: by two countries, or again with a later end.
        self._first: dict[bytes, tuple[int, int]] = {}
        self._more: dict[bytes, list[tuple[int, int]]] = {}
        self._count = 0
        for entry, (token, group) in enumerate(rows):
            if self._first.setdefault(token, (entry, group))[0] != entry:
                self._more.setdefault(token, []).append((entry, group))
            self._count += 1

    @classmethod
    def of(cls, entries: Iterable[tuple[str, Group]]) -> TokenTable:
        """Tokens of plates that this process holds in clear (tests, `simulate`) under a key of their own."""
        key = bytearray(os.urandom(KEY_BYTES))
        listed = list(entries)
        groups = list(dict.fromkeys(group for _, group in listed))
        number = {group: index for index, group in enumerate(groups)}
        return cls(key, groups, ((token_of(plate, key), number[group]) for plate, group in listed))

    def __len__(self) -> int:
        """How many entries are listed."""
        return self._count

    def find(self, classes: NDArray[np.uint8], now_ns: int) -> Iterator[Listed]:
        """The entries in force at ``now_ns`` (monotonic) whose plate is this text (classes, uint8)."""
        token = keyed(classes, self._key, TOKEN_BYTES)
        first = self._first.get(token)
        if first is None:
            return
        for entry, group in (first, *self._more.get(token, ())):
            if now_ns <= self._groups[group].expires_ns:
                yield Listed(entry, self._groups[group])
