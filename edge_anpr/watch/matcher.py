"""Does a read meet an entry of the list? Decided on keyed tokens in RAM: the list's plates are not kept in clear."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Match, MatchClass, PlateRead
from edge_anpr.plates.confusable import look_alikes
from edge_anpr.plates.syntax import fitting, has_layouts
from edge_anpr.plates.text import encode, reveal
from edge_anpr.privacy.tokens import KEY_BYTES, keyed
from edge_anpr.privacy.wipe import wipe
from edge_anpr.watch.watchlist import Entry

TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Listed:
    entry: int
    country: str
    reason: str
    not_after: datetime


class Matcher:
    """Tokens of a list's entries under a key of its own, made at load and never written anywhere."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._key = bytearray(os.urandom(KEY_BYTES))
        # A plate may be listed more than once: by two countries, or again with a later end.
        self._listed: dict[bytes, list[_Listed]] = {}
        for index, entry in enumerate(entries):
            classes = encode(entry.plate)
            listed = _Listed(index, entry.country, entry.reason, entry.not_after)
            self._listed.setdefault(self._token(classes), []).append(listed)
            wipe(classes)

    def __len__(self) -> int:
        """How many entries are listed."""
        return sum(map(len, self._listed.values()))

    def match(self, read: PlateRead, now: datetime) -> Match | None:
        """The entry this read meets: the same characters, or look-alikes of them in a layout of the entry's country.

        The read itself is never changed. ``now`` is UTC: entries past their time meet nothing.
        """
        for found in self._find(read.classes, now):
            return Match(MatchClass.EXACT, reveal(read.classes), found.entry, found.reason, found.not_after)
        for spelling in look_alikes(read.classes, read.posteriors):
            try:
                for found in self._find(spelling, now):
                    if has_layouts(found.country) and not fitting(spelling, found.country):
                        continue
                    return Match(MatchClass.CONFUSABLE, reveal(spelling), found.entry, found.reason, found.not_after)
            finally:
                wipe(spelling)
        return None

    def _find(self, classes: NDArray[np.uint8], now: datetime) -> list[_Listed]:
        return [listed for listed in self._listed.get(self._token(classes), ()) if now <= listed.not_after]

    def _token(self, classes: NDArray[np.uint8]) -> bytes:
        return keyed(classes, self._key, TOKEN_BYTES)
