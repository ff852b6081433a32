"""Does a read meet an entry of the list? Decided on keyed tokens in RAM: the list's plates are not kept in clear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Match, MatchClass, PlateRead
from edge_anpr.plates.confusable import look_alikes
from edge_anpr.plates.syntax import fitting, has_layouts
from edge_anpr.plates.text import reveal
from edge_anpr.privacy.wipe import wipe
from edge_anpr.watch.tokens import Listed, TokenTable


class Matcher:
    """Meets reads with the entries of a list, which it knows as tokens only."""

    def __init__(self, table: TokenTable) -> None:
        self._table = table

    def __len__(self) -> int:
        """How many entries are listed."""
        return len(self._table)

    def match(self, read: PlateRead, now_ns: int) -> Match | None:
        """The entry this read meets: the same characters, or look-alikes of them in a layout of the entry's country.

        The read itself is never changed. ``now_ns`` is monotonic: entries past their time meet nothing.
        """
        for found in self._table.find(read.classes, now_ns):
            return _match(MatchClass.EXACT, read.classes, found)
        for spelling in look_alikes(read.classes, read.posteriors):
            try:
                for found in self._table.find(spelling, now_ns):
                    if has_layouts(found.group.country) and not fitting(spelling, found.group.country):
                        continue
                    return _match(MatchClass.CONFUSABLE, spelling, found)
            finally:
                wipe(spelling)
        return None


def _match(how: MatchClass, classes: NDArray[np.uint8], found: Listed) -> Match:
    return Match(how, reveal(classes), found.entry, found.group.reason, found.group.expires_ns)
