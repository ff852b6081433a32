"""Does a read meet an entry of the list? Decided on keyed tokens in RAM: the list's plates are not kept in clear.

The ladder: ``exact``, the same characters; ``confusable``, named pairs that the picture speaks for, in a layout of the
entry's country; ``near``, any other text that the picture speaks for, which is off unless it is asked for. The last two
are told only when the listed plate was likely enough to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Match, MatchClass, PlateRead, Posteriors
from edge_anpr.plates.confusable import is_clear, look_alikes, top_paths
from edge_anpr.plates.syntax import fitting, has_layouts
from edge_anpr.plates.text import reveal
from edge_anpr.watch.probability import LEAST_PROBABILITY, listed_probability
from edge_anpr.watch.tokens import Listed, TokenTable


class Matcher:
    """Meets reads with the entries of a list. ``most``: up to which class of the ladder."""

    def __init__(self, table: TokenTable, most: MatchClass = MatchClass.CONFUSABLE) -> None:
        self._table = table
        self._confusable, self._near = most is not MatchClass.EXACT, most is MatchClass.NEAR

    def __len__(self) -> int:
        """How many entries are listed."""
        return len(self._table)

    def match(self, read: PlateRead, now_ns: int) -> Match | None:
        """The entry this read meets, by the surest class. ``now_ns`` is monotonic: past entries meet nothing.

        The read itself is never changed, and no text is made of it unless it meets an entry.
        """
        for found in self._table.find(read.classes, now_ns):
            probability = listed_probability(read.posteriors, read.classes, found.group.country)
            return _match(MatchClass.EXACT, read.classes, found, probability)
        if not self._confusable or is_clear(read.classes, read.posteriors):
            return None
        for spelling, found, probability in self._likely(look_alikes, read, now_ns):
            country = found.group.country
            if not has_layouts(country) or fitting(spelling, country):
                return _match(MatchClass.CONFUSABLE, spelling, found, probability)
        if self._near:
            for spelling, found, probability in self._likely(top_paths, read, now_ns):
                return _match(MatchClass.NEAR, spelling, found, probability)
        return None

    def _likely(
        self,
        paths: Callable[[NDArray[np.uint8], Posteriors], Iterator[NDArray[np.uint8]]],
        read: PlateRead,
        now_ns: int,
    ) -> Iterator[tuple[NDArray[np.uint8], Listed, float]]:
        """Other texts of the read that are listed and likely enough to be told, with their probability."""
        for spelling in paths(read.classes, read.posteriors):
            for found in self._table.find(spelling, now_ns):
                probability = listed_probability(read.posteriors, spelling, found.group.country)
                if probability >= LEAST_PROBABILITY:
                    yield spelling, found, probability


def _match(how: MatchClass, listed: NDArray[np.uint8], found: Listed, probability: float) -> Match:
    group = found.group
    return Match(how, reveal(listed), found.entry, group.reason, probability, group.expires_ns)
