"""What counts as right when readers are compared, and what they are shown."""

from __future__ import annotations

from functools import partial

import numpy as np

from edge_anpr.datatypes import Gray
from tests.bench.peers import Score, Shown, compare, markdown


def test_a_plate_is_right_exactly_or_with_o_as_0_or_inside_a_longer_text() -> None:
    score = Score()
    for said in (["AB12CD"], ["A812CD"], ["NLAB12CD"], ["AB12CD", "AB12CD"], []):
        score.take(["AB12CD"], said, 1.0)
    score.take(["AO12CI"], ["A012C1", "TAXI"], 1.0)
    assert (score.plates, score.exact, score.folded, score.within, score.others) == (6, 2, 3, 4, 2)


def test_all_are_shown_the_same_pictures_in_turns() -> None:
    shown = [Shown(np.full((2, 2), level, np.uint8), (f"AB{level}",)) for level in (1, 2)]
    seen: list[tuple[str, int]] = []

    def read(name: str, picture: Gray) -> list[str]:
        seen.append((name, int(picture[0, 0])))
        return [f"AB{picture[0, 0]}"]

    scores = compare(shown, {name: partial(read, name) for name in ("one", "other")}, lambda _: None)
    assert seen == [("one", 1), ("other", 1), ("one", 1), ("other", 1), ("one", 2), ("other", 2)]
    assert (scores["one"].exact, scores["other"].exact) == (2, 2)
    assert "| road | one | " in markdown({"road": scores})
    assert "| 2 | 2 | 2 | 2 | 0 |" in markdown({"road": scores})
