"""The short form of `make torture`, and a look whether it can see a loss at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.faults import CONTROL_ROOM_FALLS
from tests.torture.judge import passes
from tests.torture.run import Aim, torture
from tests.torture.site import Plan
from tests.torture.week import week


def test_nothing_is_lost_whatever_is_killed_cut_or_corrupted(tmp_path: Path) -> None:
    plan = Plan(units=5, rate=16.0)

    result = torture(tmp_path, plan, Aim(hits=1500, faults=40, seconds=20.0), seed=258)

    assert result.verdict.wrong == []
    assert result.verdict.accepted_hits >= 1500
    assert result.verdict.stored_hits >= result.verdict.accepted_hits
    assert result.faults.total() >= 40
    assert result.faults[CONTROL_ROOM_FALLS.name] > 0


def test_what_is_deleted_on_puback_is_lost_in_the_same_storm(tmp_path: Path) -> None:
    plan = Plan(units=1, centres=1, rate=15.0, until="puback")
    aim = Aim(hits=50, faults=1, seconds=0.1, kinds=[CONTROL_ROOM_FALLS], finale=False)

    result = torture(tmp_path, plan, aim, seed=1)

    assert result.verdict.lost > 0
    assert f"{result.verdict.lost} accepted messages are not in the database" in result.verdict.wrong


def test_a_week_without_a_broker_drains_in_order_and_new_hits_do_not_wait_for_it(tmp_path: Path) -> None:
    found = week(tmp_path, 2000, tls=True, live_per_s=20.0)

    assert (found.waited, found.lost, found.passed) == (2000, 0, 0)
    assert found.live > 0  # that arrived while the others drained
    assert found.live_most_s is not None
    assert found.live_most_s < 5
    assert found.rss_most_mb - found.rss_before_mb < 10


@pytest.mark.parametrize(
    ("arrived", "passed"),
    [([0, 1, 2, 3], [0, 0, 0, 0]), ([1, 2, 3, 0], [0, 0, 0, 3]), ([1, 0, 5, 3], [0, 1, 0, 1]), ([], [])],
)
def test_counts_how_many_passed_each(arrived: list[int], passed: list[int]) -> None:
    assert passes(arrived) == passed
