from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from edge_anpr.unit.backoff import SPREAD_S, Backoff, Pace

UNITS = 1000


def standing(count: int = UNITS, longest_s: float = 30.0) -> list[Backoff]:
    """So many units, whose connections have stood for an hour."""
    return [Backoff(0.5, longest_s) for _ in range(count)]


def busiest_second(moments: list[float]) -> int:
    return max(Counter(int(moment) for moment in moments).values())


def test_a_restarted_broker_sees_a_thousand_units_come_back_one_after_another() -> None:
    waits = [unit.after(Pace.AWAY, 3600.0) for unit in standing()]
    assert max(waits) <= SPREAD_S
    assert busiest_second(waits) < 200  # of a thousand
    assert max(waits) - min(waits) > 7


def test_after_a_long_outage_all_are_back_within_a_minute_and_spread_over_half_of_it() -> None:
    back = []
    for unit in standing():
        at = unit.after(Pace.AWAY, 3600.0)
        while at < 600:
            at += unit.after(Pace.AWAY, None)
        back.append(at - 600)
    assert max(back) <= 30
    assert busiest_second(back) < 120
    assert min(back) < 1


def test_something_urgent_makes_one_attempt_within_a_second_but_only_after_a_steady_connection() -> None:
    hurried: list[float] = []
    for unit in standing():
        assert unit.hurry() is None
        unit.after(Pace.AWAY, 3600.0)
        soon = unit.hurry()
        assert soon is not None
        hurried.append(soon)
        assert unit.hurry() is None
        unit.after(Pace.AWAY, None)
        assert unit.hurry() is None
    assert min(hurried) >= 0.1
    assert max(hurried) <= 1.0


@pytest.mark.parametrize("stood", [lambda last: 5.0, lambda last: None], ids=["let in and thrown out", "refused"])
def test_who_is_refused_tries_at_most_once_a_minute_and_ever_more_rarely(
    stood: Callable[[float], float | None],
) -> None:
    unit, waits = Backoff(0.5, 30.0), [0.0]
    for _ in range(8):
        waits.append(unit.after(Pace.REFUSED, stood(waits[-1])))
    assert 60 <= waits[1] <= 90
    assert all(later > earlier for earlier, later in pairwise(waits[:5]))
    assert all(400 <= wait <= 600 for wait in waits[4:])


def test_two_units_of_one_name_slow_down_though_each_is_connected_meanwhile() -> None:
    """In an hour and a half each comes in as often as it has waited; in the end every eight minutes or so."""
    units, due, connects, since = [Backoff(0.5, 30.0), Backoff(0.5, 30.0)], [0.0, 30.0], list[float](), 0.0
    inside: int | None = None
    while (now := min(due)) < 5400:
        comer = due.index(now)
        connects.append(now)
        if inside is not None:
            due[inside] = now + units[inside].after(Pace.REFUSED, now - since)
        inside, since, due[comer] = comer, now, float("inf")
    assert len([at for at in connects if at < 60]) <= 3
    late = [at for at in connects if at > 3600]
    assert len(late) <= 10
    assert len(connects) < 40


def test_it_begins_quickly_and_grows_until_it_has_been_connected() -> None:
    unit = Backoff(0.5, 30.0)
    waits = [unit.after(Pace.AWAY, None) for _ in range(9)]
    assert 0.25 <= waits[0] <= 0.5
    assert 15 <= waits[-1] <= 30
    assert waits[0] < waits[2] < waits[4]


def test_a_thousand_units_that_are_refused_at_once_do_not_come_back_at_once() -> None:
    assert busiest_second([unit.after(Pace.REFUSED, 3600.0) for unit in standing()]) < 80
